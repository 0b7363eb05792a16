package train

import (
	"context"
	"testing"
	"time"

	"github.com/quire-ml/quire/model/rnn"
	"github.com/quire-ml/quire/model/run"
	"github.com/quire-ml/quire/runners/store"
)

// constant is data of one sequence, repeated.
type constant struct{}

func (constant) Len() int64 { return 64 * 1000 }

func (constant) Read(_ context.Context, _ int, _ int64, dst []int32) error {
	clear(dst)
	return nil
}

// BenchmarkStall is a training step of a GRU of 1024 while its checkpoint is
// saved: ns/op is the time of such a step, stall-ms the time for which the training
// waits for the save, and stall-% that time as a part of a step without a save.
func BenchmarkStall(b *testing.B) {
	ctx := context.Background()
	st, err := store.Open(ctx, b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer st.Close()
	o := Options{Shape: rnn.Shape{Cell: rnn.GRU, Layers: 1, Vocabulary: 65, Embedding: 256, Hidden: 1024}, SeqLength: 100, Batch: 64, LR: 1e-3}
	data, err := newBatches(constant{}, &o)
	if err != nil {
		b.Fatal(err)
	}
	dir, err := run.Acquire(ctx, st, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer dir.Release(ctx)
	r := &training{o: o, dir: dir, batches: data, total: 1 << 40, saved: -1}
	if err := r.start(ctx); err != nil {
		b.Fatal(err)
	}
	defer r.trainer.Close()
	batch := make([]int32, 64*101)
	step := func() time.Duration {
		began := time.Now()
		if _, err := r.advance(ctx, batch); err != nil {
			b.Fatal(err)
		}
		return time.Since(began)
	}
	save := func() time.Duration {
		began := time.Now()
		if err := r.save(ctx); err != nil {
			b.Fatal(err)
		}
		return time.Since(began)
	}
	step()
	save() // makes the memory of the copy
	var alone, stalled time.Duration
	for b.Loop() {
		b.StopTimer()
		if err := r.await(); err != nil {
			b.Fatal(err)
		}
		alone += step()
		b.StartTimer()
		stalled += save()
		step()
	}
	if err := r.await(); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(stalled.Seconds()*1e3/float64(b.N), "stall-ms")
	b.ReportMetric(100*stalled.Seconds()/alone.Seconds(), "stall-%")
}
