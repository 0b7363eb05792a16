// Command strip is quire with a stage before prep that strips markup.
package main

import (
	"regexp"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"

	"github.com/quire-ml/quire/pipelines/app"
	"github.com/quire-ml/quire/pipelines/round"
	"github.com/quire-ml/quire/transforms/corpus"
)

func main() { app.Main(round.Transform("strip", 1, any(nil), strip)) }

func strip(s beam.Scope, _ any, docs beam.PCollection) beam.PCollection {
	return beam.ParDo(s, &stripFn{}, corpus.ReadAll(s, docs))
}

type stripFn struct{}

func init() { beam.RegisterDoFn(&stripFn{}) }

var tag = regexp.MustCompile(`<[^>]*>`)

func (*stripFn) ProcessElement(d corpus.Document, text []byte) (string, []byte) {
	return d.Name, tag.ReplaceAll(text, nil)
}
