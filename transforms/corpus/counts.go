package corpus

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/transforms/vocab"
)

// Counts are the statistics of documents, kept so that the next corpus that has
// all of these documents, under whatever names, need not count them again.
type Counts struct {
	Form       Form
	BlockBytes int64      // of the blocks that were counted
	Documents  []string   // sha256 in hex
	Statistics Statistics // a document's position is that in Documents
}

// maxKept is how many different characters, pairs and triples may be kept: some
// 20 MB.
const maxKept = 1 << 20

const countsFormat = "quire-counts/1"

// countsFile is Counts as it is written. Lists are flat: a character and its
// count, a pair and its count, a triple and its count, and the six numbers of a
// block.
type countsFile struct {
	Format     string   `json:"format"`
	Unit       string   `json:"unit"`
	NFC        bool     `json:"nfc"`
	BlockBytes int64    `json:"block_bytes"`
	Documents  []string `json:"documents"`
	Chars      []int64  `json:"chars"`
	Pairs      []int64  `json:"pairs"`
	Triples    []int64  `json:"triples"`
	Many       bool     `json:"many"`
	Blocks     []int64  `json:"blocks"`
	Invalid    Invalid  `json:"invalid"`
}

// Write replaces the counts at name in st, unless they are too many to be worth
// keeping. Where another process is quicker, its counts stay.
func (c *Counts) Write(ctx context.Context, st *store.Store, name string) error {
	s := &c.Statistics
	if len(s.Chars)+len(s.Pairs)+len(s.Triples) > maxKept {
		return nil
	}
	f := countsFile{Format: countsFormat, Unit: string(c.Form.Unit), NFC: c.Form.NFC, BlockBytes: c.BlockBytes, Documents: c.Documents, Many: s.Many, Invalid: s.Invalid}
	for _, x := range s.Chars {
		f.Chars = append(f.Chars, x.Char, x.Count)
	}
	for _, x := range s.Pairs {
		f.Pairs = append(f.Pairs, x.First, x.Second, x.Count)
	}
	for _, x := range s.Triples {
		f.Triples = append(f.Triples, x.First, x.Second, x.Third, x.Count)
	}
	for _, x := range s.Blocks {
		f.Blocks = append(f.Blocks, x.Doc, x.Offset, x.Length, x.Chars, x.Invalid, x.CRC)
	}
	data, err := store.MarshalSealed(f)
	if err != nil {
		return fmt.Errorf("corpus: counts: %w", err)
	}
	if err = st.Replace(ctx, name, data); errors.Is(err, store.ErrConflict) {
		return nil
	}
	return err
}

// ReadCounts reads what Write has written.
func ReadCounts(ctx context.Context, st *store.Store, name string) (*Counts, error) {
	data, _, err := st.Read(ctx, name)
	if err != nil {
		return nil, err
	}
	var f countsFile
	if err := store.UnmarshalSealed(st.Join(name), data, &f); err != nil {
		return nil, err
	}
	if f.Format != countsFormat {
		return nil, fmt.Errorf("corpus: %s has the format %q, want %q", st.Join(name), f.Format, countsFormat)
	}
	c := &Counts{Form: Form{vocab.Unit(f.Unit), f.NFC}, BlockBytes: f.BlockBytes, Documents: f.Documents}
	s := &c.Statistics
	s.Many, s.Invalid = f.Many, f.Invalid
	for x := range slices.Chunk(f.Chars, 2) {
		s.Chars = append(s.Chars, CharCount{x[0], x[1]})
	}
	for x := range slices.Chunk(f.Pairs, 3) {
		s.Pairs = append(s.Pairs, PairCount{x[0], x[1], x[2]})
	}
	for x := range slices.Chunk(f.Triples, 4) {
		s.Triples = append(s.Triples, TripleCount{x[0], x[1], x[2], x[3]})
	}
	for x := range slices.Chunk(f.Blocks, 6) {
		s.Blocks = append(s.Blocks, BlockCount{x[0], x[1], x[2], x[3], x[4], x[5]})
	}
	return c, nil
}

// In finds the counted documents in a corpus, whose digests are known. It marks
// them there as counted, and returns their statistics as those of the corpus. ok is
// false, and nothing is marked, where the corpus lacks one of them: what it adds
// to the sums cannot be told.
func (c *Counts) In(docs []Document) (s Statistics, ok bool) {
	at := map[string][]int{}
	for i, d := range docs {
		at[d.SHA256] = append(at[d.SHA256], i)
	}
	places := make([]int64, len(c.Documents))
	for i, sum := range c.Documents {
		if len(at[sum]) == 0 {
			return s, false
		}
		places[i], at[sum] = int64(at[sum][0]), at[sum][1:]
	}
	for _, i := range places {
		docs[i].Counted = true
	}
	s = c.Statistics
	s.Blocks = slices.Clone(s.Blocks)
	for i, b := range s.Blocks {
		s.Blocks[i].Doc = places[b.Doc]
	}
	if s.Invalid.Count > 0 {
		s.Invalid.Doc = places[s.Invalid.Doc]
	}
	return s, true
}
