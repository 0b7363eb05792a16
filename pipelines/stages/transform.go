package stages

import (
	"context"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"

	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/runners/engine"
	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/transforms/corpus"
)

// TransformOptions are the inputs of Transform beside the documents.
type TransformOptions struct {
	Out     string // folder or gs:// URL of the new corpus
	Runner  string // direct, prism, flink or dataflow
	Verbose bool   // Beam's log goes to stderr
}

// Transform makes a corpus from another one. build adds the steps to a Beam pipeline
// that turn a PCollection<corpus.Document> into a PCollection<KV<string, []byte>> of
// names and texts.
func Transform(ctx context.Context, found *text.Corpus, o TransformOptions,
	build func(s beam.Scope, docs beam.PCollection) beam.PCollection,
) error {
	out, err := store.Absolute(o.Out)
	if err != nil {
		return err
	}
	docs, err := reachable(ctx, found, o.Runner)
	if err != nil {
		return err
	}
	p, s := beam.NewPipelineWithRoot()
	corpus.WriteAll(s, out, build(s, beam.CreateList(s, docs)))
	return engine.Run(ctx, o.Runner, p, engine.Options{Verbose: o.Verbose})
}
