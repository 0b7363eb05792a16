package flink

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

// trial is the test of somebody who starts a Flink: its failure is kept.
type trial struct {
	*testing.T
	failed string
}

func (f *trial) Helper()                      {}
func (f *trial) Fatal(args ...any)            { f.failed = fmt.Sprint(args...); runtime.Goexit() }
func (f *trial) Fatalf(s string, args ...any) { f.failed = fmt.Sprintf(s, args...); runtime.Goexit() }

// served serves a job server that is a script, and returns its address or the failure.
func served(t *testing.T, script string) (endpoint, failed string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "start.sh"), []byte("#!/bin/sh\n"+script), 0o777); err != nil {
		t.Fatal(err)
	}
	f := &Flink{t: &trial{T: t}, folder: dir, run: dir, managers: map[string]*process{}}
	done := make(chan bool)
	go func() {
		defer close(done)
		f.serve("local")
	}()
	<-done
	return f.Endpoint, f.t.(*trial).failed
}

// TestDeadProcess: a process of Flink that has ended fails the test at once, by name and
// with how it ended, long before a Flink that only takes its time.
func TestDeadProcess(t *testing.T) {
	began := time.Now()
	for script, want := range map[string]string{
		"exit 3":                              "the job server: local.log has ended: exit status 3",
		"kill -9 $$":                          "the job server: local.log has ended: signal: killed",
		"echo JobService started on h:1\n":    "the job server: local.log has ended: exit status 0", // it does not run
		"sleep 0.1; echo now running; exit 1": "the job server: local.log has ended: exit status 1",
	} {
		if endpoint, failed := served(t, script); failed != want || endpoint != "" {
			t.Errorf("%q: %q, failed with %q, want %q", script, endpoint, failed, want)
		}
	}
	if took := time.Since(began); took > starting/2 {
		t.Errorf("that took %v", took)
	}
	if endpoint, failed := served(t, "echo JobService started on localhost:4711; echo it is now running; exec sleep 600"); endpoint != "localhost:4711" || failed != "" {
		t.Errorf("a job server that lives: %q, %q", endpoint, failed)
	}
}
