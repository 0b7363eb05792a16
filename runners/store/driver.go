package store

import (
	"context"
	"io"
)

// A driver keeps objects in one place. Names are checked and its errors are
// wrapped by Store; they name the cause only. It is safe for concurrent use.
type driver interface {
	// join returns the path or URL of an object, or of the root for "".
	join(name string) string
	// create begins an object. It is visible only after commit, which applies c.
	create(ctx context.Context, name string, c condition) (upload, error)
	// read returns a whole object, verified. The error of an object of more than limit
	// bytes is tooLarge.
	read(ctx context.Context, name string, limit int64) ([]byte, Info, error)
	stat(ctx context.Context, name string) (Info, error)
	// list returns the objects whose names start with prefix, ordered by name.
	list(ctx context.Context, prefix string) ([]Info, error)
	// delete removes an object of a generation, or of any for "".
	delete(ctx context.Context, name, generation string) error
	// open opens one generation of an object.
	open(ctx context.Context, name string) (ranger, int64, error)
}

// A condition says when a commit may publish.
type condition struct {
	swap       bool   // false: create-only, the same bytes again succeed
	generation string // of a swap: the expected one; "" where the object must be absent
	temporary  bool   // not a swap: a failure of the machine may lose it
}

// An upload is an object being written.
type upload interface {
	io.Writer
	commit() (Info, error)
	abort() // after any error and after commit: no effect but to release
}

// A ranger reads ranges of one generation of an object, at any offset ≥ 0 and
// from any goroutine.
type ranger interface {
	io.ReaderAt
	io.Closer
}
