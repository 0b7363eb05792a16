package prepare

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"

	"github.com/quire-ml/quire/runners/engine"
	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/transforms/corpus"
	"github.com/quire-ml/quire/transforms/dataset"
	"github.com/quire-ml/quire/transforms/tfrecordio"
)

func TestBadInput(t *testing.T) {
	for _, c := range []struct {
		name  string
		texts []text
		o     Options
		want  string
	}{
		{"short", []text{{"a.txt", "0123456789"}}, Options{SeqLength: 10},
			"prepare: a sequence takes seq_length+1 = 11 characters, and the corpus has 10; use more text or a smaller seq_length (9 at most)"},
		{"less than a batch", []text{{"a.txt", "0123456789"}}, Options{SeqLength: 10, Batch: 3}, "use more text or a smaller seq_length (2 at most)"},
		{"short ones", []text{{"a.txt", "0123456789"}, {"b.txt", "é日"}}, Options{SeqLength: 10},
			"prepare: a sequence takes seq_length+1 = 11 characters of one document, and the longest of 2 has 10; join the documents with pack " +
				"newline, or use longer ones or a smaller seq_length (9 at most)"},
		{"too little in all", []text{{"a.txt", "01234"}, {"b.txt", "é日"}}, Options{SeqLength: 10},
			"characters of one document, and the longest of 2 has 5; use longer ones or a smaller seq_length (4 at most)"},
		{"no training", []text{{"a.txt", "0123456789"}}, Options{SeqLength: 6, ValidationFraction: 0.5},
			"with validation.fraction 0.5 no document has a sequence of seq_length+1 = 7 characters left for training (the longest has 10 in all); " +
				"use more text, a smaller fraction or a smaller seq_length (4 at most)"},
		{"no validation", []text{{"a.txt", "0123456789"}}, Options{SeqLength: 1, ValidationFraction: 0.1},
			"with validation.fraction 0.1 no document has a sequence of seq_length+1 = 2 characters left for validation (the longest has 10 in all); " +
				"use more text, a larger fraction or fraction 0 for no validation"},
		{"no test", []text{{"a.txt", "01234567890123456789"}}, Options{SeqLength: 4, Stride: 5, ValidationFraction: 0.25, TestFraction: 0.2},
			"for test (the longest has 20 in all); use more text, a larger fraction, a smaller seq_length (3 at most) or fraction 0 for no test"},
		{"by block", []text{{"a.txt", "0123456789"}}, Options{SeqLength: 10, ValidationBy: "block"}, "use more text or a smaller seq_length"},
		{"invalid UTF-8", []text{{"a.txt", "good text"}, {"b.txt", "日本\x80語\xff"}, {"c.txt", "\xfe"}}, Options{SeqLength: 2, RangeBytes: 4},
			"prepare: b.txt: byte 6 (0x80) is not valid UTF-8, the first of 3; correct the text, or use invalid_utf8 replace or unit byte"},
		{"cut character", []text{{"a.txt", "some text \xe6\x97"}}, Options{SeqLength: 2},
			"prepare: a.txt: byte 10 (0xe6) is not valid UTF-8, the first of 2"},
		{"all rare", []text{{"a.txt", "0123456789"}}, Options{SeqLength: 2, MinCount: 2},
			"prepare: vocab: none of 10 characters occurs min_count = 2 times; use a smaller min_count or more text"},
	} {
		docs := write(t, c.texts...)
		for _, runner := range []string{"direct", "prism"} {
			c.o.Dir = t.TempDir()
			err := run(t.Context(), runner, docs, c.o)
			if err == nil || !strings.HasPrefix(err.Error(), "engine: "+runner+": ") || !strings.Contains(err.Error(), c.want) ||
				strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: got  %v\nwant %s", c.name, err, c.want)
			}
			if left := files(t, c.o.Dir); len(left) > 0 {
				t.Errorf("%s, %s: there is %v", c.name, runner, left)
			}
		}
	}
}

func TestMissingDocument(t *testing.T) {
	docs := write(t, text{"a.txt", "some text"})
	o := Options{SeqLength: 2, Dir: t.TempDir()}
	before := files(t, made(t, "direct", docs, o))
	if err := os.WriteFile(docs[0].Path, []byte("some text, and é"), 0o644); err != nil {
		t.Fatal(err)
	}
	if after := files(t, made(t, "direct", docs, o)); !maps.Equal(before, after) {
		t.Errorf("grown, the document gives another set: %v, want %v", after, before)
	}
	if err := os.WriteFile(docs[0].Path, []byte("some tex"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := run(t.Context(), "direct", docs, o); err == nil || !strings.Contains(err.Error(),
		"corpus: a.txt: has 8 bytes, but had 9 when the corpus was listed: the text has changed: it was cut off") {
		t.Errorf("cut off: %v", err)
	}
	if err := os.Remove(docs[0].Path); err != nil {
		t.Fatal(err)
	}
	if err := run(t.Context(), "direct", docs, o); err == nil || !strings.Contains(err.Error(), "corpus: a.txt: ") ||
		!strings.Contains(err.Error(), "no such file") {
		t.Errorf("gone: %v", err)
	}
}

func init() { beam.RegisterFunction(meddle) }

// meddle passes a plan on and, in between, changes its first document: the file
// in the environment variable gets the text in the other, of as many bytes.
func meddle(p plan) (plan, error) {
	return p, os.WriteFile(os.Getenv("PREPARE_TEST_FILE"), []byte(os.Getenv("PREPARE_TEST_TEXT")), 0o644)
}

// TestChanged changes a document between the two passes, to text of the same
// characters, equally many: nothing but the checksums of blocks shows it.
func TestChanged(t *testing.T) {
	for now, want := range map[string]string{
		"to be or not to be": "prepare: a.txt: after byte 12, the text has changed while the set was made; make the set again",
		"or not to be to be": "prepare: a.txt: after byte ",
	} {
		docs := write(t, text{"a.txt", "to be or not be to"})
		t.Setenv("PREPARE_TEST_FILE", docs[0].Path)
		t.Setenv("PREPARE_TEST_TEXT", now)
		o := Options{SeqLength: 2, Dir: t.TempDir(), RangeBytes: 6}.complete(18)
		p, s := beam.NewPipelineWithRoot()
		list := o.list(docs)
		pages := corpus.Create(s, list)
		lots := corpus.Ranges(s, list, pages)
		made := beam.ParDo(s, &planFn{Options: o, Documents: 1}, corpus.Count(s, o.form(), lots), beam.SideInput{Input: corpus.Hash(s, pages)})
		made = beam.ParDo(s, meddle, made)
		parcels := beam.ParDo(s, &cutFn{Options: o}, lots, beam.SideInput{Input: made})
		tfrecordio.Write(s, o.shards(), beam.ParDo(s, &targetFn{}, made), parcels)
		err := engine.Run(t.Context(), "direct", p, engine.Options{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", now, err, want)
		}
	}
}

// TestPlanChanged gives the plan a document that was hashed and counted with
// different bytes.
func TestPlanChanged(t *testing.T) {
	o := Options{SeqLength: 1, Dir: "x", RangeBytes: 4}.complete(8)
	st := corpus.Statistics{Chars: []corpus.CharCount{{Char: 'a', Count: 4}}, Ranges: []corpus.RangeCount{{Length: 4, Chars: 4, CRC: 1}}}
	make := func(d corpus.Document) error {
		d.Name, d.SHA256 = "a.txt", strings.Repeat("0", 64)
		o.Dir = t.TempDir()
		emitted := 0
		given := false
		err := (&planFn{Options: o, Documents: 1}).ProcessElement(t.Context(), st, func(p *corpus.Page) bool {
			*p, given = o.list([]corpus.Document{d}).Pages()[0], !given
			return given
		}, func(plan) { emitted++ })
		if (err == nil) != (emitted == 1) {
			t.Errorf("%d plans, %v", emitted, err)
		}
		return err
	}
	if err := make(corpus.Document{Bytes: 4, CRC: 1}); err != nil {
		t.Error(err)
	}
	for _, d := range []corpus.Document{{Bytes: 4, CRC: 2}, {Bytes: 5, CRC: 1}} {
		if err := make(d); err == nil ||
			err.Error() != "prepare: a.txt: the text has changed while the set was made; make the set again" {
			t.Errorf("%+v: got %v", d, err)
		}
	}
}

func TestManifestNeedsShards(t *testing.T) {
	p := &plan{Totals: []int64{3, 0, 0}, Shards: []shardPlan{{Name: "train-00000-of-00001.tfrecord", Hi: 3}}}
	docs := write(t, text{"a", "aaaa"})
	dir := made(t, "direct", docs, Options{SeqLength: 1})
	v := openSet(t, dir).Vocab()
	for _, shards := range [][]dataset.Shard{nil, {{Name: "train-00000-of-00001.tfrecord", Records: 2}}} {
		if _, err := p.manifest(Options{Shards: 1}, v, "", shards); err == nil ||
			!strings.Contains(err.Error(), "train-00000-of-00001.tfrecord was not written") {
			t.Errorf("got %v", err)
		}
	}
}

// TestBlockedFolder makes a set where a file is in the way.
func TestBlockedFolder(t *testing.T) {
	docs := write(t, text{"a", "to be or not to be"})
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, ".parts"), []byte("in the way"), 0o644); err != nil {
		t.Fatal(err)
	}
	p, s := beam.NewPipelineWithRoot()
	Set(s, docs, Options{Dir: dir, SeqLength: 3})
	err := engine.Run(t.Context(), "direct", p, engine.Options{})
	if err == nil || !strings.Contains(err.Error(), filepath.Join(dir, ".parts")) {
		t.Errorf("got %v", err)
	}
	if left := files(t, dir); len(left) != 1 {
		t.Errorf("there is %v", left)
	}
}

// TestConflict makes a set where another one is.
func TestConflict(t *testing.T) {
	docs := write(t, text{"a", "to be or not to be"})
	dir := made(t, "direct", docs, Options{SeqLength: 3})
	before := files(t, dir)
	for range 2 { // the same set again
		if err := run(t.Context(), "direct", docs, Options{SeqLength: 3, Dir: dir}); err != nil {
			t.Fatal(err)
		}
	}
	err := run(t.Context(), "direct", docs, Options{SeqLength: 4, Dir: dir})
	if err == nil || !strings.Contains(err.Error(), store.ErrConflict.Error()) {
		t.Errorf("got %v", err)
	}
	if after := files(t, dir); !maps.Equal(before, after) {
		t.Errorf("%v became %v", before, after)
	}
}

func TestCancelled(t *testing.T) {
	docs := write(t, text{"a", strings.Repeat("to be or not to be\n", 20000)})
	for _, runner := range []string{"direct", "prism"} {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(100*time.Millisecond, cancel)
		dir := t.TempDir()
		err := run(ctx, runner, docs, Options{SeqLength: 1, Dir: dir, RangeBytes: 400})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", runner, err)
		}
		if left := files(t, dir); left[dataset.ManifestName] != "" {
			t.Errorf("%s: there is %v", runner, left)
		}
	}
}

// TestKilled kills a preparation again and again, later each time, until one
// gets through. Whatever is there under a final name meanwhile is whole, and the
// set is in the end what it always is.
func TestKilled(t *testing.T) {
	docs := write(t, text{"a", strings.Repeat(wide(997), 60)}, text{"b", wide(5000)})
	o := Options{SeqLength: 20, Shards: 4, RangeBytes: 9000, ValidationFraction: 0.1}
	want := files(t, made(t, "direct", docs, o))
	o.Dir = t.TempDir()
	final := regexp.MustCompile(`^[a-z]`)
	seen := 0
	for _, runner := range []string{"direct", "prism"} {
		for delay := 30 * time.Millisecond; ; delay = delay * 5 / 4 {
			o.Dir = filepath.Join(t.TempDir(), "set")
			done := killed(t, order{Runner: runner, Docs: docs, Options: o}, delay)
			got := files(t, tidy(t, o.Dir))
			for name, sum := range got {
				if final.MatchString(name) && sum != want[name] {
					t.Fatalf("%s, killed after %v: %s is not whole", runner, delay, name)
				}
			}
			if len(got) > 0 && !done {
				seen++
			}
			if done && !maps.Equal(got, want) {
				t.Fatalf("%s: got %v, want %v", runner, got, want)
			}
			if done {
				break
			}
			if len(got) == 0 {
				continue // it had hardly begun
			}
			if err := run(t.Context(), "direct", docs, o); err != nil {
				t.Fatalf("%s, killed after %v, then again: %v", runner, delay, err)
			}
			if again := files(t, o.Dir); !maps.Equal(again, want) {
				t.Fatalf("%s, killed after %v, then again: got %v, want %v", runner, delay, again, want)
			}
		}
	}
	t.Logf("%d were killed at work", seen)
}

// tidy makes dir if it is not there.
func tidy(t *testing.T, dir string) string {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// killed carries out an order in a process of its own, which is killed after
// delay. It reports whether the process was done before.
func killed(t *testing.T, o order, delay time.Duration) (done bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), delay)
	defer cancel()
	out, err := startChild(ctx, t, o)
	if err != nil && ctx.Err() == nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return err == nil
}

// startChild carries out an order in a process of its own, which is killed when
// ctx ends, and returns what it prints.
func startChild(ctx context.Context, t *testing.T, o order) (string, error) {
	t.Helper()
	data, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(slices.Clone(os.Environ()), childOrder+"="+string(data))
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// TestComplete: the plan of documents divided by block is complete when every range
// is counted, once.
func TestComplete(t *testing.T) {
	o := Options{SeqLength: 1, ValidationBy: "block"}.complete(8)
	emitted := 0
	for _, c := range []struct {
		counts []sides
		want   string
		plans  int
	}{
		{[]sides{{Doc: 0, Offset: 4, Train: 2}, {Doc: 0, Offset: 0, Train: 1}}, "", 1},
		{[]sides{{Doc: 0, Offset: 0, Train: 1}}, "", 0},
		{[]sides{{Doc: 0, Offset: 0, Train: 1}, {Doc: 0, Offset: 0, Train: 1}}, "document 0: the sequences of the range at byte 0 come twice", 0},
	} {
		o.Dir = t.TempDir()
		w, err := o.rows(t.Context(), "plan")
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range []row{{DocChars: 8, Chars: 4}, {Offset: 4, First: 4, Chars: 4, DocChars: 8}} {
			if err := w.add(r); err != nil {
				t.Fatal(err)
			}
		}
		p, left := plan{Pages: []corpus.Page{{Documents: 1}}}, []lotSides{{c.counts[:1]}, {c.counts[1:]}}
		if p.Rows, err = w.finish(); err != nil {
			t.Fatal(err)
		}
		if err := w.close(); err != nil {
			t.Fatal(err)
		}
		emitted = 0
		err = (&completeFn{Options: o}).ProcessElement(t.Context(), p, func(s *lotSides) bool {
			if len(left) == 0 {
				return false
			}
			*s, left = left[0], left[1:]
			return true
		}, func(p plan) {
			if emitted++; decodeRow(p.Rows.Data[rowBytes:]).Numbers[0] != 1 || p.Totals[0] != 3 {
				t.Errorf("%v: plan %+v", c.counts, p)
			}
		})
		if emitted != c.plans || (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %d plans, %v", c.counts, emitted, err)
		}
	}
}
