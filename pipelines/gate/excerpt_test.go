package gate

import (
	"context"
	"reflect"
	"slices"
	"testing"

	"github.com/quire-ml/quire/transforms/layout"
)

// A numberedText has the id n at character n.
type numberedText []int64

func (t numberedText) Stretches() []int64 { return t }

func (t numberedText) ReadAt(_ context.Context, at int64, dst []int32) error {
	for i := range dst {
		dst[i] = int32(at) + int32(i)
	}
	return nil
}

func TestExcerpt(t *testing.T) {
	to := make([]int32, 30)
	for i := range to {
		to[i] = int32(100 + i)
	}
	to[7], to[20] = -1, -1
	// Of the sequences 0-2 3-5 6-8, 9-11 12-14, 15-17 18-20 21-23 24-26 27-29, the third and the seventh have none.
	text := numberedText{9, 6, 15}
	spans, n, err := mapped(t.Context(), text, to, 3)
	if want := []layout.Span{{From: 0, To: 6}, {From: 9, To: 15}, {From: 15, To: 18}, {From: 21, To: 30}}; err != nil || n != 8 || !slices.Equal(spans, want) {
		t.Errorf("%d sequences in common, %v, %v; want 8, %v", n, spans, err, want)
	}
	p := newExcerpt(text, spans, to)
	if got, want := p.Stretches(), []int64{6, 6, 3, 9}; !slices.Equal(got, want) {
		t.Errorf("stretches %v, want %v", got, want)
	}
	ids := make([]int32, 10)
	if err := p.ReadAt(t.Context(), 4, ids); err != nil || !reflect.DeepEqual(ids, []int32{104, 105, 109, 110, 111, 112, 113, 114, 115, 116}) {
		t.Errorf("characters 4 to 14 of the excerpt are %v, %v", ids, err)
	}
}

func TestSpread(t *testing.T) {
	if got, want := spread(numberedText{9, 6}, 3).Stretches(), []int64{3, 3, 3, 3, 3}; !slices.Equal(got, want) {
		t.Errorf("of 5 sequences: %v, want %v", got, want)
	}
	// 1,600 sequences of 2: every hundredth is the first of 32, and the second span crosses from one document to the next.
	got := spread(numberedText{220, 2980}, 2).spans
	if want := []layout.Span{{From: 0, To: 64}, {From: 200, To: 220}, {From: 220, To: 264}, {From: 400, To: 464}}; len(got) != 17 ||
		!slices.Equal(got[:4], want) || got[16] != (layout.Span{From: 3000, To: 3064}) {
		t.Errorf("of 1,600 sequences: %v, want 17 that begin with %v and end with {3000 3064}", got, want)
	}
}
