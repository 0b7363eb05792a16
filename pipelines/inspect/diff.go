package inspect

import (
	"context"
	"encoding/json"
	"math"
	"slices"

	"github.com/quire-ml/quire/model/checkpoint"
	"github.com/quire-ml/quire/model/train"
	"github.com/quire-ml/quire/pipelines/text"
)

// DiffFacts are what differs between two checkpoints, A and B.
type DiffFacts struct {
	A       string             `json:"a"` // where it was read from
	B       string             `json:"b"`
	Same    bool               `json:"same"` // nothing differs
	Origin  []train.Difference `json:"origin"`
	Config  []train.Difference `json:"config"`
	Metrics []train.Difference `json:"metrics"`
	Tensors []TensorDiff       `json:"tensors"` // of all tensors, by name
}

// TensorDiff compares two tensors of a name.
type TensorDiff struct {
	Name   string   `json:"name"`
	ShapeA []int    `json:"shape_a"` // null where A has no such tensor
	ShapeB []int    `json:"shape_b"`
	Differ int      `json:"differ"`  // values whose bits differ
	MaxAbs *float64 `json:"max_abs"` // of a - b; null for other shapes, and where it is no finite number
	At     int      `json:"at"`      // the value where it is, counted from 0 in row-major order
}

// Same reports whether both checkpoints have the tensor, with the same bits.
func (t TensorDiff) Same() bool {
	return t.ShapeA != nil && t.ShapeB != nil && slices.Equal(t.ShapeA, t.ShapeB) && t.Differ == 0
}

// Diff compares two checkpoints: files, or runs of which which picks one.
func Diff(ctx context.Context, pathA, pathB, which string) (*Result, error) {
	a, err := text.OpenModel(ctx, pathA, which)
	if err != nil {
		return nil, err
	}
	b, err := text.OpenModel(ctx, pathB, which)
	if err != nil {
		return nil, err
	}
	d := &DiffFacts{A: a.Path, B: b.Path, Origin: train.Differences(origin(a), origin(b)),
		Config: train.Differences(a.Config, b.Config), Metrics: train.Differences(a.Checkpoint.Metrics, b.Checkpoint.Metrics),
		Tensors: diffTensors(a.Checkpoint, b.Checkpoint)}
	d.Same = len(d.Origin)+len(d.Config)+len(d.Metrics) == 0 &&
		!slices.ContainsFunc(d.Tensors, func(t TensorDiff) bool { return !t.Same() })
	return &Result{Kind: "diff", Path: pathA, Diff: d}, nil
}

// origin is what a checkpoint says of itself beside config and metrics.
func origin(m *text.Model) json.RawMessage {
	data, err := json.Marshal(map[string]any{"cell": m.Cell, "unit": m.Unit, "normalize": m.Normalize, "set": m.Set, "step": m.Step,
		"epoch": m.Epoch, "vocab": m.Checkpoint.Vocab})
	if err != nil {
		panic(err) // a checkpoint's vocabulary is JSON
	}
	return data
}

func diffTensors(a, b *checkpoint.Checkpoint) []TensorDiff {
	var names []string
	for _, t := range slices.Concat(a.Tensors, b.Tensors) {
		names = append(names, t.Name)
	}
	slices.Sort(names)
	var diffs []TensorDiff
	for _, name := range slices.Compact(names) {
		inA, okA := a.Tensor(name)
		inB, okB := b.Tensor(name)
		d := TensorDiff{Name: name}
		if okA {
			d.ShapeA = append([]int{}, inA.Shape...)
		}
		if okB {
			d.ShapeB = append([]int{}, inB.Shape...)
		}
		if okA && okB && slices.Equal(d.ShapeA, d.ShapeB) {
			d.compare(inA.Data, inB.Data)
		}
		diffs = append(diffs, d)
	}
	return diffs
}

func (d *TensorDiff) compare(a, b []float32) {
	worst := 0.0
	for i := range a {
		if math.Float32bits(a[i]) == math.Float32bits(b[i]) {
			continue
		}
		d.Differ++
		// A NaN is worse than anything, and stays so.
		if x := math.Abs(float64(a[i]) - float64(b[i])); x > worst || math.IsNaN(x) && !math.IsNaN(worst) {
			worst, d.At = x, i
		}
	}
	if !math.IsNaN(worst) && !math.IsInf(worst, 0) {
		d.MaxAbs = &worst
	}
}
