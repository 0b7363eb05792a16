package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/quire-ml/quire/runners/store"
)

// scratch returns a store in a new folder. remove deletes the folder.
func scratch(ctx context.Context) (st *store.Store, remove func()) {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		panic(err)
	}
	st, err = store.Open(ctx, dir) // or gs://bucket/prefix
	if err != nil {
		panic(err)
	}
	return st, func() { os.RemoveAll(dir) }
}

// A pointer is replaced only if it is still the one that was read.
func Example() {
	ctx := context.Background()
	st, remove := scratch(ctx)
	defer remove()
	type pointer struct {
		Name string `json:"name"`
	}
	if _, err := st.Put(ctx, "data/1", []byte("data first")); err != nil {
		fmt.Println(err)
	}
	data, err := store.MarshalSealed(pointer{Name: "data/1"})
	if err != nil {
		fmt.Println(err)
	}
	if _, err := st.Swap(ctx, "latest.json", data, ""); err != nil {
		fmt.Println(err)
	}
	_, err = st.Swap(ctx, "latest.json", data, "")
	fmt.Println("conflict:", errors.Is(err, store.ErrConflict))

	var p pointer
	generation, err := st.ReadSealed(ctx, "latest.json", &p, store.Sealed{})
	fmt.Println(p.Name, err)
	_, err = st.Swap(ctx, "latest.json", data, generation)
	fmt.Println("replaced:", err == nil)
	// Output:
	// conflict: true
	// data/1 <nil>
	// replaced: true
}

// Put creates an object. The same bytes again succeed, other bytes are a conflict.
func ExampleStore_Put() {
	ctx := context.Background()
	st, remove := scratch(ctx)
	defer remove()
	for _, text := range []string{"first", "first", "second"} {
		info, err := st.Put(ctx, "data/1", []byte(text))
		fmt.Println(info.Bytes, errors.Is(err, store.ErrConflict))
	}
	data, _, err := st.Read(ctx, "data/1")
	fmt.Printf("%s %v\n", data, err)
	// Output:
	// 5 false
	// 5 false
	// 0 true
	// first <nil>
}

// Replace overwrites an object that has one writer at a time, such as a picture.
func ExampleStore_Replace() {
	ctx := context.Background()
	st, remove := scratch(ctx)
	defer remove()
	for _, text := range []string{"first", "second"} {
		if err := st.Replace(ctx, "loss.txt", []byte(text)); err != nil {
			fmt.Println(err)
		}
	}
	data, _, err := st.Read(ctx, "loss.txt")
	fmt.Printf("%s %v\n", data, err)
	// Output: second <nil>
}

// A lease gives one process at a time the right to work and to commit its value.
func ExampleAcquire() {
	ctx := context.Background()
	st, remove := scratch(ctx)
	defer remove()
	lease, err := store.Acquire(ctx, st, "run.json", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	type progress struct {
		Step int `json:"step"`
	}
	work, stop := lease.Hold(ctx) // ends before another holder can take over
	fmt.Println("working:", work.Err() == nil, lease.Commit(work, progress{Step: 100}))

	_, err = store.Acquire(ctx, st, "run.json", nil)
	var held *store.HeldError
	fmt.Println("another is refused:", errors.As(err, &held) && held.PID == os.Getpid())

	stop()
	fmt.Println("released:", lease.Release(ctx))
	var p progress
	isHeld, err := store.ReadLeased(ctx, st, "run.json", &p)
	fmt.Println(isHeld, p.Step, err)
	// Output:
	// working: true <nil>
	// another is refused: true
	// released: <nil>
	// false 100 <nil>
}
