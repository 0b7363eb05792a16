package command_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/quire-ml/quire/runners/engine/flink"
)

// TestFlinkIsDown finds out at once, not after the two minutes of Beam's client.
func TestFlinkIsDown(t *testing.T) {
	l := newLab(t)
	began := time.Now()
	l.failed(l.finish(l.child("prep", "--runner=flink", "--endpoint=localhost:1", "--quiet")), 1, "no job server at --endpoint=localhost:1", "start.sh")
	l.failed(l.finish(l.child("prep", "--runner=flink", "--quiet")), 2, "--endpoint=host:port")
	l.failed(l.finish(l.child("prep", "--runner=flink", "--endpoint=8099", "--quiet")), 2, "--endpoint=8099 is not host:port")
	l.failed(l.finish(l.child("prep", "--runner=flink", "--endpoint=localhost:1", "--async", "--quiet")), 2, "--environment_type=PROCESS")
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("took %v", took)
	}
}

// shardsOnFlink are enough windows for something to happen between the first and
// the last.
const shardsOnFlink = "--set=prep.shards=24"

// onFlink is prep of a set on a Flink, not started.
func (l *lab) onFlink(f *flink.Flink, set string, args ...string) *exec.Cmd {
	return l.child(append([]string{"prep", "--runner=flink", "--endpoint=" + f.Endpoint, "--out=" + filepath.Join(l.dir, set),
		"--parallelism=2", shardsOnFlink, "--json", "--quiet"}, args...)...)
}

// sameSets compares every file of two sets.
func (l *lab) sameSets(a, b string) {
	l.t.Helper()
	a, b = filepath.Join(l.dir, a), filepath.Join(l.dir, b)
	names := l.files(a)
	if got := l.files(b); strings.Join(got, " ") != strings.Join(names, " ") || len(names) < 8 {
		l.t.Errorf("%s has %v, %s has %v", a, names, b, got)
		return
	}
	for _, name := range names {
		if l.read(filepath.Join(a, name)) != l.read(filepath.Join(b, name)) {
			l.t.Errorf("%s is another in %s and %s", name, a, b)
		}
	}
}

// bigger gives a lab a corpus of so many megabytes, enough for something to
// happen in the middle, and makes its set by direct.
func (l *lab) bigger(megabytes int) {
	l.t.Helper()
	var b strings.Builder
	for i := 0; b.Len() < megabytes<<20; i++ {
		fmt.Fprintf(&b, "%x %s", uint32(i)*2654435761, text(100))
	}
	l.write(l.corpus, b.String())
	l.ok("prep", "--out="+filepath.Join(l.dir, "direct"), shardsOnFlink)
}

// midway waits until a set's first pass is over and some files of blocks (by way
// of files) or slabs are written.
func (l *lab) midway(set string, parts int) {
	l.t.Helper()
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(5 * time.Millisecond) {
		there, err := filepath.Glob(filepath.Join(l.dir, set, ".parts", "[bs]*"))
		if err != nil || time.Now().After(end) {
			l.t.Fatalf("%d files in two minutes: %v", len(there), err)
		}
		if len(there) >= parts {
			return
		}
	}
}

// workers returns the processes that Flink has started for this test.
func workers(t *testing.T) (ids []int) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		line, err := os.ReadFile(file)
		if err != nil || !bytes.Contains(line, []byte("--provision_endpoint=")) || !bytes.HasPrefix(line, []byte(os.Args[0]+"\x00")) {
			continue // also processes that have ended meanwhile
		}
		id, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	return ids
}

// TestFlink makes the same set on a real Flink: in this process, in others, and
// while one of those is killed.
func TestFlink(t *testing.T) {
	f := flink.Local(t)
	l := newLab(t)
	l.bigger(12)
	for set, args := range map[string][]string{"loopback": nil, "process": {"--environment_type=PROCESS"}, "files": {"--way=files"}} {
		began := time.Now()
		l.parse(prepKeys, l.finish(l.onFlink(f, set, args...)))
		t.Logf("%s: %v", set, time.Since(began))
		l.sameSets("direct", set)
	}
	began := time.Now()
	c := l.onFlink(f, "killed", "--environment_type=PROCESS")
	var stderr bytes.Buffer
	c.Stderr = &stderr
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	l.midway("killed", 3)
	ids := workers(t)
	if len(ids) == 0 {
		t.Fatal("there is no worker")
	}
	if err := syscall.Kill(ids[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(); err != nil {
		t.Fatalf("%v: %s", err, stderr.String())
	}
	t.Logf("with a killed worker: %v", time.Since(began))
	if !strings.Contains(f.Log("local"), "RESTARTING") {
		t.Error("Flink has not restarted the job: the worker was killed too late")
	}
	l.sameSets("direct", "killed")
	t.Run("documents", func(t *testing.T) { manyDocuments(t, f) })
	t.Run("sweep", func(t *testing.T) {
		direct, onFlink := newLab(t), newLab(t)
		want := direct.swept()
		o := onFlink.finish(onFlink.child(append(sweepArgs, "--runner=flink", "--endpoint="+f.Endpoint, "--parallelism=2", "--environment_type=PROCESS", "--json", "--quiet")...))
		if got := onFlink.read(onFlink.parse(sweepKeys, o)["table"].(string)); got != want {
			t.Errorf("the table is\n%s, want\n%s", got, want)
		}
	})
	bad := filepath.Join(l.dir, "bad.txt")
	l.write(bad, text(10))
	l.failed(l.finish(l.onFlink(f, "bad", "--set", fmt.Sprintf("corpus.sources=[%q]", bad))), 1,
		"flink", "seq_length+1 = 11 characters, and the corpus has 10", "prep.seq_length")
}

// manyDocuments makes a set of more documents than go with the graph of a job: workers read
// their list, and the plan of their ranges, from files.
func manyDocuments(t *testing.T, f *flink.Flink) {
	l := newLab(t)
	folder := filepath.Join(l.dir, "documents")
	if err := os.Mkdir(folder, 0o777); err != nil {
		t.Fatal(err)
	}
	for i := range 2000 {
		l.write(filepath.Join(folder, fmt.Sprintf("%04d.txt", i)), fmt.Sprintf("%x %s", uint32(i)*2654435761, text(100+i%50)))
	}
	sources := fmt.Sprintf("--set=corpus.sources=[%q]", folder)
	l.ok("prep", "--out="+filepath.Join(l.dir, "direct"), shardsOnFlink, sources)
	l.parse(prepKeys, l.finish(l.onFlink(f, "process", "--environment_type=PROCESS", sources)))
	l.sameSets("direct", "process")
}

// TestFlinkCluster kills one of two task managers in the middle of a job.
func TestFlinkCluster(t *testing.T) {
	f := flink.Cluster(t, 2)
	l := newLab(t)
	l.bigger(60)
	for _, set := range []string{"whole", "killed"} {
		began := time.Now()
		c := l.onFlink(f, set, "--environment_type=PROCESS")
		var stderr bytes.Buffer
		c.Stderr = &stderr
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		if set == "killed" {
			l.midway(set, 3)
			name, err := f.KillBusy()
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("killed %s after %v", name, time.Since(began))
		}
		if err := c.Wait(); err != nil {
			t.Fatalf("%v: %s", err, stderr.String())
		}
		t.Logf("%s: %v, %d restarts so far", set, time.Since(began), strings.Count(f.Log("jobmanager"), "to RESTARTING"))
		l.sameSets("direct", set)
	}
	if !strings.Contains(f.Log("jobmanager"), "RESTARTING") {
		t.Error("Flink has not restarted the job: the task manager was killed too late")
	}
	for end := time.Now().Add(30 * time.Second); len(orphans(t)) > 0; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("workers of the killed task manager are left: %v", orphans(t))
		}
	}
}

// orphans returns the workers whose task manager is gone; a living one keeps its
// own for the next job.
func orphans(t *testing.T) (ids []int) {
	t.Helper()
	for _, id := range workers(t) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", id))
		if err != nil {
			continue // it has ended
		}
		// After the name in parentheses come the state and the parent.
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		parent, err := os.ReadFile("/proc/" + fields[1] + "/cmdline")
		if err != nil || !bytes.Contains(parent, []byte("TaskManagerRunner")) {
			ids = append(ids, id)
		}
	}
	return ids
}
