package stages

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/model/checkpoint"
	"github.com/quire-ml/quire/model/kernel"
	"github.com/quire-ml/quire/model/rnn"
	"github.com/quire-ml/quire/model/train"
	"github.com/quire-ml/quire/pipelines/report"
	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/transforms/dataset"
)

// TrainOptions are the inputs of Train beside the config.
type TrainOptions struct {
	Set     string // the set's directory
	Out     string // the run's directory
	Replace bool   // deletes a run that cannot go on: it came from other inputs, or is damaged
	Fresh   bool   // deletes a run in any case
	Config  []byte // the resolved config, for config.yaml
	Console *report.Console
}

// TrainResult is the outcome of Train. Losses are in nats a character.
type TrainResult struct {
	Run            string   `json:"run"`
	Step           int64    `json:"step"`
	Epoch          int      `json:"epoch"`
	TrainNats      *float64 `json:"train_nats"`
	ValidationNats *float64 `json:"validation_nats"`
	Checkpoint     string   `json:"checkpoint"`
	Best           string   `json:"best"` // the one with the lowest validation loss; without a validation part Checkpoint
	CharsPerSecond float64  `json:"chars_per_second"`
	Seconds        float64  `json:"seconds"`
	Parameters     int      `json:"parameters"`
	StepsPerEpoch  int64    `json:"steps_per_epoch"`
}

// Train trains a model on a set, going on from the run's last checkpoint. When
// ctx is cancelled it saves and returns train.ErrInterrupted. While another
// training has the run, the error is a *store.HeldError.
func Train(ctx context.Context, c *configs.Config, o TrainOptions) (_ *TrainResult, err error) {
	began := time.Now()
	set, done, err := openSet(ctx, o.Set)
	if err != nil {
		return nil, err
	}
	defer done()
	st, err := store.Open(ctx, o.Out)
	if err != nil {
		return nil, err
	}
	defer st.Close()

	opts, err := trainOptions(c, set)
	if err != nil {
		return nil, err
	}
	if opts.Lease, err = takeRun(ctx, st, opts, o); err != nil {
		return nil, err
	}
	defer func() {
		if releaseErr := train.Release(ctx, opts.Lease); err == nil {
			err = releaseErr
		}
	}()
	if err := writeConfig(ctx, st, o.Config); err != nil {
		return nil, err
	}
	data, val, err := trainData(set, c)
	if err != nil {
		return nil, err
	}
	result := &TrainResult{Run: o.Out, Parameters: opts.Shape.Count()}
	if result.StepsPerEpoch, err = train.StepsPerEpoch(data, opts); err != nil {
		return nil, err
	}
	w := &watcher{ctx: ctx, st: st, console: o.Console, set: set, opts: opts, perEpoch: result.StepsPerEpoch}
	if err := w.open(0, false); err != nil {
		return nil, err
	}
	o.Console.Line("train: %s, %d layer(s), embedding %d, hidden %d: %d parameters, %d steps an epoch of %d sequences",
		opts.Shape.Cell, opts.Shape.Layers, opts.Shape.Embedding, opts.Shape.Hidden, result.Parameters, result.StepsPerEpoch, data.Len())
	r, err := train.Run(ctx, st, data, val, opts, w.observe)
	w.close()
	if err != nil && !errors.Is(err, train.ErrInterrupted) {
		return nil, err
	}
	if ferr := w.finish(); ferr != nil {
		return nil, errors.Join(err, ferr)
	}
	result.Step, result.Epoch, result.TrainNats, result.ValidationNats = r.Step, r.Epoch, r.TrainNats, r.Validation
	result.Checkpoint, result.CharsPerSecond, result.Seconds = st.Join(r.Checkpoint), r.PerSecond, time.Since(began).Seconds()
	result.Best = result.Checkpoint
	if _, best, perr := pointers(context.WithoutCancel(ctx), st); perr != nil {
		return nil, errors.Join(err, perr)
	} else if best != nil {
		result.Best = st.Join(best.Name)
	}
	return result, err
}

// trainOptions turns config and set into the numbers of a run.
func trainOptions(c *configs.Config, set *dataset.Set) (train.Options, error) {
	m := set.Manifest()
	vocabulary, err := json.Marshal(set.Vocab())
	if err != nil {
		return train.Options{}, err
	}
	config, err := identityConfig(c)
	if err != nil {
		return train.Options{}, err
	}
	precision, err := kernel.ParsePrecision(c.Train.Precision)
	if err != nil {
		return train.Options{}, err
	}
	if err := precision.Check(); err != nil {
		return train.Options{}, err
	}
	return train.Options{Precision: precision,
		Shape: rnn.Shape{Cell: rnn.Cell(c.Model.Cell), Layers: c.Model.Layers, Vocabulary: set.Vocab().Size(),
			Embedding: c.Model.Embedding, Hidden: c.Model.Hidden},
		SeqLength: m.SeqLength, Batch: c.Train.Batch, Hidden: train.Hidden(c.Train.Hidden), LR: c.Train.LR, Clip: c.Train.ClipNorm, Seed: c.Train.Seed,
		Decay: c.Train.WeightDecay, Average: c.Train.Average, Dropout: c.Model.Dropout, InputDropout: c.Model.InputDropout, WeightDropout: c.Model.WeightDropout, Schedule: train.Schedule(c.Train.Schedule), WarmupSteps: c.Train.WarmupSteps,
		Curriculum: train.Curriculum{SeqLength: c.Train.Curriculum.SeqLength, Epochs: c.Train.Curriculum.Epochs, Sampling: c.Train.Curriculum.Sampling},
		Patience:   c.Train.EarlyStop.Patience,
		Epochs:     c.Train.Epochs, MaxSteps: c.Train.MaxSteps, EverySteps: c.Train.Checkpoint.EverySteps,
		Every:    time.Duration(c.Train.Checkpoint.EveryMinutes * float64(time.Minute)),
		KeepLast: c.Train.Checkpoint.KeepLast, KeepBest: c.Train.Checkpoint.KeepBest, BestCount: c.Train.Checkpoint.KeepBestCount, LogEvery: c.Train.LogEvery,
		Identity: checkpoint.Metadata{Cell: c.Model.Cell, Config: config, Vocab: vocabulary, Unit: m.Unit, Normalize: m.Normalize, Set: set.SHA256()},
	}, nil
}

// configName is the resolved config of a run.
const configName = "config.yaml"

// writeConfig keeps the config of the latest call beside the checkpoints.
func writeConfig(ctx context.Context, st *store.Store, text []byte) error {
	if text == nil {
		return nil
	}
	generation := ""
	if _, info, err := st.Read(ctx, configName); err == nil {
		generation = info.Generation
	} else if !errors.Is(err, store.ErrNotExist) {
		return err
	}
	_, err := st.Swap(ctx, configName, text, generation)
	return err
}

// watcher turns the reports of a run into metrics, progress and warnings.
type watcher struct {
	ctx      context.Context
	st       *store.Store
	console  *report.Console
	set      *dataset.Set
	opts     train.Options
	perEpoch int64 // steps
	metrics  *report.Metrics
	progress *report.Progress
	flushed  time.Time
	drawn    int // the last epoch whose events are written by this call
}

// flushEvery is how often metrics.jsonl is brought up to date.
const flushEvery = 5 * time.Second

// open reads metrics.jsonl as far as a step.
func (w *watcher) open(step int64, redoEnd bool) (err error) {
	w.metrics, err = report.OpenMetrics(w.ctx, w.st, step, redoEnd)
	return err
}

func (w *watcher) observe(r train.Report) error {
	switch {
	case r.Warning != nil:
		w.console.Warn("%v", r.Warning)
		return nil
	case r.Resumed:
		w.console.Line("train: goes on at step %d of %d", r.Step, r.Steps)
		return w.open(r.Step, r.EpochEnd)
	case r.Saved != "":
		if w.progress == nil || r.Step%w.perEpoch != 0 { // the line of an epoch's end says enough
			w.console.Line("train: saved %s", w.st.Join(r.Saved))
		}
		return w.flush()
	case r.EpochEnd:
		w.epochEnd(r)
		if err := w.metrics.Add(report.Line{Step: r.Step, Epoch: r.Epoch, EpochTrain: &r.EpochNats, Validation: r.Validation}); err != nil {
			return err
		}
		if err := w.flush(); err != nil {
			return err
		}
		return w.draw(r.Epoch)
	}
	if w.progress == nil {
		w.progress = w.console.Progress("train", r.Step, r.Steps)
	}
	if r.Step == 1 {
		w.checkFirst(r.Nats)
	}
	w.progress.Set(r.Step, fmt.Sprintf("epoch %d  step %d/%d  loss %.3f  %.0f chars/s", r.Epoch, r.Step, r.Steps, r.Nats, r.PerSecond))
	if err := w.metrics.Add(report.Line{Step: r.Step, Epoch: r.Epoch, Train: &r.Nats, PerSecond: &r.PerSecond}); err != nil {
		return err
	}
	if time.Since(w.flushed) < flushEvery {
		return nil
	}
	return w.flush()
}

// draw brings the TensorBoard events of an epoch and the picture up to date.
func (w *watcher) draw(epoch int) error {
	w.drawn = epoch
	ctx, entropy := context.WithoutCancel(w.ctx), w.set.Manifest().Entropy
	if err := w.metrics.WriteEvents(ctx, epoch); err != nil {
		return err
	}
	return w.metrics.WritePicture(ctx, []report.Baseline{{Name: "unigram", Nats: entropy.UnigramNats}, {Name: "bigram", Nats: entropy.BigramNats}})
}

// finish writes what a call has not: the lines since the last epoch's end.
func (w *watcher) finish() error {
	if err := w.flush(); err != nil {
		return err
	}
	if epoch := w.metrics.LastEpoch(); epoch > w.drawn {
		return w.draw(epoch)
	}
	return nil
}

func (w *watcher) flush() error {
	w.flushed = time.Now()
	return w.metrics.Flush(context.WithoutCancel(w.ctx))
}

// checkFirst warns when the untrained network is not about as good as guessing.
func (w *watcher) checkFirst(nats float64) {
	uniform := math.Log(float64(w.opts.Shape.Vocabulary))
	if math.Abs(nats-uniform) > 0.05*uniform {
		w.console.Warn("the first loss is %.3f nats, more than 5 %% from ln %d = %.3f of an untrained network: the data or the model is not what it seems", nats, w.opts.Shape.Vocabulary, uniform)
	}
}

// epochEnd prints an epoch's losses, and warns when it has learnt nothing.
func (w *watcher) epochEnd(r train.Report) {
	text := fmt.Sprintf("train: epoch %d: training loss %.4f nats a character", r.Epoch, r.EpochNats)
	if r.Validation != nil {
		text += fmt.Sprintf(", validation %.4f", *r.Validation)
	}
	entropy := w.set.Manifest().Entropy
	w.console.Line("%s (unigram %.4f, bigram %.4f)", text, entropy.UnigramNats, entropy.BigramNats)
	if r.EpochNats > entropy.UnigramNats {
		w.console.Warn("epoch %d ends above the unigram entropy of %.4f nats: the model knows less than the frequencies of the characters; check train.lr", r.Epoch, entropy.UnigramNats)
	}
}

func (w *watcher) close() {
	if w.progress != nil {
		w.progress.Done()
	}
}
