package train

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path"
	"strings"

	"github.com/quire-ml/quire/model/checkpoint"
	"github.com/quire-ml/quire/model/decode"
	"github.com/quire-ml/quire/model/rnn"
	"github.com/quire-ml/quire/runners/store"
)

// save writes a checkpoint of the last step and moves latest.json to it. What
// it writes depends on the step alone, so a save that is done again after a
// crash meets the same bytes.
func (r *run) save(ctx context.Context) error {
	metrics, err := json.Marshal(r.past)
	if err != nil {
		return fmt.Errorf("train: metrics of step %d: %w", r.step, err)
	}
	c := &checkpoint.Checkpoint{Metadata: r.o.Identity, Tensors: r.trainer.tensors()}
	c.Step, c.Epoch, c.Metrics = r.step, r.epoch(), metrics
	if err := finite(c.Tensors); err != nil {
		return fmt.Errorf("train: step %d: %w; use a smaller train.lr, or train.clip_norm: 1", r.step, err)
	}
	p, err := checkpoint.Save(ctx, r.st, c)
	if errors.Is(err, store.ErrConflict) {
		if err = r.discard(ctx, err); err == nil {
			p, err = checkpoint.Save(ctx, r.st, c)
		}
	}
	if err != nil {
		return err
	}
	if err := r.report(Report{Saved: p.Name}); err != nil {
		return err
	}
	if err := r.point(ctx, &r.latest, p); err != nil {
		return err
	}
	r.saved, r.judged = r.step, false
	return r.prune(ctx)
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

// discard deletes the file that is in the way of the checkpoint of the last
// step, unless a pointer names it. A run that was killed between a checkpoint
// and its pointer leaves such a file, and this run has other numbers (more
// epochs, or any where it left no pointer at all).
func (r *run) discard(ctx context.Context, conflict error) error {
	name := checkpoint.Path(r.step)
	for _, which := range []string{"latest", "best"} {
		p, _, err := checkpoint.ReadPointer(ctx, r.st, which)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if p.Name == name {
			return conflict
		}
	}
	return r.st.Delete(ctx, name, "")
}

// point moves a pointer.
func (r *run) point(ctx context.Context, to *pointer, p checkpoint.Pointer) error {
	if err := checkpoint.SwapPointer(ctx, r.st, to.which, p, to.generation); err != nil {
		return err
	}
	var err error
	to.Pointer, to.generation, err = checkpoint.ReadPointer(ctx, r.st, to.which)
	return err
}

// judge validates the newest checkpoint, writes its loss into latest.json and
// moves best.json when it is the lowest so far.
func (r *run) judge(ctx context.Context) error {
	loss, err := r.validate(ctx)
	if err != nil {
		return err
	}
	if n := len(r.past.Epochs); r.epochEnd() && n > 0 {
		r.past.Epochs[n-1].Validation = loss
		if err := r.report(Report{EpochEnd: true, EpochNats: r.past.Epochs[n-1].TrainNats, Validation: loss}); err != nil {
			return err
		}
	}
	r.judged = true
	r.stopEarly()
	if loss == nil {
		return nil
	}
	p := r.latest.Pointer
	p.Loss = loss
	if r.o.KeepBest && (r.best.generation == "" || r.best.Loss == nil || *loss < *r.best.Loss) {
		if err := r.point(ctx, &r.best, p); err != nil {
			return err
		}
	}
	if err := r.point(ctx, &r.latest, p); err != nil {
		return err
	}
	return r.prune(ctx)
}

// validate returns the mean loss over the validation part, nil without one.
func (r *run) validate(ctx context.Context) (*float64, error) {
	if r.val == nil || r.val.Len() == 0 {
		return nil, nil
	}
	loss, err := Evaluate(ctx, r.trainer.Weights, r.val, r.o.SeqLength)
	if err == nil && (math.IsNaN(loss) || math.IsInf(loss, 0)) {
		err = fmt.Errorf("train: step %d: the validation loss is %g; use a smaller train.lr, or train.clip_norm: 1", r.step, loss)
	}
	return &loss, err
}

// evaluateBatch is the number of sequences that Evaluate runs side by side.
const evaluateBatch = 64

// Evaluate returns the mean cross-entropy in nats a character over all
// sequences of L+1 ids that epoch 1 of data visits, each from a zero hidden.
// The losses are summed in the order of positions, then of time.
func Evaluate(ctx context.Context, w *rnn.Weights, data Data, L int) (float64, error) {
	var sum float64
	for at := int64(0); at < data.Len(); at += evaluateBatch {
		B := int(min(evaluateBatch, data.Len()-at))
		losses, err := losses(ctx, decode.New(w, B), data, at, L)
		if err != nil {
			return 0, err
		}
		for _, l := range losses {
			sum += l
		}
	}
	return sum / float64(data.Len()*int64(L)), nil
}

// losses returns the losses (B, L) of the m.B sequences from position at.
func losses(ctx context.Context, m *decode.Model, data Data, at int64, L int) ([]float64, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	seqs := make([]int32, m.B*(L+1))
	for b := 0; b < m.B; b++ {
		if err := data.Read(ctx, 1, at+int64(b), seqs[b*(L+1):(b+1)*(L+1)]); err != nil {
			return nil, err
		}
	}
	out, ids, targets := make([]float64, m.B*L), make([]int32, m.B), make([]int32, m.B)
	for t := 0; t < L; t++ {
		for b := range ids {
			ids[b], targets[b] = seqs[b*(L+1)+t], seqs[b*(L+1)+t+1]
		}
		step, err := m.Losses(ids, targets)
		if err != nil {
			return nil, err
		}
		for b, l := range step {
			out[b*L+t] = l
		}
	}
	return out, nil
}

// prune deletes checkpoints beyond the last KeepLast, but never those that a
// pointer names. The listing serves deletion alone; what exists is what the
// pointers say.
func (r *run) prune(ctx context.Context) error {
	list, err := r.st.List(ctx, "checkpoints/")
	if err != nil {
		return err
	}
	var names []string
	for _, info := range list {
		if strings.HasPrefix(path.Base(info.Name), "step-") && strings.HasSuffix(info.Name, ".safetensors") {
			names = append(names, info.Name)
		}
	}
	for _, name := range names[:max(0, len(names)-r.o.KeepLast)] {
		if name == r.latest.Name || name == r.best.Name {
			continue
		}
		if err := r.st.Delete(ctx, name, ""); err != nil {
			return err
		}
	}
	return nil
}
