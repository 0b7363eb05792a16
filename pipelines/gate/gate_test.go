package gate

import (
	"encoding/json"
	"errors"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/model/checkpoint"
	"github.com/quire-ml/quire/pipelines/internal/tiny"
	"github.com/quire-ml/quire/pipelines/stages"
	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/runners/store"
)

// checksOf has the checks of every version of the gate. Lines are added, and never
// change: the decisions of a version are kept in workdirs, under keys that the
// version is part of.
var checksOf = map[int]string{
	6: "weights set vocabulary withdrawn ancestors loss gap promoted utf8 loop coverage span copied_50 copied_20 leaked",
	5: "weights set vocabulary withdrawn ancestors loss gap promoted utf8 loop coverage span copied_50 copied_20 leaked",
	4: "weights set vocabulary withdrawn ancestors loss gap promoted utf8 loop coverage span copied_50 copied_20 leaked",
	3: "weights set vocabulary withdrawn loss gap promoted utf8 loop coverage span copied_50 copied_20 leaked",
}

// TestVersion fails where the checks change and Version does not, and where the
// package comment does not list the checks in their order.
func TestVersion(t *testing.T) {
	var names []string
	for _, k := range slices.Concat(originChecks, ancestryChecks, lossChecks, sampleChecks) {
		names = append(names, k.name)
	}
	if got := strings.Join(names, " "); got != checksOf[Version] {
		t.Errorf("the checks are %s, those of version %d are %q: raise Version, and give it a line in checksOf", got, Version, checksOf[Version])
	}
	file, err := parser.ParseFile(token.NewFileSet(), "gate.go", nil, parser.PackageClauseOnly|parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	for line := range strings.Lines(file.Doc.Text()) {
		if strings.HasPrefix(line, "\t") {
			said = append(said, strings.Fields(line)[0])
		}
	}
	if !slices.Equal(said, names) {
		t.Errorf("the package comment lists %v, the checks are %v", said, names)
	}
}

// TestGate is one candidate of every bad kind that is quickly made, two good ones,
// and one of them under limits that it does not keep; the whole is TestSoakGate.
func TestGate(t *testing.T) {
	l := newLab(t)
	l.try(1, len(badKinds))
	good := l.good()
	res, err := l.gate(good)
	if err != nil {
		t.Fatal(err)
	}
	m, err := text.OpenModel(t.Context(), good, "best")
	if err != nil {
		t.Fatal(err)
	}
	if e, err := text.Evaluate(t.Context(), m, l.set, ""); err != nil || res.Nats == nil || *res.Nats != e.NatsPerChar {
		t.Errorf("the gate measures %v, evaluate %+v, %v", res.Nats, e, err)
	}
	for name, change := range map[string]func(c *configs.Gate, o *Options){
		"promoted":  func(c *configs.Gate, _ *Options) { c.Margin = 5 },
		"gap":       func(c *configs.Gate, _ *Options) { c.MaxGap = -1 },
		"loop":      func(c *configs.Gate, _ *Options) { c.Temperature = 0 },
		"coverage":  func(c *configs.Gate, _ *Options) { c.MinCoverage, c.Temperature = 0.99, 0 },
		"withdrawn": func(_ *configs.Gate, o *Options) { o.Withdrawn = "it was taken back" },
	} {
		c, o := l.c.Gate, Options{Set: l.set, Corpus: l.corpus, Promoted: l.promoted, Console: tiny.Console()}
		change(&c, &o)
		res, err := Judge(t.Context(), c, good, o)
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(res.Checks, func(c Check) bool { return c.Name == name })
		if res.Passed || i < 0 || res.Checks[i].Passed || !strings.Contains(res.Reason, res.Checks[i].Text) {
			t.Errorf("%s: %+v", name, res)
		}
	}
	if _, err := Judge(t.Context(), l.c.Gate, good, Options{Set: l.set, Promoted: filepath.Join(l.dir, "gone"),
		Console: tiny.Console()}); !errors.Is(err, ErrRefused) {
		t.Errorf("a promoted model that is gone: %v, want a refusal", err)
	}
}

// TestGateOutage: an error that may pass is no verdict about the model, and stays one that
// is worth another try. An error that stays refuses.
func TestGateOutage(t *testing.T) {
	for _, cause := range []error{store.ErrTransient, errors.New("a broken disk")} {
		restore := store.InjectFaults(func(op, _ string) error {
			if op == "open" {
				return cause
			}
			return nil
		})
		passing := errors.Is(cause, store.ErrTransient)
		_, err := Judge(t.Context(), configs.Gate{}, filepath.Join(t.TempDir(), "m.safetensors"), Options{})
		restore()
		if !errors.Is(err, cause) || errors.Is(err, ErrRefused) == passing || store.Transient(err) != passing {
			t.Errorf("%v: %v", cause, err)
		}
	}
}

// TestGateCopies gives the gate a model that knows a short text by heart: with a set
// whose held-out part is of that text, and with one that holds none of it out.
func TestGateCopies(t *testing.T) {
	l := newLab(t)
	text := l.text[:24*51] // whole sequences: both sets cut them at the same places
	whole, divided := l.prepare("whole", text, 0), l.prepare("divided", text, 0.25)
	heart := l.train(whole, func(c *configs.Config) { c.Model.Hidden, c.Train.Batch, c.Train.Epochs = 48, 2, 60 })
	digest, limits := l.sum(divided), l.c.Gate
	limits.Temperature = 0.2 // what it knows best
	lying := l.changed(heart, func(c *checkpoint.Checkpoint) { c.Set = digest })
	for _, c := range []struct{ set, candidate, by string }{{whole, heart, "copied_20"}, {divided, lying, "leaked"}} {
		res, err := Judge(t.Context(), limits, c.candidate, Options{Set: c.set, Corpus: l.found(filepath.Base(c.set)), Console: tiny.Console()})
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(res.Checks, func(x Check) bool { return x.Name == c.by })
		if res.Passed || i < 0 || res.Checks[i].Passed {
			t.Errorf("%s: not refused by %s: %+v", c.set, c.by, res)
		}
	}
}

// TestGateVocabularies compares a model with a promoted one that lacks a character:
// on the sequences without it, both alike.
func TestGateVocabularies(t *testing.T) {
	l := newLab(t)
	held := labChars * 9 / 10
	text := l.text[:held] + "é" + l.text[held+1:held+1500] + "é" + l.text[held+1501:]
	set := l.prepare("accents", text, 0.1)
	candidate := l.train(set, nil)
	o := Options{Set: set, Promoted: l.promoted, Console: tiny.Console()}
	res, err := Judge(t.Context(), l.c.Gate, candidate, o)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(res.Checks, func(c Check) bool { return c.Name == "promoted" })
	if !res.Passed || i < 0 || !strings.Contains(res.Checks[i].Text, "on the 56 of 58 sequences whose characters it knows too") {
		t.Errorf("got %+v, want a comparison on 56 of 58 sequences", res)
	}
	c := *l.c
	c.Prep.Unit = "byte"
	bytes := filepath.Join(l.dir, "bytes")
	if _, err := stages.Prep(t.Context(), &c, l.corpus, stages.PrepOptions{Out: bytes, Runner: "direct", Console: tiny.Console()}); err != nil {
		t.Fatal(err)
	}
	o.Set = bytes
	if res, err = Judge(t.Context(), l.c.Gate, l.train(bytes, nil), o); err != nil || res.Passed || !strings.Contains(res.Reason, "promote the new one by hand") {
		t.Errorf("another unit: %+v, %v", res, err)
	}
}

// TestHeldTexts: texts for comparison are of the held-out part alone, from places at
// equal distances.
func TestHeldTexts(t *testing.T) {
	l := newLab(t)
	set, done, err := text.OpenSet(t.Context(), l.set)
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	c := &candidate{o: Options{Corpus: l.corpus}, set: set}
	texts, err := c.heldTexts(t.Context(), 4, 100)
	if err != nil || len(texts) != 4 {
		t.Fatalf("%d texts, %v", len(texts), err)
	}
	all := []rune(l.text)
	held := all[len(all)-(len(all)+9)/10:]
	chars := int(set.Split("validation").Len()) * 51
	for k, ids := range texts {
		at := k * chars / 4
		if got, want := string(bytesOf(set.Vocab(), ids)), string(held[at:at+100]); got != want {
			t.Errorf("text %d is %q, want %q", k, got, want)
		}
	}
}

// TestChangedCorpus: a judgement on a corpus that has changed since the set was made
// finds what it found before.
func TestChangedCorpus(t *testing.T) {
	l := newLab(t)
	good := l.train(l.set, nil)
	judge := func() string {
		t.Helper()
		res, err := Judge(t.Context(), l.c.Gate, good, Options{Set: l.set, Corpus: l.corpus, Console: tiny.Console()})
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(res)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	want := judge()
	file := l.corpus.Documents[0].Path
	for what, now := range map[string]string{"grown": l.text + "more", "cut off": l.text[:9000], "rewritten": strings.ToUpper(l.text)} {
		if err := os.WriteFile(file, []byte(now), 0o666); err != nil {
			t.Fatal(err)
		}
		if got := judge(); got != want {
			t.Errorf("%s: %s\nwant %s", what, got, want)
		}
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if got := judge(); got != want {
		t.Errorf("gone: %s\nwant %s", got, want)
	}
}
