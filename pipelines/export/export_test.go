package export_test

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/quire-ml/quire/model/checkpoint"
	"github.com/quire-ml/quire/model/rnn"
	"github.com/quire-ml/quire/pipelines/export"
	"github.com/quire-ml/quire/pipelines/internal/tiny"
	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/runners/store/gcstest"
	"github.com/quire-ml/quire/transforms/vocab"
)

// A kind is a text and how it was taken apart.
type kind struct {
	unit      vocab.Unit
	normalize string
	known     string // its characters, or bytes
	unknown   bool   // there is [UNK]
	text      string
}

var kinds = []kind{
	{vocab.Rune, "none", "a b\n", false, "ab ba\n"},
	{vocab.Rune, "none", "ab\"\\<&\u2028é語😀", true, "a\"b\\<é>語&z😀\u2028"},
	{vocab.Rune, "nfc", "e é\u0323\u1eb9\u0301", false, "e\u0301 e e\u0323\u0301 \u00e9"},
	{vocab.Byte, "none", "a\x00\xff\xd7\x90 ", false, "a\x00\xff \xd7\x90"},
	{vocab.Byte, "none", "a\xc3 ", true, "a\xc3\xa9 z"},
}

// save saves a model of a kind, with weights that bend every gate, and returns its path.
func save(t *testing.T, k kind, shape rnn.Shape) string {
	t.Helper()
	x := uint32(1)
	return tiny.Model{Shape: shape, Vocab: tiny.Vocab(t, k.unit, k.known, k.unknown), Normalize: k.normalize,
		Weigh: func(w *rnn.Weights) {
			for i := range w.Flat {
				x = x*1664525 + 1013904223
				w.Flat[i] = (float32(x>>8)/(1<<24) - 0.5) * 2
			}
		},
		Change: func(c *checkpoint.Checkpoint) {
			c.Step, c.Epoch = 7, 2
			c.Metrics = json.RawMessage(`{"epochs":[{"epoch":1,"step":3,"epoch_train_nats":2.5},{"epoch":2,"step":7,"epoch_train_nats":2.25,"validation_nats":2.375}]}`)
			for _, p := range c.Tensors {
				c.Tensors = append(c.Tensors, checkpoint.Tensor{Name: "adam.m." + p.Name, Shape: p.Shape, Data: p.Data})
			}
		}}.Save(t, t.TempDir())
}

// small returns a model of the first kind.
func small(t *testing.T) *text.Model {
	t.Helper()
	return open(t, save(t, kinds[0], rnn.Shape{Cell: rnn.GRU, Layers: 1, Embedding: 2, Hidden: 3}))
}

var open = tiny.Open

// contents returns the files of a folder by name.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil && !e.IsDir() {
			t.Fatal(err)
		}
		files[e.Name()] = string(data)
	}
	return files
}

// all are the names of an export.
var all = []string{"README.md", "config.json", "model.safetensors", "modeling_quire.py", "transformers_quire.py", "vocab.json"}

// TestFolder: an export is whole, says the model, and is the same every time.
func TestFolder(t *testing.T) {
	m := small(t)
	first, second := filepath.Join(t.TempDir(), "a", "b"), t.TempDir()
	res, err := export.Folder(t.Context(), m, first, export.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := export.Folder(t.Context(), open(t, m.Path), second, export.Options{}); err != nil {
		t.Fatal(err)
	}
	files := contents(t, first)
	if !maps.Equal(files, contents(t, second)) || !slices.Equal(slices.Sorted(maps.Keys(files)), all) {
		t.Errorf("%q, and again %q", files, contents(t, second))
	}
	weights := []byte(files["model.safetensors"])
	sum := fmt.Sprintf("%x", sha256.Sum256(weights))
	if res.Model != sum || res.SHA256 != m.SHA256 || res.Parameters != 87 || res.Round != "" {
		t.Errorf("%+v, and the weights have sha256 %s", res, sum)
	}
	// By the format's specification: a length, a header, tensors in the order of their offsets.
	n := binary.LittleEndian.Uint64(weights)
	var header map[string]struct {
		Dtype   string
		Shape   []int
		Offsets [2]int `json:"data_offsets"`
		Format  string
	}
	if err := json.Unmarshal(weights[8:8+n], &header); err != nil || n%8 != 0 {
		t.Fatalf("a header of %d bytes: %v", n, err)
	}
	if len(header) != 8 || header["__metadata__"].Format != "pt" || len(weights) != 8+int(n)+4*87 {
		t.Errorf("%d bytes with the header %v", len(weights), header)
	}
	bias := header["dense.bias"]
	if !slices.Equal(bias.Shape, []int{4}) || bias.Dtype != "F32" || bias.Offsets != [2]int{0, 16} {
		t.Errorf("dense.bias is %+v", bias)
	}
	want := m.Weights.ByPos[len(m.Weights.ByPos)-1]
	for i, x := range want {
		if got := math.Float32frombits(binary.LittleEndian.Uint32(weights[8+int(n)+4*i:])); got != x {
			t.Errorf("dense.bias[%d] is %v, want %v", i, got, x)
		}
	}
	if files["vocab.json"] != `{"\n":0," ":1,"a":2,"b":3}`+"\n" {
		t.Errorf("vocab.json is %s", files["vocab.json"])
	}
	if want := fmt.Sprintf(smallConfig, m.SHA256, sum, m.Set); files["config.json"] != want {
		t.Errorf("config.json is %s, want %s", files["config.json"], want)
	}
	for _, text := range []string{"---\nlibrary_name: pytorch\npipeline_tag: text-generation\ntags:\n- quire\n- char-rnn\n- gru\n---\n\n# A char",
		"GRU of 1 layer with 3 hidden units, embeddings of 2, 4 characters: 87 parameters.", "| 1 | 3 | 2.5000 | - |\n| 2 | 7 | 2.2500 | 2.3750 |\n",
		"model.generate(\" \")", "No round is known that judged this model.", "- checkpoint of step 7, epoch 2: `" + m.SHA256 + "`\n"} {
		if !strings.Contains(files["README.md"], text) {
			t.Errorf("the card lacks %q: %s", text, files["README.md"])
		}
	}
	if _, sample, ok := strings.Cut(files["README.md"], "## Sample\n\n500 characters, drawn at temperature 0.8:\n\n```text\n"); !ok ||
		len(sample) != 500+len("\n```\n") || strings.Trim(sample[:500], "\n ab") != "" {
		t.Errorf("the sample is %q", sample)
	}
	if strings.Contains(files["README.md"], "\nlicense:") {
		t.Error("the card names a licence")
	}
}

const smallConfig = `{
  "architectures": [
    "QuireForCausalLM"
  ],
  "model_type": "quire",
  "auto_map": {
    "AutoConfig": "transformers_quire.QuireConfig",
    "AutoModelForCausalLM": "transformers_quire.QuireForCausalLM"
  },
  "cell": "gru",
  "embedding_size": 2,
  "hidden_size": 3,
  "num_hidden_layers": 1,
  "vocab_size": 4,
  "unit": "rune",
  "normalize": "none",
  "unk_token_id": null,
  "dtype": "float32",
  "quire": {
    "checkpoint_sha256": "%s",
    "model_sha256": "%s",
    "set_sha256": "%s",
    "step": 7,
    "epoch": 2
  }
}
`

// TestVocabulary: a byte is the character of its value, and [UNK] comes first.
func TestVocabulary(t *testing.T) {
	for i, want := range map[int]string{1: "{\"[UNK]\":0,\"\\\"\":1,\"&\":2,\"<\":3,\"\\\\\":4,\"a\":5,\"b\":6,\"é\":7,\"\\u2028\":8,\"語\":9,\"😀\":10}\n",
		3: "{\"\\u0000\":0,\" \":1,\"a\":2,\"\u0090\":3,\"×\":4,\"ÿ\":5}\n", 4: "{\"[UNK]\":0,\" \":1,\"a\":2,\"Ã\":3}\n"} {
		dir := t.TempDir()
		m := open(t, save(t, kinds[i], rnn.Shape{Cell: rnn.LSTM, Layers: 1, Embedding: 1, Hidden: 1}))
		if _, err := export.Folder(t.Context(), m, dir, export.Options{}); err != nil {
			t.Fatal(err)
		}
		files := contents(t, dir)
		if files["vocab.json"] != want {
			t.Errorf("vocab.json is %q, want %q", files["vocab.json"], want)
		}
		unknown := `"unk_token_id": null`
		if m.Vocab.HasUnknown() {
			unknown = `"unk_token_id": 0`
		}
		if !strings.Contains(files["config.json"], unknown) || !strings.Contains(files["config.json"], fmt.Sprintf(`"unit": %q`, m.Unit)) {
			t.Errorf("config.json of %q is %s", kinds[i].known, files["config.json"])
		}
	}
}

// TestRefused: other files are never changed, another model only with Replace, and a set, a
// run or a workdir not at all.
func TestRefused(t *testing.T) {
	m := small(t)
	other := open(t, save(t, kinds[0], rnn.Shape{Cell: rnn.LSTM, Layers: 1, Embedding: 2, Hidden: 3}))
	for _, name := range []string{"notes.txt", "manifest.json", "run.json", "promoted.json"} {
		dir := t.TempDir()
		put(t, dir, name, "mine")
		put(t, dir, "vocab.json", "mine")
		var foreign *export.ForeignError
		if _, err := export.Folder(t.Context(), m, dir, export.Options{}); !errors.As(err, &foreign) || foreign.File != name {
			t.Errorf("to a folder with %s: %v", name, err)
		}
		if got := contents(t, dir); len(got) != 2 || got[name] != "mine" || got["vocab.json"] != "mine" {
			t.Errorf("the folder with %s has %q", name, got)
		}
		_, err := export.Folder(t.Context(), m, dir, export.Options{Replace: true})
		got := contents(t, dir)
		if name != "notes.txt" {
			if !errors.As(err, &foreign) || !foreign.Own || len(got) != 2 || got["vocab.json"] != "mine" {
				t.Errorf("with Replace, to a folder with %s: %v, and it has %q", name, err, got)
			}
		} else if err != nil || got[name] != "mine" || len(got) != len(all)+1 {
			t.Errorf("with Replace, to a folder with %s: %v, and it has %q", name, err, got)
		}
	}
	dir := t.TempDir()
	put(t, dir, ".gitattributes", "mine")
	if _, err := export.Folder(t.Context(), m, dir, export.Options{}); err != nil {
		t.Fatal(err)
	}
	before := contents(t, dir)
	var differs *export.OtherError
	if _, err := export.Folder(t.Context(), other, dir, export.Options{}); !errors.As(err, &differs) || differs.File != "model.safetensors" {
		t.Errorf("over another model: %v", err)
	}
	if !maps.Equal(contents(t, dir), before) {
		t.Error("a refused export has changed the folder")
	}
	want := t.TempDir()
	put(t, want, ".gitattributes", "mine")
	for _, to := range []string{want, dir} {
		if _, err := export.Folder(t.Context(), other, to, export.Options{Replace: true}); err != nil {
			t.Fatal(err)
		}
	}
	if !maps.Equal(contents(t, dir), contents(t, want)) {
		t.Error("an export that replaced another is not one in an empty folder")
	}
}

// TestBucket: an export goes to a prefix of a bucket, with the bytes of one in a folder.
func TestBucket(t *testing.T) {
	server := gcstest.New(t)
	server.Set("bucket", "models/other/notes.txt", []byte("mine"))
	m := small(t)
	other := open(t, save(t, kinds[0], rnn.Shape{Cell: rnn.LSTM, Layers: 1, Embedding: 2, Hidden: 3}))
	dir := t.TempDir()
	for _, to := range []string{dir, "gs://bucket/models/one", "gs://bucket/models/one"} {
		if _, err := export.Folder(t.Context(), m, to, export.Options{}); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range contents(t, dir) {
		if got, ok := server.Object("bucket", "models/one/"+name); !ok || string(got) != want || server.Writes("bucket", "models/one/"+name) != 1 {
			t.Errorf("%s in the bucket has %d bytes, want %d, and was written %d times", name, len(got), len(want), server.Writes("bucket", "models/one/"+name))
		}
	}
	if _, err := export.Folder(t.Context(), other, "gs://bucket/models/one", export.Options{}); !errors.As(err, new(*export.OtherError)) {
		t.Errorf("over another model: %v", err)
	}
	if _, err := export.Folder(t.Context(), m, "gs://bucket/models", export.Options{}); !errors.As(err, new(*export.ForeignError)) {
		t.Errorf("beside other files: %v", err)
	}
	if _, err := export.Folder(t.Context(), other, "gs://bucket/models/one", export.Options{Replace: true}); err != nil {
		t.Error(err)
	}
	if got, _ := server.Object("bucket", "models/one/config.json"); !strings.Contains(string(got), `"cell": "lstm"`) {
		t.Errorf("config.json is %s", got)
	}
}

// TestStopped stops an export at each operation on a file: config.json is there with all
// files of one model, or not at all, and the same export again ends well.
func TestStopped(t *testing.T) {
	m := small(t)
	other := open(t, save(t, kinds[0], rnn.Shape{Cell: rnn.LSTM, Layers: 1, Embedding: 2, Hidden: 3}))
	want, wantOther := t.TempDir(), t.TempDir()
	for m, dir := range map[*text.Model]string{m: want, other: wantOther} {
		if _, err := export.Folder(t.Context(), m, dir, export.Options{}); err != nil {
			t.Fatal(err)
		}
	}
	stops := 0
	for _, replace := range []bool{false, true} {
		for at := 1; ; at++ {
			dir, o := filepath.Join(t.TempDir(), "out"), export.Options{Replace: replace}
			if replace {
				if _, err := export.Folder(t.Context(), other, dir, export.Options{}); err != nil {
					t.Fatal(err)
				}
			}
			n := 0
			restore := store.InjectFaults(func(op, name string) error {
				if n++; n >= at && op != "close" { // a dead process has its files closed
					return errors.New("stopped")
				}
				return nil
			})
			_, err := export.Folder(t.Context(), m, dir, o)
			restore()
			if err == nil {
				break
			}
			stops++
			found := map[string]string{}
			if _, err := os.Stat(dir); err == nil {
				found = contents(t, dir)
			}
			maps.DeleteFunc(found, func(name, _ string) bool { return strings.HasPrefix(name, ".tmp-") })
			if _, whole := found["config.json"]; whole && !maps.Equal(found, contents(t, want)) && !maps.Equal(found, contents(t, wantOther)) {
				t.Errorf("replace %v, stopped at operation %d: the folder has config.json beside %q", replace, at, slices.Sorted(maps.Keys(found)))
			}
			if _, err := export.Folder(t.Context(), m, dir, o); err != nil {
				t.Fatalf("replace %v, stopped at operation %d and started again: %v", replace, at, err)
			}
			found = contents(t, dir)
			maps.DeleteFunc(found, func(name, _ string) bool { return strings.HasPrefix(name, ".tmp-") })
			if !maps.Equal(found, contents(t, want)) {
				t.Errorf("replace %v, stopped at operation %d and started again: %q", replace, at, slices.Sorted(maps.Keys(found)))
			}
		}
	}
	if stops < 40 {
		t.Errorf("stopped %d times", stops)
	}
}

func put(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}
