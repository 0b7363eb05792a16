package train_test

import (
	"context"
	"errors"
	"math"
	"reflect"
	"testing"

	"github.com/quire-ml/quire/model/decode"
	"github.com/quire-ml/quire/model/rnn"
	"github.com/quire-ml/quire/model/run"
	"github.com/quire-ml/quire/model/train"
)

// novel is a text in stretches.
type novel struct {
	sequences
	stretches []int64
	readAt    func(at int64) error // called first, may be nil
}

func (n *novel) Stretches() []int64 { return n.stretches }

func (n *novel) ReadAt(ctx context.Context, at int64, dst []int32) error {
	if n.readAt != nil {
		if err := n.readAt(at); err != nil {
			return err
		}
	}
	for i := range dst {
		x := at + int64(i)
		dst[i] = int32((x + x*x/3) % testV)
	}
	return ctx.Err()
}

// trainNovel has 9 passages of 5, and 6 other characters.
func trainNovel() *novel      { return &novel{sequences: sequences{n: 9}, stretches: []int64{29, 3, 22}} }
func validationNovel() *novel { return &novel{sequences: sequences{n: 3}, stretches: []int64{11, 7}} }

// carryOptions are those of a run of 2 epochs of 4 steps on trainNovel.
func carryOptions(cell rnn.Cell) train.Options {
	o := options()
	o.Hidden, o.Shape.Cell, o.Shape.Layers = train.Carry, cell, 2
	o.Identity.Cell = string(cell)
	return o
}

// TestCarryIsOnePass: two batches of T = 4 with the hidden carried have the losses
// of one batch of T = 8. With Forget in between, they have those of two separate
// batches.
func TestCarryIsOnePass(t *testing.T) {
	const B = 3
	for _, cell := range []rnn.Cell{rnn.GRU, rnn.LSTM} {
		w := rnn.NewWeights(rnn.Shape{Cell: cell, Layers: 2, Vocabulary: testV, Embedding: 3, Hidden: 6})
		w.Init(2)
		loss := func(t *testing.T, T int, forget []int, seqs ...[]int32) (mean float64) {
			t.Helper()
			trainer, err := train.NewTrainer(w, T, B, 0, &train.TrainerOptions{Hidden: train.Carry})
			if err != nil {
				t.Fatal(err)
			}
			defer trainer.Close()
			for i, batch := range seqs {
				for _, b := range forget {
					trainer.Forget(b)
				}
				l, err := trainer.Step(batch) // with a learning rate of 0
				if err != nil {
					t.Fatal(err)
				}
				mean += (l - mean) / float64(i+1)
			}
			return mean
		}
		whole, halves := make([]int32, 0, B*9), [2][]int32{}
		for b := range B {
			seq := make([]int32, 9)
			for i := range seq {
				seq[i] = int32((b*5 + i*i) % testV)
			}
			whole = append(whole, seq...)
			halves[0], halves[1] = append(halves[0], seq[:5]...), append(halves[1], seq[4:]...)
		}
		if got, want := loss(t, 4, nil, halves[:]...), loss(t, 8, nil, whole); math.Abs(got-want) > 1e-7 {
			t.Errorf("%s: two batches of 4 have the loss %v, one of 8 %v", cell, got, want)
		}
		apart := (loss(t, 4, nil, halves[0]) + loss(t, 4, nil, halves[1])) / 2
		if got := loss(t, 4, []int{0, 1, 2}, halves[:]...); math.Abs(got-apart) > 1e-12 {
			t.Errorf("%s: two batches, forgotten in between, have the loss %v, by themselves %v", cell, got, apart)
		}
		if got := loss(t, 4, []int{1}, halves[:]...); math.Abs(got-apart) < 1e-6 {
			t.Errorf("%s: one row forgotten is all", cell)
		}
	}
}

// TestCarryLossIsPure: Loss alone does not move the hidden.
func TestCarryLossIsPure(t *testing.T) {
	w := rnn.NewWeights(carryOptions(rnn.LSTM).Shape)
	w.Init(1)
	trainer, err := train.NewTrainer(w, 2, 1, 0, &train.TrainerOptions{Hidden: train.Carry})
	if err != nil {
		t.Fatal(err)
	}
	defer trainer.Close()
	batch := []int32{1, 2, 3}
	var losses []float64
	for i := range 4 {
		l, err := trainer.Loss(batch)
		if err != nil {
			t.Fatal(err)
		}
		losses = append(losses, l)
		if i == 1 {
			if err := trainer.Apply(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if losses[0] != losses[1] || losses[1] == losses[2] || losses[2] != losses[3] {
		t.Errorf("losses %v: only Apply carries", losses)
	}
}

// TestCarryRun pins the checkpoint of step 8 of a run that carries the hidden, and
// interrupts it at reads of training and of validation: the end has the
// same bytes. The LSTM has a curriculum.
func TestCarryRun(t *testing.T) {
	for cell, want := range map[rnn.Cell]string{
		rnn.GRU:  "810bbe51e8c5c8500bc2a46a90dfccacfe86117fb10cf64be1d837f1b5c09030",
		rnn.LSTM: "eb32da4bdfa502ce1b1da91ba0105d5e83f4e7af8a5bd2ea8c2f0e1dc4f01a5a",
	} {
		st, o := newStore(t), carryOptions(cell)
		if cell == rnn.LSTM {
			o.Curriculum = train.Curriculum{SeqLength: 3, Epochs: 1, Sampling: 0.5}
		}
		if _, err := runIn(t.Context(), st, trainNovel(), validationNovel(), o, nil); err != nil {
			t.Fatal(err)
		}
		whole := last(t, st)
		if whole["checkpoint"] != want {
			t.Errorf("%s: the sha256 of the checkpoint is %s", cell, whole["checkpoint"])
		}
		c, _, err := run.Open(t.Context(), st.URL(), "latest")
		if err != nil {
			t.Fatal(err)
		}
		for name, there := range map[string]bool{"hidden.h.l0": true, "hidden.h.l1": true, "hidden.c.l1": cell == rnn.LSTM, "hidden.h.l2": false} {
			if x, ok := c.Tensor(name); ok != there || there && !reflect.DeepEqual(x.Shape, []int{2, 4}) {
				t.Errorf("%s: %s is %v %v", cell, name, ok, x.Shape)
			}
		}
		interruptCarry(t, o, whole)
	}
}

func interruptCarry(t *testing.T, o train.Options, want map[string]string) {
	t.Helper()
	for n := 0; ; n += 3 { // every third read
		st := newStore(t)
		ctx, cancel := context.WithCancel(context.Background())
		reads := 0
		count := func(int64) error {
			if reads++; reads == n {
				cancel()
			}
			return nil
		}
		if n == 0 {
			cancel()
		}
		data, val := trainNovel(), validationNovel()
		data.readAt = count
		val.readAt = func(at int64) error {
			if at > 0 {
				return nil // the first of the 32 rows that validation reads is enough
			}
			return count(at)
		}
		res, err := runIn(ctx, st, data, val, o, nil)
		cancel()
		if err == nil {
			if n <= reads {
				t.Errorf("interrupt %d of %d was overlooked", n, reads)
			}
			return
		}
		if !errors.Is(err, train.ErrInterrupted) || res == nil || res.Done {
			t.Fatalf("interrupt %d: %+v, %v", n, res, err)
		}
		if _, err := runIn(context.Background(), st, trainNovel(), validationNovel(), o, nil); err != nil {
			t.Fatal(err)
		}
		if got := last(t, st); !reflect.DeepEqual(got, want) {
			t.Errorf("interrupt %d at step %d: the end is %v, want %v", n, res.Step, got, want)
		}
	}
}

func TestCarryRefuses(t *testing.T) {
	o := carryOptions(rnn.GRU)
	if _, err := runIn(t.Context(), newStore(t), trainData(), nil, o, nil); err == nil || err.Error() != "train: to carry the hidden, *train_test.sequences must be a Text" {
		t.Errorf("data that is no text: %v", err)
	}
	short := &novel{stretches: []int64{6, 5, 5}}
	if _, err := runIn(t.Context(), newStore(t), short, nil, o, nil); err == nil || err.Error() != "train: a batch takes 2 sequences, and the set has 1" {
		t.Errorf("too little text: %v", err)
	}
	st := newStore(t)
	o.MaxSteps, o.Hidden = 3, train.Zero
	mustRun(t, st, o, nil)
	o.Hidden = train.Carry // nothing compares the options with the identity
	if _, err := runIn(t.Context(), st, trainNovel(), nil, o, nil); err == nil || err.Error() != "train: checkpoint of step 3 has no tensor hidden.h.l0 of shape [2 4]" {
		t.Errorf("a checkpoint without hidden: %v", err)
	}
}

// TestEvaluate compares with one pass a row, one character at a time, and
// demands that every character after the first of a stretch counts once.
func TestEvaluate(t *testing.T) {
	for _, stretches := range [][]int64{{2}, {20}, {33}, {34, 2}, {700}, {5, 1, 9, 4000, 2, 2, 1, 1800, 1}} {
		for _, cell := range []rnn.Cell{rnn.GRU, rnn.LSTM} {
			w := rnn.NewWeights(rnn.Shape{Cell: cell, Layers: 2, Vocabulary: testV, Embedding: 3, Hidden: 5})
			w.Init(4)
			text := &novel{stretches: stretches}
			got, chars, err := train.Evaluate(t.Context(), w, text)
			if err != nil {
				t.Fatal(err)
			}
			want, n := slowly(t, w, text)
			if got != want || chars != n {
				t.Errorf("%v: %v nats over %d characters, want %v over %d", stretches, got, chars, want, n)
			}
		}
	}
	cause := errors.New("no more")
	text := &novel{stretches: []int64{4000}, readAt: func(at int64) error {
		if at > 2000 {
			return cause
		}
		return nil
	}}
	if _, _, err := train.Evaluate(t.Context(), rnn.NewWeights(options().Shape), text); err != cause {
		t.Errorf("%v, want %v", err, cause)
	}
}

// slowly is the definition of Evaluate.
func slowly(t *testing.T, w *rnn.Weights, text *novel) (nats float64, chars int64) {
	t.Helper()
	type prediction struct{ stretch, start, at int64 } // of the character after at
	var all []prediction
	start := int64(0)
	for k, n := range text.stretches {
		for i := range n - 1 {
			all = append(all, prediction{int64(k), start, start + i})
		}
		start += n
	}
	for b := range 32 {
		m, sum := decode.New(w, 1), 0.0
		part := all[len(all)*b/32 : len(all)*(b+1)/32]
		for i, p := range part {
			from := p.at
			switch {
			case i == 0:
				from = max(p.start, p.at-256)
			case p.stretch != part[i-1].stretch:
				m.Reset()
			}
			for ; from <= p.at; from++ {
				pair := make([]int32, 2)
				if err := text.ReadAt(t.Context(), from, pair); err != nil {
					t.Fatal(err)
				}
				losses, err := m.Losses(pair[:1], pair[1:])
				if err != nil {
					t.Fatal(err)
				}
				if from == p.at {
					sum += losses[0]
				}
			}
		}
		nats += sum
	}
	return nats / float64(len(all)), int64(len(all))
}
