package checkpoint

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io/fs"
	"math"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/quire-ml/quire/model/rnn"
	"github.com/quire-ml/quire/runners/store"
)

// tiny is a checkpoint with a matrix, a vector, a scalar and an empty tensor.
func tiny() *Checkpoint {
	return &Checkpoint{
		Metadata: Metadata{Cell: "gru", Config: json.RawMessage(`{"model":{"hidden":2}}`), Vocab: json.RawMessage(`["a","<é>"]`),
			Unit: "rune", Normalize: "none", Step: 172, Epoch: 1, Set: "5e7", Metrics: json.RawMessage(`{"epochs":[]}`)},
		Tensors: []Tensor{
			{"w", []int{2, 3}, []float32{1, -2, 0.5, float32(math.Inf(1)), 1e-45, float32(math.Copysign(0, -1))}},
			{"adam.m.w", []int{3}, []float32{1, 2, 3}},
			{"scalar", []int{}, []float32{7}},
			{"none", []int{0, 4}, []float32{}},
		},
	}
}

// golden is tiny as a file: its header, and its values in order.
const goldenHeader = `{"__metadata__":{"digest":"06e0e1a1aec08f6de15f192f5c580c832b49df4e42abb2f5d2fec49b4505f65a",` +
	`"format":"quire-checkpoint/1","cell":"gru","config":"{\"model\":{\"hidden\":2}}","vocab":"[\"a\",\"<é>\"]",` +
	`"unit":"rune","normalize":"none","step":"172","epoch":"1","set":"5e7","metrics":"{\"epochs\":[]}",` +
	`"sha256":"{\"adam.m.w\":\"8e628779e6a74ee0b36991c10158f63cafec7d340ad4e075592502c8708524dd\",` +
	`\"none\":\"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\",` +
	`\"scalar\":\"ee0a6628f97214b7ef5d15c54388ea478862369e517aa4ef4593aea18c3ff618\",` +
	`\"w\":\"d7117bae7710a5b56ce611ad66906f16fda5f1d967509b1d511769f1e1f90412\"}"},` +
	`"adam.m.w":{"dtype":"F32","shape":[3],"data_offsets":[0,12]},` +
	`"none":{"dtype":"F32","shape":[0,4],"data_offsets":[12,12]},` +
	`"scalar":{"dtype":"F32","shape":[],"data_offsets":[12,16]},` +
	`"w":{"dtype":"F32","shape":[2,3],"data_offsets":[16,40]}}`

var goldenValues = []float32{1, 2, 3, 7, 1, -2, 0.5, float32(math.Inf(1)), 1e-45, float32(math.Copysign(0, -1))}

func goldenFile() []byte {
	header := []byte(goldenHeader)
	for len(header)%8 != 0 {
		header = append(header, ' ')
	}
	file := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	file = append(file, header...)
	for _, x := range goldenValues {
		file = binary.LittleEndian.AppendUint32(file, math.Float32bits(x))
	}
	return file
}

func encode(t testing.TB, c *Checkpoint) []byte {
	t.Helper()
	l, err := plan(c)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if _, err := l.write(&b); err != nil {
		t.Fatal(err)
	}
	if int64(b.Len()) != l.size {
		t.Fatalf("%d bytes written, %d planned", b.Len(), l.size)
	}
	return b.Bytes()
}

func openStore(t testing.TB, dir string) *store.Store {
	t.Helper()
	st, err := store.Open(context.Background(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	return st
}

// save saves c in a new folder.
func save(t testing.TB, c *Checkpoint) (*store.Store, Pointer) {
	t.Helper()
	st := openStore(t, t.TempDir())
	p, err := Save(context.Background(), st, c)
	if err != nil {
		t.Fatal(err)
	}
	return st, p
}

// TestGolden pins the format to the byte.
func TestGolden(t *testing.T) {
	got, want := encode(t, tiny()), goldenFile()
	if at := differ(got, want); at >= 0 {
		t.Fatalf("byte %d:\n got %q\nwant %q", at, got, want)
	}
	for i := 0; i < 20; i++ { // the order of a map must not show
		if !bytes.Equal(encode(t, tiny()), want) {
			t.Fatal("the same checkpoint gave other bytes")
		}
	}
	other := tiny()
	slices.Reverse(other.Tensors)
	if !bytes.Equal(encode(t, other), want) {
		t.Error("the order of tensors changed the bytes")
	}
}

func TestSaveLoad(t *testing.T) {
	ctx := context.Background()
	st, p := save(t, tiny())
	file := goldenFile()
	want := Pointer{Format: "quire-pointer/1", Name: "checkpoints/step-00000172.safetensors", Bytes: int64(len(file)),
		SHA256: "eb171b71d26c6b72d239dfc6c6e405c52fd8b047b926053550731f7a3cb73a13", Step: 172}
	if p != want {
		t.Errorf("pointer %+v, want %+v", p, want)
	}
	got, err := Load(ctx, st, p)
	if err != nil {
		t.Fatal(err)
	}
	sortedTensors, _ := sorted(tiny().Tensors)
	if !reflect.DeepEqual(got, &Checkpoint{Metadata: tiny().Metadata, Tensors: sortedTensors, Digest: string(file[digestAt : digestAt+hexBytes]),
		Bytes: want.Bytes, SHA256: want.SHA256}) {
		t.Errorf("loaded %+v", got)
	}
	if x, ok := got.Tensor("w"); !ok || !reflect.DeepEqual(x, tiny().Tensors[0]) {
		t.Errorf("tensor w is %+v, %v", x, ok)
	}
	if _, ok := got.Tensor("v"); ok {
		t.Error("there is a tensor v")
	}
	if again, err := Save(ctx, st, tiny()); err != nil || again != p {
		t.Errorf("saving the same again: %+v, %v", again, err)
	}
	other := tiny()
	other.Tensors[0].Data[0]++
	if _, err := Save(ctx, st, other); !errors.Is(err, store.ErrConflict) {
		t.Errorf("saving something else for the same step: %v, want a conflict", err)
	}
	if got, err := os.ReadFile(st.Join(p.Name)); err != nil || !bytes.Equal(got, file) {
		t.Errorf("the file changed: %v", err)
	}
}

// TestKeep: a file with a digest for its name has the bytes that were read, and no
// other checkpoint is read from it, however intact.
func TestKeep(t *testing.T) {
	const sum = "eb171b71d26c6b72d239dfc6c6e405c52fd8b047b926053550731f7a3cb73a13" // as in TestSaveLoad
	ctx := t.Context()
	from, p := save(t, tiny())
	c, err := Read(ctx, from, p.Name)
	if err != nil {
		t.Fatal(err)
	}
	st := openStore(t, t.TempDir())
	for range 2 {
		name, err := Keep(ctx, st, "kept", c)
		if err != nil || name != "kept/"+sum+".safetensors" {
			t.Fatalf("kept as %s, %v", name, err)
		}
	}
	name := Named("kept", sum)
	if got, err := os.ReadFile(st.Join(name)); err != nil || !bytes.Equal(got, goldenFile()) {
		t.Errorf("the copy differs from the original: %v", err)
	}
	if got, err := Read(ctx, st, name); err != nil || !reflect.DeepEqual(got, c) {
		t.Errorf("the copy is %+v, %v, want %+v", got, err, c)
	}

	other := tiny()
	other.Tensors[0].Data[0]++
	from, p = save(t, other)
	intact, err := os.ReadFile(from.Join(p.Name))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(st.Join(name), intact, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(ctx, st, name); !Damaged(err) || !strings.Contains(err.Error(), st.Join(name)) ||
		!strings.Contains(err.Error(), p.SHA256+", not that of its name") {
		t.Errorf("another checkpoint under the name: %v", err)
	}
	if _, err := Keep(ctx, st, "kept", c); !errors.Is(err, store.ErrConflict) {
		t.Errorf("a copy where another file is: %v, want a conflict", err)
	}
	c.Tensors[0].Data[0]++ // not what was read
	if _, err := Keep(ctx, openStore(t, t.TempDir()), "kept", c); err == nil || !strings.Contains(err.Error(), "not that of its name") {
		t.Errorf("a copy of other weights: %v", err)
	}
}

func TestSaveRefuses(t *testing.T) {
	for want, change := range map[string]func(c *Checkpoint){
		"tensor w: shape [2 3] has 6 values, found 5":           func(c *Checkpoint) { c.Tensors[0].Data = make([]float32, 5) },
		"tensor w: shape [-2 -3] has a negative size":           func(c *Checkpoint) { c.Tensors[0].Shape = []int{-2, -3} },
		"tensor w: shape [4611686018427387904 4] has more than": func(c *Checkpoint) { c.Tensors[0].Shape = []int{1 << 62, 4} },
		"tensor adam.m.w comes twice":                           func(c *Checkpoint) { c.Tensors[0].Name = "adam.m.w" },
		`a tensor's name is ""`:                                 func(c *Checkpoint) { c.Tensors[0].Name = "" },
		`a tensor's name is "__metadata__"`:                     func(c *Checkpoint) { c.Tensors[0].Name = metadataKey },
		`a tensor's name is "\xff"`:                             func(c *Checkpoint) { c.Tensors[0].Name = "\xff" },
		"unit is not UTF-8":                                     func(c *Checkpoint) { c.Unit = "\xff" },
		`config is not JSON: "{"`:                               func(c *Checkpoint) { c.Config = json.RawMessage("{") },
		"metrics is not UTF-8":                                  func(c *Checkpoint) { c.Metrics = json.RawMessage("\"\xff\"") },
		"step -1, epoch 1: want 0 or more":                      func(c *Checkpoint) { c.Step = -1 },
	} {
		c := tiny()
		change(c)
		st := openStore(t, t.TempDir())
		if _, err := Save(context.Background(), st, c); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), st.Join(Path(c.Step))) {
			t.Errorf("%v, want %s", err, want)
		}
		if list, err := st.List(context.Background(), ""); err != nil || len(list) > 0 {
			t.Errorf("%s: it left %v, %v", want, list, err)
		}
	}
}

func TestEmptyJSON(t *testing.T) {
	c := &Checkpoint{}
	got, _, err := decode(bytes.NewReader(encode(t, c)), int64(len(encode(t, c))))
	if err != nil {
		t.Fatal(err)
	}
	if got.Digest = ""; !reflect.DeepEqual(got, c) {
		t.Errorf("%+v", got)
	}
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	st, p := save(t, tiny())
	cancel()
	if _, err := Load(ctx, st, p); !errors.Is(err, context.Canceled) {
		t.Errorf("Load: %v", err)
	}
	c := tiny()
	c.Step = 2
	if _, err := Save(ctx, st, c); !errors.Is(err, context.Canceled) {
		t.Errorf("Save: %v", err)
	}
	if list, err := st.List(context.Background(), ""); err != nil || len(list) != 1 {
		t.Errorf("a cancelled Save left %v, %v", list, err)
	}
}

// TestLoadAgainstPointer: an intact file that is not the pointer's is refused.
func TestLoadAgainstPointer(t *testing.T) {
	ctx := context.Background()
	st, p := save(t, tiny())
	for want, change := range map[string]func(p *Pointer){
		"the pointer says 9 and":                        func(p *Pointer) { p.Bytes = 9 },
		"and " + strings.Repeat("0", hexBytes):          func(p *Pointer) { p.SHA256 = strings.Repeat("0", hexBytes) },
		"the file is of step 172, the pointer says 171": func(p *Pointer) { p.Step = 171 },
	} {
		q := p
		change(&q)
		if _, err := Load(ctx, st, q); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), st.Join(p.Name)) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	p.Name = Path(3)
	if _, err := Load(ctx, st, p); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), st.Join(p.Name)) {
		t.Errorf("a missing file: %v", err)
	}
}

func TestNames(t *testing.T) {
	for step, want := range map[int64]string{0: "checkpoints/step-00000000.safetensors", 172: "checkpoints/step-00000172.safetensors",
		1234567890: "checkpoints/step-1234567890.safetensors"} {
		if got := Path(step); got != want {
			t.Errorf("step %d is at %s, want %s", step, got, want)
		}
		if got, ok := StepOf(want); got != step || !ok {
			t.Errorf("%s is of step %d, %v, want %d", want, got, ok, step)
		}
	}
	for _, name := range []string{"", "checkpoints/", "checkpoints/step-.safetensors", "checkpoints/step-172.safetensors", "checkpoints/step--0000001.safetensors",
		"checkpoints/step-00000172.safetensors.part", "checkpoints/step-00000172", "step-00000172.safetensors", "checkpoints/old/step-00000172.safetensors"} {
		if step, ok := StepOf(name); ok {
			t.Errorf("%q is of step %d", name, step)
		}
	}
}

// TestWeightsRefuse asks for weights of shapes that a damaged, resealed config may
// state: an error, and no memory is taken.
func TestWeightsRefuse(t *testing.T) {
	shape := rnn.Shape{Cell: rnn.GRU, Layers: 1, Vocabulary: 3, Embedding: 2, Hidden: 2}
	c := &Checkpoint{}
	for _, p := range shape.Parameters() {
		c.Tensors = append(c.Tensors, Tensor{Name: p.Name, Shape: p.Dims, Data: make([]float32, p.Size())})
	}
	c.Tensors[len(c.Tensors)-1].Data[2] = 7
	if w, err := c.Weights(shape); err != nil || w.Flat[len(w.Flat)-1] != 7 {
		t.Fatal(w, err)
	}
	for want, change := range map[string]func(s *rnn.Shape){
		"7 tensors are not those of 4611686018427387904 layers":                     func(s *rnn.Shape) { s.Layers = 1 << 62 },
		"there is no tensor rnn.weight_ih_l1":                                       func(s *rnn.Shape) { s.Layers = 2 },
		"parameter embedding.weight has shape [3 2], want [4611686018427387904 2]":  func(s *rnn.Shape) { s.Vocabulary = 1 << 62 },
		"parameter embedding.weight has shape [3 2], want [3 9223372036854775807]":  func(s *rnn.Shape) { s.Embedding = math.MaxInt64 },
		"parameter rnn.weight_ih_l0 has shape [6 2], want [-4611686018427387904 2]": func(s *rnn.Shape) { s.Hidden = 1 << 62 },
	} {
		s := shape
		change(&s)
		if _, err := c.Weights(s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %s", s, err, want)
		}
	}
}

// TestAncestors: ancestors come back, after the metrics of the header, and leave the
// headers of checkpoints without any as they were.
func TestAncestors(t *testing.T) {
	c, st := tiny(), openStore(t, t.TempDir())
	c.Ancestors = json.RawMessage(`{"sets":["5e6"]}`)
	p, err := Save(t.Context(), st, c)
	if err != nil {
		t.Fatal(err)
	}
	data, _, err := st.Read(t.Context(), p.Name)
	if want := `"metrics":"{\"epochs\":[]}","ancestors":"{\"sets\":[\"5e6\"]}","sha256":`; err != nil || !strings.Contains(string(data), want) {
		t.Errorf("the header has no %s: %v", want, err)
	}
	back, err := Load(t.Context(), st, p)
	if err != nil || string(back.Ancestors) != string(c.Ancestors) {
		t.Errorf("ancestors %s come back as %s, %v", c.Ancestors, back.Ancestors, err)
	}
	c.Ancestors = json.RawMessage(`{"sets":`)
	if _, err := Save(t.Context(), st, c); err == nil || !strings.Contains(err.Error(), "ancestors is not JSON") {
		t.Errorf("ancestors that are no JSON: %v", err)
	}
}

// TestShortHexName: a name of hex digits that is no sha256 says nothing of the file.
func TestShortHexName(t *testing.T) {
	st := openStore(t, t.TempDir())
	for _, name := range []string{"cafe.safetensors", "20261126.safetensors", strings.Repeat("a", 63) + ".safetensors"} {
		if err := os.WriteFile(st.Join(name), goldenFile(), 0o666); err != nil {
			t.Fatal(err)
		}
		if c, err := Read(t.Context(), st, name); err != nil || c.Step != 172 {
			t.Errorf("%s: %+v, %v", name, c, err)
		}
	}
}
