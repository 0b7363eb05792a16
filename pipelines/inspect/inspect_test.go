package inspect

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/quire-ml/quire/model/checkpoint"
	"github.com/quire-ml/quire/model/rnn"
	"github.com/quire-ml/quire/pipelines/internal/tiny"
	"github.com/quire-ml/quire/pipelines/report"
	"github.com/quire-ml/quire/pipelines/stages"
	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/transforms/dataset"
	"github.com/quire-ml/quire/transforms/tfexample"
	"github.com/quire-ml/quire/transforms/tfrecord"
	"github.com/quire-ml/quire/transforms/vocab"
)

// save writes a checkpoint of a GRU for the characters a, b, c and returns its path. change
// may alter it first.
func save(t *testing.T, dir string, change func(c *checkpoint.Checkpoint)) string {
	t.Helper()
	v, err := vocab.New(vocab.Rune, map[rune]int64{'a': 3, 'b': 2, 'c': 1}, 1)
	if err != nil {
		t.Fatal(err)
	}
	return tiny.Model{Vocab: v,
		Weigh: func(w *rnn.Weights) {
			for _, p := range w.ByPos {
				for i := range p {
					p[i] = float32(i) / 8
				}
			}
		},
		Change: func(c *checkpoint.Checkpoint) {
			c.Step, c.Epoch = 7, 2
			c.Config = json.RawMessage(`{"model":{"cell":"gru","embedding":2,"hidden":2,"layers":1},"train":{"lr":0.1}}`)
			c.Metrics = json.RawMessage(`{"epochs":[{"epoch":1,"step":4,"epoch_train_nats":1.25,"validation_nats":1.5},{"epoch":2,"step":7,"epoch_train_nats":1.125}]}`)
			if change != nil {
				change(c)
			}
		}}.Save(t, dir)
}

func TestDescribeCheckpoint(t *testing.T) {
	path := save(t, t.TempDir(), nil)
	r, err := Describe(t.Context(), path, "best", 1)
	if err != nil {
		t.Fatal(err)
	}
	f := r.Checkpoint
	// 3·2 embedding, 6·2 + 6·2 weights, 6 + 6 biases, 3·2 + 3 dense.
	if r.Kind != "checkpoint" || r.Path != path || f.Parameters != 51 || f.Vocab != 3 || f.Characters != "abc" || f.Step != 7 || f.Epoch != 2 || f.Cell != "gru" {
		t.Errorf("%s %s: %+v", r.Kind, r.Path, f)
	}
	if got := f.Tensors["rnn.weight_hh_l0"].Shape; !slices.Equal(got, []int{6, 2}) || len(f.Tensors) != 7 {
		t.Errorf("%d tensors, rnn.weight_hh_l0 is %v", len(f.Tensors), got)
	}
}

// TestDescribeNothing: an error says what is missing, and where.
func TestDescribeNothing(t *testing.T) {
	dir := t.TempDir()
	for path, want := range map[string]string{
		filepath.Join(dir, "none"):             "there is nothing at " + filepath.Join(dir, "none"),
		dir:                                    "no checkpoint at " + dir,
		filepath.Join(dir, "x.tfrecord"):       "x.tfrecord",
		filepath.Join(dir, "none.safetensors"): "none.safetensors",
	} {
		if r, err := Describe(t.Context(), path, "best", 1); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %+v, %v, want %q", path, r, err, want)
		}
	}
}

func TestDiff(t *testing.T) {
	dir := t.TempDir()
	a := save(t, filepath.Join(dir, "a"), nil)
	tests := []struct {
		name   string
		change func(c *checkpoint.Checkpoint)
		want   string // the parts of the difference, one a line
	}{
		{"nothing", func(*checkpoint.Checkpoint) {}, ""},
		{"step", func(c *checkpoint.Checkpoint) { c.Step = 9 }, "origin step 7 9"},
		{"config", func(c *checkpoint.Checkpoint) {
			c.Config = json.RawMessage(strings.Replace(string(c.Config), `0.1`, `0.2`, 1))
		}, "config train.lr 0.1 0.2"},
		{"metrics", func(c *checkpoint.Checkpoint) { c.Metrics = json.RawMessage(`{"epochs":[]}`) }, "metrics"},
		{"values", func(c *checkpoint.Checkpoint) {
			c.Tensors[0].Data[1], c.Tensors[0].Data[2] = 5, 0
		}, "tensor " + "embedding.weight 2 4.875 1"},
		{"negative zero", func(c *checkpoint.Checkpoint) { c.Tensors[0].Data[0] = float32(math.Copysign(0, -1)) }, "tensor embedding.weight 1 0 0"},
		{"NaN", func(c *checkpoint.Checkpoint) {
			c.Tensors[0].Data[3], c.Tensors[0].Data[4] = float32(math.NaN()), 1e9
		}, "tensor embedding.weight 2 - 3"},
		{"more", func(c *checkpoint.Checkpoint) {
			c.Tensors = append(c.Tensors, checkpoint.Tensor{Name: "adam.m.x", Shape: []int{1}, Data: []float32{0}})
		}, "only adam.m.x"},
	}
	for _, test := range tests {
		b := save(t, filepath.Join(dir, test.name), test.change)
		r, err := Diff(t.Context(), a, b, "best")
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		if got := parts(r.Diff); !strings.HasPrefix(got, test.want) || (test.want == "") != (got == "") || r.Diff.Same != (got == "") {
			t.Errorf("%s: the same: %v; differences %q, want %q", test.name, r.Diff.Same, got, test.want)
		}
	}
	if _, err := Diff(t.Context(), a, filepath.Join(dir, "none"), "best"); err == nil {
		t.Error("a checkpoint that is missing is compared")
	}
}

// parts writes a difference one part a line.
func parts(d *DiffFacts) string {
	var b strings.Builder
	for _, x := range d.Origin {
		b.WriteString("origin " + x.Key + " " + x.A + " " + x.B + "\n")
	}
	for _, x := range d.Config {
		b.WriteString("config " + x.Key + " " + x.A + " " + x.B + "\n")
	}
	for _, x := range d.Metrics {
		b.WriteString("metrics " + x.Key + "\n")
	}
	for _, x := range d.Tensors {
		switch {
		case x.Same():
		case x.ShapeA == nil || x.ShapeB == nil:
			b.WriteString("only " + x.Name + "\n")
		default:
			most := "-"
			if x.MaxAbs != nil {
				data, _ := json.Marshal(*x.MaxAbs)
				most = string(data)
			}
			differ, _ := json.Marshal(x.Differ)
			at, _ := json.Marshal(x.At)
			b.WriteString("tensor " + x.Name + " " + string(differ) + " " + most + " " + string(at) + "\n")
		}
	}
	return b.String()
}

func TestMetrics(t *testing.T) {
	dir := t.TempDir()
	path := save(t, dir, nil)
	r, err := Metrics(t.Context(), path, "best")
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Metrics) != 2 || *r.Metrics[0].EpochTrain != 1.25 || *r.Metrics[0].Validation != 1.5 || r.Metrics[1].Validation != nil || r.Metrics[1].Step != 7 {
		t.Errorf("the metrics of a checkpoint are %+v", r.Metrics)
	}
	lines := `{"step":1,"epoch":1,"train_nats":2}` + "\n" + `{"step":4,"epoch":1,"epoch_train_nats":1.75}` + "\n"
	if err := os.WriteFile(filepath.Join(dir, report.MetricsName), []byte(lines), 0o666); err != nil {
		t.Fatal(err)
	}
	if r, err = Metrics(t.Context(), dir, "best"); err != nil || len(r.Metrics) != 2 || *r.Metrics[0].Train != 2 || *r.Metrics[1].EpochTrain != 1.75 {
		t.Errorf("the metrics of a run are %+v, %v", r, err)
	}
}

// shard writes records of ids and returns the bytes.
func shard(t *testing.T, path string, records ...[]int32) []byte {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w := tfrecord.NewWriter(f)
	for _, ids := range records {
		if err := w.Write(tfexample.AppendIDs(nil, ids, 1)); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestDescribeShard(t *testing.T) {
	path := filepath.Join(t.TempDir(), "train-00000-of-00001.tfrecord")
	data := shard(t, path, []int32{1, 2, 3}, []int32{4, 5, 6}, []int32{7})
	r, err := Describe(t.Context(), path, "", 2)
	if err != nil {
		t.Fatal(err)
	}
	f := r.Shard
	if r.Kind != "shard" || f.Records != 3 || f.Bytes != int64(len(data)) || f.Lengths[3] != 2 || f.Lengths[1] != 1 || f.Listed ||
		len(f.First) != 2 || !slices.Equal(f.First[1], []int32{4, 5, 6}) || len(f.SHA256) != 64 {
		t.Errorf("%+v", f)
	}
	for i := range data {
		damaged := slices.Clone(data)
		damaged[i] ^= 1
		if err := os.WriteFile(path, damaged, 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := Describe(t.Context(), path, "", 0); err == nil || !strings.Contains(err.Error(), "train-00000-of-00001.tfrecord") {
			t.Fatalf("byte %d is another: %v", i, err)
		}
	}
	if err := os.WriteFile(path, data, 0o666); err != nil {
		t.Fatal(err)
	}
	manifest := filepath.Join(filepath.Dir(path), dataset.ManifestName)
	if err := os.WriteFile(manifest, []byte("{}"), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := Describe(t.Context(), path, "", 0); err == nil || !strings.Contains(err.Error(), dataset.ManifestName) {
		t.Errorf("beside a manifest that is none: %v", err)
	}
}

// set makes a set of sequences of 2 + 1 characters and returns its directory.
func set(t *testing.T) string {
	t.Helper()
	c := tiny.Config(t, strings.Repeat("abcacbab", 20), "prep.seq_length=2", "prep.validation.fraction=0.25")
	found, err := text.FindCorpus(t.Context(), c.Corpus, false)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(c.Workdir, "set")
	if _, err := stages.Prep(t.Context(), c, found, stages.PrepOptions{Out: dir, Runner: "direct", Console: tiny.Console()}); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestDescribeSet: the first sequences are a shifted pair of texts, and every byte
// of every file is verified.
func TestDescribeSet(t *testing.T) {
	dir := set(t)
	r, err := Describe(t.Context(), dir, "", 3)
	if err != nil {
		t.Fatal(err)
	}
	f := r.Set
	if r.Kind != "set" || f.Manifest.Chars != 160 || f.Manifest.Vocab.Size != 3 || len(f.ManifestSHA256) != 64 || len(f.First) != 3 {
		t.Fatalf("%s: %+v", r.Kind, f)
	}
	for i, e := range f.First {
		if len(e.Input) != 2 || len(e.Target) != 2 || e.Input[1] != e.Target[0] {
			t.Errorf("sequence %d: %+v", i, e)
		}
	}
	if r, err := Describe(t.Context(), dir, "", 1000); err != nil || int64(len(r.Set.First)) != r.Set.Manifest.Splits[0].Sequences {
		t.Errorf("more than there are: %d, %v", len(r.Set.First), err)
	}
	shard := filepath.Join(dir, f.Manifest.Splits[0].Shards[0].Name)
	if r, err := Describe(t.Context(), shard, "", 0); err != nil || !r.Shard.Listed {
		t.Errorf("a shard beside its manifest: %+v, %v", r, err)
	}
	other := filepath.Join(dir, "train-00007-of-00008.tfrecord")
	data, err := os.ReadFile(shard)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(other, data, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := Describe(t.Context(), other, "", 0); err == nil || !strings.Contains(err.Error(), "does not list") {
		t.Errorf("a shard of another set: %v", err)
	}
	// Whole records are missing at the end: only the manifest knows.
	size := len(data) / int(f.Manifest.Splits[0].Sequences)
	if err := os.WriteFile(shard, data[:len(data)-size], 0o666); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{shard, dir} {
		if _, err := Describe(t.Context(), path, "", 0); !errors.Is(err, dataset.ErrDamaged) || !strings.Contains(err.Error(), filepath.Base(shard)) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// TestAncestors: what a checkpoint says of its ancestors, without the sample of their text.
func TestAncestors(t *testing.T) {
	for ancestors, want := range map[string]*Ancestors{
		"": nil,
		`{"sets":["a","b"],"unread":["b"],"passages":"AAAAAAAAAAE="}`: {Sets: []string{"a", "b"}, Unread: []string{"b"}},
		`{"sets":["a"],"unknown":["c"],"passages":""}`:                {Sets: []string{"a"}, Unknown: []string{"c"}},
	} {
		path := save(t, t.TempDir(), func(c *checkpoint.Checkpoint) { c.Ancestors = json.RawMessage(ancestors) })
		res, err := Describe(t.Context(), path, "best", 0)
		if err != nil || !reflect.DeepEqual(res.Checkpoint.Ancestors, want) {
			t.Errorf("%s: %+v, %v", ancestors, res, err)
		}
	}
	for _, ancestors := range []string{`{"sets":["a"],"passages":"AAAA"}`, `{"sets":"a"}`, `{"more":1}`} {
		path := save(t, t.TempDir(), func(c *checkpoint.Checkpoint) { c.Ancestors = json.RawMessage(ancestors) })
		if _, err := Describe(t.Context(), path, "best", 0); err == nil || !strings.Contains(err.Error(), ": ancestors: ") {
			t.Errorf("%s: %v", ancestors, err)
		}
	}
}
