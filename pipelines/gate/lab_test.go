package gate

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/model/checkpoint"
	"github.com/quire-ml/quire/model/run"
	"github.com/quire-ml/quire/pipelines/internal/tiny"
	"github.com/quire-ml/quire/pipelines/stages"
	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/runners/store"
)

// A lab is a set of Newton's English, a promoted model, and the means to make
// candidates, good ones and bad ones.
type lab struct {
	t        *testing.T
	dir      string
	text     string
	c        *configs.Config
	set      string
	digest   string // of the set
	corpus   *text.Corpus
	promoted string
	n        int64 // candidates so far: each has a seed of its own
}

// labChars is how much of the text the lab has: little, so that its models are
// trained in a second.
const labChars = 30_000

func newLab(t *testing.T) *lab {
	t.Helper()
	paths, err := configs.Corpus{Sources: []string{"${GOROOT}/src/testdata/Isaac.Newton-Opticks.txt"}}.Expanded()
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(paths[0])
	if err != nil {
		t.Fatal(err)
	}
	l := &lab{t: t, dir: t.TempDir(), text: string(data[20_000 : 20_000+labChars])}
	r, err := configs.Load(configs.Options{Config: "quickstart", Set: []string{"workdir=" + l.dir, "prep.seq_length=50", "model.hidden=32", "model.embedding=16",
		"train.batch=8", "train.lr=0.01", "train.epochs=3"}})
	if err != nil {
		t.Fatal(err)
	}
	l.c = &r.Config
	l.set = l.prepare("set", l.text, 0.1)
	l.corpus = l.found("set")
	l.digest = l.sum(l.set)
	l.promoted = l.train(l.set, func(c *configs.Config) { c.Train.MaxSteps = 80 })
	return l
}

// found is the corpus of a set that prepare has made.
func (l *lab) found(name string) *text.Corpus {
	l.t.Helper()
	found, err := text.FindCorpus(l.t.Context(), configs.Corpus{Sources: []string{filepath.Join(l.dir, name+".txt")}}, false)
	if err != nil {
		l.t.Fatal(err)
	}
	return found
}

// prepare makes a set of a text.
func (l *lab) prepare(name, text string, validation float64) string {
	l.t.Helper()
	if err := os.WriteFile(filepath.Join(l.dir, name+".txt"), []byte(text), 0o666); err != nil {
		l.t.Fatal(err)
	}
	c, out := *l.c, filepath.Join(l.dir, name)
	c.Prep.Validation.Fraction = validation
	if _, err := stages.Prep(l.t.Context(), &c, l.found(name), stages.PrepOptions{Out: out, Runner: "direct", Console: tiny.Console()}); err != nil {
		l.t.Fatal(err)
	}
	return out
}

func (l *lab) sum(set string) string {
	s, done, err := text.OpenSet(l.t.Context(), set)
	if err != nil {
		l.t.Fatal(err)
	}
	defer done()
	return s.SHA256()
}

// train trains a model on a set and returns its best checkpoint.
func (l *lab) train(set string, change func(c *configs.Config)) string {
	l.t.Helper()
	c := *l.c
	l.n++
	c.Train.Seed = l.n
	if change != nil {
		change(&c)
	}
	res, err := stages.Train(l.t.Context(), &c, stages.TrainOptions{Set: set, Out: filepath.Join(l.dir, "runs", fmt.Sprint(l.n)), Console: tiny.Console()})
	if err != nil {
		l.t.Fatal(err)
	}
	return string(res.Best)
}

// changed is a checkpoint that differs from another.
func (l *lab) changed(path string, change func(c *checkpoint.Checkpoint)) string {
	l.t.Helper()
	c, _, err := run.Open(l.t.Context(), path, "best")
	if err != nil {
		l.t.Fatal(err)
	}
	change(c)
	l.n++
	st, err := store.Open(l.t.Context(), filepath.Join(l.dir, "changed", fmt.Sprint(l.n)))
	if err != nil {
		l.t.Fatal(err)
	}
	defer st.Close()
	p, err := checkpoint.Save(l.t.Context(), st, c)
	if err != nil {
		l.t.Fatal(err)
	}
	return st.Join(p.Name)
}

// lying is a checkpoint of another training that claims to be of the lab's set.
func (l *lab) lying(path string) string {
	return l.changed(path, func(c *checkpoint.Checkpoint) { c.Set = l.digest })
}

// weights visits the weights of a checkpoint, without Adam's moments.
func weights(c *checkpoint.Checkpoint, visit func(name string, w []float32)) {
	for _, t := range c.Tensors {
		if !strings.HasPrefix(t.Name, "adam.") {
			visit(t.Name, t.Data)
		}
	}
}

func (l *lab) gate(candidate string) (*Result, error) {
	return Judge(l.t.Context(), l.c.Gate, candidate, Options{Set: l.set, Corpus: l.corpus, Promoted: l.promoted, Console: tiny.Console()})
}

// good is a model that was trained longer than the promoted one, with other seeds
// and settings.
func (l *lab) good() string {
	return l.train(l.set, func(c *configs.Config) {
		r := rand.New(rand.NewPCG(uint64(l.n), 0))
		c.Train.LR = 0.006 + 0.006*r.Float64()
		c.Train.Epochs = 3 + r.IntN(2)
		c.Model.Hidden = []int{32, 40}[r.IntN(2)]
	})
}

// A bad kind makes a candidate that must be refused, and says by which check one
// of its kind is refused.
type badKind struct {
	name string
	by   string // checks, one of which must have refused; "run" where the gate could not run
	long bool   // it takes a long training
	make func(l *lab, r *rand.Rand) string
}

// over is a model of a text, trained until it knows it by heart.
func over(l *lab, name, text string, steps int64) string {
	set := l.prepare(name, text, 0)
	return l.train(set, func(c *configs.Config) {
		c.Model.Hidden, c.Train.Epochs, c.Train.MaxSteps = 96, 10_000, steps
	})
}

// withAll is a text and, in small print, every character of the lab's, so that the
// vocabulary is the same.
func (l *lab) withAll(text string) string {
	seen := map[rune]bool{}
	var all []rune
	for _, c := range l.text {
		if !seen[c] {
			seen[c] = true
			all = append(all, c)
		}
	}
	return text + string(all)
}

var badKinds = []badKind{
	{"NaN", "weights", false, func(l *lab, r *rand.Rand) string {
		return l.changed(l.promoted, func(c *checkpoint.Checkpoint) {
			weights(c, func(_ string, w []float32) {
				if r.IntN(3) == 0 || len(w) < 100 {
					w[r.IntN(len(w))] = []float32{float32(math.NaN()), float32(math.Inf(1))}[r.IntN(2)]
				}
			})
		})
	}},
	{"random", "loss", false, func(l *lab, r *rand.Rand) string {
		return l.train(l.set, func(c *configs.Config) { c.Train.Epochs = 0 })
	}},
	{"noised", "loss promoted", false, func(l *lab, r *rand.Rand) string {
		size := 0.5 + r.Float64()
		return l.changed(l.good(), func(c *checkpoint.Checkpoint) {
			weights(c, func(_ string, w []float32) {
				var sum float64
				for _, x := range w {
					sum += float64(x) * float64(x)
				}
				for i := range w {
					w[i] += float32(r.NormFloat64() * size * math.Sqrt(sum/float64(len(w))))
				}
			})
		})
	}},
	{"wrong vocabulary", "vocabulary", false, func(l *lab, r *rand.Rand) string {
		from, to := rune('a'+r.IntN(26)), rune('А'+r.IntN(32))
		text := strings.ReplaceAll(l.text[:4000], string(from), string(to))
		return l.lying(l.train(l.prepare(fmt.Sprint("cyrillic", l.n), text, 0.1), nil))
	}},
	{"cut file", "run", false, func(l *lab, r *rand.Rand) string {
		data, err := os.ReadFile(l.promoted)
		if err != nil {
			l.t.Fatal(err)
		}
		if at := r.IntN(len(data)); r.IntN(2) == 0 {
			data = data[:at]
		} else {
			data[at] ^= 1 << r.IntN(8)
		}
		l.n++
		path := filepath.Join(l.dir, fmt.Sprint(l.n, ".safetensors"))
		if err := os.WriteFile(path, data, 0o666); err != nil {
			l.t.Fatal(err)
		}
		return path
	}},
	{"trained on the held-out part", "set", false, func(l *lab, r *rand.Rand) string {
		return l.train(l.prepare(fmt.Sprint("all", l.n), l.text, 0), nil)
	}},
	{"knows the held-out part by heart, and lies", "gap leaked", true, func(l *lab, r *rand.Rand) string {
		held := l.text[labChars*9/10:]
		return l.lying(over(l, fmt.Sprint("held", l.n), l.withAll(held), 500+int64(r.IntN(200))))
	}},
	{"copy machine", "loss promoted span copied_20 copied_50", true, func(l *lab, r *rand.Rand) string {
		from := r.IntN(labChars / 2)
		return l.lying(over(l, fmt.Sprint("copy", l.n), l.withAll(l.text[from:from+24*51]), 300+int64(r.IntN(200))))
	}},
	{"looper", "loss promoted loop", false, func(l *lab, r *rand.Rand) string {
		loop := []string{"no, ", "the the ", "a", "of the Rays of the "}[r.IntN(4)]
		return l.lying(l.train(l.prepare(fmt.Sprint("loop", l.n), l.withAll(strings.Repeat(loop, 4000/len(loop))), 0), nil))
	}},
	{"looper of a good model", "loss promoted loop", false, func(l *lab, r *rand.Rand) string {
		return l.changed(l.good(), func(c *checkpoint.Checkpoint) {
			weights(c, func(name string, w []float32) {
				if strings.HasPrefix(name, "dense.") {
					for i := range w {
						w[i] *= 4 + 4*r.Float32()
					}
				}
			})
		})
	}},
}

// try runs the gate on candidates, good and bad ones of every kind, and reports.
func (l *lab) try(good, bad int) {
	refused := 0
	for i := range good {
		res, err := l.gate(l.good())
		if err != nil {
			l.t.Fatal(err)
		}
		if !res.Passed {
			refused++
			l.t.Logf("good %d: %s", i, res.Reason)
		}
	}
	l.t.Logf("good: %d of %d refused", refused, good)
	if refused*20 > good {
		l.t.Errorf("%d of %d good models were refused", refused, good)
	}
	for k, kind := range badKinds {
		by := map[string]int{}
		n := bad/len(badKinds) + map[bool]int{true: 1}[k < bad%len(badKinds)]
		if kind.long && bad == len(badKinds) {
			continue
		}
		for i := range n {
			candidate := kind.make(l, rand.New(rand.NewPCG(uint64(k), uint64(i))))
			res, err := l.gate(candidate)
			switch {
			case err != nil && errors.Is(err, ErrRefused):
				by["run"]++
				if kind.by != "run" {
					l.t.Errorf("%s %d: %v", kind.name, i, err)
				}
				continue
			case err != nil:
				l.t.Fatal(err)
			case res.Passed:
				figures, _ := json.Marshal(res.Checks)
				l.t.Errorf("%s %d passed: %s", kind.name, i, figures)
				continue
			}
			known := false
			for _, c := range res.Checks {
				if !c.Passed {
					by[c.Name]++
					known = known || slices.Contains(strings.Fields(kind.by), c.Name)
				}
			}
			if !known {
				l.t.Errorf("%s %d: refused, but by none of %s: %s", kind.name, i, kind.by, res.Reason)
			}
		}
		l.t.Logf("%s: %d, refused by %v", kind.name, n, by)
	}
}
