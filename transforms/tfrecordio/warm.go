package tfrecordio

const (
	warmed    = 16  // entries whose memory is touched before they are worked on
	lineBytes = 64  // of a line of the cache
	warmBytes = 256 // of an entry; what is behind them, the processor fetches by itself
)

// A warmer touches memory in random places that is about to be used. Many reads that
// depend on nothing wait for the memory together; work on one entry after another would wait for
// each. The sum of what was read has no meaning: without it, the reads would be left out.
type warmer byte

// touch reads a byte of each line of b, up to warmBytes.
func (w *warmer) touch(b []byte) {
	b = b[:min(len(b), warmBytes)]
	sum := byte(0)
	for i := 0; i < len(b); i += lineBytes {
		sum += b[i]
	}
	if len(b) > 0 {
		sum += b[len(b)-1]
	}
	*w += warmer(sum)
}
