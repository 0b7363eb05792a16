package passage

import "testing"

// TestSamplerBounded: a sampler holds as many hashes of a long text as of a short one.
func TestSamplerBounded(t *testing.T) {
	var s Sampler
	for i := range uint64(20 * Most) {
		s.Add(mixed(i))
		if len(s.list) >= 2*Most || cap(s.list) > 4*Most {
			t.Fatalf("after %d hashes it holds %d, and room for %d", i+1, len(s.list), cap(s.list))
		}
	}
}
