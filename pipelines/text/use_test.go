package text_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/model/checkpoint"
	"github.com/quire-ml/quire/pipelines/internal/tiny"
	"github.com/quire-ml/quire/pipelines/report"
	"github.com/quire-ml/quire/pipelines/stages"
	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/runners/engine"
	"github.com/quire-ml/quire/runners/memory"
	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/transforms/dataset"
	"github.com/quire-ml/quire/transforms/vocab"
)

func TestMain(m *testing.M) {
	engine.Init()
	os.Exit(m.Run())
}

// constant saves a GRU that knows characters and predicts them with probabilities in
// proportion to weights, whatever it has read: all its parameters but the last bias are zero. change may
// alter the checkpoint first. It returns the path.
func constant(t *testing.T, characters string, weights []float64, change func(c *checkpoint.Checkpoint)) string {
	t.Helper()
	return tiny.Model{Vocab: tiny.Vocab(t, vocab.Rune, characters, false), Weigh: tiny.Constant(weights...), Change: change}.Save(t, t.TempDir())
}

var open = tiny.Open

// TestNFC: a model that was trained on composed characters reads a text that has
// them in two parts.
func TestNFC(t *testing.T) {
	m := open(t, constant(t, "a\u00e9", []float64{1, 3}, func(c *checkpoint.Checkpoint) { c.Normalize = "nfc" }))
	if p, err := m.Prompt("ae\u0301", ""); err != nil || string(p.Text) != "a\u00e9" || len(p.IDs) != 2 {
		t.Errorf("%+v, %v", p, err)
	}
	if got := m.Text([]byte("e\u0301\xff")); string(got) != "e\u0301\xff" {
		t.Errorf("a text that is not UTF-8 became %q", got)
	}
}

// TestOpenModelRefuses: a checkpoint whose parts do not fit names the part.
func TestOpenModelRefuses(t *testing.T) {
	for want, change := range map[string]func(c *checkpoint.Checkpoint){
		"vocabulary":       func(c *checkpoint.Checkpoint) { c.Vocab = json.RawMessage(`{"unit":"word"}`) },
		"config: json":     func(c *checkpoint.Checkpoint) { c.Config = json.RawMessage(`{"model":7}`) },
		"layers":           func(c *checkpoint.Checkpoint) { c.Config = json.RawMessage(`{"model":{"embedding":2,"hidden":2}}`) },
		"cell":             func(c *checkpoint.Checkpoint) { c.Cell = "elman" },
		"embedding.weight": func(c *checkpoint.Checkpoint) { c.Tensors[0].Shape = []int{2, 3} },
		"rnn.weight_ih_l1": func(c *checkpoint.Checkpoint) {
			c.Config = json.RawMessage(`{"model":{"layers":2,"embedding":2,"hidden":2}}`)
		},
	} {
		path := constant(t, "abc", []float64{1, 1, 1}, change)
		var refused *text.ModelError
		if m, err := text.OpenModel(t.Context(), path, "best"); !errors.As(err, &refused) || !strings.Contains(err.Error(), want) ||
			!strings.Contains(err.Error(), path) || m != nil {
			t.Errorf("want %q: %v, %v", want, m, err)
		}
	}
}

// TestModelError: the error tells what was asked for, a checkpoint that does not exist
// from a damaged one, and both from a call that was cancelled.
func TestModelError(t *testing.T) {
	path := constant(t, "abc", []float64{1, 1, 1}, nil)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)-1] ^= 1
	damaged := filepath.Join(t.TempDir(), "damaged.safetensors")
	if err := os.WriteFile(damaged, data, 0o666); err != nil {
		t.Fatal(err)
	}
	for path, missing := range map[string]bool{t.TempDir(): true, filepath.Join(t.TempDir(), "none.safetensors"): true, damaged: false} {
		var refused *text.ModelError
		_, err := text.OpenModel(t.Context(), path, "latest")
		if !errors.As(err, &refused) || refused.Path != path || refused.Which != "latest" || errors.Is(err, store.ErrNotExist) != missing ||
			!strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", path, err)
		}
		if strings.Contains(fmt.Sprint(err), "--") {
			t.Errorf("the error names a flag: %v", err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var refused *text.ModelError
	if _, err := text.OpenModel(ctx, path, "best"); !errors.Is(err, context.Canceled) || errors.As(err, &refused) {
		t.Errorf("cancelled: %v", err)
	}
}

// prepared makes the set of a config and returns its directory.
func prepared(t *testing.T, c *configs.Config) string {
	t.Helper()
	found, err := text.FindCorpus(t.Context(), c.Corpus, false)
	if err != nil {
		t.Fatal(err)
	}
	set := filepath.Join(c.Workdir, "set")
	if _, err := stages.Prep(t.Context(), c, found, stages.PrepOptions{Out: set, Runner: "direct", Console: tiny.Console()}); err != nil {
		t.Fatal(err)
	}
	return set
}

// TestTooLarge: a checkpoint that is larger than any memory is not read, and a model that
// leaves no memory for work with it is not used.
func TestTooLarge(t *testing.T) {
	path := constant(t, "ab", []float64{3, 1}, nil)
	set := prepared(t, tiny.Config(t, strings.Repeat("ab", 330)))
	m := open(t, path)
	m.Bytes = 1 << 60
	var short *memory.ShortError
	refused := func(work string, err error) {
		t.Helper()
		if !errors.As(err, &short) || short.Work != work || !errors.As(err, new(*text.ModelError)) {
			t.Errorf("%s: %v", work, err)
		}
	}
	_, err := text.Evaluate(t.Context(), m, set, "")
	refused("to evaluate with "+path, err)
	var out strings.Builder
	_, err = text.Generate(t.Context(), m, configs.Generate{Prompt: "a", Length: 1, TopP: 1}, &out)
	refused("to generate with "+path, err)
	if out.Len() > 0 {
		t.Errorf("text was written: %q", out.String())
	}
	const sparse = 1 << 42
	if err := os.Truncate(path, sparse); err != nil {
		t.Skip(err)
	}
	_, err = text.OpenModel(t.Context(), path, "best")
	refused("to read the checkpoint at "+path, err)
	if short.Needs != sparse*5/4 {
		t.Errorf("the checkpoint needs %d bytes, want %d", short.Needs, int64(sparse*5/4))
	}
}

// TestEvaluate: a held-out text of 66 characters, a and b by turns, of which 65
// are predicted, 33 of them b, by a model that gives a three quarters.
func TestEvaluate(t *testing.T) {
	set := prepared(t, tiny.Config(t, strings.Repeat("ab", 330)))
	path := constant(t, "ab", []float64{3, 1}, nil)
	r, err := text.Evaluate(t.Context(), open(t, path), set, "")
	if err != nil {
		t.Fatal(err)
	}
	want := (32*math.Log(4./3) + 33*math.Log(4)) / 65
	if r.Chars != 65 || math.Abs(r.NatsPerChar-want) > 1e-6 || math.Abs(r.BitsPerChar-want/math.Ln2) > 1e-6 || r.Split != "validation" ||
		string(r.Checkpoint) != path {
		t.Errorf("%+v, want %g nats over 65 characters", r, want)
	}
	if r.UniformNats != math.Ln2 || math.Abs(r.UnigramNats-math.Ln2) > 1e-12 || r.BigramNats > 0.01 {
		t.Errorf("the entropies are %+v", r)
	}
	if line := r.String(); !strings.HasPrefix(line, fmt.Sprintf("%.4f nats, %.4f bits a character over 65 characters of the validation part", want,
		want/math.Ln2)) {
		t.Error(line)
	}
	if r, err = text.Evaluate(t.Context(), open(t, path), set, "train"); err != nil || r.Split != "train" || r.Chars != 593 {
		t.Errorf("the train split: %+v, %v", r, err)
	}
	if _, err := text.Evaluate(t.Context(), open(t, path), set, "test"); err == nil || !strings.Contains(err.Error(), "train, validation") {
		t.Errorf("a split that the set lacks: %v", err)
	}
	if _, err := text.Evaluate(t.Context(), open(t, constant(t, "abc", []float64{1, 1, 1}, nil)), set, ""); err == nil ||
		!strings.Contains(err.Error(), "vocabularies differ") {
		t.Errorf("another vocabulary: %v", err)
	}
	if _, err := text.Evaluate(t.Context(), open(t, path), t.TempDir(), ""); !errors.Is(err, text.ErrNoSet) {
		t.Errorf("no set: %v", err)
	}
	whole := prepared(t, tiny.Config(t, strings.Repeat("ab", 330), "prep.validation.fraction=0"))
	if r, err = text.Evaluate(t.Context(), open(t, path), whole, ""); err != nil || r.Split != "train" {
		t.Errorf("a set without validation: %+v, %v", r, err)
	}
}

func TestCorpus(t *testing.T) {
	c := tiny.Documents(t, map[string]string{"b.txt": "bb", "a.txt": "a"})
	found, err := text.FindCorpus(t.Context(), c.Corpus, false)
	if err != nil {
		t.Fatal(err)
	}
	const a = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb" // printf a | sha256sum
	f := found.Facts()
	if f.Documents != 2 || f.Bytes != 3 || len(f.Listed) != 2 || f.Listed[0] != (text.CorpusDocument{Name: "a.txt", Bytes: 1, SHA256: a}) {
		t.Errorf("%+v", f)
	}
	before, err := found.Digest()
	if err != nil || len(before) != 64 {
		t.Fatal(before, err)
	}
	if err := os.WriteFile(found.Documents[0].Path, []byte("c"), 0o666); err != nil {
		t.Fatal(err)
	}
	again, err := text.FindCorpus(t.Context(), c.Corpus, true)
	if err != nil {
		t.Fatal(err)
	}
	if after, err := again.Digest(); err != nil || after == before {
		t.Errorf("the digest of another text is %s, %v", after, err)
	}
	empty := tiny.Documents(t, map[string]string{"a.txt": "", "b.txt": ""})
	if _, err := text.FindCorpus(t.Context(), empty.Corpus, false); err == nil || !strings.Contains(err.Error(), "0 bytes") {
		t.Errorf("an empty corpus: %v", err)
	}
}

// TestDescribe: documents with the bytes of another are counted, and empty ones are not.
func TestDescribe(t *testing.T) {
	for want, texts := range map[string]map[string]string{
		"": {"a.txt": "a", "b.txt": "b", "c.txt": "", "d.txt": ""},
		"corpus: 2 of 4 documents have the bytes of another: their text counts more than once\n": {"a.txt": "a", "b.txt": "a", "c.txt": "a", "d.txt": "d"},
	} {
		found, err := text.FindCorpus(t.Context(), tiny.Documents(t, texts).Corpus, false)
		if err != nil {
			t.Fatal(err)
		}
		var said bytes.Buffer
		found.Describe(report.NewConsole(&said, false))
		if said.String() != want {
			t.Errorf("said %q, want %q", said.String(), want)
		}
	}
}

func TestDifferences(t *testing.T) {
	facts := func(names ...string) text.CorpusFacts {
		f := text.CorpusFacts{Documents: len(names)}
		for _, name := range names {
			name, sum, _ := strings.Cut(name, ":")
			f.Listed = append(f.Listed, text.CorpusDocument{Name: name, Bytes: 1, SHA256: sum})
			f.Bytes++
		}
		return f
	}
	for _, test := range []struct {
		old, now text.CorpusFacts
		want     []string
	}{
		{facts("a:1", "b:2"), facts("a:1", "b:2"), nil},
		{facts("a:1", "c:3"), facts("b:2", "c:4"), []string{"a is gone", "b is new", "c: sha256 3 → 4"}},
		{facts(), facts("a", "b", "c", "d", "e", "f", "g"), []string{"a is new", "b is new", "c is new", "d is new", "e is new", "and 2 documents more"}},
		{text.CorpusFacts{Documents: 2000, Bytes: 9}, facts("a"), []string{"2000 documents of 9 bytes → 1 of 1"}},
	} {
		if got := test.now.Differences(test.old); !slices.Equal(got, test.want) {
			t.Errorf("%q, want %q", got, test.want)
		}
	}
}

// TestTrainData: a set whose sequences do not follow one another cannot carry the hidden.
func TestTrainData(t *testing.T) {
	for _, test := range []struct {
		set     []string
		hidden  string
		refused string
	}{
		{nil, "zero", ""},
		{nil, "carry", ""},
		{[]string{"prep.stride=5"}, "zero", ""},
		{[]string{"prep.stride=5"}, "carry", "stride 5"},
		{[]string{"prep.validation.by=block", "prep.validation.fraction=0.5"}, "carry", "validation by block"},
	} {
		c := tiny.Config(t, tiny.Line(), test.set...)
		c.Train.Hidden, c.Train.Seed = test.hidden, 3
		s, done, err := text.OpenSet(t.Context(), prepared(t, c))
		if err != nil {
			t.Fatal(err)
		}
		data, val, err := text.TrainData(s, c)
		switch {
		case test.refused != "":
			if !errors.Is(err, text.ErrNotContinuous) || !strings.Contains(err.Error(), test.refused) {
				t.Errorf("%v with %s: %v", test.set, test.hidden, err)
			}
		case err != nil || data.Len() != s.Split("train").Len() || val.Len() != s.Split("validation").Len():
			t.Errorf("%v with %s: %v", test.set, test.hidden, err)
		default:
			split, _ := data.(*dataset.SplitData)
			whole, carried := data.(*dataset.TextData)
			if carried {
				split = &whole.SplitData
			}
			if carried != (test.hidden == "carry") || split == nil || split.Seed != 3 {
				t.Errorf("%v with %s: %T, %+v", test.set, test.hidden, data, split)
			}
		}
		done()
	}
}

// TestManifest: a manifest is read without its set, and damage has an address.
func TestManifest(t *testing.T) {
	c := tiny.Config(t, tiny.Line())
	dir := prepared(t, c)
	st, err := store.Open(t.Context(), c.Workdir)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	m, err := text.ReadManifest(t.Context(), st, "set")
	if err != nil || m.SeqLength != 10 || m.Chars != int64(len(tiny.Line())) {
		t.Errorf("%+v, %v", m, err)
	}
	if _, err := text.ReadManifest(t.Context(), st, "none"); !errors.Is(err, store.ErrNotExist) {
		t.Errorf("no manifest: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "manifest.json"), []byte("{}"), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := text.ReadManifest(t.Context(), st, "set"); err == nil || !strings.Contains(err.Error(), filepath.Join("set", "manifest.json")) {
		t.Errorf("damaged: %v", err)
	}
	if _, _, err := text.OpenSet(t.Context(), dir); err == nil || errors.Is(err, text.ErrNoSet) {
		t.Errorf("a set with a damaged manifest: %v", err)
	}
}
