package app_test

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"

	"github.com/quire-ml/quire/transforms/corpus"
)

func init() {
	beam.RegisterDoFn(&hashFn{})
	beam.RegisterDoFn(&firstFn{})
	beam.RegisterDoFn(&stripFn{})
}

// markup is the config of clean.
type markup struct {
	Pattern string `json:"pattern"`
}

// clean strips markup, and drops documents whose text another one has. Only
// documents' names and digests pass the grouping: their texts are read twice.
func clean(s beam.Scope, c markup, docs beam.PCollection) beam.PCollection {
	s = s.Scope("clean")
	byText := beam.GroupByKey(s, beam.ParDo(s, &hashFn{c.Pattern}, corpus.ReadAll(s, docs)))
	return beam.ParDo(s, &stripFn{c.Pattern}, corpus.ReadAll(s, beam.ParDo(s, &firstFn{}, byText)))
}

// hashFn gives a document the digest of its stripped text.
//
// Order: none. Dropped: nothing. Retry: output depends on the element alone.
// Memory: one document, twice.
type hashFn struct{ Pattern string }

func (f *hashFn) ProcessElement(d corpus.Document, text []byte) (string, corpus.Document) {
	sum := sha256.Sum256(strip(f.Pattern, text))
	return hex.EncodeToString(sum[:]), d
}

// firstFn keeps the first document of a text, by name.
//
// Order: none. Dropped: all other documents of the text. Retry: the first one does
// not depend on the order in which they come. Memory: two documents' descriptions.
type firstFn struct{}

func (*firstFn) ProcessElement(_ string, docs func(*corpus.Document) bool) corpus.Document {
	var first, d corpus.Document
	for docs(&d) {
		if first.Name == "" || d.Name < first.Name {
			first = d
		}
	}
	return first
}

// stripFn returns a document's name and its text without markup.
//
// Order: none. Dropped: nothing. Retry: output depends on the element alone.
// Memory: one document, twice.
type stripFn struct{ Pattern string }

func (f *stripFn) ProcessElement(d corpus.Document, text []byte) (string, []byte) {
	return d.Name, strip(f.Pattern, text)
}

func strip(pattern string, text []byte) []byte {
	return regexp.MustCompile(pattern).ReplaceAll(text, nil)
}
