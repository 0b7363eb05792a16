package app_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/quire-ml/quire/pipelines/app"
	"github.com/quire-ml/quire/pipelines/round"
	"github.com/quire-ml/quire/runners/engine"
	"github.com/quire-ml/quire/runners/engine/flink"
)

// versionVariable makes the test binary a program with the stage clean, of that
// version, and without the stage sample.
const versionVariable = "APP_TEST_VERSION"

func TestMain(m *testing.M) {
	version, err := strconv.Atoi(os.Getenv(versionVariable))
	if err != nil {
		engine.Init()
		os.Exit(m.Run())
	}
	app.Main(round.Transform("clean", version, markup{"<[^>]*>"}, clean), round.Without("sample"))
}

// A lab is a folder with documents, and a program that trains on them.
type lab struct {
	*testing.T
	dir     string
	version int
}

const config = `name: pages
workdir: %q
corpus: {sources: [%q]}
prep: {seq_length: 10}
model: {cell: gru, layers: 1, embedding: 4, hidden: 8}
train: {epochs: 1, batch: 8, lr: 0.01}
`

func newLab(t *testing.T) *lab {
	t.Helper()
	l := &lab{t, t.TempDir(), 1}
	l.write("pages.yaml", fmt.Sprintf(config, filepath.Join(l.dir, "work"), filepath.Join(l.dir, "pages")))
	l.write("pages/b.html", "<p>"+strings.Repeat("to <b>be</b> or not to be. ", 30)+"</p>")
	l.write("pages/c/a.html", strings.Repeat("to <i>be</i> or not to be. ", 30)+"<br>")
	l.write("pages/d.html", "<h1>Hamlet</h1>"+strings.Repeat("that is the question. ", 30))
	return l
}

func (l *lab) write(name, text string) {
	l.Helper()
	path := filepath.Join(l.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		l.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		l.Fatal(err)
	}
}

// program runs the program and returns its exit code and output.
func (l *lab) program(args ...string) (code int, stdout, stderr string) {
	l.Helper()
	c := exec.Command(os.Args[0], append(args, "--config", filepath.Join(l.dir, "pages.yaml"))...)
	c.Env = append(os.Environ(), fmt.Sprintf("%s=%d", versionVariable, l.version), "XDG_CACHE_HOME="+filepath.Join(l.dir, "cache"))
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	if err := c.Run(); err != nil && c.ProcessState == nil {
		l.Fatal(err)
	}
	return c.ProcessState.ExitCode(), out.String(), errs.String()
}

// result runs a command that must end with this code, and decodes its result.
func (l *lab) result(code int, to any, args ...string) {
	l.Helper()
	got, stdout, stderr := l.program(append(args, "--json", "--quiet")...)
	if got != code || json.Unmarshal([]byte(stdout), to) != nil {
		l.Fatalf("%v: exit code %d, want %d, and a result: %s%s", args, got, code, stdout, stderr)
	}
}

// plan wants the stages that a round would run, in order. A round that runs none would
// refuse its model again.
func (l *lab) plan(want ...string) {
	l.Helper()
	var plan struct {
		Stages []struct{ Name, Action string }
	}
	code := 0
	if len(want) == 0 {
		code = refused
	}
	l.result(code, &plan, "plan")
	var got, all []string
	for _, s := range plan.Stages {
		all = append(all, s.Name)
		if s.Action == "run" {
			got = append(got, s.Name)
		}
	}
	if !slices.Equal(got, want) || !slices.Equal(all, []string{"clean", "prep", "train", "evaluate", "gate", "promote"}) {
		l.Errorf("of %v the plan runs %v, want %v", all, got, want)
	}
}

// made is a part of the result of run.
type made struct {
	Round  string
	Stages struct {
		Clean struct {
			Folder    string
			Documents int
		}
		Prep struct {
			Manifest string `json:"manifest_sha256"`
			Chars    int
		}
		Sample json.RawMessage
	}
}

// refused is the exit code of a round whose model the gate refuses; these learn
// too little to pass.
const refused = 3

// TestClean runs a program whose stage cleans the corpus: prep takes the cleaned
// documents, and each stage runs only where something it depends on has changed.
func TestClean(t *testing.T) {
	l := newLab(t)
	l.plan("clean", "prep", "train", "evaluate", "gate", "promote")
	var first, next made
	l.result(refused, &first, "run")
	texts := map[string]string{"b.html": strings.Repeat("to be or not to be. ", 30), "d.html": "Hamlet" + strings.Repeat("that is the question. ", 30)}
	chars := 0
	for name, text := range texts {
		data, err := os.ReadFile(filepath.Join(first.Stages.Clean.Folder, name))
		if err != nil || string(data) != text {
			t.Errorf("%s is %q, %v, want %q", name, data, err, text)
		}
		chars += len(text)
	}
	if s := first.Stages; s.Clean.Documents != len(texts) || s.Prep.Chars != chars || s.Sample != nil {
		t.Errorf("the first round made %+v, want %d documents of %d characters and no sample", s, len(texts), chars)
	}

	l.plan()
	l.write("pages/d.html", "<h2>Hamlet</h2>"+strings.Repeat("that is the question. ", 30))
	l.plan("clean", "prep", "train", "evaluate", "gate", "promote") // as far as a plan can know
	l.result(refused, &next, "run")
	if next.Stages.Clean.Folder == first.Stages.Clean.Folder || next.Stages.Prep != first.Stages.Prep {
		t.Errorf("other markup, the same text: %+v, before it %+v", next.Stages, first.Stages)
	}
	var list struct{ Rounds []struct{ Ran []string } }
	l.result(0, &list, "runs", "list")
	if n := len(list.Rounds); n != 2 || !slices.Equal(list.Rounds[1].Ran, []string{"clean"}) {
		t.Errorf("other markup runs %+v, want clean alone", list.Rounds)
	}
	l.plan()
	l.version = 2
	l.plan("clean", "prep", "train", "evaluate", "gate", "promote")
	l.version = 1

	if err := os.WriteFile(filepath.Join(next.Stages.Clean.Folder, "d.html"), []byte("other"), 0o666); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := l.program("run", "--quiet"); code != 1 || !strings.Contains(stderr, "d.html: it has 5 bytes") {
		t.Errorf("with another document: exit code %d, %s", code, stderr)
	}
	l.result(refused, &next, "run", "--force", "clean")
	l.plan()
	if code, _, stderr := l.program("run", "--from", "sample"); code != 2 || !strings.Contains(stderr, "the stages are clean, prep, train") {
		t.Errorf("from a stage that is left out: exit code %d, %s", code, stderr)
	}
}

// TestRetrain runs the round of a slot.
func TestRetrain(t *testing.T) {
	l := newLab(t)
	var slot struct{ Status, Round string }
	l.result(refused, &slot, "retrain", "--once", "--slot", "2026-11-24T03:00:00Z")
	var record struct{ Stages []struct{ Name string } }
	l.result(0, &record, "runs", "show", slot.Round)
	if slot.Status != "ran" || record.Stages[1].Name != "clean" { // after the sources
		t.Errorf("the slot is %+v, its record %+v", slot, record)
	}
}

// TestFlink makes the corpus and its set on a real Flink, the same as on direct.
func TestFlink(t *testing.T) {
	f := flink.Local(t)
	direct, onFlink := newLab(t), newLab(t)
	var want, got made
	direct.result(refused, &want, "run")
	onFlink.result(refused, &got, "run", "--runner=flink", "--endpoint="+f.Endpoint, "--parallelism=2")
	if got.Stages.Prep != want.Stages.Prep || got.Stages.Clean.Documents != want.Stages.Clean.Documents {
		t.Errorf("on Flink %+v, on direct %+v", got.Stages, want.Stages)
	}
	for _, name := range []string{"b.html", "d.html"} {
		a, aerr := os.ReadFile(filepath.Join(want.Stages.Clean.Folder, name))
		b, berr := os.ReadFile(filepath.Join(got.Stages.Clean.Folder, name))
		if aerr != nil || berr != nil || !bytes.Equal(a, b) {
			t.Errorf("%s: %v, %v, or it is another on Flink", name, aerr, berr)
		}
	}
}
