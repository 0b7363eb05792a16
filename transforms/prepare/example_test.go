package prepare_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"

	"github.com/quire-ml/quire/runners/engine"
	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/transforms/corpus"
	"github.com/quire-ml/quire/transforms/dataset"
	"github.com/quire-ml/quire/transforms/prepare"
)

func Example() {
	if err := example(context.Background()); err != nil {
		fmt.Println(err)
	}
	// Output:
	// vocabulary 8, 15 sequences to train on and 3 to validate, 10 characters dropped
	// "or not to "
}

func example(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "hamlet.txt")
	if err := os.WriteFile(file, []byte(strings.Repeat("to be or not to be\n", 10)), 0o644); err != nil {
		return err
	}
	docs, err := corpus.Resolve(ctx, []string{file}, nil)
	if err != nil {
		return err
	}

	p, s := beam.NewPipelineWithRoot()
	out := filepath.Join(dir, "set")
	prepare.Set(s, docs, prepare.Options{Dir: out, SeqLength: 9, ValidationFraction: 0.2, Seed: 1})
	if err := engine.Run(ctx, "direct", p, engine.Options{}); err != nil {
		return err
	}

	st, err := store.Open(ctx, out)
	if err != nil {
		return err
	}
	defer st.Close()
	if err := prepare.Clean(ctx, st, prepare.IsFile); err != nil {
		return err
	}
	set, err := dataset.Open(ctx, st)
	if err != nil {
		return err
	}
	defer set.Close()
	train, validation := set.Split("train"), set.Split("validation")
	fmt.Printf("vocabulary %d, %d sequences to train on and %d to validate, %d characters dropped\n",
		set.Vocab().Size(), train.Len(), validation.Len(), set.Manifest().DroppedChars)
	ids := make([]int32, 10)
	if err := train.Read(ctx, 0, ids); err != nil {
		return err
	}
	var text []byte
	for _, id := range ids {
		text = set.Vocab().AppendText(text, id)
	}
	fmt.Printf("%q\n", text)
	return nil
}
