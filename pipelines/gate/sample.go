package gate

import (
	"context"
	"fmt"
	"slices"

	"github.com/quire-ml/quire/model/decode"
	"github.com/quire-ml/quire/model/sample"
	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/transforms/dataset"
	"github.com/quire-ml/quire/transforms/prepare"
	"github.com/quire-ml/quire/transforms/vocab"
)

// samples checks texts that the candidate writes.
func (g *gate) samples(ctx context.Context, m *text.Model, set *dataset.Set) error {
	t := &gateTexts{ctx: ctx, corpus: g.o.Corpus, set: set}
	length := g.c.Length
	if length == 0 {
		length = max(set.Manifest().SeqLength, grams[1])
	}
	held, err := t.excerpts(g.c.Samples, length)
	if err != nil {
		return err
	}
	prompts, err := prompts(ctx, set, g.c.Samples)
	if err != nil {
		return err
	}
	written, err := writeSamples(ctx, m, prompts, length, g.c.Temperature)
	if err != nil {
		return err
	}
	g.text(m, written, held)
	theirs, ours := newSpanIndex(held), newSpanIndex(written)
	held50, held20, heldSpan, err := t.common(theirs)
	if err != nil {
		return err
	}
	copied50, copied20, span, err := t.common(ours)
	if err != nil {
		return err
	}
	g.below("span", float64(span), float64(max(g.c.MaxSpan, heldSpan)),
		fmt.Sprintf("the longest span of its samples in the training text has %d characters (of the held-out part %d); %d are allowed", span, heldSpan, max(g.c.MaxSpan, heldSpan)))
	g.copied(50, copied50, held50, g.c.MaxCopied50)
	g.copied(20, copied20, held20, g.c.MaxCopied20)
	all, _, leaked := ours.count(0)
	g.below("leaked", share(leaked, all), g.c.MaxLeaked,
		fmt.Sprintf("%.3g of the 20-grams of its samples are in the held-out part and not in the training text; %.3g are allowed", share(leaked, all), g.c.MaxLeaked))
	return nil
}

func (g *gate) copied(n int, ours, theirs, more float64) {
	g.below(fmt.Sprintf("copied_%d", n), ours, min(1, theirs+more),
		fmt.Sprintf("%.3g of the %d-grams of its samples are in the training text (of the held-out part %.3g); %.3g are allowed", ours, n, theirs, min(1, theirs+more)))
}

// text checks samples by themselves.
func (g *gate) text(m *text.Model, written, held [][]int32) {
	worst := 0.0
	for _, ids := range written {
		worst = max(worst, invalid(textOf(m.Vocab, ids)))
	}
	natural := 0.0
	for _, ids := range held {
		natural = max(natural, invalid(textOf(m.Vocab, ids)))
	}
	const invalidMore = 0.02
	g.below("utf8", worst, natural+invalidMore, fmt.Sprintf("%.3g of the characters of a sample are no valid text; %.3g are allowed", worst, natural+invalidMore))
	loop, natural := meanLooped(written), meanLooped(held)
	g.below("loop", loop, min(1, natural+g.c.MaxLoop), fmt.Sprintf("%.3g of its samples is loops (of the held-out part %.3g); %.3g is allowed", loop, natural, min(1, natural+g.c.MaxLoop)))
	if len(held) > 0 {
		covered := coverage(written, held)
		g.figure("coverage", covered >= g.c.MinCoverage, covered, g.c.MinCoverage,
			fmt.Sprintf("its samples use characters that make up %.3g of the held-out part; it must be %.3g", covered, g.c.MinCoverage))
	}
}

func textOf(v *vocab.Vocab, ids []int32) []byte {
	var text []byte
	for _, id := range ids {
		text = v.AppendText(text, id)
	}
	return text
}

// prompts returns n beginnings of sequences, by turns of the training and of the
// held-out part, at equal distances. A model that knows a text by heart goes on with
// it from where its training began: at the start of a sequence, from a zero hidden.
func prompts(ctx context.Context, set *dataset.Set, n int) ([][]int32, error) {
	var splits []*dataset.SplitReader
	for _, name := range []string{"train", "validation"} {
		if s := set.Split(name); s != nil {
			splits = append(splits, s)
		}
	}
	L := set.Manifest().SeqLength
	ids, out := make([]int32, L+1), make([][]int32, n)
	for i := range out {
		s := splits[i%len(splits)]
		if err := s.Read(ctx, int64(i)*s.Len()/int64(n), ids); err != nil {
			return nil, err
		}
		out[i] = slices.Clone(ids[:max(1, min(L/5, 16))])
	}
	return out, nil
}

// writeSamples continues each prompt by length characters, all at once.
func writeSamples(ctx context.Context, m *text.Model, prompts [][]int32, length int, temperature float64) ([][]int32, error) {
	samplers, out := make([]*sample.Sampler, len(prompts)), make([][]int32, len(prompts))
	for i := range samplers {
		s, err := sample.New(sample.Options{Temperature: temperature, TopP: 1}, 0, uint64(i))
		if err != nil {
			return nil, err
		}
		samplers[i] = s
	}
	err := decode.Write(ctx, decode.New(m.Weights, len(prompts)), samplers, prompts, length, func(i int, id int32) error {
		out[i] = append(out[i], id)
		return nil
	})
	return out, err
}

// gateTexts reads the text of a set, split by split, in one pass a question.
type gateTexts struct {
	ctx    context.Context
	corpus *text.Corpus
	set    *dataset.Set
}

// pieces visits the ids of the text of one split; joins is false where they do not
// go on from those before.
func (t *gateTexts) pieces(visit func(split string, joins bool, ids []int32)) error {
	var ids []int32
	return prepare.SplitText(t.ctx, t.corpus.Documents, t.set.Manifest(), func(x prepare.Text) (err error) {
		if ids, err = t.set.Vocab().Encode(ids[:0], x.Bytes); err != nil {
			return fmt.Errorf("gate: the text is not that of the set: %w", err)
		}
		visit(x.Split, x.Continues, ids)
		return nil
	})
}

// excerpts returns n texts of the held-out part, or as many as it has, of up to so
// many characters, from places at equal distances.
func (t *gateTexts) excerpts(n, length int) ([][]int32, error) {
	split := t.set.Split("validation")
	if split == nil {
		return nil, nil
	}
	chars := split.Len() * int64(t.set.Manifest().SeqLength+1) // about, where sequences overlap
	many := max(1, min(int64(n), chars/int64(length)))
	var out [][]int32
	at, open := int64(0), false
	err := t.pieces(func(split string, joins bool, ids []int32) {
		if split != "validation" {
			return
		}
		open = open && joins
		for _, id := range ids {
			if k := int64(len(out)); k < many && at >= k*chars/many {
				out, open = append(out, nil), true
			}
			at++
			last := len(out) - 1
			if open = open && len(out[last]) < length; open {
				out[last] = append(out[last], id)
			}
		}
	})
	return out, err
}

// common returns which shares of the 50-grams and 20-grams of indexed texts are in
// the training text, and the longest span that is. It also feeds the held-out part.
func (t *gateTexts) common(x *spanIndex) (share50, share20 float64, longest int, err error) {
	cursors := map[string]*spanCursor{"train": {x: x, stream: trainStream}, "validation": {x: x, stream: heldStream}}
	err = t.pieces(func(split string, joins bool, ids []int32) {
		c := cursors[split]
		if c == nil {
			return
		}
		if !joins {
			c.reset()
		}
		for _, id := range ids {
			c.feed(id)
		}
	})
	all20, train20, _ := x.count(0)
	all50, train50, _ := x.count(1)
	return share(train50, all50), share(train20, all20), cursors["train"].longest, err
}
