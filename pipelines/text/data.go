package text

import (
	"fmt"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/model/train"
	"github.com/quire-ml/quire/transforms/dataset"
)

// TrainData returns the training part of a set as the config wants it read, and
// the validation part.
func TrainData(set *dataset.Set, c *configs.Config) (data train.Data, val *dataset.TextData, err error) {
	if val, err = set.Text("validation", 0); err != nil {
		return nil, nil, err
	}
	if c.Train.Hidden != string(train.Carry) {
		return &dataset.SplitData{Split: set.Split("train"), Seed: c.Train.Seed}, val, nil
	}
	if m := set.Manifest(); !m.Rule().Continuous() {
		return nil, nil, fmt.Errorf("text: the sequences of the set do not follow one another (stride %d, validation by %s), so train.hidden cannot be carry; make a set with prep.validation.by tail and prep.stride 0, or use train.hidden zero", m.Stride, m.Validation.By)
	}
	data, err = set.Text("train", c.Train.Seed)
	return data, val, err
}
