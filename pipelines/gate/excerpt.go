package gate

import (
	"context"
	"slices"
	"sort"

	"github.com/quire-ml/quire/model/train"
	"github.com/quire-ml/quire/transforms/layout"
)

// An excerpt is spans of a text, one after the other, in the ids of another
// vocabulary if need be. It is a train.Text, whose stretches are the spans.
type excerpt struct {
	text  train.Text
	spans []layout.Span
	ends  []int64 // of the spans, in the excerpt
	to    []int32 // the other vocabulary's id by id; nil: ids stay
}

// newExcerpt returns the excerpt of a text that consists of spans. No span crosses
// two stretches of the text.
func newExcerpt(text train.Text, spans []layout.Span, to []int32) *excerpt {
	x, end := &excerpt{text: text, spans: spans, to: to}, int64(0)
	for _, s := range spans {
		end += s.To - s.From
		x.ends = append(x.ends, end)
	}
	return x
}

// Stretches returns the numbers of characters of the spans.
func (x *excerpt) Stretches() []int64 {
	list := make([]int64, len(x.spans))
	for i, s := range x.spans {
		list[i] = s.To - s.From
	}
	return list
}

// ReadAt fills dst with the characters [at, at+len(dst)) of the excerpt.
func (x *excerpt) ReadAt(ctx context.Context, at int64, dst []int32) error {
	for i := sort.Search(len(x.ends), func(i int) bool { return x.ends[i] > at }); len(dst) > 0; i++ {
		left := x.ends[i] - at
		n := min(int64(len(dst)), left)
		if err := x.text.ReadAt(ctx, x.spans[i].To-left, dst[:n]); err != nil {
			return err
		}
		if x.to != nil {
			for k, id := range dst[:n] {
				dst[k] = x.to[id]
			}
		}
		dst, at = dst[n:], at+n
	}
	return nil
}

// spread takes 16 spans of 32 sequences. With sequences of 100 characters, the loss
// on them differs from the loss on the whole text by some hundredths of a nat.
const (
	spreadSpans     = 16
	spreadSequences = 32
)

// spread returns an excerpt of a text of sequences of n characters: spreadSpans
// spans of at most spreadSequences sequences, evenly distributed. A span that
// crosses two stretches is two.
func spread(text train.Text, n int64) *excerpt {
	var spans []layout.Span
	all := int64(0)
	for _, chars := range text.Stretches() {
		all += chars / n
	}
	for i := range int64(spreadSpans) {
		from := all * i / spreadSpans
		to := min(all*(i+1)/spreadSpans, from+spreadSequences)
		start := int64(0)
		for _, chars := range text.Stretches() {
			s := layout.Span{From: max(from*n, start), To: min(to*n, start+chars)}
			if s.From < s.To {
				spans = append(spans, s)
			}
			start += chars
		}
	}
	return newExcerpt(text, spans, nil)
}

// mapped returns the spans of the sequences of n characters whose ids all have
// another in to, which is not negative, and the number of these sequences. Spans of
// sequences that follow one another in a stretch are joined.
func mapped(ctx context.Context, text train.Text, to []int32, n int64) (spans []layout.Span, count int64, err error) {
	ids, start := make([]int32, n), int64(0)
	for _, chars := range text.Stretches() {
		follows := false
		for end := start + chars; start < end; start += n {
			if err := text.ReadAt(ctx, start, ids); err != nil {
				return nil, 0, err
			}
			if slices.ContainsFunc(ids, func(id int32) bool { return to[id] < 0 }) {
				follows = false
				continue
			}
			if follows {
				spans[len(spans)-1].To += n
			} else {
				spans = append(spans, layout.Span{From: start, To: start + n})
			}
			follows = true
			count++
		}
	}
	return spans, count, nil
}
