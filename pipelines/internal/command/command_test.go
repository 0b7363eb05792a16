package command_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/quire-ml/quire/pipelines/internal/command"
	"github.com/quire-ml/quire/runners/engine"
	"github.com/quire-ml/quire/runners/store"
)

// Variables that make the test binary a child: the program quire, with these
// arguments, and no file larger than so many bytes.
const (
	childVariable = "COMMAND_TEST_CHILD"
	limitVariable = "COMMAND_TEST_FILE_BYTES"
	// hastenVariable divides the times of calls to buckets.
	hastenVariable = "COMMAND_TEST_HASTEN"
)

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) == "" {
		engine.Init()
		os.Exit(m.Run())
	}
	if n, err := strconv.ParseUint(os.Getenv(limitVariable), 10, 64); err == nil {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: n, Max: n}); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	if n, err := strconv.ParseInt(os.Getenv(killVariable), 10, 64); err == nil {
		killAt(n)
	}
	if at := os.Getenv(pauseVariable); at != "" {
		pauseAt(at)
	}
	if n, err := strconv.Atoi(os.Getenv(hastenVariable)); err == nil {
		store.Hasten(time.Duration(n))
	}
	if os.Getenv(gpuVariable) != "" {
		childGPU()
	}
	command.Main(command.Quire)
}

// gpuVariable makes a stand-in the driver of a child's GPU, by childGPU, which is nil where
// the program has no binding to a driver.
const gpuVariable = "COMMAND_TEST_GPU"

var childGPU func()

// A lab is a folder with a corpus, a config and a workdir.
type lab struct {
	t      *testing.T
	dir    string
	corpus string // a file of 3000 characters
	config string
	work   string
}

const tinyConfig = `name: tiny
workdir: %q
corpus: {sources: [%q]}
prep: {seq_length: 10}
model: {cell: gru, layers: 1, embedding: 4, hidden: 8}
train: {epochs: 2, batch: 8, lr: 0.01, log_every: 5}
generate: {prompt: "the ", length: 30}
`

func newLab(t *testing.T) *lab {
	t.Helper()
	dir := t.TempDir()
	l := &lab{t: t, dir: dir, corpus: filepath.Join(dir, "text.txt"), config: filepath.Join(dir, "tiny.yaml"), work: filepath.Join(dir, "work")}
	l.write(l.corpus, text(3000))
	l.write(l.config, fmt.Sprintf(tinyConfig, l.work, l.corpus))
	return l
}

// text is n characters with some order in them, the same on every call.
func text(n int) string {
	words := []string{"the ", "light ", "of ", "a ", "prism ", "is\n", "bent ", "by ", "glass. "}
	var b strings.Builder
	for i, x := 0, uint32(1); b.Len() < n; i++ {
		x = x*1664525 + 1013904223
		b.WriteString(words[int(x>>16)%len(words)])
	}
	return b.String()[:n]
}

func (l *lab) write(path, text string) {
	l.t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		l.t.Fatal(err)
	}
}

func (l *lab) read(path string) string {
	l.t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		l.t.Fatal(err)
	}
	return string(data)
}

// outcome is how a command ended.
type outcome struct {
	args           []string
	code           int
	stdout, stderr string
}

func (o outcome) String() string {
	return fmt.Sprintf("quire %s: exit code %d\nstdout: %s\nstderr: %s", strings.Join(o.args, " "), o.code, o.stdout, o.stderr)
}

// run executes a command with the lab's config.
func (l *lab) run(args ...string) outcome {
	l.t.Helper()
	args = append(args, "--config", l.config)
	var stdout, stderr bytes.Buffer
	code := command.Execute(context.Background(), command.Quire(), args, &stdout, &stderr)
	return outcome{args, code, stdout.String(), stderr.String()}
}

// ok executes a command that must succeed.
func (l *lab) ok(args ...string) outcome {
	l.t.Helper()
	o := l.run(args...)
	if o.code != 0 {
		l.t.Fatal(o)
	}
	return o
}

// result executes a command that must succeed and returns its result, of which
// the keys are keys and maybe more.
func (l *lab) result(keys string, args ...string) map[string]any {
	l.t.Helper()
	return l.parse(keys, l.ok(append(args, "--json")...))
}

// parse returns the result of a command, the last line of its stdout.
func (l *lab) parse(keys string, o outcome) map[string]any {
	l.t.Helper()
	lines := strings.Split(strings.TrimSuffix(o.stdout, "\n"), "\n")
	var result map[string]any
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &result); err != nil || len(lines) != 1 {
		l.t.Fatalf("want one line with a JSON object: %v\n%v", err, o)
	}
	for _, key := range strings.Fields(keys) {
		if _, ok := result[key]; !ok {
			l.t.Errorf("the result has no %s: %v", key, result)
		}
	}
	return result
}

// fails executes a command that must end with this code and one line on
// stderr, which has every one of the parts.
func (l *lab) fails(code int, parts []string, args ...string) {
	l.t.Helper()
	l.failed(l.run(append(args, "--quiet")...), code, parts...)
}

func (l *lab) failed(o outcome, code int, parts ...string) {
	l.t.Helper()
	lines := strings.Split(strings.TrimSuffix(o.stderr, "\n"), "\n")
	if o.code != code || len(lines) != 1 || !strings.HasPrefix(lines[0], "quire: ") {
		l.t.Errorf("want exit code %d and one line of error\n%v", code, o)
		return
	}
	for _, part := range parts {
		if !strings.Contains(lines[0], part) {
			l.t.Errorf("the error has no %q\n%v", part, o)
		}
	}
}

// child is the command as a process of its own, not started.
func (l *lab) child(args ...string) *exec.Cmd {
	l.t.Helper()
	return l.bare(append(args, "--config", l.config)...)
}

// bare is the command as a process of its own, not started, with no other arguments.
func (l *lab) bare(args ...string) *exec.Cmd {
	l.t.Helper()
	c := exec.Command(os.Args[0], args...)
	c.Env = append(os.Environ(), childVariable+"=1")
	return c
}

// finish runs a child to its end.
func (l *lab) finish(c *exec.Cmd) outcome {
	l.t.Helper()
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	if err := c.Run(); err != nil && c.ProcessState == nil {
		l.t.Fatal(err)
	}
	return outcome{c.Args[1:], c.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// files lists the files below a folder, without those that are being written.
func (l *lab) files(dir string) []string {
	l.t.Helper()
	var names []string
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !strings.HasPrefix(d.Name(), ".tmp-") {
			name, _ := filepath.Rel(dir, path)
			names = append(names, name)
		}
		return err
	})
	if err != nil && !os.IsNotExist(err) {
		l.t.Fatal(err)
	}
	return names
}

func TestUsage(t *testing.T) {
	l := newLab(t)
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"trian"}, "unknown command \"trian\" for \"quire\"; the nearest is train; see `quire --help`"},
		{[]string{"--log-format", "text", "ru"}, "unknown command \"ru\" for \"quire\"; the nearest is run; see `quire --help`"}, // not runs
		{[]string{"zzzzz"}, "unknown command \"zzzzz\" for \"quire\"; see `quire --help`"},
		{[]string{"runs", "shw"}, "\"shw\" is no command of `quire runs`; the nearest is show; see `quire runs --help`"},
		{[]string{"runs", "zzzzz"}, "\"zzzzz\" is no command of `quire runs`; see `quire runs --help`"},
		{[]string{"help", "zzzzz"}, "no help for \"zzzzz\": it is no command of \"quire\"; see `quire --help`"},
		{[]string{"help", "serv"}, "no help for \"serv\": it is no command of \"quire\"; the nearest is serve; see `quire --help`"},
		{[]string{"help", "runs", "shw"}, "no help for \"shw\": it is no command of \"quire runs\"; the nearest is show; see `quire runs --help`"},
	} {
		var out, stderr bytes.Buffer
		if code := command.Execute(t.Context(), command.Quire(), c.args, &out, &stderr); code != 2 || out.Len() > 0 || stderr.String() != "quire: "+c.says+"\n" {
			t.Errorf("%v: exit code %d: %s%s, want %s", c.args, code, &out, &stderr, c.says)
		}
	}
	l.fails(2, []string{`unknown flag: --temprature`, "the nearest is --temperature", "--help"}, "generate", "--temprature", "1")
	l.fails(2, []string{"--nonsense", "quire train --help"}, "train", "--nonsense")
	l.fails(2, []string{`"extra" is an argument too many for ` + "`quire train`; see `quire train --help`"}, "train", "extra")
	l.fails(2, []string{"`quire prep`; give it as --set corpus.sources=\"a b.txt\"; see"}, "prep", "a b.txt")
	l.fails(2, []string{"an argument is missing: `quire runs diff A B`; see `quire runs diff --help`"}, "runs", "diff", "latest")
	l.fails(2, []string{`"x" is an argument too many`}, "promote", "--rollback", "x")
	l.fails(2, []string{"--set", "train.lrr", "unknown key", "train.lr"}, "train", "--set", "train.lrr=1")
	l.fails(2, []string{"--set", "train.epochs", "range"}, "run", "--set", "train.epochs=-1")
	l.fails(2, []string{`runner "spark"`, "direct, prism"}, "prep", "--runner", "spark")
	l.fails(2, []string{`runner "spark"`}, "run", "--runner", "spark")
	l.fails(2, []string{`--which is "newest"`, "best or latest"}, "generate", "--which", "newest")
	l.fails(2, []string{`--which is "newest"`}, "inspect", "--which", "newest")
	l.fails(2, []string{"exclude"}, "score", "--text", "a", "--file", "b")
	l.fails(2, []string{"train.lrr", "train.lr"}, "config", "explain", "train.lrr")
	l.fails(2, []string{"the shell has not expanded ~", `--out="$HOME"/set`}, "prep", "--out=~/set")
	l.fails(2, []string{"corpus.sources", "~ is not expanded"}, "prep", "--set", "corpus.sources=~/a.txt")
	t.Setenv("QUIRE_TRAIN_LRR", "1")
	l.fails(2, []string{"QUIRE_TRAIN_LRR", "unknown"}, "config")
	if names := l.files(l.work); len(names) != 0 {
		t.Errorf("wrong usage left files: %v", names)
	}
}

// TestHelp looks at the flags that help prints.
func TestHelp(t *testing.T) {
	l := newLab(t)
	for _, args := range [][]string{{"run", "--help"}, {"help", "run"}, {}} {
		var out bytes.Buffer
		if code := command.Execute(t.Context(), command.Quire(), args, &out, io.Discard); code != 0 {
			t.Fatalf("quire %q: exit code %d, want 0", args, code)
		}
		if strings.Contains(out.String(), "[=") || !strings.Contains(out.String(), "-h, --help ") {
			t.Errorf("quire %q prints switches with values:\n%s", args, &out)
		}
	}
	if names := l.files(l.work); len(names) != 0 {
		t.Errorf("help left files: %v", names)
	}
}

func TestUnknownKeyInFile(t *testing.T) {
	l := newLab(t)
	l.write(l.config, l.read(l.config)+"gait: {}\n")
	l.fails(2, []string{l.config + ":8", "gait"}, "run")
}

// TestMissingSource says where a relative path begins.
func TestMissingSource(t *testing.T) {
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	newLab(t).fails(1, []string{"absent.txt: no such file or folder; correct corpus.sources", "begins where the command was started, " + dir},
		"prep", "--set", "corpus.sources=absent.txt")
}

// TestVariant asks for kernels that this processor cannot have.
func TestVariant(t *testing.T) {
	l := newLab(t)
	variant := "neon"
	if runtime.GOARCH == "arm64" {
		variant = "avx2"
	}
	c := l.child("config", "--quiet")
	c.Env = append(c.Env, "QUIRE_VARIANT="+variant)
	l.failed(l.finish(c), 2, "QUIRE_VARIANT", variant, "generic")
}

func TestConfig(t *testing.T) {
	l := newLab(t)
	o := l.ok("config")
	again := filepath.Join(l.dir, "again.yaml")
	l.write(again, o.stdout)
	l.config = again
	if got := l.ok("config"); got.stdout != o.stdout {
		t.Errorf("the config read back is\n%s, want\n%s", got.stdout, o.stdout)
	}
	if got := l.result("train model", "config")["train"].(map[string]any)["lr"]; got != 0.01 {
		t.Errorf("train.lr is %v, want 0.01", got)
	}
	if o := l.ok("config", "explain", "train.lr", "--set", "train.lr=0.5"); !strings.Contains(o.stdout, "--set") || !strings.Contains(o.stdout, again+":") {
		t.Errorf("explain does not say who set the key: %v", o)
	}
	l.result("key explanation", "config", "explain", "train.lr")
}

// TestHelpFlags looks for every command in the help, and Beam's flags out of it.
func TestHelpFlags(t *testing.T) {
	var help bytes.Buffer
	if code := command.Execute(context.Background(), command.Quire(), []string{"--help"}, &help, &help); code != 0 {
		t.Fatalf("exit code %d: %s", code, help.String())
	}
	for _, name := range []string{"bench", "config", "evaluate", "generate", "inspect", "plan", "prep", "run", "runs", "score", "train"} {
		if !slices.Contains(strings.Fields(help.String()), name) {
			t.Errorf("the help has no %s: %s", name, help.String())
		}
	}
	if o := newLab(t).ok("prep", "--help"); strings.Contains(o.stdout, "job_endpoint") || !strings.Contains(o.stdout, "--runner") {
		t.Errorf("prep's help: %s", o.stdout)
	}
}
