package command_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"

	"github.com/quire-ml/quire/runners/store"
)

// pauseVariable makes a child wait before a file operation: "3 ^link promoted " is the third
// of which the kind, the folder and the name match.
const pauseVariable = "COMMAND_TEST_PAUSE"

// pauseAt lets this process tell its parent by file 3 that it is at the operation, and
// wait for a byte in file 4.
func pauseAt(where string) {
	var nth int64
	if _, err := fmt.Sscan(where, &nth); err != nil {
		panic(err)
	}
	_, pattern, _ := strings.Cut(where, " ")
	at, seen := regexp.MustCompile(pattern), atomic.Int64{}
	store.InjectFaults(func(op, name string) error {
		if at.MatchString(op+" "+filepath.Dir(name)+" "+filepath.Base(name)) && seen.Add(1) == nth {
			if _, err := os.NewFile(3, "").Write([]byte{1}); err != nil {
				return err
			}
			_, err := os.NewFile(4, "").Read(make([]byte, 1))
			return err
		}
		return nil
	})
}

// A paused child is at a file operation that has not happened yet.
type paused struct {
	l       *lab
	c       *exec.Cmd
	goes    *os.File
	out, on bytes.Buffer
}

// pause starts a child and returns when it is at an operation, see pauseVariable, or has
// ended before: then ended is how.
func (l *lab) pause(where string, args ...string) (p *paused, ended *outcome) {
	l.t.Helper()
	reached, tells, err := os.Pipe()
	if err != nil {
		l.t.Fatal(err)
	}
	hears, goes, err := os.Pipe()
	if err != nil {
		l.t.Fatal(err)
	}
	p = &paused{l: l, c: l.child(args...), goes: goes}
	p.c.Env = append(p.c.Env, pauseVariable+"="+where)
	p.c.Stdout, p.c.Stderr, p.c.ExtraFiles = &p.out, &p.on, []*os.File{tells, hears}
	if err := p.c.Start(); err != nil {
		l.t.Fatal(err)
	}
	tells.Close()
	hears.Close()
	defer reached.Close()
	if n, _ := reached.Read(make([]byte, 1)); n == 1 {
		return p, nil
	}
	o := p.end()
	return nil, &o
}

// goOn lets the child go on to its end.
func (p *paused) goOn() outcome {
	p.l.t.Helper()
	if _, err := p.goes.Write([]byte{1}); err != nil {
		p.l.t.Fatal(err)
	}
	return p.end()
}

// kill ends the child by SIGKILL: its operation does not happen.
func (p *paused) kill() {
	_ = p.c.Process.Kill()
	p.end()
}

func (p *paused) end() outcome {
	_ = p.c.Wait()
	p.goes.Close()
	return outcome{p.c.Args[1:], p.c.ProcessState.ExitCode(), p.out.String(), p.on.String()}
}
