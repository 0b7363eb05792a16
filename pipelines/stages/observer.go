package stages

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/model/checkpoint"
	"github.com/quire-ml/quire/model/train"
	"github.com/quire-ml/quire/pipelines/report"
	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/transforms/dataset"
	"github.com/quire-ml/quire/transforms/vocab"
)

// watcher turns the reports of a run into metrics, progress and warnings.
type watcher struct {
	ctx      context.Context
	st       *store.Store
	console  *report.Console
	set      *dataset.Set
	opts     train.Options
	generate configs.Generate // of the samples
	perEpoch int64            // steps
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
		sample, err := w.sample(r)
		if err != nil {
			return err
		}
		if err := w.metrics.Add(report.Line{Step: r.Step, Epoch: r.Epoch, EpochTrain: &r.EpochNats, Validation: r.Validation, Sample: sample}); err != nil {
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
	if r.Step == 1 && w.opts.Start == nil {
		w.checkFirst(r.Nats)
	}
	w.progress.Set(r.Step, fmt.Sprintf("epoch %d  step %d/%d  loss %.3f  %.0f chars/s", r.Epoch, r.Step, r.Steps, r.Nats, r.PerSecond))
	if err := w.metrics.Add(report.Line{Step: r.Step, Epoch: r.Epoch, Train: &r.Nats, PerSecond: &r.PerSecond, GradientNorm: &r.GradientNorm, LR: &r.LR}); err != nil {
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
	ctx := context.WithoutCancel(w.ctx)
	if err := w.metrics.WriteEvents(ctx, epoch); err != nil {
		return err
	}
	return w.metrics.WritePicture(ctx, text.Baselines(w.set)[1:])
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
	line, nats := fmt.Sprintf("train: epoch %d: training loss %.4f nats a character", r.Epoch, r.EpochNats), r.EpochNats
	if r.Validation != nil {
		line, nats = line+fmt.Sprintf(", validation %.4f", *r.Validation), *r.Validation
	}
	w.console.Line("%s, %s", line, report.Between(nats, text.Baselines(w.set)))
	if unigram := w.set.Manifest().Entropy.UnigramNats; r.EpochNats > unigram {
		w.console.Warn("epoch %d ends above the unigram entropy of %.4f nats: the model knows less than the frequencies of the characters; check train.lr", r.Epoch, unigram)
	}
}

// sampleChars is the length of the sample of an epoch.
const sampleChars = 150

// sample writes some text with the model of an epoch's end and prints it. A prompt
// that the model does not know is left out.
func (w *watcher) sample(r train.Report) (string, error) {
	g := w.generate
	g.Length = sampleChars
	m := &text.Model{Weights: r.Weights, Vocab: w.set.Vocab(), Checkpoint: &checkpoint.Checkpoint{Metadata: w.opts.Identity}}
	res, err := text.Generate(w.ctx, m, g, io.Discard)
	var missing *vocab.CharError
	if errors.As(err, &missing) {
		g.Prompt = ""
		res, err = text.Generate(w.ctx, m, g, io.Discard)
	}
	if w.ctx.Err() != nil {
		return "", nil // what the epoch has learnt is reported all the same
	}
	if err != nil {
		return "", err
	}
	written := strings.ToValidUTF8(res.Texts[0], "\uFFFD")
	w.console.Line("train: epoch %d writes:\n  %s", r.Epoch, strings.ReplaceAll(written, "\n", "\n  "))
	return written, nil
}

func (w *watcher) close() {
	if w.progress != nil {
		w.progress.Done()
	}
}
