package stages

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/model/checkpoint"
	"github.com/quire-ml/quire/model/kernel"
	"github.com/quire-ml/quire/model/rnn"
	"github.com/quire-ml/quire/model/run"
	"github.com/quire-ml/quire/model/train"
	"github.com/quire-ml/quire/pipelines/device"
	"github.com/quire-ml/quire/pipelines/report"
	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/runners/memory"
	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/transforms/dataset"
)

// TrainOptions are the inputs of Train beside the config.
type TrainOptions struct {
	Set     string // the set's directory
	Out     string // the run's directory
	Replace bool   // deletes a run that cannot go on: it came from other inputs, is further, or is damaged
	Fresh   bool   // deletes a run in any case
	Owned   bool   // the directory belongs to this run alone, by its name
	Config  []byte // the resolved config, for config.yaml
	Console *report.Console
}

// TrainResult is the outcome of Train. Losses are in nats a character.
type TrainResult struct {
	Run            store.Path `json:"run"`
	Step           int64      `json:"step"`
	Epoch          int        `json:"epoch"`
	TrainNats      *float64   `json:"train_nats"`
	ValidationNats *float64   `json:"validation_nats"`
	Checkpoint     store.Path `json:"checkpoint"`
	Best           store.Path `json:"best"` // has the lowest validation loss; without a validation split it is Checkpoint
	CharsPerSecond float64    `json:"chars_per_second"`
	Seconds        float64    `json:"seconds"`
	Parameters     int        `json:"parameters"`
	StepsPerEpoch  int64      `json:"steps_per_epoch"` // of the epochs after a curriculum
}

// Train trains a model on a set, from the run's last checkpoint on. When ctx is
// cancelled, it saves and returns train.ErrInterrupted. The error is a
// *store.HeldError while another training has the run, and wraps ErrCannotGoOn or a
// *train.IdentityError or *train.AheadError where this training cannot continue the run.
func Train(ctx context.Context, c *configs.Config, o TrainOptions) (_ *TrainResult, err error) {
	began := time.Now()
	set, done, err := text.OpenSet(ctx, o.Set)
	if err != nil {
		return nil, err
	}
	defer done()
	st, err := store.Open(ctx, o.Out)
	if err != nil {
		return nil, err
	}
	defer st.Close()

	opts, from, err := trainOptions(ctx, c, set, o.Console)
	if err != nil {
		return nil, err
	}
	data, val, err := text.TrainData(set, c)
	if err != nil {
		return nil, err
	}
	result := &TrainResult{Run: store.Path(o.Out), Parameters: opts.Shape.Count()}
	if _, result.StepsPerEpoch, err = train.Steps(data, opts); err != nil {
		return nil, err
	}
	closeDevice, err := openDevice(c, &opts, o.Console)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, closeDevice()) }()
	dir, state, err := acquireRun(ctx, st, data, opts, o)
	if err != nil {
		return nil, err
	}
	defer func() { err = cmp.Or(err, dir.Release(ctx)) }()
	if err := begin(ctx, st, c, set, from, state, &opts, o); err != nil {
		return nil, err
	}
	seen := &observer{ctx: ctx, st: st, console: o.Console, set: set, opts: opts, perEpoch: result.StepsPerEpoch, generate: c.Generate}
	if err := seen.open(0, false); err != nil {
		return nil, err
	}
	o.Console.Line("train: %s: %d parameters, %d steps an epoch of %d sequences",
		describe(opts.Shape), result.Parameters, result.StepsPerEpoch, data.Len())
	r, err := train.Run(ctx, dir, data, val, opts, seen.observe)
	seen.close()
	if err != nil && !errors.Is(err, train.ErrInterrupted) {
		return nil, err
	}
	if ferr := seen.finish(); ferr != nil {
		return nil, errors.Join(err, ferr)
	}
	result.Seconds = time.Since(began).Seconds()
	if rerr := result.take(ctx, st, r); rerr != nil {
		return nil, errors.Join(err, rerr)
	}
	return result, err
}

// openDevice opens what trains, and says what that is. done closes it.
func openDevice(c *configs.Config, o *train.Options, console *report.Console) (done func() error, err error) {
	_, needs := o.GPUMemory()
	d, taken, err := device.Open(c.Train.Device, o.CheckGPU(), needs)
	if err != nil {
		return nil, err
	}
	console.Line("train: device %s", taken)
	if o.Device = d; d != nil {
		return d.Close, nil
	}
	return func() error { return nil }, checkHost(o, o.Memory()) // CheckMemory may have found a GPU
}

// take fills in the figures of the run in st, which has ended or was interrupted.
func (t *TrainResult) take(ctx context.Context, st *store.Store, r *train.Result) error {
	t.Step, t.Epoch, t.TrainNats, t.ValidationNats, t.CharsPerSecond = r.Step, r.Epoch, r.TrainNats, r.Validation, r.PerSecond
	t.Checkpoint = store.Path(st.Join(r.Checkpoint))
	best, err := run.Find(context.WithoutCancel(ctx), st, run.Best)
	if err == nil {
		t.Best = store.Path(st.Join(best.Name))
	}
	return err
}

// Course returns the options that decide the number of steps of a training.
func Course(c *configs.Train, seqLength int) train.Options {
	return train.Options{TrainerOptions: train.TrainerOptions{Hidden: train.Hidden(c.Hidden), Seed: c.Seed},
		SeqLength: seqLength, Batch: c.Batch, Epochs: c.Epochs, MaxSteps: c.MaxSteps,
		Curriculum: train.Curriculum{SeqLength: c.Curriculum.SeqLength, Epochs: c.Curriculum.Epochs, Sampling: c.Curriculum.Sampling}}
}

// trainOptions returns the options of a training by config and set, without its
// ancestors, and the model that it starts from, nil for none.
func trainOptions(ctx context.Context, c *configs.Config, set *dataset.Set, console *report.Console) (
	o train.Options, from *text.Model, err error,
) {
	m := set.Manifest()
	if err := CheckMemory(c, set.Vocab().Size(), m.SeqLength); err != nil {
		return o, nil, err
	}
	o = sizeOptions(c, set.Vocab().Size(), m.SeqLength)
	digest := ""
	if c.Train.From != "" {
		if o.Start, from, err = warmStart(ctx, store.Locate(c.Workdir, c.Train.From), o.Shape, set.Vocab(), console); err != nil {
			return o, nil, err
		}
		digest = from.Digest
	}
	vocabulary, err := json.Marshal(set.Vocab())
	if err != nil {
		return o, nil, err
	}
	config, err := c.Identity(digest)
	if err != nil {
		return o, nil, err
	}
	if o.Precision, err = kernel.ParsePrecision(c.Train.Precision); err != nil {
		return o, nil, err
	}
	if err := o.Precision.Check(); err != nil {
		return o, nil, err
	}
	t := &c.Train
	o.LR, o.Schedule, o.WarmupSteps, o.Patience = t.LR, train.Schedule(t.Schedule), t.WarmupSteps, t.EarlyStop.Patience
	o.Clip, o.Decay = t.ClipNorm, t.WeightDecay
	o.EverySteps, o.Every = t.Checkpoint.EverySteps, time.Duration(t.Checkpoint.EveryMinutes*float64(time.Minute))
	o.LogEvery = t.LogEvery
	o.Retention = run.Retention{KeepLast: t.Checkpoint.KeepLast, KeepBest: t.Checkpoint.KeepBest}
	o.MayDiffer = c.Free()
	o.Identity = checkpoint.Metadata{Cell: c.Model.Cell, Config: config, Vocab: vocabulary, Unit: m.Unit, Normalize: m.Normalize,
		Set: set.SHA256()}
	return o, from, nil
}

// sizeOptions returns the options that decide the memory of a training, without the
// weights that it starts from.
func sizeOptions(c *configs.Config, vocabulary, seqLength int) train.Options {
	o, m := Course(&c.Train, seqLength), &c.Model
	o.Shape = rnn.Shape{Cell: rnn.Cell(m.Cell), Layers: m.Layers, Vocabulary: vocabulary, Embedding: m.Embedding, Hidden: m.Hidden}
	o.EmbeddingRange = m.EmbeddingRange
	o.Average, o.Dropout, o.InputDropout, o.WeightDropout = c.Train.Average, m.Dropout, m.InputDropout, m.WeightDropout
	return o
}

// SmallestVocabulary has two characters. A network that is too large with it is too
// large with any.
const SmallestVocabulary = 2

// LeastBytes is the size of a checkpoint of a config's model, at least: weights and two
// moments of each, with the smallest vocabulary.
func LeastBytes(c *configs.Config) int64 {
	o := sizeOptions(c, SmallestVocabulary, c.Prep.SeqLength)
	return 3 * 4 * int64(o.Shape.Count())
}

// CheckMemory returns a *memory.ShortError where a training needs more memory than this
// machine has. Where a GPU is asked for, a *cuda.Unavailable says that there is none,
// a *cuda.MemoryError that it is too small, and a *cuda.SizeError that any is.
func CheckMemory(c *configs.Config, vocabulary, seqLength int) error {
	o := sizeOptions(c, vocabulary, seqLength)
	if c.Train.From != "" {
		o.Start = &rnn.Weights{}
	}
	var err error
	if o.Precision, err = kernel.ParsePrecision(c.Train.Precision); err != nil {
		return err
	}
	needs, ofGPU := o.GPUMemory()
	gpu, err := device.Check(c.Train.Device, o.CheckGPU(), ofGPU)
	if err != nil {
		return err
	}
	if !gpu {
		needs = o.Memory()
	}
	return checkHost(&o, needs)
}

// checkHost returns a *memory.ShortError where the machine has fewer bytes than a training needs.
func checkHost(o *train.Options, needs int64) error {
	return memory.Check(fmt.Sprintf("to train %s, on %d sequences of %d", describe(o.Shape), o.Batch, o.SeqLength), needs)
}

// configName is the resolved config of a run.
const configName = "config.yaml"

// begin prepares a training that takes a step: its checkpoints will say their
// ancestors, and its config is written beside them. A run that has ended keeps both.
func begin(ctx context.Context, st *store.Store, c *configs.Config, set *dataset.Set, from *text.Model, state train.State,
	opts *train.Options, o TrainOptions,
) (err error) {
	if state.Ended {
		return nil
	}
	if from != nil && len(state.Ancestors) == 0 {
		if opts.Identity.Ancestors, err = ancestors(ctx, c, set, from, o.Console); err != nil {
			return err
		}
	}
	if o.Config == nil {
		return nil
	}
	return st.Replace(ctx, configName, o.Config)
}
