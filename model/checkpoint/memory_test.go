package checkpoint

import (
	"context"
	"os"
	"runtime"
	"slices"
	"testing"

	"github.com/quire-ml/quire/runners/store"
)

// big has about 12 million values.
func big() *Checkpoint {
	c := tiny()
	for _, name := range []string{"p", "m", "v"} {
		t := Tensor{Name: name, Shape: []int{2048, 2048}, Data: make([]float32, 2048*2048)}
		for i := range t.Data {
			t.Data[i] = float32(i)
		}
		c.Tensors = append(c.Tensors, t)
	}
	return c
}

// TestMemory: saving needs a buffer, loading the tensors and a buffer.
func TestMemory(t *testing.T) {
	c := big()
	var st *store.Store
	var p Pointer
	if n := allocated(func() { st, p = save(t, c) }); n > 2<<20 {
		t.Errorf("Save allocated %d bytes for a file of %d", n, p.Bytes)
	}
	var got *Checkpoint
	n := allocated(func() {
		var err error
		if got, err = Load(context.Background(), st, p); err != nil {
			t.Fatal(err)
		}
	})
	if n > uint64(p.Bytes)+readBytes+2<<20 {
		t.Errorf("Load allocated %d bytes for a file of %d", n, p.Bytes)
	}
	if x, _ := got.Tensor("v"); !slices.Equal(x.Data, c.Tensors[len(c.Tensors)-1].Data) {
		t.Error("tensor v came back changed")
	}
}

func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func BenchmarkSave(b *testing.B) {
	c := big()
	st := openStore(b, b.TempDir())
	b.SetBytes(3 * 16 << 20)
	for b.Loop() {
		c.Step++
		p, err := Save(context.Background(), st, c)
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		os.Remove(st.Join(p.Name))
		b.StartTimer()
	}
}

func BenchmarkLoad(b *testing.B) {
	st, p := save(b, big())
	b.SetBytes(p.Bytes)
	for b.Loop() {
		if _, err := Load(context.Background(), st, p); err != nil {
			b.Fatal(err)
		}
	}
}
