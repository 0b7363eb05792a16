package stages

import (
	"encoding/json"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/model/train"
)

// identityConfig is what a checkpoint stores of the config: the model and train
// sections without the keys that do not change the weights of a step, and of the
// checkpoint that training starts from, if there is one, the digest.
//
// Keys that are younger than the first checkpoints are there only where they
// have another value than their default, which is what those were trained with.
func identityConfig(c *configs.Config, from string) (json.RawMessage, error) {
	m, t := c.Model, c.Train
	learning := map[string]any{"epochs": t.Epochs, "batch": t.Batch, "lr": t.LR, "schedule": t.Schedule, "warmup_steps": t.WarmupSteps,
		"clip_norm": t.ClipNorm, "weight_decay": t.WeightDecay, "precision": t.Precision, "seed": t.Seed}
	if t.Hidden != string(train.Zero) {
		learning["hidden"] = t.Hidden
	}
	if t.Average != 0 {
		learning["average"] = t.Average
	}
	if from != "" {
		learning["from"] = from
	}
	curriculum := map[string]any{}
	if t.Curriculum.SeqLength != 0 {
		curriculum["seq_length"], curriculum["epochs"] = t.Curriculum.SeqLength, t.Curriculum.Epochs
	}
	if t.Curriculum.Sampling != 0 {
		curriculum["sampling"] = t.Curriculum.Sampling
	}
	if len(curriculum) > 0 {
		learning["curriculum"] = curriculum
	}
	model := map[string]any{"cell": m.Cell, "layers": m.Layers, "embedding": m.Embedding, "hidden": m.Hidden, "dropout": m.Dropout}
	if m.InputDropout != 0 {
		model["input_dropout"] = m.InputDropout
	}
	if m.WeightDropout != 0 {
		model["weight_dropout"] = m.WeightDropout
	}
	return json.Marshal(map[string]any{"model": model, "train": learning})
}
