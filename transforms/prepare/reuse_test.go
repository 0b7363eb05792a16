package prepare

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/transforms/corpus"
)

// digested writes texts, and gives their documents their digests.
func digested(t *testing.T, texts ...text) []corpus.Document {
	t.Helper()
	docs := write(t, texts...)
	if _, err := corpus.Digests(t.Context(), docs); err != nil {
		t.Fatal(err)
	}
	return docs
}

// TestReuse makes a set of two documents, and of a corpus that has one more and
// other names: the files are those of a set whose documents are all counted. That
// the two are not counted again is seen by counts that were tampered with.
func TestReuse(t *testing.T) {
	a, b, c := strings.Repeat("to be, ", 200), strings.Repeat("or not to be. ", 90), strings.Repeat("that is the question: ", 70)
	for _, runner := range []string{"direct", "prism"} {
		ctx := t.Context()
		st, err := store.Open(ctx, t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		reuse := func(want int, docs []corpus.Document, o Options) Options {
			t.Helper()
			if n, err := o.Reuse(ctx, st, docs); n != want || err != nil {
				t.Fatalf("%s: %d documents are counted, %v; want %d", runner, n, err, want)
			}
			return o
		}
		o := Options{SeqLength: 20, Seed: 1, ValidationFraction: 0.2}
		two := func() []corpus.Document { return digested(t, text{"a", a}, text{"b", b}) }
		three := func() []corpus.Document { return digested(t, text{"1", b}, text{"2", c}, text{"3", a}) }
		docs := two()
		made(t, runner, docs, reuse(0, docs, o))
		kept, _, err := st.Read(ctx, CountsName)
		if err != nil {
			t.Fatal(err)
		}

		docs = three()
		grown := made(t, runner, docs, reuse(2, docs, o))
		want := made(t, runner, three(), o)
		if got, want := files(t, grown), files(t, want); !maps.Equal(got, want) {
			t.Errorf("%s: the files are %v, want %v", runner, got, want)
		}
		docs = three()
		again := reuse(3, docs, Options{SeqLength: 9, ValidationFraction: 0.5, ValidationBy: "block"})
		if got, want := files(t, made(t, runner, docs, again)), files(t, made(t, runner, three(), Options{SeqLength: 9, ValidationFraction: 0.5, ValidationBy: "block"})); !maps.Equal(got, want) {
			t.Errorf("%s, nothing to count: the files are %v, want %v", runner, got, want)
		}
		reuse(0, two(), o)
		reuse(0, three(), Options{Normalize: "nfc"})
		reuse(0, three(), Options{BlockBytes: 1000})

		if err := st.Replace(ctx, CountsName, kept); err != nil {
			t.Fatal(err)
		}
		counts, err := corpus.ReadCounts(ctx, st, CountsName)
		if err != nil {
			t.Fatal(err)
		}
		counts.Statistics.Chars[0].Count += 1000
		if err := counts.Write(ctx, st, CountsName); err != nil {
			t.Fatal(err)
		}
		docs = three()
		wrong := openSet(t, made(t, runner, docs, reuse(2, docs, o))).Vocab()
		right := openSet(t, want).Vocab()
		for id := range int32(right.Size()) {
			extra := int64(0)
			if id == 0 {
				extra = 1000
			}
			if wrong.Count(id) != right.Count(id)+extra {
				t.Errorf("%s: character %d comes %d times, want %d and %d", runner, id, wrong.Count(id), right.Count(id), extra)
			}
		}
	}
}

// TestReuseNot are counts that cannot be read, and those of blocks so small that
// the plan would be too large.
func TestReuseNot(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	st, err := store.Open(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	docs := digested(t, text{"a", strings.Repeat("to be, ", 200)})
	o := Options{SeqLength: 20, BlockBytes: minBlock/smallestBlock - 1}
	if _, err := o.Reuse(ctx, st, docs); err != nil {
		t.Fatal(err)
	}
	made(t, "direct", docs, o)
	o = Options{SeqLength: 20}
	if n, err := o.Reuse(ctx, st, docs); n != 0 || err != nil || o.Counted != nil || docs[0].Counted {
		t.Errorf("blocks of %d bytes: %d documents, %v, %+v", minBlock/smallestBlock-1, n, err, docs)
	}
	if err := os.WriteFile(filepath.Join(dir, CountsName), []byte("{}"), 0o666); err != nil {
		t.Fatal(err)
	}
	if n, err := o.Reuse(ctx, st, docs); n != 0 || !errors.Is(err, store.ErrDamaged) || o.Keep == "" {
		t.Errorf("damaged: %d documents, %v, kept at %q", n, err, o.Keep)
	}
}
