package engine

import (
	"context"
	"io"
	"log"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"sync/atomic"

	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/runtime/harness"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/util/hooks"
	beamlog "github.com/apache/beam/sdks/v2/go/pkg/beam/log"
)

// verbose: Beam's records are shown.
var verbose atomic.Bool

// A filter is a slog handler that keeps Beam's records away from the program's
// own handler. Beam logs through slog's default, and not only during a run: its
// prism server and workers end some time after the run that they were for.
type filter struct{ own, beam slog.Handler }

// Enabled reports whether either handler takes records of a level.
func (f filter) Enabled(ctx context.Context, l slog.Level) bool {
	return f.own.Enabled(ctx, l) || verbose.Load() && f.beam.Enabled(ctx, l)
}

// Handle passes a record of Beam's to beam, and any other to own.
func (f filter) Handle(ctx context.Context, r slog.Record) error {
	switch {
	case !fromBeam(r.PC):
		if f.own.Enabled(ctx, r.Level) {
			return f.own.Handle(ctx, r)
		}
	case verbose.Load() && f.beam.Enabled(ctx, r.Level):
		return f.beam.Handle(ctx, r)
	}
	return nil
}

// WithAttrs returns a filter too.
func (f filter) WithAttrs(a []slog.Attr) slog.Handler {
	return filter{f.own.WithAttrs(a), f.beam.WithAttrs(a)}
}

// WithGroup returns a filter too.
func (f filter) WithGroup(name string) slog.Handler {
	return filter{f.own.WithGroup(name), f.beam.WithGroup(name)}
}

// fromBeam reports whether a record was made by Beam's code.
func fromBeam(pc uintptr) bool {
	frame, _ := runtime.CallersFrames([]uintptr{pc}).Next()
	return strings.HasPrefix(frame.Function, "github.com/apache/beam/")
}

// stderr writes to the present os.Stderr, which tests replace.
type stderr struct{}

func (stderr) Write(p []byte) (int, error) { return os.Stderr.Write(p) }

// JSON makes the records of Beam's log JSON objects. It is for the start of a program.
var JSON atomic.Bool

// beamHandler returns the handler of Beam's records.
func beamHandler() slog.Handler {
	if JSON.Load() {
		return slog.NewJSONHandler(stderr{}, nil)
	}
	return slog.NewTextHandler(stderr{}, nil)
}

// filterLogs puts a filter in front of slog's default handler, unless that is a
// filter already. The log package, which slog redirects, stays as it was.
func filterLogs() {
	own := slog.Default().Handler()
	if _, ok := own.(filter); ok {
		return
	}
	w, flags, prefix := log.Writer(), log.Flags(), log.Prefix()
	slog.SetDefault(slog.New(filter{own, beamHandler()}))
	log.SetOutput(w)
	log.SetFlags(flags)
	log.SetPrefix(prefix)
}

// quiet hides Beam's log, unless loud, and returns a function that puts the log
// package back. With inProcess, workers are in this process. Such workers must not
// send their log to the engine: it would come late, or, where the engine is gone, go
// to the log package and to stderr.
func quiet(loud, inProcess bool) (restore func()) {
	filterLogs() // this one stays
	undo := keepLogs()
	verbose.Store(loud)
	beamlog.SetLogger(&beamlog.Structural{})
	if !loud {
		log.SetOutput(io.Discard)
	}
	remote, _ := hooks.IsEnabled(harness.DefaultRemoteLoggingHook)
	if inProcess {
		hooks.DisableHook(harness.DefaultRemoteLoggingHook)
	}
	return func() {
		verbose.Store(false)
		beamlog.SetLogger(&beamlog.Structural{})
		if remote && inProcess {
			_ = hooks.EnableHook(harness.DefaultRemoteLoggingHook) // Beam has registered it
		}
		undo()
	}
}
