package node

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"
)

// stopWord is the line of standard input that tells a job to stop.
const stopWord = "stop"

const (
	alivePause = 10 * time.Second
	// flushTime bounds the wait, when a job has ended, for whoever reads its output.
	flushTime = 20 * time.Second
	// relayLines bounds the lines of a job that wait to be read.
	relayLines = 4096
)

// ErrTold is the cause of the end of a job's context where the machine that started it
// has told it to stop.
var ErrTold = errors.New("node: told to stop by the machine that started it")

// An Attendant is between a job, on its machine, and the machine that started it. The job
// neither waits for that machine nor ends with it:
//
//   - The line "stop" on standard input ends the job's context. The end of the input, a
//     hangup and a closed output end nothing.
//   - The output is written beside the job. Lines that nobody reads are dropped.
//   - A line every ten seconds says that the job is alive, so that a connection that
//     is silent is known to be lost.
//
// An Attendant is safe for concurrent use.
type Attendant struct {
	out, errs *relay
	cancel    context.CancelCauseFunc
	quit      chan struct{}
	beaten    sync.WaitGroup
}

// Attend begins to attend the job of this process, whose context is the one returned.
// Call End in the end. From here on the process ignores SIGHUP and SIGPIPE.
func Attend(ctx context.Context, in io.Reader, out, errs io.Writer) (context.Context, *Attendant) {
	signal.Ignore(syscall.SIGHUP, syscall.SIGPIPE)
	ctx, cancel := context.WithCancelCause(ctx)
	a := &Attendant{out: newRelay(out), errs: newRelay(errs), cancel: cancel, quit: make(chan struct{})}
	host, err := os.Hostname()
	if err != nil {
		host = "an unknown host"
	}
	a.say(Control{Word: Began, Host: host, PID: os.Getpid()})
	context.AfterFunc(ctx, func() { a.say(Control{Word: Stopping}) })
	go a.listen(in) // until the process ends: a read cannot be ended
	a.beaten.Go(a.beat)
	return ctx, a
}

// Console is where lines for a person go.
func (a *Attendant) Console() io.Writer { return a.errs }

func (a *Attendant) say(c Control) { a.out.push(c.line()) }

// listen looks for the word to stop.
func (a *Attendant) listen(in io.Reader) {
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		if strings.TrimSpace(lines.Text()) == stopWord {
			a.cancel(ErrTold)
		}
	}
}

func (a *Attendant) beat() {
	t := time.NewTicker(alivePause)
	defer t.Stop()
	for {
		select {
		case <-a.quit:
			return
		case <-t.C:
			a.say(Control{Word: Alive})
		}
	}
}

// End writes the result, a line without its end, unless it is empty, and then how the job
// has ended. It waits for the readers of the output, but not for long.
func (a *Attendant) End(result []byte, ended Control) {
	close(a.quit)
	a.beaten.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), flushTime)
	defer cancel()
	ended.Word = Ended
	last := ended.line()
	if len(result) > 0 {
		last = append(append(bytes.Clone(result), '\n'), last...)
	}
	a.out.close(ctx, last)
	a.errs.close(ctx, nil)
}

// A relay writes lines beside their writer, who never waits.
type relay struct {
	w     io.Writer
	lines chan []byte
	gone  chan struct{} // closed when nothing more is written

	mu     sync.Mutex
	part   []byte // of a line that has not ended
	closed bool
}

func newRelay(w io.Writer) *relay {
	r := &relay{w: w, lines: make(chan []byte, relayLines), gone: make(chan struct{})}
	go func() {
		defer close(r.gone)
		for line := range r.lines {
			_, _ = r.w.Write(line) // whoever does not read it does without
		}
	}()
	return r
}

// Write takes whole lines at once, others when they end. It has no error.
func (r *relay) Write(p []byte) (int, error) {
	r.mu.Lock()
	r.part = append(r.part, p...)
	end := bytes.LastIndexByte(r.part, '\n') + 1
	lines := bytes.Clone(r.part[:end])
	r.part = append(r.part[:0], r.part[end:]...)
	r.mu.Unlock()
	if end > 0 {
		r.push(lines)
	}
	return len(p), nil
}

// push queues lines, or drops them where nobody has read thousands before them.
func (r *relay) push(lines []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	select {
	case r.lines <- lines:
	default:
	}
}

// close queues the last lines and waits until all are written, or ctx ends.
func (r *relay) close(ctx context.Context, last []byte) {
	r.mu.Lock()
	last = append(r.part, last...)
	r.closed = true
	r.mu.Unlock()
	if len(last) > 0 {
		select {
		case r.lines <- last:
		default: // it is full
			select {
			case r.lines <- last:
			case <-ctx.Done():
				return
			}
		}
	}
	close(r.lines)
	select {
	case <-r.gone:
	case <-ctx.Done():
	}
}
