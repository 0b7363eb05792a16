package stages

import (
	"context"
	"slices"

	"github.com/quire-ml/quire/model/train"
)

// A part is some of a text, in the ids of another vocabulary if need be.
type part struct {
	text  train.Text
	spans []span  // none crosses two stretches of the text
	to    []int32 // by id; nil: unchanged
}

// A span is so many characters of a text from one on.
type span struct{ at, chars int64 }

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
	for _, s := range p.spans {
		if len(dst) == 0 {
			break
		}
		if at >= s.chars {
			at -= s.chars
			continue
		}
		n := min(int64(len(dst)), s.chars-at)
		if err := p.text.ReadAt(ctx, s.at+at, dst[:n]); err != nil {
			return err
		}
		for i, id := range dst[:n] {
			if p.to != nil {
				dst[i] = p.to[id]
			}
		}
		dst, at = dst[n:], 0
	}
	return nil
}

// spread returns gapSpans spans of at most gapSequences sequences each, evenly
// distributed over a text of sequences of n characters. A span that crosses two
// stretches is two.
func spread(text train.Text, n int64) *part {
	p, all := &part{text: text}, int64(0)
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
				p.spans = append(p.spans, span{lo, hi - lo})
			}
			start += chars
		}
	}
	return p
}

// common returns the sequences of n characters, all of which have an id in to that
// is not negative, and how many they are. Those that follow one another are one
// span.
func common(ctx context.Context, text train.Text, to []int32, n int64) (p *part, count int64, err error) {
	p = &part{text: text}
	ids, start := make([]int32, n), int64(0)
	for _, chars := range text.Stretches() {
		end := start + chars
		follows := false
		for ; start < end; start += n {
			if err := text.ReadAt(ctx, start, ids); err != nil {
				return nil, 0, err
			}
			switch has := !slices.ContainsFunc(ids, func(id int32) bool { return to[id] < 0 }); {
			case !has:
				follows = false
				continue
			case follows:
				p.spans[len(p.spans)-1].chars += n
			default:
				p.spans = append(p.spans, span{start, n})
			}
			follows = true
			count++
		}
	}
	return p, count, nil
}
