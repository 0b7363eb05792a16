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

// observer turns the reports of a training into metrics, progress and warnings.
type observer struct {
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
	drawn    int // last epoch whose events this call has written
}

// flushEvery is the time between two writes of the metrics.
const flushEvery = 5 * time.Second

// open reads the metrics up to a step; see report.OpenMetrics.
func (o *observer) open(step int64, redoEnd bool) (err error) {
	o.metrics, err = report.OpenMetrics(o.ctx, o.st, step, redoEnd)
	return err
}

func (o *observer) observe(r train.Report) error {
	switch {
	case r.Warning != nil:
		o.console.Warn("%v", r.Warning)
		return nil
	case r.Resumed:
		if r.Step < r.Steps || r.EpochEnd {
			o.console.Line("train: goes on at step %d of %d", r.Step, r.Steps)
		} else {
			o.console.Line("train: has ended at step %d", r.Step)
		}
		return o.open(r.Step, r.EpochEnd)
	case r.Saved != "":
		if o.progress == nil || r.Step%o.perEpoch != 0 { // the line of an epoch's end says enough
			o.console.Line("train: saved %s", o.st.Join(r.Saved))
		}
		return o.flush()
	case r.EpochEnd:
		o.epochEnd(r)
		sample, err := o.sample(r)
		if err != nil {
			return err
		}
		line := report.Line{Step: r.Step, Epoch: r.Epoch, EpochTrain: &r.EpochNats, Validation: r.Validation, Sample: sample}
		if err := o.metrics.Add(line); err != nil {
			return err
		}
		if err := o.flush(); err != nil {
			return err
		}
		return o.draw()
	}
	if o.progress == nil {
		o.progress = o.console.Progress("train", r.Step, r.Steps)
	}
	if r.Step == 1 && o.opts.Start == nil {
		o.checkFirst(r.Nats)
	}
	o.progress.Set(r.Step, fmt.Sprintf("epoch %d  step %d/%d  loss %.3f  %.0f chars/s", r.Epoch, r.Step, r.Steps, r.Nats, r.PerSecond))
	line := report.Line{Step: r.Step, Epoch: r.Epoch, Train: &r.Nats, PerSecond: &r.PerSecond, GradientNorm: &r.GradientNorm, LR: &r.LR,
		Time: float64(time.Now().UnixMilli()) / 1e3}
	if err := o.metrics.Add(line); err != nil {
		return err
	}
	if time.Since(o.flushed) < flushEvery && !o.metrics.Full() {
		return nil
	}
	return o.flush()
}

// draw brings the TensorBoard events of the last epoch and the picture up to date.
func (o *observer) draw() error {
	o.drawn = o.metrics.LastEpoch()
	ctx := context.WithoutCancel(o.ctx)
	if err := o.metrics.WriteEvents(ctx); err != nil {
		return err
	}
	return o.metrics.WritePicture(ctx, text.Baselines(o.set)[1:])
}

// finish writes the lines and pictures since the last epoch's end.
func (o *observer) finish() error {
	if err := o.metrics.Finish(context.WithoutCancel(o.ctx)); err != nil {
		return err
	}
	if o.metrics.LastEpoch() > o.drawn {
		return o.draw()
	}
	return nil
}

func (o *observer) flush() error {
	o.flushed = time.Now()
	return o.metrics.Flush(context.WithoutCancel(o.ctx))
}

// checkFirst warns where the loss of the untrained network is not near that of guessing.
func (o *observer) checkFirst(nats float64) {
	uniform := math.Log(float64(o.opts.Shape.Vocabulary))
	if math.Abs(nats-uniform) > 0.05*uniform {
		o.console.Warn("the first loss is %.3f nats, more than 5 %% from ln %d = %.3f of an untrained network:"+
			" look for a mistake in the data or the model",
			nats, o.opts.Shape.Vocabulary, uniform)
	}
}

// epochEnd prints an epoch's losses. It warns above the loss of a model that knows
// only how frequent each character is.
func (o *observer) epochEnd(r train.Report) {
	line, nats := fmt.Sprintf("train: epoch %d: training loss %.4f nats a character", r.Epoch, r.EpochNats), r.EpochNats
	if r.Validation != nil {
		line, nats = line+fmt.Sprintf(", validation %.4f", *r.Validation), *r.Validation
	}
	o.console.Line("%s, %s", line, report.Between(nats, text.Baselines(o.set)))
	if unigram := o.set.Manifest().Entropy.UnigramNats; r.EpochNats > unigram {
		o.console.Warn("epoch %d ends above the unigram entropy of %.4f nats: the model knows less than the frequencies of the characters",
			r.Epoch, unigram)
	}
}

// sampleChars is the length of the sample of an epoch.
const sampleChars = 150

// sample writes a text with the model of an epoch's end and prints it. A prompt with
// a character that the model does not know is left out.
func (o *observer) sample(r train.Report) (string, error) {
	g := o.generate
	g.Length = sampleChars
	m := &text.Model{Weights: r.Weights, Vocab: o.set.Vocab(), Checkpoint: &checkpoint.Checkpoint{Metadata: o.opts.Identity}}
	res, err := text.Generate(o.ctx, m, g, io.Discard)
	var missing *vocab.CharError
	if errors.As(err, &missing) {
		g.Prompt = ""
		res, err = text.Generate(o.ctx, m, g, io.Discard)
	}
	if o.ctx.Err() != nil {
		return "", nil // the losses of the epoch are reported without it
	}
	if err != nil {
		return "", err
	}
	written := strings.ToValidUTF8(res.Texts[0], "\uFFFD")
	o.console.Line("train: epoch %d writes:\n  %s", r.Epoch, strings.ReplaceAll(written, "\n", "\n  "))
	return written, nil
}

func (o *observer) close() {
	if o.progress != nil {
		o.progress.Done()
	}
}
