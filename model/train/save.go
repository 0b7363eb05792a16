package train

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/quire-ml/quire/model/checkpoint"
)

// save begins to save the last step, once the save before has ended. It saves a
// copy of the state, so that the training goes on meanwhile. The bytes depend on
// the step alone: a save that is repeated after a crash meets the same bytes.
func (r *training) save(ctx context.Context) error {
	if err := r.await(); err != nil {
		return err
	}
	metrics, err := json.Marshal(r.past)
	if err != nil {
		return fmt.Errorf("train: metrics of step %d: %w", r.step, err)
	}
	tensors, err := r.copied()
	if err != nil {
		return err
	}
	c := &checkpoint.Checkpoint{Metadata: r.o.Identity, Tensors: tensors}
	c.Step, c.Epoch, c.Metrics = r.step, r.epoch(), metrics
	saved := r.complete(Report{Saved: checkpoint.Path(r.step)})
	r.saving = make(chan error, 1)
	go func() { r.saving <- r.write(ctx, c, saved) }()
	r.saved, r.judged, r.savedAt = r.step, false, time.Now()
	return nil
}

// copied returns a copy of the tensors. Every save uses the same memory for it.
func (r *training) copied() ([]checkpoint.Tensor, error) {
	now, err := r.trainer.tensors()
	if err != nil {
		return nil, err
	}
	if r.copies == nil {
		r.copies = slices.Clone(now)
		for i, t := range now {
			r.copies[i].Data = make([]float32, len(t.Data))
		}
	}
	for i, t := range now {
		copy(r.copies[i].Data, t.Data)
	}
	return r.copies, nil
}

// await waits for the end of the save under way, if any, and then delivers the
// held reports.
func (r *training) await() error {
	if r.saving == nil {
		return nil
	}
	return r.finishSave(<-r.saving)
}

// poll is await where the save under way has ended.
func (r *training) poll() error {
	select {
	case err := <-r.saving: // a nil channel is never ready
		return r.finishSave(err)
	default:
		return nil
	}
}

// finishSave ends a save whose error is err, and delivers the held reports.
func (r *training) finishSave(err error) error {
	r.saving = nil
	held := r.held
	r.held = nil
	for _, p := range held {
		if err == nil {
			err = r.deliver(p)
		}
	}
	return err
}

// write writes a checkpoint and commits it. It runs beside the training, and until
// it ends only write uses the observer and dir.
func (r *training) write(ctx context.Context, c *checkpoint.Checkpoint, saved Report) error {
	if err := finiteTensors(c.Tensors); err != nil {
		return &DivergedError{c.Step, err}
	}
	p, err := r.dir.Save(ctx, c)
	if err != nil {
		return err
	}
	if err := r.deliver(saved); err != nil {
		return err
	}
	return r.commit(ctx, p)
}

// commit makes a checkpoint part of the run.
func (r *training) commit(ctx context.Context, p checkpoint.Pointer) error {
	warning, err := r.dir.Commit(ctx, p, r.o.Retention)
	if err == nil && warning != nil {
		err = r.deliver(Report{Step: p.Step, Warning: warning})
	}
	return err
}

// finite reports whether x is neither NaN nor infinite.
func finite(x float64) bool { return x-x == 0 }

// finiteTensors refuses values from which no training can go on.
func finiteTensors(tensors []checkpoint.Tensor) error {
	for _, t := range tensors {
		for i, x := range t.Data {
			if x-x != 0 { // NaN or infinite
				return fmt.Errorf("value %d of %s is %g", i, t.Name, x)
			}
		}
	}
	return nil
}

// judge validates the newest checkpoint while it is saved, and commits its loss:
// latest.json states it, and best.json moves when it is the lowest so far.
func (r *training) judge(ctx context.Context) error {
	loss, err := r.validate(ctx)
	if err := errors.Join(err, r.await()); err != nil {
		return err
	}
	if n := len(r.past.Epochs); r.epochEnd() && n > 0 {
		r.past.Epochs[n-1].Validation = loss
		w, err := r.trainer.Averaged()
		if err != nil {
			return err
		}
		if err := r.report(Report{EpochEnd: true, EpochNats: r.past.Epochs[n-1].TrainNats, Validation: loss, Weights: w}); err != nil {
			return err
		}
	}
	r.judged = true
	r.stopEarly()
	if loss == nil {
		return nil
	}
	p := r.dir.Latest()
	p.Loss = loss
	return r.commit(ctx, p)
}
