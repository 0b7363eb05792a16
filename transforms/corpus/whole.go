package corpus

import (
	"context"
	"errors"
	"fmt"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"

	"github.com/quire-ml/quire/runners/store"
)

func init() {
	beam.RegisterDoFn(&readFn{})
	beam.RegisterDoFn(&writeFn{})
}

// ReadAll reads documents whole, for transforms that make other documents of them.
//
// It takes a PCollection<Document> and returns a PCollection<KV<Document, []byte>>,
// spread over the workers.
func ReadAll(s beam.Scope, docs beam.PCollection) beam.PCollection {
	s = s.Scope("corpus.ReadAll")
	return beam.ParDo(s, &readFn{}, beam.Reshuffle(s, docs))
}

// readFn returns a document with its bytes.
//
// Order: none. Dropped: nothing. Retry: output depends on the document's bytes
// alone. Memory: one document.
type readFn struct{}

func (f *readFn) ProcessElement(ctx context.Context, d Document) (_ Document, text []byte, err error) {
	var r Reader
	defer func() { err = errors.Join(err, r.Close()) }()
	text, err = r.read(ctx, d, 0, d.Bytes)
	return d, text, err
}

// WriteAll writes documents into a folder or below a gs:// URL, as the source of
// another corpus. A name is written once: two documents of one name are an error,
// unless they are equal.
//
// It takes a PCollection<KV<string, []byte>> of names and texts. dir must mean the
// same on every worker.
func WriteAll(s beam.Scope, dir string, texts beam.PCollection) {
	beam.ParDo0(s.Scope("corpus.WriteAll"), &writeFn{Dir: dir}, texts)
}

// writeFn writes a document.
//
// Order: none. Dropped: nothing. Retry: the same bytes under the same name succeed.
// Memory: one document.
type writeFn struct {
	Dir string `json:"dir"`

	store *store.Store
}

func (f *writeFn) Setup(ctx context.Context) (err error) {
	f.store, err = store.Open(ctx, f.Dir)
	return err
}

func (f *writeFn) Teardown() error { return f.store.Close() }

func (f *writeFn) ProcessElement(ctx context.Context, name string, text []byte) error {
	if _, err := f.store.Put(ctx, name, text); err != nil {
		return fmt.Errorf("corpus: %s: %w", name, err)
	}
	return nil
}
