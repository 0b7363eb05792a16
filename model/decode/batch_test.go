package decode_test

import (
	"crypto/sha256"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/quire-ml/quire/model/decode"
	"github.com/quire-ml/quire/model/kernel"
	"github.com/quire-ml/quire/model/rnn"
	"github.com/quire-ml/quire/model/sample"
)

// wish is a text that somebody wants of a batch, and what came of it.
type wish struct {
	prompt []int32
	length int
	o      sample.Options
	seed   int64
	leaves int // characters after which it leaves; 0: none

	text     []int32
	logProbs []float64 // of prompt and text
	ends     int
}

// wishes returns n random texts, with every option of a sampler.
func wishes(r *rand.Rand, n int) []*wish {
	list := make([]*wish, n)
	for i := range list {
		w := &wish{length: r.IntN(12), seed: r.Int64(), o: sample.Options{Temperature: 1, TopP: 1}}
		for range r.IntN(9) {
			w.prompt = append(w.prompt, int32(r.IntN(V)))
		}
		switch r.IntN(5) {
		case 0:
			w.o.Temperature = 0
		case 1:
			w.o.TopK, w.o.MinP = 3, 0.2
		case 2:
			w.o.TopP, w.o.RepetitionPenalty = 0.8, 1.5
		case 3:
			w.o.Ban, w.o.Bias = []int32{2}, map[int32]float64{1: 1, 4: -2}
		}
		if r.IntN(4) == 0 {
			w.leaves = 1 + r.IntN(6)
		}
		list[i] = w
	}
	return list
}

func (w *wish) sampler(t testing.TB) *sample.Sampler {
	t.Helper()
	s, err := sample.New(w.o, w.seed, 0)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// alone writes the text by a loop without a batch.
func (w *wish) alone(t testing.TB, weights *rnn.Weights) (text []int32, logProbs []float64) {
	t.Helper()
	m, s, logits, p := decode.New(weights, 1), w.sampler(t), []float32(nil), new(decode.LogProbs)
	for at := range len(w.prompt) + w.length {
		var id int32
		if at < len(w.prompt) {
			id = w.prompt[at]
			s.See(id)
		} else {
			if at == 0 {
				logits = make([]float32, V)
			}
			var err error
			if id, err = s.Next(logits); err != nil {
				t.Fatal(err)
			}
			text = append(text, id)
		}
		if logits != nil {
			logProbs = append(logProbs, p.Of(logits, id))
		}
		var err error
		if logits, err = m.Step([]int32{id}); err != nil {
			t.Fatal(err)
		}
	}
	return text, logProbs
}

// writeAll writes the wishes in one batch that they join at random steps and some leave early.
func writeAll(t testing.TB, r *rand.Rand, weights *rnn.Weights, B int, list []*wish) {
	t.Helper()
	batch, probs := decode.NewBatch(decode.New(weights, B)), new(decode.LogProbs)
	var leaving []*decode.Text
	for begun := 0; begun < len(list) || batch.Len() > 0; {
		for begun < len(list) && batch.Free() > 0 && r.IntN(3) > 0 {
			w := list[begun]
			begun++
			text := &decode.Text{Prompt: w.prompt, Length: w.length, Sampler: w.sampler(t), Echo: true}
			text.Emit = func(c decode.Char) bool {
				if c.Logits != nil {
					w.logProbs = append(w.logProbs, probs.Of(c.Logits, c.ID))
				}
				if !c.Prompt {
					w.text = append(w.text, c.ID)
				}
				if w.leaves > 0 && len(w.text) == w.leaves && w.leaves%2 == 0 {
					leaving = append(leaving, text)
				}
				return w.leaves == 0 || len(w.text) < w.leaves || w.leaves%2 == 0
			}
			text.End = func(err error) {
				if w.ends++; err != nil {
					t.Errorf("a text ends with %v", err)
				}
			}
			if err := batch.Add(text); err != nil {
				t.Fatal(err)
			}
		}
		batch.Step()
		for _, text := range leaving {
			batch.Remove(text)
			batch.Remove(text) // again: it has left
		}
		leaving = leaving[:0]
	}
}

// TestBatch writes texts that come and go at random, in 1,000 seeded runs, and compares
// each with the same text written alone.
func TestBatch(t *testing.T) {
	models := []*rnn.Weights{weights(rnn.GRU, 1, 17), weights(rnn.LSTM, 2, 5), weights(rnn.GRU, 3, 3), weights(rnn.LSTM, 1, 32)}
	for run := range uint64(1000) {
		r := rand.New(rand.NewPCG(run, 1))
		model, B, list := models[run%4], 1+r.IntN(7), wishes(r, 1+r.IntN(12))
		writeAll(t, r, model, B, list)
		for i, w := range list {
			text, logProbs := w.alone(t, model)
			ends := 1
			if w.leaves > 0 && w.leaves < len(text) {
				text, ends = text[:w.leaves], w.leaves%2 // by an even number it is removed, and has no end
			}
			if !slices.Equal(w.text, text) || w.ends != ends {
				t.Fatalf("run %d: text %d of %d in a batch of %d is %v, alone %v; it ended %d times", run, i, len(list), B, w.text, text, w.ends)
			}
			logProbs = logProbs[:max(0, len(w.prompt)-1)+len(text)]
			if got := fmt.Sprint(w.logProbs); got != fmt.Sprint(logProbs) {
				t.Fatalf("run %d: text %d: log-probabilities are %v, alone %v", run, i, got, logProbs)
			}
		}
	}
}

// TestBatchOnEveryProcessor writes texts in a process for every variant and number of
// threads, in a batch of 64 and one by one, and demands the same texts and
// log-probabilities.
func TestBatchOnEveryProcessor(t *testing.T) {
	const mark = "texts: "
	if os.Getenv("GO_TEST_BATCH_CHILD") != "" {
		if _, err := kernel.Variant(); err != nil {
			t.Log(err)
			return
		}
		fmt.Println(mark + digest(t))
		return
	}
	want, ran := "", 0
	for _, variant := range []string{"generic", "avx2", "avx512"} {
		for _, procs := range []int{1, 2, 8} {
			cmd := exec.Command(os.Args[0], "-test.run=^TestBatchOnEveryProcessor$", "-test.v")
			cmd.Env = append(os.Environ(), "GO_TEST_BATCH_CHILD=1", "QUIRE_VARIANT="+variant, fmt.Sprintf("GOMAXPROCS=%d", procs))
			out, err := cmd.CombinedOutput()
			if strings.Contains(string(out), "this processor or build lacks") {
				t.Logf("%s is not here", variant)
				break
			}
			_, line, ok := strings.Cut(string(out), mark)
			if err != nil || !ok {
				t.Fatalf("%s, GOMAXPROCS %d: %v\n%s", variant, procs, err, out)
			}
			got, _, _ := strings.Cut(line, "\n")
			if want == "" {
				want = got
			}
			if got != want {
				t.Errorf("%s, GOMAXPROCS %d: texts %s, want %s", variant, procs, got, want)
			}
			ran++
		}
	}
	if ran < 3 {
		t.Errorf("%d processes compared, want 3 a variant", ran)
	}
}

// digest identifies what a batch of 64, and one of 1, write of the same wishes, with models whose
// widths are multiples of a vector's and none.
func digest(t *testing.T) string {
	h := sha256.New()
	for _, model := range []*rnn.Weights{weights(rnn.GRU, 2, 33), weights(rnn.LSTM, 1, 256)} {
		var wide, narrow []*wish
		for i := range 2 {
			r := rand.New(rand.NewPCG(5, 1))
			list := wishes(r, 90)
			writeAll(t, r, model, []int{64, 1}[i], list)
			wide, narrow = narrow, list
		}
		for i, w := range wide {
			if fmt.Sprint(w.text, w.logProbs) != fmt.Sprint(narrow[i].text, narrow[i].logProbs) {
				t.Fatalf("text %d is %v in a batch of 64, %v alone", i, w.text, narrow[i].text)
			}
			for _, p := range w.logProbs {
				fmt.Fprintf(h, "%x ", math.Float64bits(p))
			}
			fmt.Fprintln(h, w.text)
		}
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

// TestBatchRefuses: what does not fit is an error, and the batch goes on; a text that cannot
// be drawn ends with the reason, and the one beside it is as without it.
func TestBatchRefuses(t *testing.T) {
	model := weights(rnn.GRU, 1, 8)
	good, bad := &wish{prompt: []int32{1}, length: 9, o: sample.Options{TopP: 1, Temperature: 1}}, &wish{o: sample.Options{TopP: 1, Ban: []int32{V}}}
	batch := decode.NewBatch(decode.New(model, 2))
	if err := batch.Add(&decode.Text{Prompt: []int32{1, V}}); err == nil ||
		err.Error() != "decode: id 9 at position 1 of the prompt is outside the vocabulary of 9" {
		t.Errorf("a prompt of a character that there is not: %v", err)
	}
	var got []int32
	var ended error
	for _, text := range []*decode.Text{
		{Prompt: []int32{3, 3}, Length: 4, Sampler: bad.sampler(t), Emit: func(decode.Char) bool { return true }, End: func(err error) { ended = err }},
		{Prompt: good.prompt, Length: good.length, Sampler: good.sampler(t), Emit: func(c decode.Char) bool { got = append(got, c.ID); return true }},
	} {
		if err := batch.Add(text); err != nil {
			t.Fatal(err)
		}
	}
	if err := batch.Add(&decode.Text{}); err == nil || err.Error() != "decode: a batch of 2 texts has no room" || batch.Free() != 0 {
		t.Errorf("a third text: %v, %d free", err, batch.Free())
	}
	for batch.Len() > 0 {
		batch.Step()
	}
	if want := "decode: character 2: sample: ban of id 9, which is outside the vocabulary of 9"; ended == nil || ended.Error() != want {
		t.Errorf("the text ends with %v, want %s", ended, want)
	}
	if want, _ := good.alone(t, model); !slices.Equal(got, want) {
		t.Errorf("beside it is %v, want %v", got, want)
	}
	batch.Step()                                      // of no texts
	if err := batch.Add(&decode.Text{}); err != nil { // neither length nor sampler
		t.Fatal(err)
	}
	if batch.Step(); batch.Len() != 0 {
		t.Error("a text of no characters stays")
	}
}

// TestBatchFault: a sampler that panics does so on the goroutine that steps, whichever worker
// it ran on.
func TestBatchFault(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4))
	model := weights(rnn.GRU, 1, 8)
	const n = 200 // texts, enough for four workers
	for bad := 0; bad < n; bad += 33 {
		batch := decode.NewBatch(decode.New(model, n))
		for i := range n {
			text := &decode.Text{Length: 2, Emit: func(decode.Char) bool { return true }}
			if i != bad { // which has no sampler
				text.Sampler = (&wish{o: sample.Options{TopP: 1, Temperature: 1}}).sampler(t)
			}
			if err := batch.Add(text); err != nil {
				t.Fatal(err)
			}
		}
		fault := func() (fault any) {
			defer func() { fault = recover() }()
			batch.Step()
			return nil
		}()
		if err, ok := fault.(runtime.Error); !ok || !strings.Contains(err.Error(), "nil pointer") {
			t.Errorf("text %d has no sampler, and the step panics with %v", bad, fault)
		}
	}
}

// TestBatchAfterStep: a model goes on as a whole after a batch has moved some of its streams.
func TestBatchAfterStep(t *testing.T) {
	const B = 3
	models(t, func(t *testing.T, w *rnn.Weights) {
		m, whole := decode.New(w, B), decode.New(w, B)
		step(t, m, 0)
		step(t, whole, 0)
		m.Forget(0)
		batch := decode.NewBatch(m)
		if err := batch.Add(&decode.Text{Prompt: []int32{1, 2, 3, 4}}); err != nil {
			t.Fatal(err)
		}
		for batch.Len() > 0 {
			batch.Step()
		}
		if got, want := step(t, m, 1), step(t, whole, 1); !slices.Equal(got[V:], want[V:]) {
			t.Errorf("the streams that stood still give %v, want %v", got[V:], want[V:])
		}
	})
}

// TestBatchAllocates demands that a step of a batch allocates nothing.
func TestBatchAllocates(t *testing.T) {
	batch := decode.NewBatch(decode.New(weights(rnn.LSTM, 2, 64), 8))
	for i := range 5 {
		s := (&wish{o: sample.Options{Temperature: 1, TopP: 0.9, RepetitionPenalty: 1.1}, seed: int64(i)}).sampler(t)
		if err := batch.Add(&decode.Text{Prompt: []int32{1, 2}, Length: 1 << 30, Sampler: s, Emit: func(decode.Char) bool { return true }}); err != nil {
			t.Fatal(err)
		}
	}
	for range 9 {
		batch.Step()
	}
	if n := testing.AllocsPerRun(50, batch.Step); n != 0 {
		t.Errorf("%v allocations a step, want none", n)
	}
}

// TestLogProbs compares with the definition in float64, and the order with a plain sort.
func TestLogProbs(t *testing.T) {
	logits := []float32{0.5, -3, 2, 2, float32(math.Inf(-1)), -88, 1, 2, 60}
	p := new(decode.LogProbs)
	var sum float64
	for _, l := range logits {
		sum += math.Exp(float64(l) - 60)
	}
	order := []int32{8, 2, 3, 7, 6, 0, 1, 5, 4}
	for id, l := range logits {
		if got, want := p.Of(logits, int32(id)), float64(l)-60-math.Log(sum); got != want && math.Abs(got-want) > 1e-6 {
			t.Errorf("the log-probability of %d is %v, want %v", id, got, want)
		}
	}
	for n := range len(logits) + 2 {
		var ids []int32
		for _, likely := range p.Top(logits, n) {
			ids = append(ids, likely.ID)
			if likely.LogProb != p.Of(logits, likely.ID) {
				t.Errorf("%d of the top %d has %v, alone %v", likely.ID, n, likely.LogProb, p.Of(logits, likely.ID))
			}
		}
		if !slices.Equal(ids, order[:min(n, len(order))]) {
			t.Errorf("the top %d are %v, want %v", n, ids, order[:min(n, len(order))])
		}
	}
	m, again := decode.New(weights(rnn.GRU, 1, 8), 1), decode.New(weights(rnn.GRU, 1, 8), 1)
	losses, err := m.Losses([]int32{1}, []int32{4})
	if err != nil {
		t.Fatal(err)
	}
	if got := p.Of(step(t, again, 0), 4); got != -losses[0] {
		t.Errorf("the log-probability is %v, the loss %v", got, losses[0])
	}
}

// BenchmarkBatch measures a step of a batch with room for 64 texts.
func BenchmarkBatch(b *testing.B) {
	w := rnn.NewWeights(rnn.Shape{Cell: rnn.GRU, Layers: 1, Vocabulary: 65, Embedding: 256, Hidden: 1024})
	w.Init(1)
	for _, busy := range []int{1, 2, 8, 64} {
		b.Run(fmt.Sprint(busy), func(b *testing.B) {
			batch := decode.NewBatch(decode.New(w, 64))
			for i := range busy {
				s := (&wish{o: sample.Options{Temperature: 1, TopP: 1}, seed: int64(i)}).sampler(b)
				if err := batch.Add(&decode.Text{Length: 1 << 30, Sampler: s, Emit: func(decode.Char) bool { return true }}); err != nil {
					b.Fatal(err)
				}
			}
			for b.Loop() {
				batch.Step()
			}
			b.ReportMetric(float64(busy*b.N)/b.Elapsed().Seconds(), "chars/s")
		})
	}
}
