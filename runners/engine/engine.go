// Package engine runs Beam pipelines.
//
// A runner is what executes a pipeline's graph:
//
//	direct    in this process, one thread, no serialisation
//	prism     in this process, parallel, everything serialised
//	flink     on a Flink cluster, through the job server at --endpoint
//	dataflow  on Google Cloud Dataflow
//
// Runners are set up by Beam's own flags (package flag), which a command adopts.
// On a worker of a cluster, the same binary is started with --worker; Init
// recognises that, so it is a command's first call.
package engine

import (
	"context"
	"flag"
	"fmt"
	"log"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/options/jobopts"

	// Not beamx: it adds the dot and spark runners and Beam's filesystems,
	// which nothing here reads.
	_ "github.com/apache/beam/sdks/v2/go/pkg/beam/core/runtime/exec/optimized"
	_ "github.com/apache/beam/sdks/v2/go/pkg/beam/runners/dataflow"
	_ "github.com/apache/beam/sdks/v2/go/pkg/beam/runners/direct"
	_ "github.com/apache/beam/sdks/v2/go/pkg/beam/runners/flink"
	_ "github.com/apache/beam/sdks/v2/go/pkg/beam/runners/prism"
)

// Names returns the runners' names.
func Names() []string { return []string{"direct", "prism", "flink", "dataflow"} }

// Check returns an error where name is no runner.
func Check(name string) error {
	if slices.Contains(Names(), name) {
		return nil
	}
	return fmt.Errorf("engine: runner %q is unknown; use direct, prism, flink or dataflow", name)
}

// Options are how a pipeline runs. The zero value is quiet.
type Options struct {
	Verbose bool // Beam's log goes to stderr
}

// Init makes Beam usable. In a process that a runner started as its worker
// (--worker), Init parses the flags, does the work and does not return.
// Elsewhere it leaves the flags alone. The log and slog packages stay as they
// are. Call it once, after all init functions and before building a pipeline.
func Init() {
	if isWorker(os.Args[1:]) {
		flag.Parse()
		beam.Init()
		return
	}
	defer keepLogs()()
	beam.Init()
}

// isWorker reports whether args ask for worker mode.
func isWorker(args []string) bool {
	for _, a := range args {
		if a == "--" {
			return false
		}
		name, value, set := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(a, "-"), "-"), "=")
		if strings.HasPrefix(a, "-") && name == "worker" && (!set || value == "true" || value == "1") {
			return true
		}
	}
	return false
}

// running makes Run one at a time: runners share global flags and loggers.
var running sync.Mutex

// grace is how long a cancelled run may take to stop.
const grace = 15 * time.Second

// Run executes p on the named runner and returns when it is done. The error is
// one line: the cause, without the layers that Beam wraps around it. When ctx
// is cancelled, Run stops the pipeline and returns ctx's error; a Dataflow job
// is left running, and the error says so.
//
// Runs are one at a time; a second waits.
func Run(ctx context.Context, runner string, p *beam.Pipeline, o Options) error {
	if err := Check(runner); err != nil {
		return err
	}
	running.Lock()
	defer running.Unlock()
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("engine: %s: %w", runner, err)
	}
	if runner == "flink" && *jobopts.Endpoint == "" {
		return fmt.Errorf("engine: flink: no job server; start one and give its address with --endpoint=host:port")
	}
	defer quiet(o.Verbose)()
	defer flags(runner)()

	// Prism panics when the context of its worker ends by a deadline.
	inner, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	done := make(chan error, 1)
	go func() {
		defer func() {
			if e := recover(); e != nil {
				done <- fmt.Errorf("panic: %v", e)
			}
		}()
		_, err := beam.Run(inner, runner, p)
		done <- err
	}()
	select {
	case err := <-done:
		return finish(ctx, runner, err)
	case <-ctx.Done():
	}
	switch runner {
	case "dataflow":
		return fmt.Errorf("engine: dataflow: %w; the job goes on running, cancel it in the cloud console or with gcloud dataflow jobs cancel", ctx.Err())
	case "prism", "flink":
		cancelJob(*jobopts.Endpoint, *jobopts.JobName)
	}
	stop()
	select {
	case <-done:
	case <-time.After(grace):
	}
	return fmt.Errorf("engine: %s: %w", runner, ctx.Err())
}

// finish returns the error of a run that ended by itself.
func finish(ctx context.Context, runner string, err error) error {
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("engine: %s: %w", runner, ctx.Err())
	case err == nil:
		return nil
	}
	return &Error{Runner: runner, Cause: rootCause(err.Error()), Err: err}
}

// An Error is a pipeline's failure.
type Error struct {
	Runner string
	Cause  string // one line
	Err    error  // as Beam gave it, of many lines
}

// Error returns the cause.
func (e *Error) Error() string { return "engine: " + e.Runner + ": " + e.Cause }

// Unwrap returns Beam's error.
func (e *Error) Unwrap() error { return e.Err }

// keepLogs returns a function that undoes what happened to the log and slog
// packages in between: setting slog's default also redirects log.
func keepLogs() (restore func()) {
	logger, w, flags, prefix := slog.Default(), log.Writer(), log.Flags(), log.Prefix()
	return func() {
		slog.SetDefault(logger)
		log.SetOutput(w)
		log.SetFlags(flags)
		log.SetPrefix(prefix)
	}
}
