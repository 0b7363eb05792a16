package train

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"time"

	"github.com/quire-ml/quire/model/checkpoint"
	"github.com/quire-ml/quire/model/kernel"
	"github.com/quire-ml/quire/model/rnn"
	"github.com/quire-ml/quire/runners/store"
)

// ErrInterrupted is returned by Run when its context was cancelled and the
// state is saved: the same call goes on where it stopped.
var ErrInterrupted = errors.New("train: interrupted, everything is saved; start again to resume")

// Data gives the sequences of a split.
type Data interface {
	// Len returns the number of sequences.
	Len() int64
	// Read fills dst with the L+1 ids of the sequence that epoch (from 1)
	// visits at a position from 0 to Len-1.
	Read(ctx context.Context, epoch int, position int64, dst []int32) error
}

// Options are the numbers of a run. Those of the first group decide the
// weights; the others only what is saved and when it ends.
type Options struct {
	Shape     rnn.Shape
	SeqLength int     // L
	Batch     int     // B
	LR        float64 // learning rate
	Clip      float64 // threshold of the global norm, 0 for none
	Seed      int64   // of the initial weights and of dropout
	Precision kernel.Precision

	Decay       float64  // weight decay, 0 for none
	Dropout     float64  // share of activations dropped, in [0, 1)
	Schedule    Schedule // of the learning rate; empty is constant
	WarmupSteps int64    // in which the learning rate rises

	Epochs     int   // 0 saves the untrained network; with Cosine it decides the weights too
	Patience   int   // epochs without a lower validation loss that end the training; 0 for none
	MaxSteps   int64 // ends the training early, 0 for never
	EverySteps int64 // saves between the ends of epochs, 0 for never
	KeepLast   int   // checkpoints kept
	KeepBest   bool  // keeps the one with the lowest validation loss too, by best.json
	LogEvery   int64 // steps between two reports, 0 for none but the first

	// Identity is what the checkpoint says about its origin: cell, config,
	// vocabulary, unit, normalisation, set. A run goes on only from a
	// checkpoint with the same identity.
	Identity checkpoint.Metadata
}

// Report is what Run tells its observer.
type Report struct {
	Step       int64 // steps done
	Steps      int64 // steps in the whole run
	Epoch      int   // from 1
	Nats       float64
	PerSecond  float64 // characters trained a second, since the last report
	EpochEnd   bool    // with the two fields below
	EpochNats  float64 // mean training loss of the epoch
	Validation *float64
	Saved      string // name of the checkpoint just written, else empty; latest.json names it next,
	// so what the observer keeps of earlier reports now is never behind it

	// Resumed marks the first report of a run that goes on at Step. When it
	// has EpochEnd too, the end of that epoch will be reported again.
	Resumed bool
}

// Result is how a run ended.
type Result struct {
	Step       int64
	Epoch      int
	TrainNats  *float64 // mean training loss of the last epoch, or of its part; nil before the first step
	Validation *float64
	Checkpoint string  // name of the last checkpoint
	PerSecond  float64 // characters trained a second, by this call
	Resumed    int64   // the step it started from
	Done       bool    // false when interrupted
}

// history is the part of a training's state that is neither weights nor
// moments; a checkpoint stores it as its metrics.
type history struct {
	Epochs []EpochMetrics `json:"epochs"`
	// Sum and Steps are the losses of the epoch that is under way.
	Sum   float64 `json:"epoch_sum_nats"`
	Steps int64   `json:"epoch_steps"`
}

// EpochMetrics is what remains of a finished epoch.
type EpochMetrics struct {
	Epoch      int      `json:"epoch"`
	Step       int64    `json:"step"`
	TrainNats  float64  `json:"epoch_train_nats"`
	Validation *float64 `json:"validation_nats,omitempty"`
}

// run is one call of Run.
type run struct {
	o          Options
	st         *store.Store
	train, val Data
	trainer    *Trainer
	observe    func(Report) error
	perEpoch   int64 // steps
	total      int64 // steps
	step       int64
	past       history
	latest     pointer
	best       pointer
	saved      int64         // step of the newest checkpoint, -1 for none
	judged     bool          // its validation loss is in the pointers
	first      int64         // step at which this call started
	trained    time.Duration // spent in steps by this call
}

// pointer is latest.json or best.json as last seen.
type pointer struct {
	which string // latest or best
	checkpoint.Pointer
	generation string // empty while there is none
}

// Run trains until the last epoch or step, saving as it goes, or until ctx is
// cancelled (ErrInterrupted). It starts from the checkpoint that latest.json
// in st names, when there is one. val may be nil. Remainders smaller than a
// batch are left out of an epoch.
func Run(ctx context.Context, st *store.Store, train, val Data, o Options, observe func(Report) error) (*Result, error) {
	r := &run{o: o, st: st, train: train, val: val, observe: observe, saved: -1, perEpoch: train.Len() / int64(o.Batch),
		latest: pointer{which: "latest"}, best: pointer{which: "best"}}
	if r.perEpoch == 0 && o.Epochs > 0 {
		return nil, fmt.Errorf("train: the set has %d sequences, less than one batch of %d; use a smaller train.batch, a smaller prep.seq_length or more text", train.Len(), o.Batch)
	}
	r.total = r.perEpoch * int64(o.Epochs)
	if o.MaxSteps > 0 {
		r.total = min(r.total, o.MaxSteps)
	}
	if err := r.start(ctx); err != nil {
		return nil, err
	}
	defer r.trainer.Close()
	err := r.loop(ctx)
	if err == nil {
		// A run that was killed after its last pointer has not pruned.
		err = r.prune(context.WithoutCancel(ctx))
	}
	if err != nil && !errors.Is(err, ErrInterrupted) {
		return nil, err
	}
	return r.result(err == nil), err
}

// trainer returns the options of the trainer.
func (o *Options) trainer() *TrainerOptions {
	return &TrainerOptions{Clip: o.Clip, Decay: o.Decay, Dropout: o.Dropout, Seed: o.Seed, Precision: o.Precision}
}

// start builds the trainer and loads the newest checkpoint.
func (r *run) start(ctx context.Context) error {
	w := rnn.NewWeights(r.o.Shape)
	w.Init(r.o.Seed)
	var err error
	if r.trainer, err = NewTrainer(w, r.o.SeqLength, r.o.Batch, r.o.LR, r.o.trainer()); err != nil {
		return err
	}
	for _, p := range []*pointer{&r.latest, &r.best} {
		p.Pointer, p.generation, err = checkpoint.ReadPointer(ctx, r.st, p.which)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if r.latest.generation == "" {
		return nil
	}
	c, err := checkpoint.Load(ctx, r.st, r.latest.Pointer)
	if err != nil {
		return err
	}
	if err := r.o.sameIdentity(c.Metadata); err != nil {
		return fmt.Errorf("train: %s: %w", r.st.Join(r.latest.Name), err)
	}
	if err := json.Unmarshal(c.Metrics, &r.past); err != nil {
		return fmt.Errorf("train: %s: metrics: %w", r.st.Join(r.latest.Name), err)
	}
	if err := r.trainer.restore(c); err != nil {
		return err
	}
	r.step, r.saved, r.first, r.judged = c.Step, c.Step, c.Step, r.latest.Loss != nil
	if n := len(r.past.Epochs); n > 0 && r.past.Epochs[n-1].Step == r.step {
		r.past.Epochs[n-1].Validation = r.latest.Loss
	}
	if r.judged {
		r.stopEarly()
	}
	return r.report(Report{Resumed: true, EpochEnd: r.due()})
}

// loop trains step by step.
func (r *run) loop(ctx context.Context) error {
	batch := make([]int32, r.o.Batch*(r.o.SeqLength+1))
	logged, since := r.step, time.Now()
	for {
		if err := r.settle(ctx); err != nil {
			return err
		}
		if r.step >= r.total {
			return nil
		}
		began := time.Now()
		loss, err := r.advance(ctx, batch)
		if err != nil {
			if ctx.Err() != nil {
				continue // the read was cut off, and the step has not happened
			}
			return err
		}
		r.trained += time.Since(began)
		if r.step == 1 || r.o.LogEvery > 0 && r.step%r.o.LogEvery == 0 {
			rate := r.chars(r.step-logged) / time.Since(since).Seconds()
			if err := r.report(Report{Nats: loss, PerSecond: rate}); err != nil {
				return err
			}
			logged, since = r.step, time.Now()
		}
	}
}

// settle does what is due between two steps: save, judge, stop.
func (r *run) settle(ctx context.Context) error {
	end := r.step >= r.total
	every := r.o.EverySteps > 0 && r.step > 0 && r.step%r.o.EverySteps == 0
	if r.saved != r.step && (end || every || r.epochEnd() || ctx.Err() != nil) {
		if err := r.save(context.WithoutCancel(ctx)); err != nil {
			return err
		}
	}
	if r.due() && ctx.Err() == nil {
		if err := r.judge(ctx); err != nil && ctx.Err() == nil {
			return err
		}
	}
	if ctx.Err() != nil && !(end && r.judged) {
		return ErrInterrupted
	}
	return nil
}

// stopEarly ends the training here when its epochs do not get better.
func (r *run) stopEarly() {
	if r.epochEnd() && exhausted(r.past.Epochs, r.o.Patience) {
		r.total = r.step
	}
}

// epochEnd reports whether the last step ended an epoch.
func (r *run) epochEnd() bool { return r.step > 0 && r.step%r.perEpoch == 0 }

// due reports whether the newest checkpoint waits for its validation.
func (r *run) due() bool {
	return r.saved == r.step && !r.judged && (r.step >= r.total || r.epochEnd())
}

// chars returns the number of characters that so many steps train.
func (r *run) chars(steps int64) float64 { return float64(steps * int64(r.o.Batch*r.o.SeqLength)) }

// advance takes the next step.
func (r *run) advance(ctx context.Context, batch []int32) (float64, error) {
	epoch, at := int(r.step/r.perEpoch)+1, r.step%r.perEpoch
	n := r.o.SeqLength + 1
	for b := 0; b < r.o.Batch; b++ {
		if err := r.train.Read(ctx, epoch, at*int64(r.o.Batch)+int64(b), batch[b*n:(b+1)*n]); err != nil {
			return 0, err
		}
	}
	r.trainer.Solver.LR = r.o.rate(r.step, r.perEpoch*int64(r.o.Epochs), r.past.Epochs)
	loss, err := r.trainer.Step(batch)
	if err == nil && (math.IsNaN(loss) || math.IsInf(loss, 0)) {
		err = fmt.Errorf("the loss is %g", loss)
	}
	if err != nil {
		return loss, fmt.Errorf("train: step %d: %w; use a smaller train.lr, or train.clip_norm: 1", r.step+1, err)
	}
	r.step++
	r.past.Sum += loss
	r.past.Steps++
	if r.epochEnd() {
		mean := r.past.Sum / float64(r.past.Steps)
		r.past = history{Epochs: append(r.past.Epochs, EpochMetrics{Epoch: epoch, Step: r.step, TrainNats: mean})}
	}
	return loss, nil
}

// report completes a report and hands it on.
func (r *run) report(p Report) error {
	if r.observe == nil {
		return nil
	}
	p.Step, p.Steps, p.Epoch = r.step, r.total, r.epoch()
	return r.observe(p)
}

// epoch returns the epoch of the last step, 1 before the first.
func (r *run) epoch() int {
	if r.step == 0 || r.perEpoch == 0 {
		return 1
	}
	return int((r.step-1)/r.perEpoch) + 1
}

// result describes where the run stands.
func (r *run) result(done bool) *Result {
	res := &Result{Step: r.step, Epoch: r.epoch(), Validation: r.latest.Loss, Checkpoint: r.latest.Name, Resumed: r.first, Done: done}
	if r.step == 0 {
		res.Epoch = 0
	}
	if r.trained > 0 {
		res.PerSecond = r.chars(r.step-r.first) / r.trained.Seconds()
	}
	switch n := len(r.past.Epochs); {
	case r.past.Steps > 0:
		mean := r.past.Sum / float64(r.past.Steps)
		res.TrainNats = &mean
	case n > 0:
		res.TrainNats = &r.past.Epochs[n-1].TrainNats
	}
	return res
}
