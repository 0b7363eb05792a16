package dataset

import (
	"context"
	"fmt"
	"slices"

	"github.com/quire-ml/quire/transforms/layout"
)

// SplitData is a split of a set in the order of a training. Epoch 1 visits the
// sequences in the order of the shards, every other epoch in a permutation that
// follows from Seed and the epoch. It is for one goroutine at a time.
type SplitData struct {
	Split *SplitReader // nil: a split without sequences
	Seed  int64

	epoch int
	order Permutation // of epoch
}

// Len returns the number of sequences; 0 for a nil SplitData.
func (d *SplitData) Len() int64 {
	if d == nil || d.Split == nil {
		return 0
	}
	return d.Split.Len()
}

// Read fills dst, of length L+1, with the sequence that an epoch, from 1, visits at
// a position in 0…Len()-1.
func (d *SplitData) Read(ctx context.Context, epoch int, position int64, dst []int32) error {
	if d.epoch != epoch {
		d.epoch, d.order = epoch, EpochOrder(d.Split.Len(), d.Seed, epoch)
	}
	return d.Split.Read(ctx, d.order.At(position), dst)
}

// TextData is a split of a set, as SplitData, and also as text: its sequences one
// behind the other, in the order of the documents. Character c of the text is
// character c mod (L+1) of sequence c/(L+1). The text lacks the characters that are
// dropped or in another split. It is for one goroutine at a time.
type TextData struct {
	SplitData
	name      string
	rank      Permutation // of each sequence
	stretches []int64
	sequence  []int32 // L+1 ids
}

// Text returns the split called name as text, without a character where the set
// has no such split. seed is that of SplitData. The error, ErrDamaged, says that
// the documents' lengths contradict the number of sequences.
func (s *Set) Text(name string, seed int64) (*TextData, error) {
	d := &TextData{SplitData: SplitData{Split: s.Split(name), Seed: seed}, name: name, sequence: make([]int32, s.manifest.SeqLength+1)}
	if d.Split == nil {
		return d, nil
	}
	var err error
	if d.stretches, err = s.manifest.stretches(name); err != nil {
		return nil, damaged("%s: %w", s.st.Join(ManifestName), err)
	}
	d.rank = SplitOrder(d.Len(), s.manifest.Seed, slices.Index(layout.Names[:], name))
	return d, nil
}

// Stretches returns the lengths, in characters, of the parts of the text in which
// one character follows the other in a document. Where the set is not continuous,
// these are its sequences.
func (d *TextData) Stretches() []int64 { return d.stretches }

// ReadAt fills dst with the ids of the characters [at, at+len(dst)) of the text. It
// verifies every record that it reads.
func (d *TextData) ReadAt(ctx context.Context, at int64, dst []int32) error {
	n := int64(len(d.sequence))
	if end := at + int64(len(dst)); at < 0 || end > d.Len()*n {
		return fmt.Errorf("dataset: %s: characters %d to %d of a text of %d", d.name, at, end, d.Len()*n)
	}
	for len(dst) > 0 {
		if err := d.Split.Read(ctx, d.rank.At(at/n), d.sequence); err != nil {
			return err
		}
		copied := copy(dst, d.sequence[at%n:])
		dst, at = dst[copied:], at+int64(copied)
	}
	return nil
}

// Rule returns how the set's documents were divided into sequences.
func (m *Manifest) Rule() layout.Rule {
	r := layout.Rule{SeqLength: int64(m.SeqLength), Stride: int64(m.Stride), By: m.Validation.By, Validation: m.Validation.Fraction}
	if r.Stride == 0 {
		r.Stride = r.SeqLength + 1
	}
	if m.Test != nil {
		r.Test = m.Test.Fraction
	}
	return r
}

// stretches returns the lengths of the stretches of a split that the set has.
func (m *Manifest) stretches(name string) ([]int64, error) {
	r, sequences := m.Rule(), m.split(name).Sequences
	if err := r.Validate(); err != nil && r.By == layout.ByTail {
		return nil, err
	}
	if !r.Continuous() {
		return slices.Repeat([]int64{r.SeqLength + 1}, int(sequences)), nil
	}
	var documents []int64
	for _, d := range m.Documents {
		documents = append(documents, d.Chars)
	}
	y, kind := layout.Tail(r, documents), slices.Index(layout.Names[:], name)
	if y.Totals[kind] != sequences {
		return nil, fmt.Errorf("%d sequences for %s, the documents' lengths give %d", sequences, name, y.Totals[kind])
	}
	return y.Covered(kind), nil
}
