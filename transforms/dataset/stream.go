package dataset

import (
	"context"
	"fmt"
)

// splitNumbers are the splits as SplitOrder numbers them.
var splitNumbers = map[string]int{"train": 0, "validation": 1, "test": 2}

// A StreamReader reads the characters of a split in the order of the documents, as
// if its sequences stood one behind the other: character c is number c mod (L+1)
// of sequence c/(L+1). What a document dropped, or another split has of it, is
// missing there.
type StreamReader struct {
	split *SplitReader
	order Permutation // the rank of each sequence
	ids   []int32     // of one sequence
}

// Stream returns a reader of the stream of the split called name, or nil where the
// set has none.
func (s *Set) Stream(name string) *StreamReader {
	split := s.Split(name)
	if split == nil {
		return nil
	}
	return &StreamReader{split: split, order: SplitOrder(split.Len(), s.manifest.Seed, splitNumbers[name]), ids: make([]int32, s.manifest.SeqLength+1)}
}

// Len returns the number of characters.
func (r *StreamReader) Len() int64 { return r.split.Len() * int64(len(r.ids)) }

// ReadAt fills dst with the ids from character at on. It verifies every record
// that it reads.
func (r *StreamReader) ReadAt(ctx context.Context, at int64, dst []int32) error {
	if at < 0 || at+int64(len(dst)) > r.Len() {
		return fmt.Errorf("dataset: %s: characters %d to %d of a stream of %d", r.split.split.Name, at, at+int64(len(dst)), r.Len())
	}
	for n := int64(len(r.ids)); len(dst) > 0; {
		if err := r.split.Read(ctx, r.order.At(at/n), r.ids); err != nil {
			return err
		}
		copied := copy(dst, r.ids[at%n:])
		dst, at = dst[copied:], at+int64(copied)
	}
	return nil
}
