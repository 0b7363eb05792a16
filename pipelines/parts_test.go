package pipelines

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"

	"github.com/quire-ml/quire/model/decode"
	"github.com/quire-ml/quire/model/rnn"
	"github.com/quire-ml/quire/model/sample"
	"github.com/quire-ml/quire/model/train"
	"github.com/quire-ml/quire/runners/engine"
	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/transforms/corpus"
	"github.com/quire-ml/quire/transforms/dataset"
	"github.com/quire-ml/quire/transforms/prepare"
)

// A pipeline without packages of pipelines: a Beam pipeline that makes a set, a
// training loop, a loop that writes text.
func Example_parts() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "quire")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	var book []byte
	for i := range 200 {
		book = fmt.Appendf(book, "%d sheep and one wolf. ", i%7)
	}
	file := filepath.Join(dir, "book.txt")
	if err := os.WriteFile(file, book, 0o666); err != nil {
		log.Fatal(err)
	}

	// transforms: a corpus becomes a set.
	docs, err := corpus.Resolve(ctx, []string{file}, nil)
	if err != nil {
		log.Fatal(err)
	}
	p, s := beam.NewPipelineWithRoot()
	prepare.Set(s, docs, prepare.Options{Dir: filepath.Join(dir, "set"), SeqLength: 20, Seed: 1})
	if err := engine.Run(ctx, "direct", p, engine.Options{}); err != nil {
		log.Fatal(err)
	}
	st, err := store.Open(ctx, filepath.Join(dir, "set"))
	if err != nil {
		log.Fatal(err)
	}
	defer st.Close()
	set, err := dataset.Open(ctx, st)
	if err != nil {
		log.Fatal(err)
	}
	defer set.Close()

	// model: a network learns from it.
	const B = 8
	L := set.Manifest().SeqLength
	w := rnn.NewWeights(rnn.Shape{Cell: rnn.LSTM, Layers: 1, Vocabulary: set.Vocab().Size(), Embedding: 8, Hidden: 32})
	w.Init(1)
	trainer, err := train.NewTrainer(w, L, B, 0.01, &train.TrainerOptions{Clip: 1})
	if err != nil {
		log.Fatal(err)
	}
	defer trainer.Close()
	data := &dataset.SplitData{Split: set.Split("train"), Seed: 1}
	batch := make([]int32, B*(L+1))
	for epoch := 1; epoch <= 8; epoch++ {
		var loss float64
		for at := int64(0); at+B <= data.Len(); at += B {
			for b := range int64(B) {
				if err := data.Read(ctx, epoch, at+b, batch[b*int64(L+1):(b+1)*int64(L+1)]); err != nil {
					log.Fatal(err)
				}
			}
			if loss, err = trainer.Step(batch); err != nil {
				log.Fatal(err)
			}
		}
		if epoch%4 == 0 {
			fmt.Printf("epoch %d: %.2f nats\n", epoch, loss)
		}
	}

	// And writes.
	ids, err := set.Vocab().Encode(nil, []byte("3 sheep"))
	if err != nil {
		log.Fatal(err)
	}
	draw, err := sample.New(sample.Options{Temperature: 0.5, TopP: 1}, 0, 0)
	if err != nil {
		log.Fatal(err)
	}
	m := decode.New(w, 1)
	text := []byte("3 sheep")
	for i := 0; i < len(ids); i++ {
		logits, err := m.Step(ids[i : i+1])
		if err != nil {
			log.Fatal(err)
		}
		if i == len(ids)-1 && len(ids) < 30 {
			next, err := draw.Next(logits)
			if err != nil {
				log.Fatal(err)
			}
			ids, text = append(ids, next), set.Vocab().AppendText(text, next)
		}
	}
	fmt.Printf("%q\n", text)
	// Output:
	// epoch 4: 0.16 nats
	// epoch 8: 0.12 nats
	// "3 sheep and one wolf. 5 sheep "
}
