package inspect

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"

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
	equal := 0
	for _, t := range d.Tensors {
		if t.Differ == 0 && slices.Equal(t.ShapeA, t.ShapeB) && (t.ShapeA == nil) == (t.ShapeB == nil) {
			equal++
		}
	}
	d.Same = equal == len(d.Tensors) && len(d.Origin)+len(d.Config)+len(d.Metrics) == 0
	return &Result{Kind: "diff", Path: pathA, Diff: d, Text: d.text(equal)}, nil
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

func (d *DiffFacts) text(equal int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "A  %s\nB  %s\n", d.A, d.B)
	for _, part := range []struct {
		name string
		list []train.Difference
	}{{"origin", d.Origin}, {"config", d.Config}, {"metrics", d.Metrics}} {
		for _, x := range part.list {
			fmt.Fprintf(&b, "%-8s %s: %s, %s\n", part.name, x.Key, cmp.Or(x.A, "none"), cmp.Or(x.B, "none"))
		}
	}
	for _, t := range d.Tensors {
		switch {
		case t.ShapeA == nil:
			fmt.Fprintf(&b, "tensor   %s: only in B\n", t.Name)
		case t.ShapeB == nil:
			fmt.Fprintf(&b, "tensor   %s: only in A\n", t.Name)
		case !slices.Equal(t.ShapeA, t.ShapeB):
			fmt.Fprintf(&b, "tensor   %s: shape %v, %v\n", t.Name, t.ShapeA, t.ShapeB)
		case t.Differ > 0:
			most := "not finite"
			if t.MaxAbs != nil {
				most = fmt.Sprintf("%.3g", *t.MaxAbs)
			}
			fmt.Fprintf(&b, "tensor   %s: %d values differ, at most by %s, at %d\n", t.Name, t.Differ, most, t.At)
		}
	}
	fmt.Fprintf(&b, "%d of %d tensors are the same\n", equal, len(d.Tensors))
	return b.String()
}
