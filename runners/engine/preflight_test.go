package engine

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam/options/jobopts"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/runners/prism"
)

// set sets a flag of Beam's until the test ends.
func set(t *testing.T, f *string, value string) {
	t.Helper()
	before := *f
	*f = value
	t.Cleanup(func() { *f = before })
}

// prismServer starts a job server that, like Flink's, starts workers by a
// command with --id and --provision_endpoint.
func prismServer(t *testing.T) (endpoint string) {
	t.Helper()
	l, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	defer quiet(false, true)()
	if _, err := prism.CreateJobServer(t.Context(), prism.Options{Port: port}); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("localhost:%d", port)
}

func TestPreflightFlink(t *testing.T) {
	for _, c := range []struct{ endpoint, environment, config, lack string }{
		{"", "", "", "--endpoint=host:port"},
		{"cluster", "", "", "not host:port"},
		{"cluster:8099", "DOCKER", "", "--environment_config=IMAGE"},
		{"cluster:8099", "POD", "", "--environment_type=POD is unknown"},
	} {
		set(t, jobopts.Endpoint, c.endpoint)
		set(t, jobopts.EnvironmentType, c.environment)
		set(t, jobopts.EnvironmentConfig, c.config)
		err := Preflight(t.Context(), "flink", "out", nil)
		var usage *UsageError
		if !errors.As(err, &usage) || len(usage.Lacks) != 1 || !strings.Contains(err.Error(), c.lack) {
			t.Errorf("%+v: got %v", c, err)
		}
	}
}

func TestFlinkEnvironment(t *testing.T) {
	for endpoint, want := range map[string]string{
		"localhost:8099": "LOOPBACK", "127.0.0.1:8099": "LOOPBACK", "[::1]:8099": "LOOPBACK", "cluster:8099": "PROCESS", "10.0.0.1:8099": "PROCESS",
	} {
		set(t, jobopts.Endpoint, endpoint)
		set(t, jobopts.EnvironmentType, "")
		if got := flinkEnvironment(); got != want {
			t.Errorf("%s: %s, want %s", endpoint, got, want)
		}
		set(t, jobopts.EnvironmentType, "process")
		if got := flinkEnvironment(); got != "PROCESS" {
			t.Errorf("%s, asked for process: %s", endpoint, got)
		}
	}
}

// TestProbe gives endpoints where no job server is, of three kinds.
func TestProbe(t *testing.T) {
	pages := httptest.NewServer(http.NotFoundHandler())
	defer pages.Close()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	defer func(d time.Duration) { probing = d }(probing)
	probing = 2 * time.Second
	var all sync.WaitGroup
	for endpoint, part := range map[string]string{
		"127.0.0.1:1": "no job server", strings.TrimPrefix(pages.URL, "http://"): "no Beam job server", silent.Addr().String(): "no Beam job server",
	} {
		all.Go(func() {
			began := time.Now()
			err := probe(t.Context(), endpoint)
			if err == nil || !strings.Contains(err.Error(), part) || strings.Contains(err.Error(), "\n") || time.Since(began) > 3*probing {
				t.Errorf("%s: %v after %v, want one line with %q", endpoint, err, time.Since(began), part)
			}
		})
	}
	all.Wait()
}

// TestProcessFlags starts workers of this binary, and stages none.
func TestProcessFlags(t *testing.T) {
	server := prismServer(t)
	set(t, jobopts.Endpoint, server)
	set(t, jobopts.EnvironmentType, "PROCESS")
	restore, err := flags(t.Context(), "flink")
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(*jobopts.WorkerBinary)
	if err != nil || info.Size() != 0 || *jobopts.EnvironmentConfig != `{"command":"`+self+`"}` {
		t.Errorf("staged %v, %v; environment %s", info, err, *jobopts.EnvironmentConfig)
	}
	staged := *jobopts.WorkerBinary
	restore()
	if _, err := os.Stat(staged); !errors.Is(err, os.ErrNotExist) || *jobopts.WorkerBinary != "" || *jobopts.EnvironmentConfig != "" || *jobopts.JobName != "" {
		t.Errorf("left %s (%v) and flags %q %q %q", staged, err, *jobopts.WorkerBinary, *jobopts.EnvironmentConfig, *jobopts.JobName)
	}
}

// TestBoot runs a pipeline in processes of this binary that were started as a
// cluster starts them.
func TestBoot(t *testing.T) {
	set(t, jobopts.Endpoint, prismServer(t))
	set(t, jobopts.EnvironmentType, "PROCESS")
	if err := Run(t.Context(), "flink", pipeline("a", "b"), Options{}); err != nil {
		t.Error(err)
	}
	err := Run(t.Context(), "flink", pipeline("a", "fail"), Options{})
	if err == nil || err.Error() != "engine: flink: notes.txt: byte 17: bad text" {
		t.Errorf("got %v", err)
	}
}

// TestBootWithoutServer ends a worker that nobody waits for.
func TestBootWithoutServer(t *testing.T) {
	ctx, stop := context.WithTimeout(t.Context(), 2*time.Minute)
	defer stop()
	// The worker's parent is a shell, which ends soon.
	c := exec.CommandContext(ctx, "sh", "-c", `"$0" --id=1-1 --provision_endpoint=localhost:1 & sleep 8`, os.Args[0])
	c.WaitDelay = time.Minute // for the worker, which holds stderr open
	var stderr bytes.Buffer
	c.Stderr = &stderr
	if err := c.Run(); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(stderr.String(), "the process that started it is gone") {
		t.Errorf("stderr: %s", stderr.String())
	}
}

func TestBootArgs(t *testing.T) {
	for args, want := range map[string]string{
		"--id=1-1 --provision_endpoint=localhost:5":                                                       "1-1 localhost:5",
		"--id='worker' --provision_endpoint=localhost:5":                                                  "worker localhost:5",
		"--id=1-1 --logging_endpoint=a --artifact_endpoint=b --provision_endpoint=c --control_endpoint=d": "1-1 c",
		"--id=1-1":                                 "",
		"prep --id=1-1 --provision_endpoint=c":     "",
		"--worker --id=1-1 --provision_endpoint=c": "",
		"--id=1-1 --provision_endpoint=c prep":     "",
		"":                                         "",
	} {
		id, provision, ok := bootArgs(strings.Fields(args))
		if got := strings.TrimSpace(id + " " + provision); got != want || ok != (want != "") {
			t.Errorf("%q: got %q, %v", args, got, ok)
		}
	}
}

func TestCheckBinary(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(script, []byte("#!/bin/sh\n"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := checkBinary(script, "amd64"); err == nil || !strings.Contains(err.Error(), "no program for Linux") {
		t.Errorf("script: %v", err)
	}
	if err := checkBinary(script+"s", "amd64"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if runtime.GOOS == "linux" && runtime.GOARCH == "amd64" {
		if err := checkBinary(self, "amd64"); err != nil {
			t.Error(err)
		}
		if err := checkBinary(self, "arm64"); err == nil || !strings.Contains(err.Error(), elf.EM_X86_64.String()) {
			t.Errorf("arm64: %v", err)
		}
	}
}

// TestBuildCommand: with the tags and the environment of a worker's build, no command
// of this module has a package that needs a loader.
func TestBuildCommand(t *testing.T) {
	for _, arch := range []string{"amd64", "arm64"} {
		c := buildCommand(t.Context(), "worker", arch)
		at := slices.IndexFunc(c.Args, func(a string) bool { return strings.HasPrefix(a, "-tags=nogpu") })
		if at < 0 {
			t.Fatalf("%s has no tag nogpu", c.Args)
		}
		list := exec.CommandContext(t.Context(), "go", "list", "-deps", c.Args[at], "github.com/quire-ml/quire/pipelines/quire")
		list.Env = c.Env
		out, err := list.Output()
		if err != nil {
			t.Fatal(err)
		}
		deps := strings.Fields(string(out))
		if !slices.Contains(deps, "github.com/quire-ml/quire/runners/engine") {
			t.Errorf("%s: %d packages without this one", arch, len(deps))
		}
		for _, loader := range []string{"runtime/cgo", "github.com/ebitengine/purego"} {
			if slices.Contains(deps, loader) {
				t.Errorf("%s: a worker has %s", arch, loader)
			}
		}
	}
}

func TestUsageErrorIsOneLine(t *testing.T) {
	for _, c := range []struct {
		lacks []Lack
		want  string
	}{
		{[]Lack{{Text: "a"}}, "engine: r: a"},
		{[]Lack{{Text: "a"}, {Source, "b"}, {Out, "c"}}, "engine: r: 3 things are missing: (1) a; (2) b; (3) c"},
	} {
		if got := (&UsageError{Runner: "r", Lacks: c.lacks}).Error(); got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
	}
}
