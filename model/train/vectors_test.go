package train_test

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/quire-ml/quire/model/adam"
	"github.com/quire-ml/quire/model/graph"
	"github.com/quire-ml/quire/model/kernel"
	"github.com/quire-ml/quire/model/rnn"
)

// vectorCase is one entry of index.json; shared/vectors/README.md explains it.
type vectorCase struct {
	Name, File, Cell string
	T, B, I, H, V, N int
	Tolerance32      map[string]float64 `json:"tolerance32"`
}

// TestVectors compares logits, loss, final hidden, every gradient, ten Adam
// steps and ten clipped ones with PyTorch's float64 numbers.
func TestVectors(t *testing.T) {
	dir := os.Getenv("QUIRE_VECTORS")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "vectors")
	}
	index, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if err != nil {
		t.Skipf("no reference vectors (QUIRE_VECTORS names their folder): %v", err)
	}
	var list struct{ Cases []vectorCase }
	if err := json.Unmarshal(index, &list); err != nil {
		t.Fatal(err)
	}
	if len(list.Cases) == 0 {
		t.Fatalf("%s names no cases", dir)
	}
	for _, c := range list.Cases {
		t.Run(c.Name, func(t *testing.T) { checkCase(t, c, readTensors(t, filepath.Join(dir, c.File))) })
	}
}

// tensors are the tensors of a case as float64, by name.
type tensors map[string][]float64

func readTensors(t *testing.T, path string) tensors {
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	n := binary.LittleEndian.Uint64(data)
	var header map[string]json.RawMessage
	if err := json.Unmarshal(data[8:8+n], &header); err != nil {
		t.Fatal(err)
	}
	out := tensors{}
	for name, raw := range header {
		if name == "__metadata__" {
			continue
		}
		var e struct {
			Dtype   string
			Offsets [2]int `json:"data_offsets"`
		}
		if err := json.Unmarshal(raw, &e); err != nil {
			t.Fatal(err)
		}
		out[name] = decodeTensor(t, name, e.Dtype, data[8+int(n)+e.Offsets[0]:8+int(n)+e.Offsets[1]])
	}
	return out
}

func decodeTensor(t *testing.T, name, dtype string, b []byte) []float64 {
	var v []float64
	for len(b) > 0 {
		switch dtype {
		case "F64":
			v, b = append(v, math.Float64frombits(binary.LittleEndian.Uint64(b))), b[8:]
		case "F32":
			v, b = append(v, float64(math.Float32frombits(binary.LittleEndian.Uint32(b)))), b[4:]
		case "I32":
			v, b = append(v, float64(int32(binary.LittleEndian.Uint32(b)))), b[4:]
		default:
			t.Fatalf("%s: dtype %s", name, dtype)
		}
	}
	return v
}

// check reports the worst difference of one tensor.
func (c vectorCase) check(t *testing.T, name string, got []float32, want []float64) {
	t.Helper()
	wide := make([]float64, len(got))
	for i, x := range got {
		wide[i] = float64(x)
	}
	c.check64(t, name, wide, want)
}

func (c vectorCase) check64(t *testing.T, name string, got, want []float64) {
	t.Helper()
	tol, ok := c.Tolerance32[name]
	if !ok || len(want) == 0 || len(got) != len(want) {
		t.Errorf("%s: %d values and tolerance %g, want %d values", name, len(got), tol, len(want))
		return
	}
	worst, at := 0.0, 0
	for i, w := range want {
		if d := math.Abs(got[i] - w); d > worst || math.IsNaN(d) {
			worst, at = d, i
		}
	}
	if !(worst <= tol) {
		t.Errorf("%s[%d] = %.9g, want %.9g: difference %.3g, tolerance %.3g", name, at, got[at], want[at], worst, tol)
	}
}

func (c vectorCase) shape() rnn.Shape {
	return rnn.Shape{Cell: rnn.Cell(c.Cell), Layers: c.N, Vocabulary: c.V, Embedding: c.I, Hidden: c.H}
}

// timeFirst turns ids (B, T) into (T, B).
func (c vectorCase) timeFirst(ids []float64) []int32 {
	out := make([]int32, c.T*c.B)
	for b := 0; b < c.B; b++ {
		for t := 0; t < c.T; t++ {
			out[t*c.B+b] = int32(ids[b*c.T+t])
		}
	}
	return out
}

// batchFirst turns rows (T, B, width) into (B, T, width).
func (c vectorCase) batchFirst(rows []float32, width int) []float32 {
	out := make([]float32, len(rows))
	for b := 0; b < c.B; b++ {
		for t := 0; t < c.T; t++ {
			copy(out[(b*c.T+t)*width:][:width], rows[(t*c.B+b)*width:])
		}
	}
	return out
}

func (c vectorCase) network(t *testing.T, x tensors) (*graph.Network, *rnn.Weights) {
	w := rnn.NewWeights(c.shape())
	for pos, p := range w.Shape.Parameters() {
		values := x["param."+p.Name]
		if len(values) != p.Size() {
			t.Fatalf("%s has %d values, want %d", p.Name, len(values), p.Size())
		}
		for i, v := range values {
			w.ByPos[pos][i] = float32(v)
		}
	}
	net, err := graph.New(w, c.T, c.B, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { net.Close() })
	return net, w
}

func checkCase(t *testing.T, c vectorCase, x tensors) {
	net, _ := c.network(t, x)
	state := func(name string) (s [][]float32) {
		for k := 0; k < c.N && x[fmt.Sprintf("%s.l%d", name, k)] != nil; k++ {
			var v []float32
			for _, f := range x[fmt.Sprintf("%s.l%d", name, k)] {
				v = append(v, float32(f))
			}
			s = append(s, v)
		}
		return s
	}
	net.SetHidden(state("h0"), state("c0"))
	loss, err := net.Run(c.timeFirst(x["ids"]), c.timeFirst(x["targets"]))
	if err != nil {
		t.Fatal(err)
	}
	c.check64(t, "loss", []float64{loss}, x["loss"])
	c.check(t, "logits", c.batchFirst(net.Logits(), c.V), x["logits"])
	for k := 0; k < c.N; k++ {
		h, cell := net.Last(k)
		c.check(t, fmt.Sprintf("hT.l%d", k), h, x[fmt.Sprintf("hT.l%d", k)])
		if c.Cell == "lstm" {
			c.check(t, fmt.Sprintf("cT.l%d", k), cell, x[fmt.Sprintf("cT.l%d", k)])
		}
	}
	seen := 0
	for name, want := range x {
		if p, ok := strings.CutPrefix(name, "grad."); ok {
			c.check(t, name, net.Gradient(p), want)
			seen++
		}
	}
	if seen < len(c.shape().Parameters()) {
		t.Errorf("%d gradients compared, want one a parameter", seen)
	}
	c.train(t, x, "", 0)
	c.train(t, x, "clip.", x["clip.value"][0])
}

// train takes the ten Adam steps of a case.
func (c vectorCase) train(t *testing.T, x tensors, prefix string, clip float64) {
	net, w := c.network(t, x)
	var sizes []int
	for _, p := range w.Shape.Parameters() {
		sizes = append(sizes, p.Size())
	}
	solver := adam.New(kernel.NewTeam(), 1e-3, clip, sizes)
	var losses, norms []float64
	for step := 0; step < 10; step++ {
		n := c.B * c.T
		loss, err := net.Run(c.timeFirst(x["train.ids"][step*n:(step+1)*n]), c.timeFirst(x["train.targets"][step*n:(step+1)*n]))
		if err != nil {
			t.Fatal(err)
		}
		if err := solver.Step(net.Parameters()); err != nil {
			t.Fatal(err)
		}
		losses, norms = append(losses, loss), append(norms, solver.Norm())
	}
	if clip == 0 {
		c.check64(t, "train.losses", losses, x["train.losses"])
	} else {
		c.check64(t, "clip.losses", losses, x["clip.losses"])
		c.check64(t, "clip.norms", norms, x["clip.norms"])
	}
	for i, p := range w.Shape.Parameters() {
		c.check(t, prefix+"after10."+p.Name, w.ByPos[i], x[prefix+"after10."+p.Name])
	}
}
