package gate

import (
	"context"

	"github.com/quire-ml/quire/model/train"
	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/transforms/dataset"
)

// measured is a mean loss over characters.
type measured struct {
	nats  float64
	chars int64
}

// A duel is the losses of the candidate and of the promoted model on the same
// sequences: those whose characters both know.
type duel struct {
	path         string // of the promoted model
	same         bool   // both have one vocabulary: the sequences are all
	sequences    int64  // that both know; with 0 there are no losses
	all          int64
	ours, theirs float64
}

// measure finds the losses of the candidate, and of the promoted model on the same
// text. They are those of train.Evaluate, as the command evaluate reports them.
// Where the loss is not a finite number, nothing else is measured.
func (c *candidate) measure(ctx context.Context) error {
	name := text.HeldOut(c.set)
	data, err := c.set.Text(name, 0)
	if err != nil {
		return err
	}
	if err := c.model.CheckMemory("evaluate", train.EvaluateMemory(c.model.Weights.Shape)); err != nil {
		return err
	}
	if c.nats, _, err = train.Evaluate(ctx, c.model.Weights, data); err != nil {
		return err
	}
	c.judged, c.judgedOn = c.nats, "validation"
	if name == "train" {
		c.judgedOn = "training"
		if c.o.TrainNats != nil {
			c.judged = *c.o.TrainNats
		}
	}
	if c.res.Nats = Finite(c.judged); c.res.Nats == nil {
		return nil
	}
	if name == "validation" {
		if err := c.measureTrained(ctx); err != nil {
			return err
		}
	}
	return c.compare(ctx, data)
}

// measureTrained finds the candidate's loss on some of the training part.
func (c *candidate) measureTrained(ctx context.Context) error {
	data, err := c.set.Text("train", 0)
	if err != nil {
		return err
	}
	nats, chars, err := train.Evaluate(ctx, c.model.Weights, spread(data, c.sequence()))
	c.trained = &measured{nats, chars}
	return err
}

// compare measures the promoted model, where there is one, on the text on which the
// candidate was measured.
func (c *candidate) compare(ctx context.Context, data *dataset.TextData) error {
	if c.o.Promoted == "" {
		return nil
	}
	p, err := text.OpenModel(ctx, c.o.Promoted, "best")
	if err != nil {
		return err
	}
	c.res.Against = store.Path(p.Path)
	d := &duel{path: p.Path, same: p.Vocab.Same(c.set.Vocab()), all: data.Len(), sequences: data.Len(), ours: c.nats}
	c.duel = d
	if d.same {
		d.theirs, _, err = train.Evaluate(ctx, p.Weights, data)
		return err
	}
	to := c.set.Vocab().Map(p.Vocab)
	if c.set.Vocab().HasUnknown() {
		to[0] = -1 // [UNK] is easier to predict than the characters that it stands for
	}
	spans, n, err := mapped(ctx, data, to, c.sequence())
	if d.sequences = n; err != nil || n == 0 {
		return err
	}
	if d.ours, _, err = train.Evaluate(ctx, c.model.Weights, newExcerpt(data, spans, nil)); err != nil {
		return err
	}
	d.theirs, _, err = train.Evaluate(ctx, p.Weights, newExcerpt(data, spans, to))
	return err
}

// sequence returns the number of characters of a sequence: L+1.
func (c *candidate) sequence() int64 { return int64(c.set.Manifest().SeqLength) + 1 }
