package prepare

import (
	"testing"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/graph"

	"github.com/quire-ml/quire/transforms/corpus"
)

// A dag answers questions about a pipeline's collections.
type dag struct {
	maker map[*graph.Node]*graph.MultiEdge
}

// late reports whether a collection's watermark may stand at the window's end, past
// nothing but not past that, while its elements are still being made: a ParDo makes
// them of a GroupByKey's output, or of what is made of that.
func (d dag) late(n *graph.Node) bool {
	e := d.maker[n]
	switch {
	case e.Op == graph.Impulse:
		return false
	case e.Op == graph.CoGBK:
		return d.late(e.Input[0].From)
	}
	from := d.maker[e.Input[0].From]
	return from.Op == graph.CoGBK || d.late(e.Input[0].From)
}

// needs reports whether n is made of other, or with it as a side input.
func (d dag) needs(n, other *graph.Node) bool {
	if n == other {
		return true
	}
	for _, in := range d.maker[n].Input {
		if d.needs(in.From, other) {
			return true
		}
	}
	return false
}

// waits reports whether a GroupByKey before n needs other.
func (d dag) waits(n, other *graph.Node) bool {
	e := d.maker[n]
	if e.Op == graph.Impulse {
		return false
	}
	if e.Op == graph.CoGBK {
		for _, in := range e.Input {
			if d.needs(in.From, other) {
				return true
			}
		}
	}
	return d.waits(e.Input[0].From, other)
}

// TestSideInputsAreWhole holds the rule of the package comment: no step may start
// before its side input is whole because two watermarks stand at the window's end.
func TestSideInputsAreWhole(t *testing.T) {
	docs := []corpus.Document{{Name: "a", Path: "a", Bytes: 1000}}
	sides := 0
	for _, by := range []string{"tail", "block"} {
		for _, way := range []string{"files", "engine"} {
			p, s := beam.NewPipelineWithRoot()
			Set(s, docs, Options{Dir: "set", SeqLength: 5, ValidationFraction: 0.1, ValidationBy: by, Way: way})
			edges, _, err := p.Build()
			if err != nil {
				t.Fatal(err)
			}
			d := dag{maker: map[*graph.Node]*graph.MultiEdge{}}
			for _, e := range edges {
				for _, out := range e.Output {
					d.maker[out.To] = e
				}
			}
			for _, e := range edges {
				if e.Op != graph.ParDo {
					continue
				}
				main := e.Input[0].From
				for _, side := range e.Input[1:] {
					sides++
					if d.late(main) && d.late(side.From) && !d.waits(main, side.From) {
						t.Errorf("%s, %s: %s may start before its side input is whole", by, way, e.Name())
					}
				}
			}
		}
	}
	if sides != 4+4+6+6 {
		t.Errorf("%d side inputs, want 20", sides)
	}
}
