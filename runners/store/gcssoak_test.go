package store_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quire-ml/quire/model/checkpoint"
	"github.com/quire-ml/quire/model/run"
	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/runners/store/gcstest"
)

// everyFault are all kinds of faults that a request may have.
var everyFault = []gcstest.Kind{gcstest.Unavailable, gcstest.Lost, gcstest.TooMany, gcstest.Reset,
	gcstest.LostReset, gcstest.Stall, gcstest.Cut, gcstest.Damage}

// faultyBucket opens a bucket. A tenth of its requests have faults.
func faultyBucket(t *testing.T) (*store.Store, *gcstest.Server) {
	t.Helper()
	t.Cleanup(store.Hurry(300 * time.Millisecond))
	server := gcstest.New(t)
	st, err := store.Open(context.Background(), "gs://bucket/run")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	server.Plan(1, 0.1, everyFault...)
	return st, server
}

// TestShardsWithFaults writes many shards at once, some by two writers as after
// a retry of a bundle. Each is stored once, as it was sent.
func TestShardsWithFaults(t *testing.T) {
	st, server := faultyBucket(t)
	shards := 200
	if soak {
		shards = 10_000
	}
	shard := func(i int) []byte {
		r := rand.New(rand.NewPCG(uint64(i), 5))
		n := r.IntN(4000)
		if i%100 == 0 {
			n += 2 * store.ChunkBytes()
		}
		data := make([]byte, n)
		for j := range data {
			data[j] = byte(r.Uint32())
		}
		return data
	}
	write := func(i int) error {
		w, err := st.Create(context.Background(), fmt.Sprintf("train-%05d", i))
		if err != nil {
			return err
		}
		defer w.Abort()
		for data := shard(i); len(data) > 0; {
			n := min(len(data), 1000)
			if _, err := w.Write(data[:n]); err != nil {
				return err
			}
			data = data[n:]
		}
		_, err = w.Commit()
		return err
	}
	var next atomic.Int64
	var group sync.WaitGroup
	for range 16 {
		group.Go(func() {
			for i := int(next.Add(1)) - 1; i < shards*5/4; i = int(next.Add(1)) - 1 {
				if err := write(i % shards); err != nil {
					t.Errorf("shard %d: %v", i, err)
				}
			}
		})
	}
	group.Wait()
	for i := range shards {
		name := fmt.Sprintf("run/train-%05d", i)
		data, ok := server.Object("bucket", name)
		if n := server.Writes("bucket", name); !ok || n != 1 || !bytes.Equal(data, shard(i)) {
			t.Errorf("shard %d is there %v, with %d bytes, stored %d times", i, ok, len(data), n)
		}
	}
	t.Logf("%d shards, %d writes, %d requests", shards, shards*5/4, len(server.Log()))
}

// TestCheckpointsWithFaults commits many checkpoints, one after the other, under
// a lease. Each is stored once, loads, and is named by latest.json in its turn.
func TestCheckpointsWithFaults(t *testing.T) {
	st, server := faultyBucket(t)
	n := 40
	if soak {
		n = 1000
	}
	ctx := context.Background()
	dir, err := run.Acquire(ctx, st, nil)
	if err != nil {
		t.Fatal(err)
	}
	for step := range int64(n) {
		c := &checkpoint.Checkpoint{Metadata: checkpoint.Metadata{Cell: "gru", Step: step, Vocab: json.RawMessage(`["a"]`)},
			Tensors: []checkpoint.Tensor{{Name: "w", Shape: []int{100}, Data: make([]float32, 100)}}}
		c.Tensors[0].Data[step%100] = float32(step)
		p, err := dir.Save(ctx, c)
		if err != nil {
			t.Fatalf("step %d: %v", step, err)
		}
		if warning, err := dir.Commit(ctx, p, run.Retention{KeepLast: 3}); err != nil || warning != nil {
			t.Fatalf("step %d: %v, %v", step, warning, err)
		}
		latest, err := run.Find(ctx, st, run.Latest)
		if err != nil || latest != p {
			t.Fatalf("step %d: latest is %+v, %v", step, latest, err)
		}
		got, err := checkpoint.Load(ctx, st, latest)
		if err != nil || got.Step != step || got.Tensors[0].Data[step%100] != float32(step) {
			t.Fatalf("step %d: %v", step, err)
		}
		if m := server.Writes("bucket", "run/"+p.Name); m != 1 {
			t.Errorf("step %d: stored %d times", step, m)
		}
	}
	if err := dir.Release(ctx); err != nil {
		t.Fatal(err)
	}
	if m := server.Writes("bucket", "run/latest.json"); m != n {
		t.Errorf("latest.json was stored %d times, want %d", m, n)
	}
	t.Logf("%d checkpoints, %d requests", n, len(server.Log()))
}
