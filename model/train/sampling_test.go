package train

import (
	"math"
	"slices"
	"testing"

	"github.com/quire-ml/quire/model/decode"
	"github.com/quire-ml/quire/model/kernel"
	"github.com/quire-ml/quire/model/rnn"
)

// TestPick gives every id the part of [0, 1) that softmax says.
func TestPick(t *testing.T) {
	logits := []float32{1, -2, float32(math.Inf(-1)), 3, 0}
	const n = 10000
	counts := make([]float64, len(logits))
	for i := range n {
		counts[pick(logits, float64(i)/n)]++
	}
	sum := math.Exp(1) + math.Exp(-2) + math.Exp(3) + 1
	for id, l := range logits {
		if want := n * math.Exp(float64(l)) / sum; math.Abs(counts[id]-want) > 1.01 {
			t.Errorf("id %d is picked %v times of %d, want %.1f", id, counts[id], n, want)
		}
	}
	if id := pick(logits, math.Nextafter(1, 0)); id != 4 {
		t.Errorf("the end of the range picks %d", id)
	}
}

// TestDraw compares the drawn inputs with those of a model that decodes each
// sequence alone from the carried hidden.
func TestDraw(t *testing.T) {
	const T, B, V = 30, 3, 7
	for _, from := range []Hidden{Zero, Carry} {
		for _, cell := range []rnn.Cell{rnn.GRU, rnn.LSTM} {
			w := rnn.NewWeights(rnn.Shape{Cell: cell, Layers: 2, Vocabulary: V, Embedding: 3, Hidden: 6})
			w.Init(5)
			trainer, err := NewTrainer(w, T, B, 0.01, &TrainerOptions{Hidden: from, Seed: 8})
			if err != nil {
				t.Fatal(err)
			}
			defer trainer.Close()
			var batch []int32
			for i := range B * (T + 1) {
				batch = append(batch, int32(i*i%V))
			}
			for step := range int64(3) {
				trainer.Sampling = 0.5
				start := decode.New(w, B)
				if from == Carry {
					start.SetHidden(trainer.hidden.h, trainer.hidden.c)
				}
				want, replaced := slowDraw(t, start, batch, T, step)
				if _, err := trainer.Step(batch); err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(trainer.ids, want) {
					t.Errorf("%s, from %s, step %d: inputs\n%v, want\n%v", cell, from, step, trainer.ids, want)
				}
				if replaced < T*B/4 || replaced > T*B*3/4 {
					t.Errorf("%d of %d inputs are replaced", replaced, T*B)
				}
			}
			trainer.Sampling = 0
			if _, err := trainer.Loss(batch); err != nil || trainer.ids[B] != batch[1] || trainer.ids[T*B-1] != batch[B*(T+1)-2] {
				t.Errorf("without sampling the inputs are %v, %v", trainer.ids, err)
			}
		}
	}
}

// slowDraw returns the inputs (T, B) of a step with a share of a half, and the
// number of drawn ones.
func slowDraw(t *testing.T, m *decode.Model, batch []int32, T int, step int64) (ids []int32, drawn int) {
	t.Helper()
	const stream = 1 << 32
	key := kernel.Hash(kernel.Hash(kernel.Hash(8)+uint64(step)) + stream)
	now := make([]int32, m.B)
	for b := range now {
		now[b] = batch[b*(T+1)]
	}
	for i := range T {
		ids = append(ids, now...)
		logits, err := m.Step(now)
		if err != nil {
			t.Fatal(err)
		}
		V := len(logits) / m.B
		for b := range now {
			place := key + 2*uint64(i*m.B+b)
			now[b] = batch[b*(T+1)+i+1]
			if uniform(place) < 0.5 && i+1 < T {
				now[b], drawn = pick(logits[b*V:(b+1)*V], uniform(place+1)), drawn+1
			}
		}
	}
	return ids, drawn
}

// TestCurriculumLength: the characters of a sequence by epoch.
func TestCurriculumLength(t *testing.T) {
	c := Curriculum{SeqLength: 10, Epochs: 4}
	var got []int
	for epoch := 1; epoch <= 6; epoch++ {
		got = append(got, c.length(epoch, 101))
	}
	if want := []int{10, 32, 55, 78, 101, 101}; !slices.Equal(got, want) {
		t.Errorf("lengths %v, want %v", got, want)
	}
	if n := (Curriculum{}).length(1, 101); n != 101 {
		t.Errorf("without a curriculum %d", n)
	}
}

// TestBatches: the steps of epochs whose sequences become longer.
func TestBatches(t *testing.T) {
	o := &Options{TrainerOptions: TrainerOptions{Hidden: Carry}, SeqLength: 5, Batch: 2, Epochs: 4, Curriculum: Curriculum{SeqLength: 2, Epochs: 2}}
	s, err := newBatches(numberedData{numbered: numbered{25, 13}}, o) // 12 and 6 passages of 2, 8 and 4 of 3, 4 and 2 of 5
	if err != nil {
		t.Fatal(err)
	}
	for epochs, want := range []int64{0, 9, 15, 18, 21} {
		if got := s.steps(epochs); got != want {
			t.Errorf("%d epochs have %d steps, want %d", epochs, got, want)
		}
	}
	var lengths []int
	batch := make([]int32, 2*6)
	for step := range int64(21) {
		T, err := s.read(t.Context(), step, batch)
		if err != nil {
			t.Fatal(err)
		}
		lengths = append(lengths, T)
		epoch, at := s.find(step)
		if s.steps(epoch-1)+at != step || at < 0 || step >= s.steps(epoch) {
			t.Errorf("step %d is %d of epoch %d", step, at, epoch)
		}
		for b := range 2 {
			if on := s.goesOn[b]; at == 0 && on {
				t.Errorf("step %d: sequence %d goes on", step, b)
			}
		}
	}
	if want := slices.Concat(slices.Repeat([]int{2}, 9), slices.Repeat([]int{3}, 6), slices.Repeat([]int{5}, 6)); !slices.Equal(lengths, want) {
		t.Errorf("lengths %v, want %v", lengths, want)
	}
}
