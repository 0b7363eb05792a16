package corpus_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/testing/ptest"

	"github.com/quire-ml/quire/transforms/corpus"
)

func init() { beam.RegisterDoFn(&renameFn{}) }

// renameFn gives every document the name that Names has for its own.
type renameFn struct{ Names map[string]string }

func (f *renameFn) ProcessElement(d corpus.Document, text []byte) (string, []byte) {
	return f.Names[d.Name], text
}

// TestWhole reads documents whole and writes them under other names. A name is
// written once.
func TestWhole(t *testing.T) {
	for _, c := range []struct {
		names map[string]string
		fails string
	}{
		{map[string]string{"a": "x", "b": "sub/y", "c": "z"}, ""},
		{map[string]string{"a": "x", "b": "x", "c": "z"}, ""}, // equal documents
		{map[string]string{"a": "x", "b": "y", "c": "x"}, "corpus: x: "},
		{map[string]string{"a": "../x", "b": "y", "c": "z"}, `element ".."`},
	} {
		texts := map[string]string{"a": "to be\xff", "b": "to be\xff", "c": ""}
		var docs []corpus.Document
		from, to := t.TempDir(), t.TempDir()
		for name, text := range texts {
			path := filepath.Join(from, name)
			if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
				t.Fatal(err)
			}
			docs = append(docs, corpus.Document{Name: name, Path: path, Bytes: int64(len(text))})
		}
		p, s := beam.NewPipelineWithRoot()
		corpus.WriteAll(s, to, beam.ParDo(s, &renameFn{c.names}, corpus.ReadAll(s, beam.CreateList(s, docs))))
		if err := ptest.Run(p); err != nil || c.fails != "" {
			if err == nil || c.fails == "" || !strings.Contains(err.Error(), c.fails) {
				t.Errorf("%v: %v, want %q", c.names, err, c.fails)
			}
			continue
		}
		for name, text := range texts {
			data, err := os.ReadFile(filepath.Join(to, c.names[name]))
			if err != nil || string(data) != text {
				t.Errorf("%v: %s is %q, %v, want %q", c.names, name, data, err, text)
			}
		}
	}
}
