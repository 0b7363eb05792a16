package train

import (
	"context"
	"errors"
	"fmt"
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

// A DivergedError ends a training whose loss, gradients or weights are no numbers
// any more. Started again, it ends at the same step.
type DivergedError struct {
	Step  int64
	Cause error
}

// Error says at which step, and what to do.
func (e *DivergedError) Error() string {
	return fmt.Sprintf("train: step %d: %v; use a smaller train.lr, or train.clip_norm: 1", e.Step, e.Cause)
}

// Unwrap returns the cause.
func (e *DivergedError) Unwrap() error { return e.Cause }

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
	Start     *rnn.Weights // what training starts from, of that shape; nil for initial weights by Seed
	SeqLength int          // L
	Batch     int          // B
	Hidden    Hidden       // what sequences start from; empty is Zero
	LR        float64      // learning rate
	Clip      float64      // threshold of the global norm, 0 for none
	Seed      int64        // of the initial weights and of dropout
	Precision kernel.Precision

	Decay       float64  // weight decay, 0 for none
	Average     float64  // decay of the mean of the weights, which is what is saved as the model; 0 for none
	Schedule    Schedule // of the learning rate; empty is constant
	WarmupSteps int64    // in which the learning rate rises
	Curriculum  Curriculum

	// Shares dropped, in [0, 1): of what goes between layers and to the dense
	// layer, of the embedded input, and of the recurrent weights.
	Dropout, InputDropout, WeightDropout float64

	Epochs     int   // 0 saves the untrained network; with Cosine it decides the weights too
	Patience   int   // epochs without a lower validation loss that end the training; 0 for none
	MaxSteps   int64 // ends the training early, 0 for never
	EverySteps int64 // saves between the ends of epochs, 0 for never

	Every     time.Duration // between two saves, at most, but for what a step takes; 0 for never
	KeepLast  int           // checkpoints kept
	KeepBest  bool          // keeps the one with the lowest validation loss too, by best.json
	BestCount int           // with KeepBest: how many of the lowest losses are kept; 0 is 1
	LogEvery  int64         // steps between two reports, 0 for none but the first

	// Lease is of Acquire; with nil Run acquires and releases it.
	Lease *store.Lease

	// Identity is what the checkpoint says about its origin: cell, config,
	// vocabulary, unit, normalisation, set. A run goes on only from a
	// checkpoint with the same identity.
	Identity checkpoint.Metadata

	// MayDiffer are dotted keys of Identity.Config that do not count for that:
	// lengths over which nothing follows a course, such as the number of epochs
	// with a constant learning rate and no sampling.
	MayDiffer []string
}

// Report is what Run tells its observer.
type Report struct {
	Step         int64 // steps done
	Steps        int64 // steps in the whole run
	Epoch        int   // from 1
	Nats         float64
	PerSecond    float64 // characters trained a second, since the last report
	LR           float64 // learning rate of the step
	GradientNorm float64 // of all parameters together, before clipping
	EpochEnd     bool    // with the three fields below
	EpochNats    float64 // mean training loss of the epoch
	Validation   *float64
	Weights      *rnn.Weights // of the model that is saved, until the observer returns
	Saved        string       // name of the checkpoint just written, else empty; latest.json names it next,
	// so what the observer keeps of earlier reports now is never behind it
	Warning error // what a person should know, else nil; the run goes on

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
	o       Options
	st      *store.Store
	val     Text // nil for none
	batches *batches
	trainer *Trainer
	observe func(Report) error
	total   int64 // steps
	step    int64
	past    history
	latest  pointer
	best    pointer
	journal checkpoint.Journal
	saving  chan error          // of the save under way, nil for none
	held    []Report            // until it is over
	copies  []checkpoint.Tensor // what it saves
	savedAt time.Time           // when it began, or the call
	saved   int64               // step of the newest checkpoint, -1 for none
	judged  bool                // its validation loss is in the pointers
	first   int64               // step at which this call started
	trained time.Duration       // spent in steps by this call
	chars   int64               // likewise
}

// pointer is latest.json or best.json as last seen.
type pointer struct {
	which string // latest or best
	checkpoint.Pointer
	generation string // empty while there is none
}

// Run trains until the last epoch or step, saving as it goes, or until ctx is
// cancelled (ErrInterrupted). It starts from the newest checkpoint in st that is
// intact, when there is one; where there are only damaged ones, that is an error.
// val may be nil. Remainders smaller than a batch are left out of an epoch. To
// carry the hidden, train must be a Text too.
//
// Saves happen beside the training, one at a time. The observer is called from
// one goroutine at a time, in the order of what it is told.
func Run(ctx context.Context, st *store.Store, train Data, val Text, o Options, observe func(Report) error) (*Result, error) {
	b, err := newBatches(train, &o)
	if err != nil {
		return nil, err
	}
	r := &run{o: o, st: st, batches: b, val: val, observe: observe, saved: -1, savedAt: time.Now(),
		latest: pointer{which: "latest"}, best: pointer{which: "best"}}
	r.total = b.total()
	if o.Lease != nil {
		return r.run(ctx)
	}
	if r.o.Lease, err = Acquire(context.WithoutCancel(ctx), st); err != nil {
		return nil, err
	}
	res, err := r.run(ctx)
	if releaseErr := Release(ctx, r.o.Lease); err == nil {
		err = releaseErr
	}
	return res, err
}

// releaseTime is what giving up a lease may take: that of a process that has
// ended is free all the same, sooner or later.
const releaseTime = 10 * time.Second

// Release gives up a lease of Acquire, also when ctx is cancelled.
func Release(ctx context.Context, l *store.Lease) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTime)
	defer cancel()
	if err := l.Release(ctx); err != nil {
		return fmt.Errorf("train: %w", err)
	}
	return nil
}

func (r *run) run(ctx context.Context) (*Result, error) {
	defer func() {
		if r.trainer != nil {
			r.trainer.Close()
		}
	}()
	err := r.start(ctx)
	if err == nil {
		err = r.loop(ctx)
	}
	if saveErr := r.await(); saveErr != nil && (err == nil || errors.Is(err, ErrInterrupted)) {
		err = saveErr
	}
	if err == nil && len(r.journal.Checkpoints) > 0 {
		// A run that was killed after its last pointer has not swept.
		err = r.commit(context.WithoutCancel(ctx), r.journal)
	}
	if err != nil && !errors.Is(err, ErrInterrupted) {
		return nil, err
	}
	return r.result(err == nil), err
}

// trainer returns the options of the trainer.
func (o *Options) trainer() *TrainerOptions {
	return &TrainerOptions{Clip: o.Clip, Decay: o.Decay, Average: o.Average, Dropout: o.Dropout, InputDropout: o.InputDropout, WeightDropout: o.WeightDropout, Seed: o.Seed, Precision: o.Precision, Carry: o.Hidden == Carry}
}

// loop trains step by step.
func (r *run) loop(ctx context.Context) error {
	batch := make([]int32, r.o.Batch*(r.o.SeqLength+1))
	logged, since := r.chars, time.Now()
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
			rate := float64(r.chars-logged) / time.Since(since).Seconds()
			if err := r.report(Report{Nats: loss, PerSecond: rate, LR: r.trainer.Solver.LR, GradientNorm: r.trainer.Solver.Norm()}); err != nil {
				return err
			}
			logged, since = r.chars, time.Now()
		}
	}
}

// settle does what is due between two steps: save, judge, stop.
func (r *run) settle(ctx context.Context) error {
	if err := r.poll(); err != nil {
		return err
	}
	if err := r.o.Lease.Err(); err != nil {
		return fmt.Errorf("train: step %d: %w", r.step, err)
	}
	end := r.step >= r.total
	every := r.step > 0 && (r.o.EverySteps > 0 && r.step%r.o.EverySteps == 0 || r.o.Every > 0 && time.Since(r.savedAt) >= r.o.Every && r.saving == nil)
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
func (r *run) epochEnd() bool {
	_, at := r.batches.find(r.step)
	return r.step > 0 && at == 0
}

// due reports whether the newest checkpoint waits for its validation.
func (r *run) due() bool {
	return r.saved == r.step && !r.judged && (r.step >= r.total || r.epochEnd())
}

// advance takes the next step.
func (r *run) advance(ctx context.Context, batch []int32) (float64, error) {
	T, err := r.batches.read(ctx, r.step, batch)
	if err != nil {
		return 0, err
	}
	all := r.batches.steps(r.o.Epochs)
	r.trainer.Solver.LR = r.o.rate(r.step, all, r.past.Epochs)
	r.trainer.Sampling = r.o.Curriculum.Sampling * (float64(r.step) / float64(max(1, all)))
	loss, err := r.batches.step(r.trainer, T, batch)
	if err == nil && (math.IsNaN(loss) || math.IsInf(loss, 0)) {
		err = fmt.Errorf("the loss is %g", loss)
	}
	if err != nil {
		return loss, &DivergedError{r.step + 1, err}
	}
	r.step++
	r.chars += int64(r.o.Batch * T)
	r.past.Sum += loss
	r.past.Steps++
	if r.epochEnd() {
		mean := r.past.Sum / float64(r.past.Steps)
		r.past = history{Epochs: append(r.past.Epochs, EpochMetrics{Epoch: r.epoch(), Step: r.step, TrainNats: mean})}
	}
	return loss, nil
}

// report completes a report and hands it on, once the save under way is over.
func (r *run) report(p Report) error {
	if r.saving != nil {
		r.held = append(r.held, r.at(p))
		return nil
	}
	return r.tell(r.at(p))
}

// at completes a report.
func (r *run) at(p Report) Report {
	p.Step, p.Steps, p.Epoch = r.step, r.total, r.epoch()
	return p
}

func (r *run) tell(p Report) error {
	if r.observe == nil {
		return nil
	}
	return r.observe(p)
}

// epoch returns the epoch of the last step, 1 before the first.
func (r *run) epoch() int {
	epoch, _ := r.batches.find(max(0, r.step-1))
	return epoch
}

// result describes where the run stands.
func (r *run) result(done bool) *Result {
	res := &Result{Step: r.step, Epoch: r.epoch(), Validation: r.latest.Loss, Checkpoint: r.latest.Name, Resumed: r.first, Done: done}
	if r.step == 0 {
		res.Epoch = 0
	}
	if r.trained > 0 {
		res.PerSecond = float64(r.chars) / r.trained.Seconds()
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
