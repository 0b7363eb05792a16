package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/quire-ml/quire/runners/store"
)

// A pointer is replaced only if it is still the one that was read.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	st, err := store.Open(ctx, dir) // or gs://bucket/prefix
	if err != nil {
		fmt.Println(err)
		return
	}
	defer st.Close()

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

	data, info, err := st.Read(ctx, "latest.json")
	var p pointer
	err = errors.Join(err, store.UnmarshalSealed(st.Join("latest.json"), data, &p))
	fmt.Println(p.Name, info.Bytes, err)
	// Output:
	// conflict: true
	// data/1 110 <nil>
}
