package train

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/quire-ml/quire/model/checkpoint"
	"github.com/quire-ml/quire/model/run"
)

// Data gives the sequences of a split.
type Data interface {
	// Len returns the number of sequences.
	Len() int64
	// Read fills dst with the L+1 ids of the sequence that epoch (from 1)
	// visits at a position from 0 to Len-1.
	Read(ctx context.Context, epoch int, position int64, dst []int32) error
}

// history is the part of a training's state that is neither weights nor
// moments; a checkpoint stores it as its metrics.
type history struct {
	Epochs []EpochMetrics `json:"epochs"`
	// Sum and Steps are the sum and the number of the losses of the epoch that is
	// under way.
	Sum   float64 `json:"epoch_sum_nats"`
	Steps int64   `json:"epoch_steps"`
}

// EpochMetrics are the losses of a finished epoch, in nats a character.
type EpochMetrics struct {
	Epoch      int      `json:"epoch"`
	Step       int64    `json:"step"`
	TrainNats  float64  `json:"epoch_train_nats"`
	Validation *float64 `json:"validation_nats,omitempty"`
}

// training is one call of Run.
type training struct {
	o       Options
	dir     *run.Dir
	val     Text // nil for none
	batches *batches
	trainer *Trainer
	observe func(Report) error
	total   int64 // steps of the whole run
	step    int64
	past    history
	saving  chan error          // error of the save under way, nil for no save
	held    []Report            // reports that wait for the end of that save
	copies  []checkpoint.Tensor // of the tensors that are saved
	savedAt time.Time           // start of the last save, or of the call
	saved   int64               // step of the newest checkpoint, -1 for none
	judged  bool                // the pointers have the validation loss of that step
	first   int64               // step at which this call started
	trained time.Duration       // time in steps of this call
	chars   int64               // characters trained by this call
}

// Run trains in dir until the last epoch or step, and saves meanwhile, or until
// ctx is cancelled (ErrInterrupted). Where dir has checkpoints, training goes on
// from the newest intact one. Checkpoints of other inputs are an *IdentityError, and
// those of more steps an *AheadError. A loss, gradient or weight that is NaN or
// infinite is a *DivergedError. The caller holds dir before and after.
//
// val may be nil. An epoch leaves out a remainder smaller than a batch. To carry
// the hidden, train must be a Text too.
//
// A save runs beside the training, one at a time. The observer is called from one
// goroutine at a time, in the order of events; an error of the observer ends the
// run. It may be nil.
func Run(ctx context.Context, dir *run.Dir, train Data, val Text, o Options, observe func(Report) error) (*Result, error) {
	b, err := newBatches(train, &o)
	if err != nil {
		return nil, err
	}
	r := &training{o: o, dir: dir, batches: b, val: val, observe: observe, saved: -1, savedAt: time.Now(), total: b.total()}
	defer r.close()
	err = r.start(ctx)
	if err == nil {
		err = r.aim(context.WithoutCancel(ctx))
	}
	if err == nil {
		err = r.loop(ctx)
	}
	if saveErr := r.await(); saveErr != nil && (err == nil || errors.Is(err, ErrInterrupted)) {
		err = saveErr
	}
	if err == nil {
		// A run that was killed after its last pointer may still have files to delete.
		err = r.commit(context.WithoutCancel(ctx), dir.Latest())
	}
	if err == nil {
		err = r.aim(context.WithoutCancel(ctx)) // a training that stops early ends before
	}
	if err != nil && !errors.Is(err, ErrInterrupted) {
		return nil, err
	}
	return r.result(err == nil), err
}

// aim records where the training ends.
func (r *training) aim(ctx context.Context) error {
	return r.dir.Aim(ctx, run.Goal{Steps: r.total, Epochs: r.o.Epochs})
}

func (r *training) close() {
	if r.trainer != nil {
		r.trainer.Close()
	}
}

// loop trains step by step.
func (r *training) loop(ctx context.Context) error {
	batch := make([]int32, r.o.Batch*(r.o.SeqLength+1))
	logged, since := r.chars, time.Now()
	for {
		if err := r.betweenSteps(ctx); err != nil {
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
			p := Report{Nats: loss, PerSecond: rate, LR: r.trainer.Solver.LR, GradientNorm: r.trainer.Solver.Norm()}
			if err := r.report(p); err != nil {
				return err
			}
			logged, since = r.chars, time.Now()
		}
	}
}

// betweenSteps saves, validates and stops, where a step calls for it.
func (r *training) betweenSteps(ctx context.Context) error {
	if err := r.poll(); err != nil {
		return err
	}
	if err := r.dir.Err(); err != nil {
		return fmt.Errorf("train: step %d: %w", r.step, err)
	}
	end := r.step >= r.total
	every := r.o.EverySteps > 0 && r.step%r.o.EverySteps == 0 ||
		r.o.Every > 0 && time.Since(r.savedAt) >= r.o.Every && r.saving == nil
	every = every && r.step > 0
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

// stopEarly ends the training here when its last epochs have brought no lower loss.
func (r *training) stopEarly() {
	if r.epochEnd() && exhausted(r.past.Epochs, r.o.Patience) {
		r.total = r.step
	}
}

// epochEnd reports whether the last step ended an epoch.
func (r *training) epochEnd() bool {
	_, at := r.batches.find(r.step)
	return r.step > 0 && at == 0
}

// due reports whether the newest checkpoint waits for its validation.
func (r *training) due() bool {
	return r.saved == r.step && !r.judged && (r.step >= r.total || r.epochEnd())
}

// advance takes the next step.
func (r *training) advance(ctx context.Context, batch []int32) (float64, error) {
	T, err := r.batches.read(ctx, r.step, batch)
	if err != nil {
		return 0, err
	}
	all := r.batches.steps(r.o.Epochs)
	r.trainer.Solver.LR = r.o.rate(r.step, all, r.past.Epochs)
	r.trainer.Sampling = r.o.Curriculum.Sampling * (float64(r.step) / float64(max(1, all)))
	loss, err := r.batches.step(r.trainer, T, batch)
	if err == nil && !finite(loss) {
		err = fmt.Errorf("the loss is %g", loss)
	}
	if err != nil && finite(loss) && finite(r.trainer.Solver.Norm()) {
		return loss, fmt.Errorf("train: step %d: %w", r.step+1, err)
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

// report completes a report and delivers it, after the save under way.
func (r *training) report(p Report) error {
	if r.saving != nil {
		r.held = append(r.held, r.complete(p))
		return nil
	}
	return r.deliver(r.complete(p))
}

// complete fills in the step, the number of steps and the epoch.
func (r *training) complete(p Report) Report {
	p.Step, p.Steps, p.Epoch = r.step, r.total, r.epoch()
	return p
}

func (r *training) deliver(p Report) error {
	if r.observe == nil {
		return nil
	}
	return r.observe(p)
}

// epoch returns the epoch of the last step, 1 before the first.
func (r *training) epoch() int {
	epoch, _ := r.batches.find(max(0, r.step-1))
	return epoch
}

// result returns the state of the run as a Result.
func (r *training) result(done bool) *Result {
	latest := r.dir.Latest()
	res := &Result{Step: r.step, Epoch: r.epoch(), Validation: latest.Loss, Checkpoint: latest.Name, Resumed: r.first, Done: done}
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
