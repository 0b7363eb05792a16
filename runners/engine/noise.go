package engine

import (
	"context"
	"io"
	"log"
	"log/slog"
	"os"
	"sync/atomic"

	beamlog "github.com/apache/beam/sdks/v2/go/pkg/beam/log"
)

// verbose is whether the gate is open. The prism server keeps the logger that
// it was started with, so a gate outlives the run that made it.
var verbose atomic.Bool

// A gate is a slog handler that can be shut.
type gate struct{ slog.Handler }

// Enabled reports whether records pass.
func (g gate) Enabled(ctx context.Context, l slog.Level) bool {
	return verbose.Load() && g.Handler.Enabled(ctx, l)
}

// WithAttrs returns a gate too.
func (g gate) WithAttrs(a []slog.Attr) slog.Handler { return gate{g.Handler.WithAttrs(a)} }

// WithGroup returns a gate too.
func (g gate) WithGroup(name string) slog.Handler { return gate{g.Handler.WithGroup(name)} }

// quiet sends Beam's log through the gate, and returns a function that puts
// the log packages back.
func quiet(loud bool) (restore func()) {
	undo := keepLogs()
	verbose.Store(loud)
	slog.SetDefault(slog.New(gate{slog.NewTextHandler(os.Stderr, nil)}))
	beamlog.SetLogger(&beamlog.Structural{})
	if !loud {
		log.SetOutput(io.Discard)
	}
	return func() {
		verbose.Store(false)
		undo()
	}
}
