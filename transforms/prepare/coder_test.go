package prepare

import (
	"testing"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/graph/coder"

	"github.com/quire-ml/quire/transforms/corpus"
)

// TestOpaque looks at what every edge of the pipeline carries: engines look into
// no element, see package opaque.
func TestOpaque(t *testing.T) {
	docs := []corpus.Document{{Name: "a", Path: "a", Bytes: 1}}
	for _, by := range []string{"tail", "block"} {
		for _, way := range []string{"files", "engine"} {
			p, s := beam.NewPipelineWithRoot()
			Set(s, docs, Options{Dir: "x", SeqLength: 1, ValidationBy: by, Way: way})
			_, nodes, err := p.Build()
			if err != nil {
				t.Fatal(err)
			}
			custom := 0
			for _, n := range nodes {
				custom += customCoders(t, n.String(), n.Coder)
			}
			if custom < 10 {
				t.Errorf("%s, %s: only %d of %d collections have elements of our own", by, way, custom, len(nodes))
			}
		}
	}
}

// customCoders returns the number of custom coders in c.
func customCoders(t *testing.T, name string, c *coder.Coder) (custom int) {
	t.Helper()
	switch c.Kind {
	case coder.Row:
		t.Errorf("%s: an engine would look into %v: it needs opaque.Register", name, c.T)
	case coder.Custom:
		custom++
	}
	for _, part := range c.Components {
		custom += customCoders(t, name, part)
	}
	return custom
}
