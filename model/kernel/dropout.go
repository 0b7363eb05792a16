package kernel

// A Mask decides which values dropout keeps: value i is kept when 16 bits of a
// hash of (Key, i) are at least the threshold. So any worker can decide any value
// without the others.
type Mask struct {
	Key       uint64
	Threshold uint16
	Scale     float32 // factor of a value that is kept
}

// NewMask returns a mask that drops a share p of the values, 0 ≤ p < 1, rounded
// down to a multiple of 2^-16. Values that are kept are multiplied by 1/(1-p),
// which preserves the mean.
func NewMask(p float64) Mask {
	n := uint16(p * (1 << 16))
	return Mask{Threshold: n, Scale: float32(1 / (1 - float64(n)/(1<<16)))}
}

// Apply sets dst[i] to src[i] scaled, or to 0 where i is dropped, for i = lo …
// hi-1. dst may be src.
func (m Mask) Apply(dst, src []float32, lo, hi int) {
	from := min((lo+3)&^3, hi) // a vector begins at the first value of a hash
	m.apply(dst, src, lo, from)
	if use.dropout != nil {
		n := (hi - from) &^ (2*use.lanes - 1)
		if n > 0 {
			_, _ = dst[from+n-1], src[from+n-1]
			use.dropout(n, &dst[from], &src[from], m.Key+uint64(from/4), uint32(m.Threshold), m.Scale)
		}
		from += n
	}
	m.apply(dst, src, from, hi)
}

// apply is Apply in plain Go.
func (m Mask) apply(dst, src []float32, lo, hi int) {
	for i := lo; i < hi; {
		bits := Hash(m.Key + uint64(i/4))
		for bits >>= 16 * (i % 4); ; bits >>= 16 {
			x := src[i] * m.Scale
			if uint16(bits) < m.Threshold {
				x = 0
			}
			dst[i] = x
			if i++; i%4 == 0 || i == hi {
				break
			}
		}
	}
}

// StepKey returns the key of a stream of random numbers of one training step. The
// masks of a network have the streams 0, 1, …, from the input to the dense layer.
func StepKey(seed, step int64, stream uint64) uint64 {
	return Hash(Hash(Hash(uint64(seed))+uint64(step)) + stream)
}

// Hash is one step of SplitMix64 (Steele, Lea and Flood, 2014).
func Hash(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
