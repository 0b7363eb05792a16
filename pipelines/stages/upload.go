package stages

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/runners/engine"
	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/transforms/corpus"
)

// reachable returns the documents as the runner's workers can read them. Those
// that were downloaded to this machine for Dataflow are copied to the staging
// location, under the name of their content; a dry run only says where.
func reachable(ctx context.Context, found *text.Corpus, runner string) (docs []corpus.Document, err error) {
	if runner != "dataflow" {
		return found.Documents, nil
	}
	docs = slices.Clone(found.Documents)
	st, err := store.Open(ctx, engine.Staging()+"/corpus")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	for i, d := range docs {
		if store.IsURL(d.Path) {
			continue
		}
		docs[i].Path = st.Join(found.Digests[i])
		if engine.ModeOf(runner) == engine.DryRun {
			continue
		}
		if err := upload(ctx, st, found.Digests[i], d); err != nil {
			return nil, fmt.Errorf("stages: copy %s to the bucket: %w", d.Name, err)
		}
	}
	return docs, nil
}

// upload copies a document, unless it is there.
func upload(ctx context.Context, st *store.Store, name string, d corpus.Document) error {
	if info, err := st.Stat(ctx, name); err == nil && info.Bytes == d.Bytes {
		return nil
	}
	f, err := os.Open(d.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	w, err := st.Create(ctx, name)
	if err != nil {
		return err
	}
	defer w.Abort()
	if _, err := io.Copy(w, f); err != nil {
		return err
	}
	_, err = w.Commit()
	return err
}
