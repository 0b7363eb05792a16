package gate

import (
	"context"
	"fmt"
	"math"

	"github.com/quire-ml/quire/model/train"
	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/transforms/dataset"
)

// gapSpans and gapSequences are how much of the training part tells what the
// candidate's loss there is: so many spans of so many sequences, spread evenly.
// With 100 characters each, that is some hundredths of a nat of noise.
const (
	gapSpans     = 16
	gapSequences = 32
)

// losses checks what the candidate knows, by itself and against the promoted
// model. Losses are those of train.Evaluate, as Evaluate reports them.
func (g *gate) losses(ctx context.Context, m *text.Model, set *dataset.Set) error {
	name := text.HeldOut(set)
	data, err := set.Text(name, 0)
	if err != nil {
		return err
	}
	nats, _, err := train.Evaluate(ctx, m.Weights, data)
	if err != nil {
		return err
	}
	judged, what := nats, "validation loss"
	if name == "train" {
		what = "training loss"
		if g.o.TrainNats != nil {
			judged = *g.o.TrainNats
		}
	}
	unigram := g.res.UnigramNats
	g.res.Nats = Finite(judged)
	g.figure("loss", judged < unigram && !math.IsInf(judged, -1), judged, unigram,
		fmt.Sprintf("%s %.4f nats a character, it must be below the unigram entropy %.4f", what, judged, unigram))
	if g.res.Nats == nil {
		return nil
	}
	if name == "validation" {
		if err := g.gap(ctx, m, set, nats); err != nil {
			return err
		}
	}
	return g.against(ctx, m, set, data, nats)
}

// gap checks that the held-out part is not better known than what was trained on.
func (g *gate) gap(ctx context.Context, m *text.Model, set *dataset.Set, nats float64) error {
	data, err := set.Text("train", 0)
	if err != nil {
		return err
	}
	known, chars, err := train.Evaluate(ctx, m.Weights, spread(data, int64(set.Manifest().SeqLength)+1))
	if err != nil {
		return err
	}
	limit := known * (1 - g.c.MaxGap)
	g.figure("gap", nats >= limit, nats, limit,
		fmt.Sprintf("%.4f nats on the held-out part, %.4f on %d characters trained on: below %.4f it would know the held-out part by heart", nats, known, chars, limit))
	return nil
}

// against compares the candidate, which has the given loss on a text, with the
// promoted model on the same text.
func (g *gate) against(ctx context.Context, m *text.Model, set *dataset.Set, data *dataset.TextData, nats float64) error {
	if g.o.Promoted == "" {
		return nil
	}
	p, err := text.OpenModel(ctx, g.o.Promoted, "best")
	if err != nil {
		return err
	}
	g.res.Against = store.Path(p.Path)
	var theirs train.Text = data
	where := ""
	if !p.Vocab.Same(set.Vocab()) {
		to := set.Vocab().Map(p.Vocab)
		if set.Vocab().HasUnknown() {
			to[0] = -1 // [UNK] is easier to predict than the characters that it stands for
		}
		spans, n, err := common(ctx, data, to, int64(set.Manifest().SeqLength)+1)
		if err != nil {
			return err
		}
		where = fmt.Sprintf(" on the %d of %d sequences whose characters it knows too", n, data.Len())
		if n == 0 {
			g.holds("promoted", false, fmt.Sprintf("the promoted model %s knows the characters of none of the %d sequences to compare on; promote the new one by hand: promote %s", p.Path, data.Len(), m.Path))
			return nil
		}
		if nats, _, err = train.Evaluate(ctx, m.Weights, newPart(data, spans, nil)); err != nil {
			return err
		}
		theirs = newPart(data, spans, to)
	}
	other, _, err := train.Evaluate(ctx, p.Weights, theirs)
	if err != nil {
		return err
	}
	limit := other - g.c.Margin
	g.figure("promoted", nats < limit, nats, limit, fmt.Sprintf("%.4f nats, the promoted model %.4f%s: it must be better by more than %g", nats, other, where, g.c.Margin))
	return nil
}
