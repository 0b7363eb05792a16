package remote_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/quire-ml/quire/pipelines/internal/command"
)

// childVariable makes the test binary the program quire.
const childVariable = "REMOTE_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) == "" {
		os.Exit(m.Run())
	}
	command.Main(command.Quire)
}

// A lab is a folder with a corpus, a config and a workdir.
type lab struct {
	t    *testing.T
	dir  string
	work string
}

const labConfig = `name: tiny
workdir: work
corpus: {sources: [text.txt]}
prep: {seq_length: 10}
model: {cell: gru, layers: 1, embedding: 4, hidden: 8}
train: {epochs: %d, batch: 8, lr: 0.01, log_every: 50, checkpoint: {every_steps: 40}}
generate: {prompt: "the ", length: 30}
round: {attempts: 100, pause_seconds: 0.1}
`

// newLab has a training of some 300 steps an epoch. launch leads to its node; nil: none.
func newLab(t *testing.T, epochs int, launch []string, more ...string) *lab {
	t.Helper()
	dir := t.TempDir()
	l := &lab{t: t, dir: dir, work: filepath.Join(dir, "work")}
	l.write("text.txt", text(30_000))
	config := fmt.Sprintf(labConfig, epochs)
	if launch != nil {
		list, err := json.Marshal(launch)
		if err != nil {
			t.Fatal(err)
		}
		config += fmt.Sprintf("node: {kind: command, launch: %s%s}\n", list, strings.Join(append([]string{""}, more...), ", "))
	}
	l.write("tiny.yaml", config)
	return l
}

// text is n characters with some order in them.
func text(n int) string {
	words := []string{"the ", "light ", "of ", "a ", "prism ", "is\n", "bent ", "by ", "glass. "}
	var b strings.Builder
	for i, x := 0, uint32(1); b.Len() < n; i++ {
		x = x*1664525 + 1013904223
		b.WriteString(words[int(x>>16)%len(words)])
	}
	return b.String()[:n]
}

func (l *lab) write(name, text string) {
	l.t.Helper()
	if err := os.WriteFile(filepath.Join(l.dir, name), []byte(text), 0o666); err != nil {
		l.t.Fatal(err)
	}
}

func (l *lab) read(name string) string {
	l.t.Helper()
	data, err := os.ReadFile(filepath.Join(l.dir, name))
	if err != nil {
		l.t.Fatal(err)
	}
	return string(data)
}

// A session is quire as a process of its own.
type session struct {
	*exec.Cmd
	stdout, stderr bytes.Buffer
}

// start starts quire with the lab's config.
func (l *lab) start(args ...string) *session {
	l.t.Helper()
	s := &session{Cmd: exec.Command(os.Args[0], append(args, "--config", "tiny.yaml")...)}
	s.Dir = l.dir
	s.Env = append(os.Environ(), childVariable+"=1")
	s.Stdout, s.Stderr = &s.stdout, &s.stderr
	if err := s.Start(); err != nil {
		l.t.Fatal(err)
	}
	return s
}

// end waits for the end of a session and returns its exit code; -1: it was killed.
func (s *session) end() int {
	_ = s.Wait()
	return s.ProcessState.ExitCode()
}

// ok runs quire, which must succeed.
func (l *lab) ok(args ...string) *session {
	l.t.Helper()
	s := l.start(args...)
	if code := s.end(); code != 0 {
		l.t.Fatalf("quire %v: exit code %d: %s", args, code, s.stderr.String())
	}
	return s
}

// made returns what a round must leave, by name: sets, checkpoints and pointers by their
// bytes, and of each stage's outcome key, digest, value and files, without times and rates.
func (l *lab) made() map[string]string {
	l.t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(l.work, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, _ := filepath.Rel(l.work, path)
		base := filepath.Base(name)
		switch {
		case strings.HasPrefix(name, "requests/"), strings.HasPrefix(name, "gc/"), strings.HasPrefix(base, ".tmp-"): // of killed processes
		case strings.HasPrefix(name, "rounds/"):
			if base != "latest.json" && filepath.Ext(base) == ".json" {
				all["record"] = l.record("work/" + name)
			}
		case base == "run.json" || base == ".prep.json" || strings.HasPrefix(base, "events.out.tfevents"):
		case base == "metrics.jsonl":
			for line := range strings.Lines(l.read("work/" + name)) {
				rest, _, _ := strings.Cut(line, `,"chars_per_second"`)
				all[name] += rest + "\n"
			}
		case strings.HasPrefix(name, "stages/"):
			all[name] = l.outcome("work/" + name)
		default:
			all[name] = l.read("work/" + name)
		}
		return nil
	})
	if err != nil {
		l.t.Fatal(err)
	}
	return all
}

// outcome returns what a stage made, without what differs between two machines.
func (l *lab) outcome(name string) string {
	l.t.Helper()
	var o struct {
		Key    string
		Output struct {
			Digest string
			Value  map[string]any
			Files  []map[string]any
		}
	}
	if err := json.Unmarshal([]byte(l.read(name)), &o); err != nil {
		l.t.Fatal(err)
	}
	timeless(o.Output.Value)
	for _, f := range o.Output.Files {
		delete(f, "generation")
	}
	return fmt.Sprint(o)
}

func timeless(value map[string]any) {
	for _, key := range []string{"seconds", "chars_per_second", "skipped"} {
		delete(value, key)
	}
}

// recorded is a stage in the record of a round.
type recorded struct {
	Name, Key, Digest string
	Version           int
	Inputs            map[string]string
	Config            map[string]any
	Result            any
	Bytes             int64
}

// record returns the stages of a round's record, without times and rates.
func (l *lab) record(name string) string {
	l.t.Helper()
	var r struct {
		Exit   string
		Stages []recorded
	}
	if err := json.Unmarshal([]byte(l.read(name)), &r); err != nil {
		l.t.Fatal(err)
	}
	r.Stages = slices.DeleteFunc(r.Stages, func(s recorded) bool {
		return s.Name == "corpus" || s.Name == "drift" // one names the lab's folder, the other compares with the round before
	})
	for i := range r.Stages {
		if value, ok := r.Stages[i].Result.(map[string]any); ok {
			timeless(value)
		}
	}
	return fmt.Sprint(r)
}

// same compares what two rounds have left. Checkpoints that the first has let go do not count.
func same(t *testing.T, got, want map[string]string) {
	t.Helper()
	for name := range want {
		if got[name] != want[name] {
			t.Errorf("%s is\n%.2000s\nwant\n%.2000s", name, got[name], want[name])
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok && !strings.Contains(name, "/checkpoints/") {
			t.Errorf("%s is left", name)
		}
	}
}
