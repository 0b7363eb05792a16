package node

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// streamsDelay bounds the wait for the output's end after the end of the launched command:
// a connection that is shared, as ssh's, may keep it open.
const streamsDelay = 2 * time.Second

// lineBytes bounds a line of a job. Longer ones come in parts.
const lineBytes = 1 << 20

// An event is a line of a launched command, or its end.
type event struct {
	line  []byte // without its end
	out   bool   // of standard output
	ended bool
	err   error // of the end
}

// A session is one start of a launched command. It is for one goroutine.
type session struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	events chan event
	quit   chan struct{} // closed when nobody takes events any more
	ended  bool          // the event of the end was taken
}

// launch starts words in a process group of its own, which no terminal reaches: Ctrl-C is
// for this process, which then tells the job. input becomes the standard input; nil: it
// stays open, for stop.
func launch(words []string, input io.Reader) (*session, error) {
	s := &session{cmd: exec.Command(words[0], words[1:]...), events: make(chan event), quit: make(chan struct{})}
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	s.cmd.Env = environment(os.Environ())
	s.cmd.WaitDelay = streamsDelay
	stdout, stderr := &lines{s: s, out: true}, &lines{s: s}
	s.cmd.Stdout, s.cmd.Stderr = stdout, stderr
	if s.cmd.Stdin = input; input == nil {
		var err error
		if s.stdin, err = s.cmd.StdinPipe(); err != nil {
			return nil, err
		}
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		err := s.cmd.Wait()
		stdout.flush()
		stderr.flush()
		s.send(event{ended: true, err: err})
	}()
	return s, nil
}

// environment leaves out the variables of quire's own config: they may hold secrets, and
// a launched command may pass its environment on.
func environment(all []string) []string {
	var kept []string
	for _, v := range all {
		if !strings.HasPrefix(v, "QUIRE_") {
			kept = append(kept, v)
		}
	}
	return kept
}

// send passes an event on, while somebody takes events.
func (s *session) send(e event) {
	select {
	case s.events <- e:
	case <-s.quit:
	}
}

// stop tells the job to stop.
func (s *session) stop() { _, _ = io.WriteString(s.stdin, stopWord+"\n") }

// signal sends a signal to the launched command and what it has started here.
func (s *session) signal(sig syscall.Signal) {
	if !s.ended {
		_ = syscall.Kill(-s.cmd.Process.Pid, sig)
	}
}

// leave ends the launched command, for who expects nothing more of it. A job on another
// machine goes on.
func (s *session) leave() {
	close(s.quit)
	s.signal(syscall.SIGKILL)
}

// code is the exit code of the launched command; -1: a signal ended it, or nothing has.
func (s *session) code() int {
	if !s.ended {
		return -1
	}
	return s.cmd.ProcessState.ExitCode()
}

// lines cuts a stream into events.
type lines struct {
	s    *session
	out  bool
	mu   sync.Mutex
	part []byte
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.part = append(l.part, p...)
	for {
		end := bytes.IndexByte(l.part, '\n')
		if end < 0 && len(l.part) < lineBytes {
			return len(p), nil
		}
		rest := end + 1
		if end < 0 {
			end, rest = lineBytes, lineBytes
		}
		l.send(l.part[:end])
		l.part = l.part[rest:]
	}
}

func (l *lines) send(line []byte) {
	l.s.send(event{line: bytes.Clone(bytes.TrimSuffix(line, []byte("\r"))), out: l.out})
}

// flush sends a last line without an end.
func (l *lines) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.part) > 0 {
		l.send(l.part)
		l.part = nil
	}
}

// output runs words to their end and returns what they wrote, for commands other than a
// job. The end of ctx ends them.
func output(ctx context.Context, words []string, input io.Reader) (stdout, stderr []byte, code int, err error) {
	s, err := launch(words, input)
	if err != nil {
		return nil, nil, -1, err
	}
	defer s.leave()
	for {
		select {
		case <-ctx.Done():
			return nil, nil, -1, ctx.Err()
		case e := <-s.events:
			switch {
			case e.ended:
				s.ended = true
				return stdout, stderr, s.code(), nil
			case e.out:
				stdout = append(append(stdout, e.line...), '\n')
			default:
				stderr = append(append(stderr, e.line...), '\n')
			}
		}
	}
}
