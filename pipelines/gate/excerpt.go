package gate

import (
	"context"
	"slices"
	"sort"

	"github.com/quire-ml/quire/model/train"
)

// A part is some of a text, in the ids of another vocabulary if need be.
type part struct {
	text  train.Text
	spans []span
	ends  []int64 // of the spans, in the part
	to    []int32 // by id; nil: unchanged
}

// A span is so many characters of a text from one on.
type span struct{ at, chars int64 }

// newPart returns the part of a text that consists of spans, none of which crosses
// two stretches.
func newPart(text train.Text, spans []span, to []int32) *part {
	p, end := &part{text: text, spans: spans, to: to}, int64(0)
	for _, s := range spans {
		end += s.chars
		p.ends = append(p.ends, end)
	}
	return p
}

// Stretches returns the numbers of characters of the spans.
func (p *part) Stretches() []int64 {
	list := make([]int64, len(p.spans))
	for i, s := range p.spans {
		list[i] = s.chars
	}
	return list
}

// ReadAt fills dst with the characters of the spans from number at on.
func (p *part) ReadAt(ctx context.Context, at int64, dst []int32) error {
	for i := sort.Search(len(p.ends), func(i int) bool { return p.ends[i] > at }); len(dst) > 0; i++ {
		left := p.ends[i] - at
		n := min(int64(len(dst)), left)
		if err := p.text.ReadAt(ctx, p.spans[i].at+p.spans[i].chars-left, dst[:n]); err != nil {
			return err
		}
		if p.to != nil {
			for k, id := range dst[:n] {
				dst[k] = p.to[id]
			}
		}
		dst, at = dst[n:], at+n
	}
	return nil
}

// spread returns gapSpans spans of at most gapSequences sequences each, evenly
// distributed over a text of sequences of n characters. A span that crosses two
// stretches is two.
func spread(text train.Text, n int64) *part {
	var spans []span
	all := int64(0)
	for _, chars := range text.Stretches() {
		all += chars / n
	}
	for i := range int64(gapSpans) {
		from := all * i / gapSpans
		to := min(all*(i+1)/gapSpans, from+gapSequences)
		start := int64(0)
		for _, chars := range text.Stretches() {
			lo, hi := max(from*n, start), min(to*n, start+chars)
			if lo < hi {
				spans = append(spans, span{lo, hi - lo})
			}
			start += chars
		}
	}
	return newPart(text, spans, nil)
}

// common returns the spans of the sequences of n characters, all of which have an
// id in to that is not negative, and how many these sequences are. Those that
// follow one another are one span.
func common(ctx context.Context, text train.Text, to []int32, n int64) (spans []span, count int64, err error) {
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
				spans[len(spans)-1].chars += n
			} else {
				spans = append(spans, span{start, n})
			}
			follows = true
			count++
		}
	}
	return spans, count, nil
}
