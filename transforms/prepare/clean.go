package prepare

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"

	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/transforms/dataset"
	"github.com/quire-ml/quire/transforms/layout"
)

// partsPrefix starts the names of temporary files.
const partsPrefix = ".parts/"

// shardPattern matches what dataset.ShardName returns.
var shardPattern = regexp.MustCompile(`^(train|validation|test)-\d{5}-of-\d{5}\.tfrecord$`)

// IsFile reports whether a name is one of a set's files, but its manifest.
func IsFile(name string) bool { return name == dataset.VocabName || shardPattern.MatchString(name) }

// ShardCounts returns the number of shards of each split of a set of corpusBytes bytes of
// text.
func (o Options) ShardCounts(corpusBytes int64) map[string]int {
	counts := map[string]int{}
	for _, s := range o.complete(corpusBytes).splits() {
		counts[s.Name] = s.Shards
	}
	return counts
}

// Clean removes the remains of pipelines from the set's folder st: temporary files
// and, where there is no manifest, the files of a set whose names mine takes. Other
// files stay. Call Clean before the pipeline and after it.
func Clean(ctx context.Context, st *store.Store, mine func(name string) bool) error {
	_, err := st.Stat(ctx, dataset.ManifestName)
	if err != nil && !errors.Is(err, store.ErrNotExist) {
		return err
	}
	dir, local := st.Local()
	var prefixes []string
	if !local {
		prefixes = append(prefixes, partsPrefix)
	}
	if err != nil {
		prefixes = append(prefixes, dataset.VocabName)
		for _, split := range layout.Names {
			prefixes = append(prefixes, split+"-")
		}
	}
	for _, prefix := range prefixes {
		infos, err := st.List(ctx, prefix)
		if err != nil {
			return err
		}
		for _, info := range infos {
			if prefix != partsPrefix && !(IsFile(info.Name) && mine(info.Name)) {
				continue
			}
			if err := st.Delete(ctx, info.Name, ""); err != nil {
				return err
			}
		}
	}
	if local { // at once, and with the temporary files of killed attempts, which List does not show
		return os.RemoveAll(filepath.Join(dir, filepath.FromSlash(partsPrefix)))
	}
	return nil
}
