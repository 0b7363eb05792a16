package stages

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/pipelines/internal/tiny"
	"github.com/quire-ml/quire/pipelines/report"
	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/transforms/dataset"
)

// prep makes the set of a config, with the lines of its console.
func prep(t *testing.T, c *configs.Config, change func(o *PrepOptions)) (*PrepResult, string, error) {
	t.Helper()
	found, err := text.FindCorpus(t.Context(), c.Corpus, true)
	if err != nil {
		t.Fatal(err)
	}
	var lines bytes.Buffer
	o := PrepOptions{Out: store.Locate(c.Workdir, c.Prep.Out), Runner: "direct", Console: report.NewConsole(&lines, false)}
	if change != nil {
		change(&o)
	}
	res, err := Prep(t.Context(), c, found, o)
	return res, lines.String(), err
}

// TestPrep makes a set of two documents of 120 and 9 characters. With L = 10 the
// first has 9 sequences of 11 before its last tenth and one in it; 9 + 1 + 9
// characters are left over.
func TestPrep(t *testing.T) {
	c := tiny.Documents(t, map[string]string{"a.txt": strings.Repeat("abc", 40), "b.txt": "cabcabcab"})
	res, lines, err := prep(t, c, nil)
	if err != nil {
		t.Fatal(err)
	}
	if res.Chars != 129 || res.Vocab != 3 || res.Sequences != (Sequences{Train: 9, Validation: 1}) || res.DroppedChars != 19 || res.Skipped ||
		res.Submitted != nil {
		t.Errorf("%+v", res)
	}
	for _, want := range []string{"prep: 2 documents, 129 bytes, on direct\n",
		"prep: 15 % of the characters are in no sequence: the ends of 2 documents; pack newline joins the documents to one text",
		"prep: 129 characters, 3 different, 19 dropped; 9 sequences for training, 1 for validation, 0 for test"} {
		if !strings.Contains(lines, want) {
			t.Errorf("no %q in %q", want, lines)
		}
	}
	again, lines, err := prep(t, c, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := *res
	want.Skipped, want.Seconds = true, again.Seconds
	if !reflect.DeepEqual(*again, want) || strings.Count(lines, "\n") != 1 || !strings.HasPrefix(lines, "WARNING: prep: 15 % of the characters") {
		t.Errorf("asked again: %+v, want the figures of the new set, %+v; %q", *again, want, lines)
	}
	if again.Drift == nil || again.Repeated == nil {
		t.Errorf("the parts were not compared: %+v", *again)
	}
}

// TestPrepRefuses: a finished set from other inputs stays, and each difference is
// named; with Replace it is made again.
func TestPrepRefuses(t *testing.T) {
	c := tiny.Documents(t, map[string]string{"a.txt": strings.Repeat("abc", 50) + "\n"})
	first, _, err := prep(t, c, nil)
	if err != nil {
		t.Fatal(err)
	}
	manifest := filepath.Join(store.Locate(c.Workdir, c.Prep.Out), dataset.ManifestName)
	before, err := os.ReadFile(manifest)
	if err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(c *configs.Config){
		"prep.seq_length: the set has 10, now 12":            func(c *configs.Config) { c.Prep.SeqLength = 12 },
		"prep.seed: the set has 1, now 2":                    func(c *configs.Config) { c.Prep.Seed = 2 },
		"prep.stride: the set has 0, now 3":                  func(c *configs.Config) { c.Prep.Stride = 3 },
		"prep.unit: the set has rune, now byte":              func(c *configs.Config) { c.Prep.Unit = "byte" },
		"prep.normalize: the set has none, now nfc":          func(c *configs.Config) { c.Prep.Normalize = "nfc" },
		"prep.invalid_utf8: the set has error, now replace":  func(c *configs.Config) { c.Prep.InvalidUTF8 = "replace" },
		"prep.min_count: the set has 1, now 2":               func(c *configs.Config) { c.Prep.MinCount = 2 },
		"corpus.records: the set has file, now line":         func(c *configs.Config) { c.Corpus.Records = "line" },
		"prep.pack: the set has none, now newline":           func(c *configs.Config) { c.Prep.Pack = "newline" },
		"prep.validation.fraction: the set has 0.1, now 0.2": func(c *configs.Config) { c.Prep.Validation.Fraction = 0.2 },
		"prep.validation.by: the set has tail, now block":    func(c *configs.Config) { c.Prep.Validation.By = "block" },
		"prep.test.fraction: the set has 0, now 0.1":         func(c *configs.Config) { c.Prep.Test.Fraction = 0.1 },
		"prep.shards: the set has 1, now 2":                  func(c *configs.Config) { c.Prep.Shards = 2 },
		"corpus.encoding: the set has utf-8, now koi8-r":     func(c *configs.Config) { c.Corpus.Encoding = "koi8-r" },
		"corpus.newlines: the set has keep, now lf":          func(c *configs.Config) { c.Corpus.Newlines = "lf" },
	} {
		other := *c
		change(&other)
		var differs *OtherSetError
		if res, _, err := prep(t, &other, nil); !errors.As(err, &differs) || !slices.Equal(differs.Differences, []string{want}) {
			t.Errorf("want %q: %+v, %v", want, res, err)
		}
	}
	if data, err := os.ReadFile(manifest); err != nil || !bytes.Equal(data, before) {
		t.Errorf("a refused prep has changed the manifest: %v", err)
	}
	strided := *c
	strided.Prep.Stride = 11 // L+1: without overlap, as 0 is
	if res, _, err := prep(t, &strided, nil); err != nil || !res.Skipped {
		t.Errorf("stride L+1 is another than 0: %+v, %v", res, err)
	}
	file := filepath.Join(filepath.Dir(c.Workdir), "a.txt")
	if err := os.WriteFile(file, []byte(strings.Repeat("abd", 50)), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, _, err := prep(t, c, nil); err == nil || !strings.Contains(err.Error(), "document a.txt: the set has ") {
		t.Errorf("another text: %v", err)
	}
	res, lines, err := prep(t, c, func(o *PrepOptions) { o.Replace = true })
	if err != nil || res.Skipped || res.ManifestSHA256 == first.ManifestSHA256 || !strings.Contains(lines, "prep: replacing ") {
		t.Errorf("replaced: %+v, %q, %v", res, lines, err)
	}
}

// TestPrepDamaged: a damaged manifest, vocabulary or shard stops prep; Replace makes the
// set again.
func TestPrepDamaged(t *testing.T) {
	c := tiny.Documents(t, map[string]string{"a.txt": strings.Repeat("abc", 50)})
	whole, _, err := prep(t, c, nil)
	if err != nil {
		t.Fatal(err)
	}
	dir := store.Locate(c.Workdir, c.Prep.Out)
	shards, err := filepath.Glob(filepath.Join(dir, "train-*"))
	if err != nil || len(shards) != 1 {
		t.Fatal(shards, err)
	}
	for _, file := range []string{filepath.Join(dir, dataset.ManifestName), filepath.Join(dir, dataset.VocabName), shards[0]} {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		data[len(data)/2] ^= 4
		if err := os.WriteFile(file, data, 0o666); err != nil {
			t.Fatal(err)
		}
		_, _, err = prep(t, c, nil)
		if err == nil || !strings.Contains(err.Error(), file) || !errors.Is(err, dataset.ErrDamaged) {
			t.Errorf("a flipped byte of %s: %v", file, err)
		}
		res, _, err := prep(t, c, func(o *PrepOptions) { o.Replace = true })
		if err != nil || res.Skipped || res.ManifestSHA256 != whole.ManifestSHA256 {
			t.Errorf("%s replaced: %+v, %v", file, res, err)
		}
	}
}

// TestPrepHeld: while another process makes the set, prep is refused and touches
// nothing.
func TestPrepHeld(t *testing.T) {
	c := tiny.Config(t, tiny.Line())
	dir := store.Locate(c.Workdir, c.Prep.Out)
	st, err := store.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	lease, err := store.Acquire(t.Context(), st, leaseName, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := lease.Commit(t.Context(), mark{Sets: []map[string]int{{"train": 1}}}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "train-00000-of-00001.tfrecord"), []byte("of the other"), 0o666); err != nil {
		t.Fatal(err)
	}
	var held *store.HeldError
	if _, _, err := prep(t, c, nil); !errors.As(err, &held) || !strings.Contains(err.Error(), "the set is being made by another") {
		t.Errorf("while another makes the set: %v", err)
	}
	if data, err := os.ReadFile(filepath.Join(dir, "train-00000-of-00001.tfrecord")); err != nil || string(data) != "of the other" {
		t.Errorf("the other's shard is %q, %v", data, err)
	}
	if err := lease.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, _, err := prep(t, c, nil); err != nil {
		t.Errorf("after the other: %v", err)
	}
	if held, err := store.ReadLeased(t.Context(), st, leaseName, &mark{}); err != nil || held {
		t.Errorf("the lease is held after prep: %v, %v", held, err)
	}
}

// TestPrepDamagedLease: the error of a damaged lease speaks of no other process.
func TestPrepDamagedLease(t *testing.T) {
	c := tiny.Config(t, tiny.Line())
	lease := filepath.Join(store.Locate(c.Workdir, c.Prep.Out), leaseName)
	if err := os.MkdirAll(filepath.Dir(lease), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(lease, []byte("{}"), 0o666); err != nil {
		t.Fatal(err)
	}
	_, _, err := prep(t, c, nil)
	if !errors.Is(err, store.ErrDamaged) || !strings.Contains(err.Error(), lease) || strings.Contains(err.Error(), "another") {
		t.Errorf("with a damaged lease: %v", err)
	}
}

// TestPrepWrong: an unknown runner or way, and a context that has ended, make nothing.
func TestPrepWrong(t *testing.T) {
	c := tiny.Config(t, tiny.Line())
	if _, _, err := prep(t, c, func(o *PrepOptions) { o.Runner = "spark" }); err == nil || !strings.Contains(err.Error(), "spark") {
		t.Errorf("runner spark: %v", err)
	}
	if _, _, err := prep(t, c, func(o *PrepOptions) { o.Way = "post" }); err == nil || !strings.Contains(err.Error(), "post") {
		t.Errorf("way post: %v", err)
	}
	found, err := text.FindCorpus(t.Context(), c.Corpus, true)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Prep(ctx, c, found, PrepOptions{Out: store.Locate(c.Workdir, c.Prep.Out), Runner: "direct",
		Console: tiny.Console()}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := os.Stat(filepath.Join(store.Locate(c.Workdir, c.Prep.Out), dataset.ManifestName)); err == nil {
		t.Error("there is a set")
	}
}

// TestReachable: on other runners than Dataflow, documents stay where they are.
func TestReachable(t *testing.T) {
	c := tiny.Config(t, tiny.Line())
	found, err := text.FindCorpus(t.Context(), c.Corpus, true)
	if err != nil {
		t.Fatal(err)
	}
	docs, err := reachable(t.Context(), found, "flink")
	if err != nil || len(docs) != 1 || docs[0] != found.Documents[0] {
		t.Errorf("%v, %v", docs, err)
	}
	st, err := store.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	for range 2 { // the second finds it there
		if err := upload(t.Context(), st, found.Digests[0], found.Documents[0]); err != nil {
			t.Fatal(err)
		}
	}
	if data, _, err := st.Read(t.Context(), found.Digests[0]); err != nil || string(data) != tiny.Line() {
		t.Errorf("the copy has %d bytes, %v", len(data), err)
	}
}

// TestPrepParts: prep says where the validation part is unlike the training part, or
// repeats it, and is silent on real texts.
func TestPrepParts(t *testing.T) {
	opticks := opticks(t)
	caps := strings.ToUpper(opticks)
	half, tail := len(opticks)/2, len(opticks)*9/10
	for _, test := range []struct {
		name, text       string
		set              []string
		pairs, chars     float64 // at least; 0: not large
		repeated, spared float64 // at least, at most
	}{
		{name: "a book", text: opticks, spared: 0.01},
		{name: "a tail in capitals", text: opticks[:tail] + caps[tail:], pairs: 3, chars: 0.4, spared: 0.01},
		{name: "half of the tail in capitals", text: opticks[:(tail+len(opticks))/2] + caps[(tail+len(opticks))/2:], pairs: 0.5, chars: 0.1, spared: 0.01},
		{name: "half in capitals", text: opticks[:half] + caps[half:], chars: 0.15, spared: 0.01},
		{name: "half in capitals, by block", text: opticks[:half] + caps[half:], set: []string{"prep.validation.by=block"}, spared: 0.05},
		{name: "the tail in capitals, by block", text: opticks[:tail] + caps[tail:], set: []string{"prep.validation.by=block"}, spared: 0.05},
		{name: "twice", text: opticks + opticks, repeated: 0.99, spared: 1},
		{name: "half of the tail twice", text: opticks[(tail+len(opticks))/2:] + opticks, repeated: 0.4, spared: 0.6},
	} {
		c := tiny.Config(t, test.text, append([]string{"prep.seq_length=100"}, test.set...)...)
		res, lines, err := prep(t, c, nil)
		if err != nil || res.Drift == nil || res.Repeated == nil {
			t.Fatalf("%s: %+v, %v", test.name, res, err)
		}
		unlike := test.pairs > 0 || test.chars > 0
		if d := *res.Drift; d.Large() != unlike || d.PairNats < test.pairs || d.CharNats < test.chars || !unlike && (d.PairNats > 0.1 || d.CharNats > 0.02) {
			t.Errorf("%s: drift %+v", test.name, d)
		}
		if r := *res.Repeated; r < test.repeated || r > test.spared {
			t.Errorf("%s: %v is repeated", test.name, r)
		}
		if tail := "hold out blocks of the whole text in place of its tail"; unlike &&
			!strings.Contains(lines, fmt.Sprintf("unlike the training part: %v; %s", res.Drift, tail)) {
			t.Errorf("%s: %s", test.name, lines)
		}
		for want, is := range map[string]bool{"WARNING: prep: the validation part is unlike the training part": unlike,
			"of the held-out text is in the training text too": test.repeated > 0} {
			if got := strings.Contains(lines, want); got != is {
				t.Errorf("%s: it warns of %q: %v, want %v: %s", test.name, want, got, is, lines)
			}
		}
	}
	c := tiny.Config(t, opticks[:5000], "prep.validation.fraction=0")
	if res, _, err := prep(t, c, nil); err != nil || res.Drift != nil || res.Repeated != nil {
		t.Errorf("without a validation part: %+v, %v", res, err)
	}
}

// opticks is the text that Go ships.
func opticks(t *testing.T) string {
	t.Helper()
	paths, err := configs.Corpus{Sources: []string{"${GOROOT}/src/testdata/Isaac.Newton-Opticks.txt"}}.Expanded()
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(paths[0])
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
