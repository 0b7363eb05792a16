package text

import (
	"errors"
	"fmt"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/model/train"
	"github.com/quire-ml/quire/transforms/dataset"
)

// ErrNotContinuous is wrapped by the error about a set whose sequences do not
// continue one another, so that no hidden can be carried through them.
var ErrNotContinuous = errors.New("the sequences of the set do not follow one another")

// TrainData returns the training part of a set, in the order of the config's
// train.hidden and train.seed, and the validation part. The error wraps
// ErrNotContinuous where the config carries the hidden and the set does not allow it.
func TrainData(set *dataset.Set, c *configs.Config) (data train.Data, val *dataset.TextData, err error) {
	if val, err = set.Text("validation", 0); err != nil {
		return nil, nil, err
	}
	if c.Train.Hidden != string(train.Carry) {
		return &dataset.SplitData{Split: set.Split("train"), Seed: c.Train.Seed}, val, nil
	}
	if m := set.Manifest(); !m.Rule().Continuous() {
		return nil, nil, fmt.Errorf("text: %w: stride %d, validation by %s; the hidden cannot be carried through them",
			ErrNotContinuous, m.Stride, m.Validation.By)
	}
	data, err = set.Text("train", c.Train.Seed)
	return data, val, err
}
