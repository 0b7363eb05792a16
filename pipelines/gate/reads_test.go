package gate

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/pipelines/internal/tiny"
	"github.com/quire-ml/quire/pipelines/stages"
	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/runners/store/gcstest"
)

// TestCorpusReads: a judgement reads the corpus once, and twice where the sequences of the
// set do not continue one another.
func TestCorpusReads(t *testing.T) {
	l := newLab(t)
	server := gcstest.New(t)
	server.Set("bucket", "corpus/a.txt", []byte(l.text))
	found, err := text.FindCorpus(t.Context(), configs.Corpus{Sources: []string{"gs://bucket/corpus"}}, true)
	if err != nil {
		t.Fatal(err)
	}
	trained := func(set string) string {
		return l.train(set, func(c *configs.Config) { c.Train.MaxSteps = 80 })
	}
	whole := l.prepare("whole", l.text, 0)
	l.c.Prep.Validation.By = "block"
	blocks := l.prepare("blocks", l.text, 0.2)
	for _, test := range []struct {
		set, candidate string
		want           int
	}{{l.set, l.promoted, 1}, {whole, trained(whole), 1}, {blocks, trained(blocks), 2}} {
		before := len(server.Log())
		res, err := Judge(t.Context(), l.c.Gate, test.candidate, Options{Set: test.set, Corpus: found, Console: tiny.Console()})
		if err != nil || !slices.ContainsFunc(res.Checks, func(c Check) bool { return c.Name == "leaked" }) {
			t.Fatalf("%+v, %v", res, err)
		}
		reads := 0
		for _, request := range server.Log()[before:] {
			if strings.HasPrefix(request, "read bucket/corpus/a.txt") {
				reads++
			}
		}
		if reads != test.want {
			t.Errorf("%s: the corpus is read %d times, want %d", filepath.Base(test.set), reads, test.want)
		}
	}
}

// TestPartsReadOnce: what of the held-out text the training part has too is found while
// that part is compared with the samples. It is not read for this alone.
func TestPartsReadOnce(t *testing.T) {
	l := newLab(t)
	set, done, err := openSet(t, l.prepare("twice", l.text[:9_000]+l.text[20_000:20_300]+l.text[2_000:2_700], 0.1))
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	model, err := text.OpenModel(t.Context(), l.promoted, "best")
	if err != nil {
		t.Fatal(err)
	}
	limits := l.c.Gate
	limits.Samples = 4
	c := &candidate{limits: limits, o: Options{Corpus: l.found("twice"), Console: tiny.Console()}, res: new(Result), set: set, model: model}
	if err := c.know(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := len(c.passages.Alone); c.compared || n < 100 || n != len(c.passages.All) {
		t.Errorf("before the samples there are %d passages of %d that the training part does not have", n, len(c.passages.All))
	}
	if err := c.sample(t.Context()); err != nil {
		t.Fatal(err)
	}
	want, err := text.SketchHeld(t.Context(), set)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.res.Repeated; !c.compared || !slices.Equal(c.passages.Alone, want.Alone) || got != want.Repeated() || got < 0.3 || got > 0.9 {
		t.Errorf("%.3f of the held-out text is repeated, want %.3f", got, want.Repeated())
	}
}

// TestHeldFromSet: where the sequences of a set continue one another, its texts for
// comparison are those of the documents.
func TestHeldFromSet(t *testing.T) {
	l := newLab(t)
	dir := filepath.Join(l.dir, "documents")
	if err := os.Mkdir(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	for i, n := range []int{4_000, 30, 0, 700, 6_000, 1_100} {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i, ".txt")), []byte(l.text[i*4_000:i*4_000+n]), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	found, err := text.FindCorpus(t.Context(), configs.Corpus{Sources: []string{dir}}, true)
	if err != nil {
		t.Fatal(err)
	}
	for _, fraction := range []float64{0.1, 0.3, 0.9} {
		c, out := *l.c, filepath.Join(l.dir, fmt.Sprint("set", fraction))
		c.Prep.Validation.Fraction, c.Prep.SeqLength = fraction, 20
		if _, err := stages.Prep(t.Context(), &c, found, stages.PrepOptions{Out: out, Runner: "direct", Console: tiny.Console()}); err != nil {
			t.Fatal(err)
		}
		set, done, err := openSet(t, out)
		if err != nil {
			t.Fatal(err)
		}
		defer done()
		x := &candidate{o: Options{Corpus: found}, set: set}
		chars := set.Split("validation").Len() * 21
		for n := int64(1); n <= 12; n++ {
			length := int(chars / n)
			want, err := x.heldFromText(t.Context(), n, length, chars)
			got, err2 := x.heldFromSet(t.Context(), n, length)
			if err != nil || err2 != nil || len(want) != int(n) || !reflect.DeepEqual(got, want) {
				t.Errorf("%v held out, %d texts of %d: %v, want %v (%v, %v)", fraction, n, length, got, want, err, err2)
			}
		}
	}
}
