package text

import (
	"context"
	"fmt"
	"slices"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/model/train"
	"github.com/quire-ml/quire/transforms/dataset"
	"github.com/quire-ml/quire/transforms/layout"
)

// TrainData returns the training part of a set as the config wants it read, and
// the validation part.
func TrainData(set *dataset.Set, c *configs.Config) (data train.Data, val *TextData, err error) {
	if val, err = NewTextData(set, "validation", 0); err != nil {
		return nil, nil, err
	}
	if c.Train.Hidden != string(train.Carry) {
		return &SplitData{Split: set.Split("train"), Seed: c.Train.Seed}, val, nil
	}
	if m := set.Manifest(); !continuous(m) {
		return nil, nil, fmt.Errorf("text: the sequences of the set do not follow one another (stride %d, validation by %s), so train.hidden cannot be carry; make a set with prep.validation.by tail and prep.stride 0, or use train.hidden zero", m.Stride, m.Validation.By)
	}
	data, err = NewTextData(set, "train", c.Train.Seed)
	return data, val, err
}

// TextData is a split of a set as training data and as text: its sequences in
// the order of the documents.
type TextData struct {
	SplitData
	stream    *dataset.StreamReader
	stretches []int64
}

// NewTextData returns the split called name. The seed is that of SplitData.
func NewTextData(set *dataset.Set, name string, seed int64) (*TextData, error) {
	d := &TextData{SplitData: SplitData{Split: set.Split(name), Seed: seed}, stream: set.Stream(name)}
	if d.stream == nil {
		return d, nil
	}
	var err error
	d.stretches, err = stretches(set.Manifest(), name, d.stream.Len())
	return d, err
}

// Stretches returns the numbers of characters of the parts in which one
// character follows the other.
func (d *TextData) Stretches() []int64 { return d.stretches }

// ReadAt fills dst with the characters from number at on.
func (d *TextData) ReadAt(ctx context.Context, at int64, dst []int32) error {
	return SetRemedy(ctx, d.stream.ReadAt(ctx, at, dst))
}

// continuous reports whether a set knows where its sequences continue one
// another.
func continuous(m *dataset.Manifest) bool { return m.Stride == 0 && m.Validation.By == "tail" }

// stretches returns the lengths of the stretches of a split of so many
// characters: what each document has of it, or each sequence by itself where the
// set is not continuous.
func stretches(m *dataset.Manifest, split string, chars int64) ([]int64, error) {
	n := int64(m.SeqLength) + 1
	if !continuous(m) {
		return slices.Repeat([]int64{n}, int(chars/n)), nil
	}
	var documents []int64
	for _, d := range m.Documents {
		documents = append(documents, d.Chars)
	}
	kind := slices.Index(layout.Names[:], split)
	y := layout.Tail(m.Rule(), documents)
	if y.Totals[kind]*n != chars {
		return nil, fmt.Errorf("text: the set has %d characters of the %s part, its documents %d", chars, split, y.Totals[kind]*n)
	}
	return y.Covered(kind), nil
}
