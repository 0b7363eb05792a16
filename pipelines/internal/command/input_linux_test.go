package command_test

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// terminal returns the two ends of a terminal: where a person types, and where a process reads.
func terminal(t *testing.T) (person, process *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("there are no terminals here: %v", err)
	}
	t.Cleanup(func() { person.Close() })
	if err := unix.IoctlSetPointerInt(int(person.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(person.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	process, err = os.OpenFile(fmt.Sprint("/dev/pts/", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { process.Close() })
	return person, process
}

// begin starts a child whose output is the returned pipe, and waits until it has said the line.
func (l *lab) begin(c *exec.Cmd, said string) *os.File {
	l.t.Helper()
	out, in, err := os.Pipe()
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { out.Close() })
	c.Stdout, c.Stderr = in, in
	err = c.Start()
	in.Close()
	if err != nil {
		l.t.Fatal(err)
	}
	line := make([]byte, len(said))
	if _, err := io.ReadFull(out, line); err != nil || string(line) != said {
		c.Process.Kill()
		c.Wait()
		l.t.Fatalf("%q: said %q, %v", c.Args[1:], line, err)
	}
	return out
}

// ends waits for the end of a child, which must come soon, and returns what else it has said.
func (l *lab) ends(c *exec.Cmd, out *os.File, code int) string {
	l.t.Helper()
	late := time.AfterFunc(time.Minute, func() { c.Process.Kill() })
	defer late.Stop()
	text, _ := io.ReadAll(out)
	c.Wait()
	if got := c.ProcessState.ExitCode(); got != code {
		l.t.Errorf("%q: exit code %d, want %d: %s", c.Args[1:], got, code, text)
	}
	return string(text)
}

// TestTyped: a command that waits for a person says so, and the first Ctrl-C ends it. A text
// that is typed is read.
func TestTyped(t *testing.T) {
	l := newLab(t)
	const hint = "quire: reads the text from standard input; Ctrl-D on a new line ends it\n"
	for _, c := range []struct {
		keys, said string
		code       int
		args       []string
	}{
		{"To be\x03", hint, 75, []string{"score"}},
		{"\x03", hint, 75, []string{"score", "--file", "-"}},
		{"To be\n\x04", hint, 1, []string{"score"}}, // there is no model
	} {
		person, process := terminal(t)
		child := l.child(c.args...)
		child.Stdin = process
		child.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
		out := l.begin(child, c.said)
		if _, err := person.WriteString(c.keys); err != nil {
			t.Fatal(err)
		}
		if text := l.ends(child, out, c.code); c.code == 75 && text != "quire: interrupted\n" || c.code == 1 && !strings.Contains(text, "train a model first") {
			t.Errorf("%q: said %q", c.args, text)
		}
	}
}

// TestSilentPipe: the first signal ends a command that waits for a text or a config from a
// pipe, of which no line is said.
func TestSilentPipe(t *testing.T) {
	l := untrained(t)
	fifo := filepath.Join(l.dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"score", "--file", fifo}, {"score"}, {"config", "--config", fifo}, {"run", "--config", fifo}} {
		child := l.child(args...)
		if len(args) > 1 && args[1] == "--config" {
			child.Args = child.Args[:len(child.Args)-2]
		}
		silent := len(args) > 1
		var writer *os.File
		var err error
		if !silent {
			child.Stdin, writer, err = os.Pipe()
		}
		if err != nil {
			t.Fatal(err)
		}
		out := l.begin(child, "")
		if silent { // the opening waits until the child reads
			writer, err = os.OpenFile(fifo, os.O_WRONLY, 0)
		} else { // a pipe takes 64 KiB and the rest once it is read
			_, err = writer.WriteString(strings.Repeat("the ", 40_000))
		}
		if err != nil {
			t.Fatal(err)
		}
		child.Process.Signal(os.Interrupt)
		if text := l.ends(child, out, 75); text != "quire: interrupted\n" && args[0] != "run" {
			t.Errorf("%q: said %q", args, text)
		}
		writer.Close()
	}
}
