package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// buffer is a bytes.Buffer for several goroutines.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func began(t *testing.T) string {
	t.Helper()
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf(`{"quire":{"word":"began","host":%q,"pid":%d}}`+"\n", host, os.Getpid())
}

// TestAttendStop: only the word ends the job; the end of the input does not.
func TestAttendStop(t *testing.T) {
	for input, told := range map[string]bool{"stop\n": true, "go\nstop\n": true, " stop \r\n": true, "": false, "stopped\n": false, "s": false} {
		synctest.Test(t, func(t *testing.T) {
			out, errs := &buffer{}, &buffer{}
			ctx, a := Attend(t.Context(), strings.NewReader(input), out, errs)
			synctest.Wait()
			if got := errors.Is(context.Cause(ctx), ErrTold); got != told || (ctx.Err() != nil) != told {
				t.Errorf("after %q the context ends: %v, by %v; want %v", input, ctx.Err() != nil, context.Cause(ctx), told)
			}
			a.End([]byte(`{"step":3}`), Control{})
			want := began(t)
			if told {
				want += `{"quire":{"word":"stopping"}}` + "\n"
			}
			want += `{"step":3}` + "\n" + `{"quire":{"word":"ended"}}` + "\n"
			if out.String() != want {
				t.Errorf("after %q the output is\n%swant\n%s", input, out, want)
			}
		})
	}
}

// TestAttendSignal: a job that its own machine ends says so, too.
func TestAttendSignal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		out := &buffer{}
		_, a := Attend(ctx, strings.NewReader(""), out, io.Discard)
		cancel()
		synctest.Wait()
		a.End(nil, Control{Code: Interrupted, Message: "saved"})
		if want := began(t) + `{"quire":{"word":"stopping"}}` + "\n" + `{"quire":{"word":"ended","code":75,"message":"saved"}}` + "\n"; out.String() != want {
			t.Errorf("the output is\n%swant\n%s", out, want)
		}
	})
}

func TestAttendAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &buffer{}
		_, a := Attend(t.Context(), strings.NewReader(""), out, io.Discard)
		time.Sleep(35 * time.Second) // of the fake clock
		synctest.Wait()
		if got, want := out.String(), began(t)+strings.Repeat(`{"quire":{"word":"alive"}}`+"\n", 3); got != want {
			t.Errorf("after 35 s the output is\n%swant\n%s", got, want)
		}
		a.End(nil, Control{})
	})
}

// TestAttendConsole: lines come whole and in order, and a last one without an end too.
func TestAttendConsole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		errs := &buffer{}
		_, a := Attend(t.Context(), strings.NewReader(""), io.Discard, errs)
		for _, part := range []string{"one\ntw", "o", "\nthree"} {
			if n, err := a.Console().Write([]byte(part)); n != len(part) || err != nil {
				t.Errorf("%d bytes of %q written, %v", n, part, err)
			}
		}
		synctest.Wait()
		if got, want := errs.String(), "one\ntwo\n"; got != want {
			t.Errorf("the console has %q, want %q", got, want)
		}
		a.End(nil, Control{})
		if got, want := errs.String(), "one\ntwo\nthree"; got != want {
			t.Errorf("the console has %q in the end, want %q", got, want)
		}
	})
}

// TestAttendUnread: a job whose output nobody reads neither waits nor holds more than its
// bound, and ends.
func TestAttendUnread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, out := io.Pipe() // nobody reads
		_, errs := io.Pipe()
		_, a := Attend(t.Context(), strings.NewReader(""), out, errs)
		start := time.Now()
		for i := range 10 * relayLines {
			fmt.Fprintf(a.Console(), "line %d\n", i)
		}
		if waited := time.Since(start); waited != 0 {
			t.Errorf("the job waited %v for a reader", waited)
		}
		if n := len(a.errs.lines); n != relayLines {
			t.Errorf("%d lines are held, want the bound of %d", n, relayLines)
		}
		a.End([]byte("{}"), Control{})
		if took := time.Since(start); took != flushTime {
			t.Errorf("the job ended after %v, want %v", took, flushTime)
		}
		out.Close() // lets the writers of the bubble end
		errs.Close()
	})
}

// TestAttendClosed: a closed output ends nothing.
func TestAttendClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, out := io.Pipe()
		r.Close()
		ctx, a := Attend(t.Context(), strings.NewReader(""), out, out)
		fmt.Fprintln(a.Console(), "line")
		time.Sleep(time.Minute)
		if ctx.Err() != nil {
			t.Errorf("the job ended: %v", context.Cause(ctx))
		}
		a.End([]byte("{}"), Control{})
	})
}
