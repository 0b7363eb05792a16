// Package engine runs Beam pipelines.
//
// A runner is what executes a pipeline's graph:
//
//	direct    in this process, one thread, no serialisation
//	prism     in this process, parallel, everything serialised
//	flink     on a Flink cluster, through the job server at --endpoint
//	dataflow  on Google Cloud Dataflow
//
// Runners are set up by Beam's own flags (package flag), which a command adopts;
// Preflight says which are missing. A cluster's workers are processes of the
// same binary; Init recognises that it is in one, so it is a command's first
// call.
package engine

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	beamlog "github.com/apache/beam/sdks/v2/go/pkg/beam/log"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/options/jobopts"

	// Not beamx: it adds the dot and spark runners, Beam's filesystems and
	// callers without reflection for elements of Go's own types. Nothing here
	// reads the former. Elements here are blocks: callers save no time, and take
	// 4.6 MB of the binary.
	//lint:ignore SA1019 direct has no server and starts at once; prism runs the same graphs in tests
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

// running makes Run one at a time: runners share global flags and loggers.
var running sync.Mutex

// grace is how long a cancelled run may take to stop.
const grace = 15 * time.Second

// uploadGrace is grace on Dataflow, where only an upload stops: one that goes on
// for longer waits for its job.
const uploadGrace = 2 * time.Second

// Run executes p on the named runner and returns when p is done, or when the
// runner's mode says so. The error is one line: the cause, without the layers that Beam
// wraps around it. When ctx is cancelled, Run stops the pipeline, or asks the
// cluster to cancel its job, and returns ctx's error.
//
// One run at a time goes on in a process; a second waits.
func Run(ctx context.Context, runner string, p *beam.Pipeline, o Options) error {
	_, err := Start(ctx, runner, p, o)
	return err
}

// Start is Run, and describes the job, for callers that do not wait for its end.
func Start(ctx context.Context, runner string, p *beam.Pipeline, o Options) (*Job, error) {
	if err := Check(runner); err != nil {
		return nil, err
	}
	running.Lock()
	defer running.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("engine: %s: %w", runner, err)
	}
	if runner == "flink" && *jobopts.Endpoint == "" {
		return nil, &UsageError{Runner: runner, Lacks: flinkLacks()}
	}
	defer quiet(o.Verbose, inProcess(runner))()
	log := &printed{Logger: &beamlog.Structural{}}
	if ModeOf(runner) == DryRun {
		beamlog.SetLogger(log)
	}
	restore, err := flags(ctx, runner)
	if err != nil {
		return nil, err
	}
	defer restore()
	id, err := run(ctx, runner, p)
	if err != nil {
		return nil, err
	}
	job := &Job{Mode: ModeOf(runner), Name: *jobopts.JobName, ID: id, Template: value("template_location"), Request: log.job}
	if job.Mode == DryRun && job.Request == nil {
		return nil, fmt.Errorf("engine: %s: a dry run has printed no job", runner)
	}
	return job, nil
}

// An ending is the end of a run.
type ending struct {
	id  string // of the job, where the runner gives one
	err error
}

// run executes p and returns its job's ID, where the runner gives one.
func run(ctx context.Context, runner string, p *beam.Pipeline) (id string, err error) {
	// Prism panics when the context of its worker ends by a deadline.
	inner, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	done := make(chan ending, 1)
	go func() {
		defer func() {
			if e := recover(); e != nil {
				done <- ending{err: fmt.Errorf("panic: %v", e)}
			}
		}()
		res, err := beam.Run(inner, runner, p)
		end := ending{err: err}
		if runner == "dataflow" {
			end.id = jobID(res)
		}
		done <- end
	}()
	select {
	case end := <-done:
		if end.err != nil && end.id != "" && ctx.Err() == nil {
			end.err = explain(ctx, end.id, end.err)
		}
		return end.id, finish(ctx, runner, end.err)
	case <-ctx.Done():
	}
	if runner == "prism" || runner == "flink" {
		cancelJob(*jobopts.Endpoint, *jobopts.JobName)
	}
	stop()
	wait := grace
	if runner == "dataflow" {
		wait = uploadGrace
	}
	select {
	case <-done:
	case <-time.After(wait):
		if runner == "dataflow" {
			return "", interrupted(ctx, *jobopts.JobName)
		}
	}
	return "", fmt.Errorf("engine: %s: %w", runner, ctx.Err())
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

// keepLogs returns a function that puts the log and slog packages back as they were:
// setting slog's default also redirects log.
func keepLogs() (restore func()) {
	logger, w, flags, prefix := slog.Default(), log.Writer(), log.Flags(), log.Prefix()
	return func() {
		if slog.Default() != logger {
			slog.SetDefault(logger)
		}
		log.SetOutput(w)
		log.SetFlags(flags)
		log.SetPrefix(prefix)
	}
}
