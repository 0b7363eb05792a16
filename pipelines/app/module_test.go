package app_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// TestModule builds the program of testdata in a module of its own, from the local
// module cache alone, and runs it.
func TestModule(t *testing.T) {
	l := newLab(t)
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	for name, from := range map[string]string{"module/main.go": "testdata/strip/main.go", "module/go.sum": "../../go.sum"} {
		data, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		l.write(name, string(data))
	}
	const mod = "module example.com/strip\n\ngo %s\n\nrequire github.com/quire-ml/quire v0.0.0\n\nreplace github.com/quire-ml/quire => %q\n"
	version := strings.Join(strings.Split(strings.TrimPrefix(runtime.Version(), "go"), ".")[:2], ".")
	l.write("module/go.mod", fmt.Sprintf(mod, version, root))
	program := filepath.Join(l.dir, "strip")
	build := exec.Command("go", "build", "-o", program, ".")
	build.Dir = filepath.Join(l.dir, "module")
	build.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOPROXY=off", "GOSUMDB=off", "GOWORK=off")
	if out, err := build.CombinedOutput(); err != nil {
		for _, lacks := range []string{"GOPROXY=off", "executable file not found"} {
			if strings.Contains(string(out)+err.Error(), lacks) {
				t.Skipf("the module cache of this machine cannot serve another module: %v: %s", err, out)
			}
		}
		t.Fatalf("%v: %s", err, out)
	}
	run := func(code int, args ...string) (stdout, stderr string) {
		t.Helper()
		c := exec.Command(program, args...)
		c.Env = append(os.Environ(), "XDG_CACHE_HOME="+filepath.Join(l.dir, "cache"))
		var out, errs bytes.Buffer
		c.Stdout, c.Stderr = &out, &errs
		if err := c.Run(); c.ProcessState == nil || c.ProcessState.ExitCode() != code {
			t.Fatalf("%v: %v, want exit code %d: %s%s", args, err, code, out.String(), errs.String())
		}
		return out.String(), errs.String()
	}
	file := filepath.Join(l.dir, "pages.yaml")
	var res struct {
		Stages struct {
			Strip struct{ Documents int }
			Prep  struct{ Chars int }
		}
	}
	stdout, _ := run(refused, "run", "--config", file, "--set", "generate.prompt=to", "--runner", "prism", "--quiet", "--json")
	text := len("to be or not to be. ")*30*2 + len("Hamlet") + len("that is the question. ")*30
	if err := json.Unmarshal([]byte(stdout), &res); err != nil || res.Stages.Strip.Documents != 3 || res.Stages.Prep.Chars != text {
		t.Errorf("%s: want 3 documents of %d characters: %v", stdout, text, err)
	}
	if stdout, _ := run(refused, "plan", "--config", file, "--set", "generate.prompt=to"); !strings.HasPrefix(stdout, "strip     skip  inputs, settings and code are as before") {
		t.Errorf("the plan is %s", stdout)
	}
	if _, stderr := run(2, "run", "--nonsense"); !strings.Contains(stderr, "see `strip run --help`") {
		t.Errorf("wrong usage: %s", stderr)
	}
}
