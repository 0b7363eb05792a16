package stages

import (
	"context"
	"fmt"
	"math"

	"github.com/quire-ml/quire/model/train"
	"github.com/quire-ml/quire/transforms/dataset"
	"github.com/quire-ml/quire/transforms/vocab"
)

// gapSequences is how many training sequences tell what the candidate's loss there
// is: with 100 characters each, some hundredths of a nat of noise.
const gapSequences = 512

// losses checks what the candidate knows, by itself and against the promoted model.
func (g *gate) losses(ctx context.Context, m *Model, set *dataset.Set) error {
	L := set.Manifest().SeqLength
	held := &SplitData{Split: set.Split("validation")}
	what, all := "validation loss", whole(held)
	if held.Len() == 0 {
		what, all = "training loss", whole(&SplitData{Split: set.Split("train")})
	}
	nats, err := train.Evaluate(ctx, m.Weights, all, L)
	if err != nil {
		return err
	}
	judged := nats
	if held.Len() == 0 && g.o.TrainNats != nil {
		judged = *g.o.TrainNats
	}
	unigram := g.res.UnigramNats
	g.res.Nats = finite(judged)
	g.figure("loss", judged < unigram && !math.IsInf(judged, -1), judged, unigram,
		fmt.Sprintf("%s %.4f nats a character, it must be below the unigram entropy %.4f", what, judged, unigram))
	if g.res.Nats == nil {
		return nil
	}
	if held.Len() > 0 {
		if err := g.gap(ctx, m, set, nats); err != nil {
			return err
		}
	}
	return g.against(ctx, m, set, all, nats)
}

// gap checks that the held-out part is not better known than what was trained on.
func (g *gate) gap(ctx context.Context, m *Model, set *dataset.Set, nats float64) error {
	some := whole(&SplitData{Split: set.Split("train")})
	some.n = min(some.n, gapSequences)
	known, err := train.Evaluate(ctx, m.Weights, some, set.Manifest().SeqLength)
	if err != nil {
		return err
	}
	limit := known * (1 - g.c.MaxGap)
	g.figure("gap", nats >= limit, nats, limit,
		fmt.Sprintf("%.4f nats on the held-out part, %.4f on %d training sequences: below %.4f it would know the held-out part by heart", nats, known, some.n, limit))
	return nil
}

// against compares the candidate, which has the given loss on all, with the
// promoted model on the same text.
func (g *gate) against(ctx context.Context, m *Model, set *dataset.Set, all *subset, nats float64) error {
	if g.o.Promoted == "" {
		return nil
	}
	p, err := OpenModel(ctx, g.o.Promoted, "best")
	if err != nil {
		return err
	}
	g.res.Against = p.Path
	theirs, text := *all, ""
	if !p.Vocab.Same(set.Vocab()) {
		to := recode(set.Vocab(), p.Vocab)
		common, err := sequencesOf(ctx, all, to, set.Manifest().SeqLength)
		if err != nil {
			return err
		}
		text = fmt.Sprintf(" on the %d of %d sequences whose characters it knows too", len(common), all.Len())
		if len(common) == 0 {
			g.holds("promoted", false, fmt.Sprintf("the promoted model %s knows the characters of none of the %d sequences to compare on; promote the new one by hand: promote %s", p.Path, all.Len(), m.Path))
			return nil
		}
		ours := *all
		ours.at, theirs.at, theirs.to = common, common, to
		if nats, err = train.Evaluate(ctx, m.Weights, &ours, set.Manifest().SeqLength); err != nil {
			return err
		}
	}
	other, err := train.Evaluate(ctx, p.Weights, &theirs, set.Manifest().SeqLength)
	if err != nil {
		return err
	}
	limit := other - g.c.Margin
	g.figure("promoted", nats < limit, nats, limit, fmt.Sprintf("%.4f nats, the promoted model %.4f%s: it must be better by more than %g", nats, other, text, g.c.Margin))
	return nil
}

// A subset is some sequences of a split, in the ids of another vocabulary.
type subset struct {
	data *SplitData
	n    int64
	at   []int64 // positions; nil: the first n
	to   []int32 // by id; nil: unchanged
}

func whole(d *SplitData) *subset { return &subset{data: d, n: d.Len()} }

// Len returns the number of sequences.
func (s *subset) Len() int64 {
	if s.at != nil {
		return int64(len(s.at))
	}
	return s.n
}

// Read fills dst with the sequence at a position.
func (s *subset) Read(ctx context.Context, epoch int, position int64, dst []int32) error {
	if s.at != nil {
		position = s.at[position]
	}
	if err := s.data.Read(ctx, epoch, position, dst); err != nil {
		return err
	}
	if s.to != nil {
		for i, id := range dst {
			dst[i] = s.to[id]
		}
	}
	return nil
}

// recode returns the id that each character of v has in w, -1 where it has none of
// its own: [UNK] is easier to predict than what it stands for.
func recode(v, w *vocab.Vocab) []int32 {
	to := make([]int32, v.Size())
	for id := range to {
		to[id] = -1
		if v.HasUnknown() && id == 0 || v.Unit() != w.Unit() {
			continue
		}
		if other, err := w.Encode(nil, v.AppendText(nil, int32(id))); err == nil && !(w.HasUnknown() && other[0] == 0) {
			to[id] = other[0]
		}
	}
	return to
}

// sequencesOf returns the positions of the sequences that have an id in to.
func sequencesOf(ctx context.Context, s *subset, to []int32, L int) (at []int64, err error) {
	ids := make([]int32, L+1)
next:
	for i := range s.Len() {
		if err := s.Read(ctx, 1, i, ids); err != nil {
			return nil, err
		}
		for _, id := range ids {
			if to[id] < 0 {
				continue next
			}
		}
		at = append(at, i)
	}
	return at, nil
}
