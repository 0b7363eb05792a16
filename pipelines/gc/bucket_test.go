package gc_test

import (
	"fmt"
	"testing"

	"github.com/quire-ml/quire/pipelines/gc"
	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/runners/store/gcstest"
)

// TestBucket lets random histories happen in a bucket, where a tenth of the requests fail,
// with replies lost after the effect among them; and kills removals there.
func TestBucket(t *testing.T) {
	store.Hasten(100)
	n := uint64(6)
	if soak {
		n = 200
	}
	for seed := range n {
		server := gcstest.New(t)
		server.Page(7)
		st, err := store.Open(t.Context(), "gs://bucket/work")
		if err != nil {
			t.Fatal(err)
		}
		w := newWorld(t, st, 1000+seed)
		for range 3 + w.r.IntN(12) {
			w.act()
		}
		w.check(fmt.Sprintf("bucket, seed %d", seed), func(o gc.Options, at int) (int, error) {
			server.Plan(seed, 0.1)
			defer server.Plan(seed, 0)
			return killed(t, st, o, at)
		})
		w.end()
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	}
}
