// Package kubetest is a stand-in for a cluster of Kubernetes and its kubectl, for tests.
//
// It runs the container of a Job's pod as a process, and keeps Jobs, pods and events as the
// API does: manifests are decoded strictly by Kubernetes' own types and validated by the
// rules that matter here; a Job's template cannot be changed; a pod that ends is judged by
// the Job's podFailurePolicy and backoffLimit; a deletion sends SIGTERM and waits.
//
// A cluster lives in the test's process. Its kubectl is the test's program itself, which a
// script in PATH starts again: the init of this package then passes the arguments to the
// cluster and ends the process. What the stand-in does not know it refuses.
package kubetest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A Cluster is safe for concurrent use.
type Cluster struct {
	t      testing.TB
	start  func(args []string) *exec.Cmd // of a container
	mu     sync.Mutex
	change *sync.Cond // of anything
	jobs   map[string]*job
	events []*core.Event
	calls  []string
	made   int // pods so far
	runs   int // pods that run
	most   int // of them at a time
	closed bool

	forbidden     []string // "create jobs"
	down          string   // what kubectl says where the API does not answer
	unschedulable string   // why no node takes a pod
	unpullable    string   // why no image is pulled
	broken        string   // how a pod starts in vain: the message of FailedMount
	refused       string   // why no pod is made: a quota
}

// A job is a Job, its pods, and the process of the last one.
type job struct {
	*batch.Job
	pods    []*pod
	failed  int32
	deleted bool
	done    chan struct{} // closed when the controller has ended
}

type pod struct {
	*core.Pod
	log  strings.Builder
	c    *exec.Cmd // nil: it does not run
	lost bool      // its node is
}

// New starts a cluster whose kubectl is the first in PATH until the test ends. start returns
// the process that a container with these arguments runs, not started. Namespaces exist but
// for NoNamespace.
func New(t testing.TB, start func(args []string) *exec.Cmd) *Cluster {
	t.Helper()
	c := &Cluster{t: t, start: start, jobs: map[string]*job{}}
	c.change = sync.NewCond(&c.mu)
	dir, err := os.MkdirTemp("", "kube") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	script := fmt.Sprintf("#!/bin/sh\n%s='%s' exec '%s' \"$@\"\n", socketVariable, socket, program)
	if err := os.WriteFile(filepath.Join(dir, "kubectl"), []byte(script), 0o777); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	var serving sync.WaitGroup
	serving.Go(func() { c.serve(l) })
	t.Cleanup(func() {
		c.close()
		l.Close()
		serving.Wait()
		os.RemoveAll(dir)
	})
	return c
}

// NoNamespace is the name of a namespace that does not exist.
const NoNamespace = "no-such-namespace"

// close ends all pods.
func (c *Cluster) close() {
	c.mu.Lock()
	c.closed = true
	var ends []chan struct{}
	for _, j := range c.jobs {
		j.deleted = true
		j.signal(syscall.SIGKILL)
		ends = append(ends, j.done)
	}
	c.change.Broadcast()
	c.mu.Unlock()
	for _, end := range ends {
		<-end
	}
}

// signal sends a signal to the process group of the pod that runs. The caller has the lock.
func (j *job) signal(s syscall.Signal) bool {
	if len(j.pods) == 0 {
		return false
	}
	p := j.pods[len(j.pods)-1]
	if p.c == nil {
		return false
	}
	_ = syscall.Kill(-p.c.Process.Pid, s) // it may have ended
	return true
}

// set changes the cluster.
func (c *Cluster) set(change func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change()
	c.change.Broadcast()
}

// Forbid lets the account do nothing of this kind any more: "create jobs".
func (c *Cluster) Forbid(what string) { c.set(func() { c.forbidden = append(c.forbidden, what) }) }

// Down lets kubectl fail with this text, as where the API does not answer; "" lets it answer.
func (c *Cluster) Down(text string) { c.set(func() { c.down = text }) }

// Unschedulable lets no node take a pod, for this reason; "" lets them.
func (c *Cluster) Unschedulable(why string) { c.set(func() { c.unschedulable = why }) }

// Unpullable lets no image be pulled, for this reason; "" lets them.
func (c *Cluster) Unpullable(why string) { c.set(func() { c.unpullable = why }) }

// Unmountable lets no volume be mounted, for this reason; "" lets them.
func (c *Cluster) Unmountable(why string) { c.set(func() { c.broken = why }) }

// Refuse lets no pod be made, for this reason, such as a quota; "" lets them.
func (c *Cluster) Refuse(why string) { c.set(func() { c.refused = why }) }

// Calls returns the arguments of each call of kubectl so far.
func (c *Cluster) Calls() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.calls...)
}

// Jobs returns the names of the Jobs, and the number of pods of all Jobs so far.
func (c *Cluster) Jobs() (names []string, pods int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, j := range c.jobs {
		names = append(names, j.Name)
		pods += len(j.pods)
	}
	return names, pods
}

// Most returns the number of pods that have run at a time, at most.
func (c *Cluster) Most() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.most
}

// running waits until a pod runs and calls f with its Job. The caller has no lock.
func (c *Cluster) running(f func(j *job)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for deadline := time.Now().Add(time.Minute); ; {
		for _, j := range c.jobs {
			if n := len(j.pods); n > 0 && j.pods[n-1].c != nil {
				f(j)
				return
			}
		}
		if c.closed || time.Now().After(deadline) {
			c.t.Errorf("kubetest: no pod runs")
			return
		}
		c.wait()
	}
}

// wait waits for a change, a second at most. The caller has the lock.
func (c *Cluster) wait() {
	t := time.AfterFunc(time.Second, c.change.Broadcast)
	c.change.Wait()
	t.Stop()
}

// Preempt tells the pod that runs, or the next one, to stop, as a cloud that takes a node
// back does: it has its grace period to save.
func (c *Cluster) Preempt() { c.running(func(j *job) { j.signal(syscall.SIGTERM) }) }

// LoseNode kills the pod that runs, or the next one, with its node: no exit code of it is known.
func (c *Cluster) LoseNode() {
	c.running(func(j *job) {
		j.pods[len(j.pods)-1].lost = true
		j.signal(syscall.SIGKILL)
	})
}

// Kill ends the pod that runs, or the next one, as the kernel does where memory is short.
func (c *Cluster) Kill() { c.running(func(j *job) { j.signal(syscall.SIGKILL) }) }

// event notes a warning about an object. The caller has the lock.
func (c *Cluster) event(name, reason, message string) {
	for _, e := range c.events {
		if e.InvolvedObject.Name == name && e.Reason == reason && e.Message == message {
			e.Count++
			return
		}
	}
	c.events = append(c.events, &core.Event{TypeMeta: meta.TypeMeta{Kind: "Event", APIVersion: "v1"}, Type: "Warning", Reason: reason, Message: message,
		Count: 1, InvolvedObject: core.ObjectReference{Name: name}})
}
