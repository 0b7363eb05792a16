// Package flink starts a small Flink, for tests and experiments.
//
// By hand:
//
//	runners/engine/flink/start.sh local
//	go run ./pipelines/prep --runner flink --endpoint localhost:8099
//
// start.sh also starts the processes of a cluster. It needs Java, Maven and pip,
// with which fetch.sh fetches 280 MB once, into the user's cache folder.
//
// Tests call Local or Cluster, which are skipped unless the variable QUIRE_FLINK
// asks for them: 1 for Local, cluster for both. With 1 they are also skipped, and
// say why, where Flink cannot be fetched.
package flink

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	fetching = 5 * time.Minute
	starting = 2 * time.Minute
)

// A Flink is a running Flink.
type Flink struct {
	Endpoint string // of the job server

	t        testing.TB
	folder   string   // of the scripts
	dir      string   // where fetch.sh has put Flink
	run      string   // for scratch files
	ports    []string // variables for start.sh
	rest     string   // address of the job manager's pages, in a cluster
	managers map[string]*process
	all      []*process
}

// A process is one of Flink's.
type process struct {
	cmd   *exec.Cmd
	log   string        // file
	ended chan struct{} // closed when it has ended
}

// Local starts a Flink inside a job server.
func Local(t testing.TB) *Flink {
	t.Helper()
	f := prepare(t)
	f.serve("local")
	return f
}

// Cluster starts a job manager, task managers of two slots each, and a job server.
func Cluster(t testing.TB, taskManagers int) *Flink {
	t.Helper()
	if os.Getenv("QUIRE_FLINK") != "cluster" {
		t.Skip("set QUIRE_FLINK=cluster to run a Flink cluster of several Java processes (a minute or two)")
	}
	f := prepare(t)
	manager := f.start("jobmanager")
	rest, rpc := f.read("the job manager", manager, restPort), f.read("the job manager", manager, rpcPort)
	f.rest, f.ports = "http://localhost:"+rest, append(f.ports, "REST_PORT="+rest, "RPC_PORT="+rpc)
	for i := range taskManagers {
		n := strconv.Itoa(i + 1)
		f.managers["taskmanager-"+n] = f.start("taskmanager", n)
	}
	f.wait("the cluster's task managers", func() bool {
		var overview struct{ TaskManagers int }
		return f.ask("/overview", &overview) == nil && overview.TaskManagers == taskManagers
	})
	f.serve("jobserver")
	return f
}

// prepare fetches Flink, or skips the test.
func prepare(t testing.TB) *Flink {
	t.Helper()
	wanted := os.Getenv("QUIRE_FLINK")
	if wanted == "" {
		t.Skip("set QUIRE_FLINK=1 to run a real Flink (280 MB are fetched once)")
	}
	f := &Flink{t: t, folder: scripts(t), run: t.TempDir(), managers: map[string]*process{}}
	ctx, stop := context.WithTimeout(t.Context(), fetching)
	defer stop()
	c := exec.CommandContext(ctx, filepath.Join(f.folder, "fetch.sh"))
	var stderr bytes.Buffer
	c.Stderr = &stderr
	out, err := c.Output()
	if err == nil {
		_, err = exec.LookPath("java")
	}
	switch {
	case err == nil:
		f.dir = strings.TrimSpace(string(out))
	case wanted == "cluster":
		t.Fatalf("fetch Flink: %v\n%s", err, stderr.String())
	default:
		t.Skipf("Flink cannot be fetched here: %v\n%s", err, stderr.String())
	}
	return f
}

// scripts returns the folder of the scripts, below the module's root.
func scripts(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		folder := filepath.Join(dir, "runners", "engine", "flink")
		if _, err := os.Stat(filepath.Join(folder, "start.sh")); err == nil {
			return folder
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("runners/engine/flink/start.sh is in no folder above")
		}
		dir = filepath.Dir(dir)
	}
}

// start starts a process of start.sh. The process ends with the test.
func (f *Flink) start(args ...string) *process {
	f.t.Helper()
	p := &process{ended: make(chan struct{}), cmd: exec.Command(filepath.Join(f.folder, "start.sh"), args...),
		log: filepath.Join(f.run, strings.Join(args, "-")+".log")}
	log, err := os.Create(p.log)
	if err != nil {
		f.t.Fatal(err)
	}
	defer log.Close()
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.Env = append(append(os.Environ(), "FLINK_DIR="+f.dir, "FLINK_RUN="+f.run,
		"JOB_PORT=0", "ARTIFACT_PORT=0", "REST_PORT=0", "RPC_PORT=0"), f.ports...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		f.t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.ended)
	}()
	f.all = append(f.all, p)
	f.t.Cleanup(func() {
		p.kill()
		if f.t.Failed() {
			f.t.Logf("end of %s:\n%s", filepath.Base(p.log), tail(p.log))
		}
	})
	return p
}

// kill ends a process with the processes that it has started, and waits.
func (p *process) kill() {
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	<-p.ended
}

// tail returns the last lines of a file.
func tail(file string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-4000):])
}

// Flink and the job server choose free ports themselves, and log them. A port that a test
// chose for them could be another process's by the time that they ask for it.
var (
	started  = regexp.MustCompile(`JobService started on (\S+)(?s:.*)now running`)
	restPort = regexp.MustCompile(`Rest endpoint listening at \S+:(\d+)`)
	rpcPort  = regexp.MustCompile(`Actor system started at \S+://flink@[^:\s]+:(\d+)`)
)

// read waits until a process has logged what matches, and returns the first group.
func (f *Flink) read(what string, p *process, matches *regexp.Regexp) (group string) {
	f.t.Helper()
	f.wait(what, func() bool {
		text, err := os.ReadFile(p.log)
		found := matches.FindSubmatch(text)
		if err == nil && found != nil {
			group = string(found[1])
		}
		return group != ""
	})
	return group
}

// serve starts a job server.
func (f *Flink) serve(role string) {
	f.t.Helper()
	f.Endpoint = f.read("the job server", f.start(role), started)
}

// wait waits for a part of Flink. It fails at once where a process has ended.
func (f *Flink) wait(what string, ready func() bool) {
	f.t.Helper()
	for end := time.Now().Add(starting); !ready(); time.Sleep(100 * time.Millisecond) {
		for _, p := range f.all {
			select {
			case <-p.ended:
				f.t.Fatalf("%s: %s has ended: %v", what, filepath.Base(p.log), p.cmd.ProcessState)
			default:
			}
		}
		if time.Now().After(end) {
			f.t.Fatalf("%s: not there after %v", what, starting)
		}
	}
}

// ask decodes the answer of the job manager's REST interface at path.
func (f *Flink) ask(path string, answer any) error {
	resp, err := http.Get(f.rest + path)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return json.NewDecoder(resp.Body).Decode(answer)
}

// KillBusy sends SIGKILL to a task manager of a cluster that has work, but not to its
// workers, and returns its name.
func (f *Flink) KillBusy() (name string, err error) {
	var list struct {
		TaskManagers []struct {
			ID                     string
			SlotsNumber, FreeSlots int
		}
	}
	if err := f.ask("/taskmanagers", &list); err != nil {
		return "", err
	}
	for _, m := range list.TaskManagers {
		if p := f.managers[m.ID]; p != nil && m.FreeSlots < m.SlotsNumber {
			return m.ID, p.cmd.Process.Kill() // not its group: its workers must notice by themselves
		}
	}
	return "", fmt.Errorf("no task manager is busy: %+v", list.TaskManagers)
}

// Log returns the log so far of a part: local, jobserver, jobmanager or
// taskmanager-1, ….
func (f *Flink) Log(part string) string {
	text, err := os.ReadFile(filepath.Join(f.run, part+".log"))
	if err != nil {
		f.t.Fatal(err)
	}
	return string(text)
}
