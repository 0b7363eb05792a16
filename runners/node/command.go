package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// CommandOptions are options of Command; nil means the defaults.
type CommandOptions struct {
	Copy bool // brings this program to the node; else quire is there

	// Silence is the time without a word after which a connection counts as lost; 0 is 90 s.
	Silence time.Duration
	// Grace is the time that a job has to answer when it is told to stop; 0 is 10 s.
	Grace time.Duration
}

// Command returns the node on which launch, the first words of a command, run what
// follows them: ssh gpu1, or srun --gres=gpu:1. launch passes standard input, output and
// error on.
func Command(launch []string, o *CommandOptions) Node {
	c := &command{launch: slices.Clone(launch), program: "quire", silence: 90 * time.Second, grace: 10 * time.Second}
	if o != nil {
		c.copy = o.Copy
		c.silence, c.grace = orElse(o.Silence, c.silence), orElse(o.Grace, c.grace)
	}
	return c
}

func orElse(d, otherwise time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return otherwise
}

type command struct {
	launch  []string
	copy    bool
	silence time.Duration
	grace   time.Duration

	mu      sync.Mutex
	program string // on the node
	brought bool   // the program is this one
}

func (c *command) String() string { return strings.Join(c.launch, " ") }

// words is the command that runs quire with these arguments on the node.
func (c *command) words(args []string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Concat(c.launch, []string{c.program}, args)
}

// Check implements Node.
func (c *command) Check(ctx context.Context, probe Job) ([]byte, error) {
	if err := c.bring(ctx); err != nil {
		return nil, err
	}
	result, err := c.Run(ctx, probe, func(string) {})
	var lost *silentError
	if errors.As(err, &lost) && ctx.Err() == nil {
		return nil, c.explain(lost)
	}
	return result, err
}

// explain says why a probe had no answer.
func (c *command) explain(e *silentError) error {
	k := &CheckError{Node: c.String(), Reason: Unreachable, Said: e.said}
	switch {
	case errors.Is(e.err, exec.ErrNotFound):
		k.Reason, k.Said = NoLauncher, e.err.Error()
	case e.began || e.code == -1:
	case e.code == 126 || e.code == 127 || strings.Contains(e.said, "executable file not found"): // the last is runc's
		k.Reason = NoProgram
	case e.code == 0:
		k.Reason = Mute
	case strings.Contains(e.said, "quire: "): // it does not know what it is asked
		k.Reason = OtherBuild
	}
	return k
}

// Run implements Node.
func (c *command) Run(ctx context.Context, job Job, tell func(line string)) ([]byte, error) {
	if err := c.bring(ctx); err != nil {
		return nil, err
	}
	s, err := launch(c.words(job.Args), nil)
	if err != nil {
		return nil, &silentError{LostError: LostError{Node: c.String(), Stage: job.Stage, Err: err}, code: -1, err: err}
	}
	defer s.leave()
	w := &watch{c: c, s: s, job: job, tell: tell}
	return w.run(ctx)
}

// A silentError is a LostError with what is known of the end of the launched command.
type silentError struct {
	LostError
	began bool
	code  int
	said  string // its last lines of standard error
	err   error
}

// Unwrap returns the LostError.
func (e *silentError) Unwrap() error { return &e.LostError }

// saidLines is the number of lines of standard error that an error repeats.
const saidLines = 3

// A watch is the view of one job from the machine that started it.
type watch struct {
	c    *command
	s    *session
	job  Job
	tell func(line string)

	began  *Control
	ended  *Control
	result []byte
	said   []string
}

// run takes the lines of the job until it has ended, or nothing more is heard of it.
func (w *watch) run(ctx context.Context) ([]byte, error) {
	silence := time.NewTimer(w.c.silence)
	defer silence.Stop()
	told, grace, terminated := ctx.Done(), (<-chan time.Time)(nil), false
	for {
		select {
		case e := <-w.s.events:
			if e.ended {
				w.s.ended = true
				result, err := w.end(e.err)
				if errors.As(err, new(*silentError)) && ctx.Err() != nil {
					err = fmt.Errorf("%w; %w", ctx.Err(), err)
				}
				return result, err
			}
			silence.Reset(w.c.silence)
			if word := w.take(e); word == Stopping && told == nil {
				grace = nil // it saves, however long that takes
			}
		case <-silence.C:
			if w.began != nil { // before, it may wait in a queue
				return nil, w.lost(fmt.Errorf("nothing was heard for %v", w.c.silence))
			}
		case <-told:
			told = nil
			w.s.stop()
			grace = time.After(w.c.grace)
		case <-grace:
			if terminated {
				return nil, fmt.Errorf("%w; %w", ctx.Err(), w.lost(errors.New("it did not answer when it was told to stop")))
			}
			terminated, grace = true, time.After(w.c.grace)
			w.s.signal(syscall.SIGTERM) // a launcher that passes signals on, and no input
		}
	}
}

// take reads a line and returns the word of a Control.
func (w *watch) take(e event) Word {
	if !e.out {
		w.tell(string(e.line))
		if w.said = append(w.said, string(e.line)); len(w.said) > saidLines {
			w.said = w.said[1:]
		}
		return ""
	}
	c, ok := ParseControl(e.line)
	switch {
	case ok && c.Word == Ended:
		w.ended = &c
	case ok && c.Word == Began:
		w.began = &c
	case ok:
	case len(bytes.TrimSpace(e.line)) > 0:
		w.result = e.line
	}
	return c.Word
}

// end returns the result of a job whose launched command has ended.
func (w *watch) end(err error) ([]byte, error) {
	switch {
	case w.ended == nil && err == nil:
		return nil, w.lost(errors.New("the command ended with exit code 0, and the job has not said so"))
	case w.ended == nil:
		return nil, w.lost(err)
	case w.ended.Code == 0 && w.result == nil:
		return nil, w.lost(errors.New("the job ended without a result"))
	case w.ended.Code == 0:
		return w.result, nil
	}
	return nil, &ExitError{Node: w.c.String(), Stage: w.job.Stage, Code: w.ended.Code, Class: w.ended.Class, Message: w.ended.Message, Step: w.ended.Step}
}

func (w *watch) lost(cause error) error {
	said := strings.Join(w.said, "; ")
	if said != "" {
		cause = fmt.Errorf("%w: %s", cause, said)
	}
	e := &silentError{LostError: LostError{Node: w.c.String(), Stage: w.job.Stage, Err: cause}, code: w.s.code(), said: said, err: cause}
	if w.began != nil {
		e.began, e.Host, e.PID = true, w.began.Host, w.began.PID
	}
	return e
}
