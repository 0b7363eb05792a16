package prepare

import (
	"context"
	"errors"

	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/transforms/corpus"
)

const (
	// smallestBlock is the part of the block size of a corpus that the blocks of
	// reused counts have at least, since the plan grows with their number.
	smallestBlock = 4
	// mostReused is how many different characters, pairs and triples, and blocks,
	// reused counts have at most, since they are part of the pipeline: some MB,
	// which every engine takes.
	mostReused = 1 << 17
)

// CountsName is where the counts of a corpus are kept.
const CountsName = "counts.json"

// Reuse lets Set take the counts that an earlier Set has kept in st, and keep its
// own there if it counts anything. It marks the documents that need not be counted
// again, and returns their number: none where the corpus lacks one of those that
// were counted, or their counts are of other characters, of too small blocks, or
// too many.
//
// An error says why the counts cannot be read. Set then counts all documents, and
// replaces them.
func (o *Options) Reuse(ctx context.Context, st *store.Store, docs []corpus.Document) (n int, err error) {
	o.Keep = st.URL()
	c, err := corpus.ReadCounts(ctx, st, CountsName)
	if errors.Is(err, store.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	all := o.complete(corpus.Bytes(docs))
	s := &c.Statistics
	if c.Form != all.form() || c.BlockBytes*smallestBlock < all.BlockBytes || o.BlockBytes != 0 && c.BlockBytes != o.BlockBytes ||
		len(s.Chars)+len(s.Pairs)+len(s.Triples)+len(s.Blocks) > mostReused {
		return 0, nil
	}
	counted, ok := c.In(docs)
	if !ok {
		return 0, nil
	}
	o.BlockBytes, o.Counted = c.BlockBytes, &counted
	if len(c.Documents) == len(docs) {
		o.Keep = ""
	}
	return len(c.Documents), nil
}
