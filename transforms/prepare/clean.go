package prepare

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/transforms/dataset"
)

// partsPrefix starts the names of temporary files.
const partsPrefix = ".parts/"

// shardPattern matches what dataset.ShardName returns.
var shardPattern = regexp.MustCompile(`^(train|validation|test)-\d{5}-of-\d{5}\.tfrecord$`)

// Clean removes the remains of pipelines from the set's folder st: temporary files
// and, where there is no manifest, the shards and the vocabulary of an unfinished
// pipeline. Other files stay. Call Clean before the pipeline and after it.
func Clean(ctx context.Context, st *store.Store) error {
	_, err := st.Stat(ctx, dataset.ManifestName)
	if err != nil && !errors.Is(err, store.ErrNotExist) {
		return err
	}
	finished := err == nil
	infos, err := st.List(ctx, "")
	if err != nil {
		return err
	}
	for _, info := range infos {
		left := info.Name == dataset.VocabName || shardPattern.MatchString(info.Name)
		if strings.HasPrefix(info.Name, partsPrefix) || left && !finished {
			if err := st.Delete(ctx, info.Name, ""); err != nil {
				return err
			}
		}
	}
	if dir, ok := st.Local(); ok {
		// Also the temporary files of killed attempts, which List does not show.
		return os.RemoveAll(filepath.Join(dir, filepath.FromSlash(partsPrefix)))
	}
	return nil
}
