package train

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/quire-ml/quire/model/checkpoint"
	"github.com/quire-ml/quire/runners/store"
)

// save begins to save the last step, once the save before it is over. What is
// saved is a copy: the training goes on beside it. What is written depends on the
// step alone, so a save that is done again after a crash meets the same bytes.
func (r *run) save(ctx context.Context) error {
	if err := r.await(); err != nil {
		return err
	}
	metrics, err := json.Marshal(r.past)
	if err != nil {
		return fmt.Errorf("train: metrics of step %d: %w", r.step, err)
	}
	c := &checkpoint.Checkpoint{Metadata: r.o.Identity, Tensors: r.copied()}
	c.Step, c.Epoch, c.Metrics = r.step, r.epoch(), metrics
	saved := r.at(Report{Saved: checkpoint.Path(r.step)})
	r.saving = make(chan error, 1)
	go func() { r.saving <- r.write(ctx, c, saved) }()
	r.saved, r.judged, r.savedAt = r.step, false, time.Now()
	return nil
}

// copied returns a copy of the tensors, in memory that each save uses again.
func (r *run) copied() []checkpoint.Tensor {
	now := r.trainer.tensors()
	if r.copies == nil {
		r.copies = slices.Clone(now)
		for i, t := range now {
			r.copies[i].Data = make([]float32, len(t.Data))
		}
	}
	for i, t := range now {
		copy(r.copies[i].Data, t.Data)
	}
	return r.copies
}

// await waits for the save under way, if there is one, and then hands on the
// reports of the meantime.
func (r *run) await() error {
	if r.saving == nil {
		return nil
	}
	return r.over(<-r.saving)
}

// poll is await, if the save under way is over.
func (r *run) poll() error {
	select {
	case err := <-r.saving: // never, if it is nil
		return r.over(err)
	default:
		return nil
	}
}

func (r *run) over(err error) error {
	r.saving = nil
	held := r.held
	r.held = nil
	for _, p := range held {
		if err == nil {
			err = r.tell(p)
		}
	}
	return err
}

// write writes a checkpoint and commits it. It runs beside the training, and
// until it is over has the observer, the journal and the pointers to itself.
func (r *run) write(ctx context.Context, c *checkpoint.Checkpoint, saved Report) error {
	if err := finite(c.Tensors); err != nil {
		return &DivergedError{c.Step, err}
	}
	p, err := checkpoint.Save(ctx, r.st, c)
	if errors.Is(err, store.ErrConflict) {
		if err = r.discard(ctx, c.Step, err); err == nil {
			p, err = checkpoint.Save(ctx, r.st, c)
		}
	}
	if err != nil {
		return err
	}
	if err := r.tell(saved); err != nil {
		return err
	}
	j := r.journal
	j.Add(p)
	return r.commit(ctx, j)
}

// finite refuses values from which no training can go on.
func finite(tensors []checkpoint.Tensor) error {
	for _, t := range tensors {
		for i, x := range t.Data {
			if x-x != 0 { // NaN or infinite
				return fmt.Errorf("value %d of %s is %g", i, t.Name, x)
			}
		}
	}
	return nil
}

// discard deletes the file that is in the way of the checkpoint of a step, unless
// it is committed. A run that was killed before it could commit leaves such a
// file, and this run has other numbers (more epochs, or any where it left no
// pointer at all); or it is a damaged one.
func (r *run) discard(ctx context.Context, step int64, conflict error) error {
	name := checkpoint.Path(step)
	if _, ok := r.journal.Find(step); ok || r.latest.Name == name || r.best.Name == name {
		return conflict
	}
	info, err := r.st.Stat(ctx, name)
	if err != nil {
		return err
	}
	if err := r.record(ctx, r.journal); err != nil { // it may be another's by now
		return err
	}
	return r.st.Delete(ctx, name, info.Generation)
}

// read reads a pointer anew.
func (p *pointer) read(ctx context.Context, st *store.Store) (err error) {
	p.Pointer, p.generation, err = checkpoint.ReadPointer(ctx, st, p.which)
	return err
}

// is reports whether a pointer says what q does.
func (p *pointer) is(q checkpoint.Pointer) bool {
	same := p.Loss == q.Loss || p.Loss != nil && q.Loss != nil && *p.Loss == *q.Loss
	return same && p.Name == q.Name && p.SHA256 == q.SHA256
}

// point moves a pointer. A training that lost its lease may have moved it to the
// same place.
func (r *run) point(ctx context.Context, to *pointer, p checkpoint.Pointer) error {
	conflict := checkpoint.SwapPointer(ctx, r.st, to.which, p, to.generation)
	if conflict != nil && !errors.Is(conflict, store.ErrConflict) {
		return conflict
	}
	if err := to.read(ctx, r.st); err != nil {
		return err
	}
	if !to.is(p) {
		return conflict
	}
	return nil
}

// judge validates the newest checkpoint while it is saved, and commits its loss:
// latest.json tells it, and best.json moves when it is the lowest so far.
func (r *run) judge(ctx context.Context) error {
	loss, err := r.validate(ctx)
	if err := errors.Join(err, r.await()); err != nil {
		return err
	}
	if n := len(r.past.Epochs); r.epochEnd() && n > 0 {
		r.past.Epochs[n-1].Validation = loss
		if err := r.report(Report{EpochEnd: true, EpochNats: r.past.Epochs[n-1].TrainNats, Validation: loss, Weights: r.trainer.Averaged()}); err != nil {
			return err
		}
	}
	r.judged = true
	r.stopEarly()
	if loss == nil {
		return nil
	}
	p, j := r.latest.Pointer, r.journal
	p.Loss = loss
	j.Add(p)
	return r.commit(ctx, j)
}
