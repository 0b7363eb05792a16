package prepare

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"

	"github.com/quire-ml/quire/runners/engine"
	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/transforms/corpus"
	"github.com/quire-ml/quire/transforms/dataset"
)

func TestMain(m *testing.M) {
	flag.Parse()
	engine.Init()
	if order := os.Getenv(childOrder); order != "" {
		os.Exit(child(order))
	}
	os.Exit(m.Run())
}

// childOrder is the variable that makes the test program one preparation, for
// tests that kill it or look at its memory.
const childOrder = "PREPARE_TEST_CHILD"

// An order says what a child prepares.
type order struct {
	Runner    string
	Docs      []corpus.Document
	Options   Options
	FileBytes uint64 // no file may become longer; 0: no limit
	OpenFiles uint64 // no more may be open; 0: no limit. The set is then verified, too
}

// limitFiles makes writes beyond a length fail, and limitOpen the opening of more files than a
// number, where the system can do that.
var limitFiles, limitOpen func(n uint64) error

// child carries out an order and prints its peak memory.
func child(text string) int {
	var o order
	err := json.Unmarshal([]byte(text), &o)
	if err == nil && o.OpenFiles > 0 {
		err = limitOpen(o.OpenFiles)
	}
	if err == nil && o.FileBytes > 0 {
		err = limitFiles(o.FileBytes)
	}
	if err == nil {
		err = run(context.Background(), o.Runner, o.Docs, o.Options)
	}
	if err == nil && o.OpenFiles > 0 {
		err = verify(context.Background(), o.Options.Dir)
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	status, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(status)) {
		if strings.HasPrefix(line, "VmHWM:") {
			fmt.Print(line)
		}
	}
	return 0
}

// verify verifies the set in dir.
func verify(ctx context.Context, dir string) error {
	st, err := store.Open(ctx, dir)
	if err != nil {
		return err
	}
	defer st.Close()
	s, err := dataset.Open(ctx, st)
	if err != nil {
		return err
	}
	return errors.Join(s.Verify(ctx), s.Close())
}

// run makes a set as stages.Prep does.
func run(ctx context.Context, runner string, docs []corpus.Document, o Options) (err error) {
	st, err := store.Open(ctx, o.Dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	if err := Clean(ctx, st, IsFile); err != nil {
		return err
	}
	if err := PutList(ctx, st, docs, o); err != nil {
		return err
	}
	p, s := beam.NewPipelineWithRoot()
	Set(s, docs, o)
	err = engine.Run(ctx, runner, p, engine.Options{})
	return errors.Join(err, Clean(context.WithoutCancel(ctx), st, IsFile))
}

// A text is a document to be.
type text struct{ name, text string }

// write writes texts, which are ordered by name, below a new folder.
func write(t testing.TB, texts ...text) []corpus.Document {
	t.Helper()
	dir := t.TempDir()
	var docs []corpus.Document
	for _, x := range texts {
		file := filepath.Join(dir, filepath.FromSlash(x.name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(x.text), 0o644); err != nil {
			t.Fatal(err)
		}
		docs = append(docs, corpus.Document{Name: x.name, Path: file, Bytes: int64(len(x.text))})
	}
	return docs
}

// made makes a set in a new folder and returns the folder.
func made(t testing.TB, runner string, docs []corpus.Document, o Options) string {
	t.Helper()
	o.Dir = t.TempDir()
	if err := run(t.Context(), runner, docs, o); err != nil {
		t.Fatalf("%s: %v", runner, err)
	}
	return o.Dir
}

// files returns the sha256 of every file below dir, by name.
func files(t testing.TB, dir string) map[string]string {
	t.Helper()
	sums := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		sums[filepath.ToSlash(name)] = fmt.Sprintf("%x", sha256.Sum256(data))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return sums
}

// openSet opens the set in dir until the test ends, and verifies it.
func openSet(t testing.TB, dir string) *dataset.Set {
	t.Helper()
	st, err := store.Open(context.Background(), dir)
	if err != nil {
		t.Fatal(err)
	}
	s, err := dataset.Open(context.Background(), st)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(s.Close(), st.Close()); err != nil {
			t.Error(err)
		}
	})
	if err := s.Verify(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestValidate(t *testing.T) {
	good := Options{Dir: "x", SeqLength: 10}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	for _, c := range []struct {
		change func(*Options)
		want   string
	}{
		{func(o *Options) { o.Dir = "" }, "no folder"},
		{func(o *Options) { o.SeqLength = 0 }, "seq_length is 0; it must be 1 to 1048576"},
		{func(o *Options) { o.SeqLength = 1<<20 + 1 }, "seq_length is 1048577"},
		{func(o *Options) { o.Unit = "word" }, `unit is "word"; use rune or byte`},
		{func(o *Options) { o.Normalize = "nfd" }, `normalize is "nfd"`},
		{func(o *Options) { o.InvalidUTF8 = "skip" }, `invalid_utf8 is "skip"; use error or replace`},
		{func(o *Options) { o.MinCount = -1 }, "min_count is -1"},
		{func(o *Options) { o.ValidationFraction = 1 }, "validation.fraction is 1; it must be"},
		{func(o *Options) { o.ValidationFraction = -0.5 }, "validation.fraction is -0.5"},
		{func(o *Options) { o.ValidationFraction /= o.ValidationFraction }, "validation.fraction is NaN"},
		{func(o *Options) { o.ValidationBy = "dice" }, `validation.by is "dice"`},
		{func(o *Options) { o.TestFraction = 1 }, "test.fraction is 1; it must be"},
		{func(o *Options) { o.TestFraction, o.ValidationFraction = 0.5, 0.5 }, "leave nothing for training"},
		{func(o *Options) { o.Normalize, o.Unit = "nfc", "byte" }, "normalize nfc is for characters"},
		{func(o *Options) { o.Stride = 12 }, "stride is 12; it must be 1 to seq_length+1 = 11"},
		{func(o *Options) { o.Stride = -1 }, "stride is -1"},
		{func(o *Options) { o.Shards = -1 }, "shards is -1; it must be 0 to 99999"},
		{func(o *Options) { o.Shards = 100000 }, "shards is 100000"},
		{func(o *Options) { o.RangeBytes = -1 }, "ranges of -1 bytes"},
		{func(o *Options) { o.SlabBytes = -1 }, "slabs of -1 bytes"},
		{func(o *Options) { o.Way = "air" }, `way "air"; use files or engine`},
	} {
		o := good
		c.change(&o)
		if err := o.Validate(); err == nil || !strings.Contains(err.Error(), "prepare: ") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
}

func TestTrainShards(t *testing.T) {
	for _, c := range []struct {
		shards int
		bytes  int64
		want   int
	}{{0, 1, 1}, {0, 64e6, 1}, {0, 64e6 + 1, 2}, {0, 1e9, 16}, {0, 1 << 60, 99999}, {7, 1e9, 7}} {
		o := Options{Shards: c.shards}
		if got := o.TrainShards(c.bytes); got != c.want || o.complete(c.bytes).Shards != c.want {
			t.Errorf("%+v: got %d", c, got)
		}
	}
	for shards, want := range map[int]int{1: 1, 4: 1, 5: 1, 12: 1, 15: 2, 16: 2, 100: 10} {
		if s := (Options{Shards: shards, ValidationFraction: 0.1}).splits(); len(s) != 2 || s[1].Shards != want {
			t.Errorf("%d shards: %+v, want %d for validation", shards, s, want)
		}
	}
}

func TestClean(t *testing.T) {
	st, err := store.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	names := []string{"notes.txt", "train.txt", "train-00000-of-00001.tfrecord", "validation-00000-of-00001.tfrecord", "vocab.json",
		".parts/00000000-00000000000000"}
	put := func(names ...string) {
		for _, name := range names {
			if _, err := st.Put(t.Context(), name, []byte(name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	check := func(what string, want ...string) {
		t.Helper()
		if err := Clean(t.Context(), st, IsFile); err != nil {
			t.Fatal(err)
		}
		dir, _ := st.Local()
		left := files(t, dir)
		for _, name := range want {
			if _, ok := left[name]; !ok {
				t.Errorf("%s: %s is gone", what, name)
			}
		}
		if len(left) != len(want) {
			t.Errorf("%s: left %v, want %q", what, left, want)
		}
	}
	put(names...)
	check("unfinished", names[:2]...)
	put(append(names, dataset.ManifestName)...)
	dir, _ := st.Local()
	if err := os.WriteFile(filepath.Join(dir, ".parts", ".tmp-123"), []byte("killed"), 0o644); err != nil {
		t.Fatal(err)
	}
	check("finished", append(names[:5], dataset.ManifestName)...)
}

func TestSetPanics(t *testing.T) {
	docs := []corpus.Document{{Name: "a", Path: "a", Bytes: 1}}
	for name, f := range map[string]func(s beam.Scope){
		"invalid": func(s beam.Scope) { Set(s, docs, Options{Dir: "x"}) },
		"empty":   func(s beam.Scope) { Set(s, []corpus.Document{{Name: "a"}}, Options{Dir: "x", SeqLength: 1}) },
		"none":    func(s beam.Scope) { Set(s, nil, Options{Dir: "x", SeqLength: 1}) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			_, s := beam.NewPipelineWithRoot()
			f(s)
		}()
	}
}
