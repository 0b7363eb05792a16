package prepare

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dustin/go-humanize"

	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/transforms/corpus"
	"github.com/quire-ml/quire/transforms/tfexample"
	"github.com/quire-ml/quire/transforms/tfrecordio"
	"github.com/quire-ml/quire/transforms/vocab"
)

// TestEstimate compares the estimate with what sets take.
func TestEstimate(t *testing.T) {
	docs := write(t, text{"a", strings.Repeat("to be or not to be\n", 20000)}, text{"b", ""}, text{"c", wide(30000)})
	for _, o := range []Options{{SeqLength: 20}, {SeqLength: 100, Stride: 10}, {SeqLength: 9, Unit: vocab.Byte}} {
		o = o.complete(corpus.Bytes(docs))
		parts, shards, err := estimate(t.Context(), docs, o)
		if err != nil {
			t.Fatal(err)
		}
		part, err := Progress(t.Context(), docs, o)
		if err != nil || part() != 0 {
			t.Fatal(err)
		}
		f := openSet(t, made(t, "direct", docs, o)).Manifest()
		if p := part(); p < 0.9 {
			t.Errorf("%+v: %v is done in the end", o, p)
		}
		ids := tfexample.Width(f.Vocab.Size) * (o.SeqLength + 1)
		for _, c := range []struct {
			got  int64
			each int
		}{{parts, 12 + ids}, {shards, f.Splits[0].RecordBytes}} {
			if want := f.Splits[0].Sequences * int64(c.each); c.got < want*9/10 || c.got > want*11/10 {
				t.Errorf("%+v: estimated %d, took %d", o, c.got, want)
			}
		}
		o.Way = "engine"
		if slabs, again, err := estimate(t.Context(), docs, o); err != nil || slabs != shards || again != shards {
			t.Errorf("%+v: the files of slabs, which have whole records, take %d, want %d, %v", o, slabs, shards, err)
		}
	}
}

func TestCheckSpace(t *testing.T) {
	docs := write(t, text{"a", "to be or not to be\n"})
	st, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "later"))
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	if err := CheckSpace(t.Context(), st, docs, Options{SeqLength: 3}); err != nil {
		t.Error(err)
	}
	// A file of one hole.
	file := filepath.Join(t.TempDir(), "hole")
	if err := errors.Join(os.WriteFile(file, nil, 0o644), os.Truncate(file, 1<<43)); err != nil {
		t.Skip("no file of 8 TB here: ", err)
	}
	hole := []corpus.Document{{Name: "hole", Path: file, Bytes: 1 << 43}}
	// A NUL has the id 0: sequences of 4, an entry of 16 bytes with 12 of its own and a record of RecordBytes.
	about := humanize.Bytes(uint64(float64(1<<43) / 4 * float64(16+tfrecordio.RecordBytes(4, 1))))
	err = CheckSpace(t.Context(), st, hole, Options{SeqLength: 3})
	if err == nil || !strings.Contains(err.Error(), "a set of 8.8 TB of corpus takes about "+about+" while") || !strings.Contains(err.Error(), "later: ") {
		t.Errorf("8 TB: %v", err)
	}
	// A document that claims to be larger than any disk, and is not read so far.
	huge := []corpus.Document{{Name: "huge", Path: docs[0].Path, Bytes: 1 << 55}}
	if _, _, err := estimate(t.Context(), huge, Options{SeqLength: 3}.complete(1)); err == nil || !strings.Contains(err.Error(), "huge: has 19 bytes") {
		t.Errorf("a document that is not there as listed: %v", err)
	}
}
