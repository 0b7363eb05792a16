package passage

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
)

// Most is the largest number of passages in a Sketch: 8 bytes each.
const Most = 1 << 14

// A Sketch is the hashes of a sample of a text's passages: the Most smallest, or all
// where there are fewer, in order.
type Sketch []uint64

// Limit is the largest hash of the sample: every passage of the text whose hash is not
// larger is in the sketch.
func (s Sketch) Limit() uint64 {
	if len(s) < Most {
		return math.MaxUint64
	}
	return s[Most-1]
}

// Has reports whether a hash is in the sketch.
func (s Sketch) Has(hash uint64) bool {
	_, ok := slices.BinarySearch(s, hash)
	return ok
}

// Union returns the sketch of two texts together.
func Union(a, b Sketch) Sketch { return smallest(slices.Concat(a, b)) }

// smallest returns the sketch of the hashes in list, which it changes.
func smallest(list []uint64) Sketch {
	slices.Sort(list)
	list = slices.Compact(list)
	return Sketch(list[:min(len(list), Most)])
}

// A Sampler makes a Sketch from the hashes of a text.
type Sampler struct {
	list []uint64
	full bool
	max  uint64 // with full, the largest hash that may be in the sketch
}

// Add adds the hash of a passage.
func (s *Sampler) Add(hash uint64) {
	if s.full && hash >= s.max {
		return
	}
	if s.list = append(s.list, hash); len(s.list) == 2*Most {
		s.shrink()
	}
}

func (s *Sampler) shrink() {
	s.list = smallest(s.list)
	if s.full = len(s.list) == Most; s.full {
		s.max = s.list[Most-1]
	}
}

// Sketch returns the sketch of the hashes so far.
func (s *Sampler) Sketch() Sketch {
	s.shrink()
	return slices.Clone(Sketch(s.list))
}

// MarshalText returns the sketch as base64 of big-endian numbers.
func (s Sketch) MarshalText() ([]byte, error) {
	raw := make([]byte, 0, 8*len(s))
	for _, h := range s {
		raw = binary.BigEndian.AppendUint64(raw, h)
	}
	return base64.StdEncoding.AppendEncode(nil, raw), nil
}

// UnmarshalText reads what MarshalText returns; anything else is an error.
func (s *Sketch) UnmarshalText(text []byte) error {
	raw, err := base64.StdEncoding.AppendDecode(nil, text)
	if err != nil {
		return fmt.Errorf("passage: sketch: %w", err)
	}
	if len(raw)%8 != 0 || len(raw) > 8*Most {
		return fmt.Errorf("passage: a sketch of %d bytes: want at most %d numbers of 8 bytes", len(raw), Most)
	}
	list := make(Sketch, len(raw)/8)
	for i := range list {
		if list[i] = binary.BigEndian.Uint64(raw[8*i:]); i > 0 && list[i] <= list[i-1] {
			return fmt.Errorf("passage: number %d of a sketch is %d, after %d: want larger ones", i, list[i], list[i-1])
		}
	}
	*s = list
	return nil
}
