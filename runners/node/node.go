// Package node runs stages of a round on another machine.
//
// A stage runs there as `quire <stage> …`, with the workdir that this machine has too:
// a folder that both see at the same path, or a bucket. What the stage makes lies in the
// workdir, so its bytes and its key are those of a stage that runs here.
//
// Nothing that a node has started depends on the machine that started it. A training
// goes on when that machine dies, sleeps or loses the network; the lease of the run keeps
// a second trainer away. Only an explicit word ends a job: see Node.Run.
package node

import (
	"context"
	"fmt"

	"github.com/quire-ml/quire/runners/store"
)

// A Job is a stage of a round, run as the command `quire Args…`.
type Job struct {
	Stage string   // train
	Key   string   // of the stage: hex digits, for the name of the job in a cluster
	Args  []string // of quire, the stage first; no shell changes their characters
	Run   string   // the run that the job trains, an absolute path or a URL; empty: none

	// Made reports whether the workdir has what the job makes. A Quiet node then takes the
	// result of a job that has ended before; nil: it runs such a job again.
	Made func(ctx context.Context) bool
}

// A Node is where jobs run. It is safe for concurrent use.
type Node interface {
	// String says where: "ssh gpu1".
	String() string

	// Check returns an error where jobs could not run: the node does not answer, has no
	// quire, or cannot be told. It is called before any work. probe is a job of a second
	// that looks around there; its result is that of Check. A node on which a job does
	// not begin at once may do without it: its result is nil.
	Check(ctx context.Context, probe Job) (result []byte, err error)

	// Run runs a job to its end and returns its result, the last line of its standard
	// output. tell gets each line of its standard error as it comes, without the line
	// end; a node that cannot stream tells nothing, and its caller follows the run by its
	// files.
	//
	// The end of ctx tells the job to stop. It saves, and the error is an *ExitError with
	// the code Interrupted. The death of this process tells the job nothing.
	//
	// The error is an *ExitError where the job has ended with another code than 0, and a
	// *LostError where the node no longer tells of the job, which may go on.
	Run(ctx context.Context, job Job, tell func(line string)) (result []byte, err error)
}

// A Quiet node tells nothing of what a job does: whoever wants to know follows the run. It
// knows its jobs by name, also those that an earlier process of this machine or another
// machine has started.
type Quiet interface {
	Node

	// Has reports whether the job is there and has not ended: Run then goes on with it.
	Has(ctx context.Context, job Job) bool
}

// Exit codes of jobs: wrong usage or config; ended early, with everything saved.
const (
	WrongUsage  = 2
	Interrupted = 75
)

// An ExitError says that a job has ended without success.
type ExitError struct {
	Node, Stage string
	Code        int
	Class       string // of the job's error, see Class…; empty: none of these
	Message     string // the job's own last words; may be empty
	Step        int64  // at which a training diverged
}

// Classes of an ExitError.
const (
	ClassTransient = "transient" // it may pass: no network, 5xx
	ClassDiverged  = "diverged"  // the loss is not finite
	ClassHeld      = "held"      // another process has the run
	ClassFull      = "full"      // a disk is full
)

func (e *ExitError) Error() string {
	if e.Message != "" {
		return fmt.Sprintf("node: %s on %s: %s", e.Stage, e.Node, e.Message)
	}
	return fmt.Sprintf("node: %s on %s ended with exit code %d", e.Stage, e.Node, e.Code)
}

// Is reports whether a transient error may pass.
func (e *ExitError) Is(target error) bool {
	return target == store.ErrTransient && e.Class == ClassTransient
}

// A LostError says that a node no longer tells of a job. It wraps store.ErrTransient:
// another attempt finds the job at work, or its saved work.
type LostError struct {
	Node, Stage string
	Host        string // of the job, and its process there; empty and 0: it has not begun
	PID         int
	Err         error // of the connection
}

func (e *LostError) Error() string {
	return fmt.Sprintf("node: %s on %s: the connection is lost, and the job may go on: %v", e.Stage, e.Node, e.Err)
}

// Unwrap returns the error of the connection.
func (e *LostError) Unwrap() []error { return []error{store.ErrTransient, e.Err} }
