package train

import (
	"context"
	"sort"

	"github.com/quire-ml/quire/model/kernel"
)

// Text is a split as one stream of characters, which Carry and Evaluate read.
type Text interface {
	// Stretches returns the number of characters of each stretch of the stream. A
	// character follows the character before it only within a stretch.
	Stretches() []int64
	// ReadAt fills dst with the ids of the characters at, at+1, … of the stream.
	ReadAt(ctx context.Context, at int64, dst []int32) error
}

// passages divides a text into passages of T+1 characters, T inputs and T targets.
// In a stretch, a passage begins with the last character of the passage before it.
// No passage crosses two stretches.
//
// Each epoch shifts the passages in two ways, both at random. A stretch has
// 0 … T-1 characters more than its passages need: its first passage starts up to
// that number of characters late. The order of all passages is rotated.
type passages struct {
	text  Text
	T     int64
	seed  int64
	n     int64     // passages
	parts []stretch // stretches with a passage
}

// stretch is a stretch of a text with at least one passage.
type stretch struct {
	first int64 // number of its first passage
	start int64 // its first character
	spare int64 // characters that its passages leave over, 0 … T-1
}

func newPassages(text Text, T int, seed int64) *passages {
	w := &passages{text: text, T: int64(T), seed: seed}
	start := int64(0)
	for _, chars := range text.Stretches() {
		if n := (chars - 1) / w.T; n > 0 {
			w.parts = append(w.parts, stretch{first: w.n, start: start, spare: (chars - 1) % w.T})
			w.n += n
		}
		start += chars
	}
	return w
}

// read fills dst with the T+1 ids of the passage at position i, 0 to n-1, of an
// epoch (from 1). goesOn says whether the passage continues that at position i-1.
func (w *passages) read(ctx context.Context, epoch int, i int64, dst []int32) (goesOn bool, err error) {
	key := kernel.Hash(kernel.Hash(uint64(w.seed)) + uint64(epoch))
	i = (i + draw(key, w.n)) % w.n
	k := sort.Search(len(w.parts), func(k int) bool { return w.parts[k].first > i }) - 1
	p := w.parts[k]
	at := p.start + draw(key+uint64(k)+1, p.spare+1) + (i-p.first)*w.T
	return i > p.first, w.text.ReadAt(ctx, at, dst)
}

// draw returns a number in 0 … n-1 that depends on key alone.
func draw(key uint64, n int64) int64 { return int64(kernel.Hash(key) % uint64(n)) }
