package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/quire-ml/quire/runners/store"
)

// childVariable makes the test binary a job: it says its arguments.
const childVariable = "NODE_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) == "" {
		os.Exit(m.Run())
	}
	_, a := Attend(context.Background(), os.Stdin, os.Stdout, os.Stderr)
	result, err := json.Marshal(os.Args[1:])
	if err != nil {
		panic(err)
	}
	fmt.Fprintln(a.Console(), "at work")
	a.End(result, Control{})
}

// script returns the launch of a node that runs a shell script, whose $0 is a folder of its
// own and whose arguments are quire's.
func script(t *testing.T, text string) (launch []string, dir string) {
	t.Helper()
	dir = t.TempDir()
	return []string{"sh", "-c", text, dir}, dir
}

const (
	saysBegan    = `echo '{"quire":{"word":"began","host":"gpu1","pid":4711}}'; `
	saysStopping = `echo '{"quire":{"word":"stopping"}}'; `
	saysEnded    = `echo '{"quire":{"word":"ended"}}'; `
	saysSaved    = `echo '{"quire":{"word":"ended","code":75,"message":"saved"}}'; exit 75`
)

var job = Job{Stage: "train", Key: "0a", Args: []string{"train", "--request", "/work/requests/0a.json", "--json"}}

// told collects the lines that a node tells.
type told struct{ lines []string }

func (c *told) tell(line string) { c.lines = append(c.lines, line) }

// brief are options with short times.
var brief = &CommandOptions{Silence: 20 * time.Second, Grace: 200 * time.Millisecond}

// patient has the time that a script on a loaded machine takes to answer.
var patient = &CommandOptions{Silence: time.Minute, Grace: 10 * time.Second}

func TestRun(t *testing.T) {
	launch, _ := script(t, saysBegan+`echo "one" >&2; echo '{"quire":{"word":"alive"}}'; echo "noise"; printf 'two\r\nthree' >&2; `+
		`printf '{"args":"%s"}\n' "$*"; `+saysEnded)
	n := Command(launch, brief)
	var c told
	result, err := n.Run(t.Context(), job, c.tell)
	if want := `{"args":"quire train --request /work/requests/0a.json --json"}`; err != nil || string(result) != want {
		t.Errorf("the result is %s, %v; want %s", result, err, want)
	}
	if want := []string{"one", "two", "three"}; !slices.Equal(c.lines, want) {
		t.Errorf("it told %q, want %q", c.lines, want)
	}
	if got := Command([]string{"ssh", "gpu1"}, nil).String(); got != "ssh gpu1" {
		t.Errorf("the node is called %q", got)
	}
}

// TestRunLong: a line is as long as it is, a very long one comes in parts.
func TestRunLong(t *testing.T) {
	launch, _ := script(t, saysBegan+`head -c 3000000 /dev/zero | tr '\0' x >&2; head -c 900000 /dev/zero | tr '\0' y; echo; `+saysEnded)
	var c told
	result, err := Command(launch, brief).Run(t.Context(), job, c.tell)
	if err != nil || string(result) != strings.Repeat("y", 900000) {
		t.Errorf("a result of %d bytes, %v; want 900000", len(result), err)
	}
	if got := strings.Join(c.lines, ""); got != strings.Repeat("x", 3000000) || len(c.lines) != 3 {
		t.Errorf("it told %d bytes in %d lines, want 3000000 in 3", len(got), len(c.lines))
	}
}

// TestRunFails: the end that a job says counts, and not what a launcher makes of it.
func TestRunFails(t *testing.T) {
	for text, want := range map[string]ExitError{
		saysBegan + `echo '{"quire":{"word":"ended","code":1,"class":"transient","message":"503"}}'; exit 1`: {Code: 1, Class: ClassTransient, Message: "503"},
		saysBegan + `echo '{"quire":{"word":"ended","code":1,"class":"diverged","message":"NaN","step":12}}'; exit 1`: {Code: 1,
			Class: ClassDiverged, Message: "NaN", Step: 12},
		saysBegan + `echo '{"quire":{"word":"ended","code":2,"message":"too large"}}'; exit 0`: {Code: 2, Message: "too large"},
		saysBegan + saysSaved: {Code: Interrupted, Message: "saved"},
	} {
		launch, _ := script(t, text)
		n := Command(launch, brief)
		_, err := n.Run(t.Context(), job, func(string) {})
		var got *ExitError
		want.Node, want.Stage = n.String(), "train"
		if !errors.As(err, &got) || *got != want {
			t.Errorf("%s: %v, want %+v", text, err, want)
		}
		if errors.Is(err, store.ErrTransient) != (want.Class == ClassTransient) {
			t.Errorf("%s: the error passes: %v", text, errors.Is(err, store.ErrTransient))
		}
	}
}

// TestRunLost: without its last word, a job may go on, whatever the launcher says.
func TestRunLost(t *testing.T) {
	for text, want := range map[string]string{
		saysBegan + `exit 255`:                             "exit status 255",
		saysBegan + `echo "Connection closed" >&2; exit 1`: "exit status 1: Connection closed",
		saysBegan + `kill -9 $$`:                           "signal: killed",
		saysBegan:                                          "has not said so",
		saysBegan + saysEnded:                              "without a result",
	} {
		launch, _ := script(t, text)
		_, err := Command(launch, brief).Run(t.Context(), job, func(string) {})
		var lost *LostError
		if !errors.As(err, &lost) || lost.Host != "gpu1" || lost.PID != 4711 || !errors.Is(err, store.ErrTransient) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want a LostError of process 4711 on gpu1: %s", text, err, want)
		}
	}
}

// TestRunSilent: a connection without a word is lost, and left; before the job has begun it
// is not, as it may wait in a queue.
func TestRunSilent(t *testing.T) {
	launch, dir := script(t, `echo $$ >"$0/pid"; sleep 1; `+saysBegan+`sleep 1000`)
	_, err := Command(launch, &CommandOptions{Silence: 300 * time.Millisecond}).Run(t.Context(), job, func(string) {})
	var lost *LostError
	if !errors.As(err, &lost) || lost.PID != 4711 || !strings.Contains(err.Error(), "nothing was heard for 300ms") {
		t.Errorf("%v, want a LostError of process 4711", err)
	}
	gone(t, dir)
}

// gone waits until the process in a file has ended.
func gone(t *testing.T, dir string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "pid"))
	if err != nil {
		t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Sscan(string(data), &pid); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH); {
		if time.Now().After(deadline) {
			t.Fatalf("process %d goes on", pid)
		}
		_ = store.Wait(t.Context(), 10*time.Millisecond)
	}
}

// cancelled runs a job that is cancelled once its script is at work.
func cancelled(t *testing.T, o *CommandOptions, text string) (dir string, result []byte, err error) {
	t.Helper()
	launch, dir := script(t, `echo $$ >"$0/pid"; `+text)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	result, err = Command(launch, o).Run(ctx, job, func(line string) {
		if line == "at work" {
			cancel()
		}
	})
	return dir, result, err
}

// TestRunStopped: a job is told to stop by a word; a launcher that passes no input on, by
// a signal; and then has the time that it needs to save.
func TestRunStopped(t *testing.T) {
	for name, text := range map[string]string{
		"by a word": saysBegan + `echo "at work" >&2; read word; [ "$word" = stop ] && ` + saysStopping + `sleep 1; ` + saysSaved,
		"by a signal": saysBegan + `trap "` + strings.ReplaceAll(saysStopping, `"`, `\"`) + `stopped=yes" TERM; echo "at work" >&2; ` +
			`while [ -z "$stopped" ]; do sleep 0.1; done; sleep 1; ` + saysSaved,
	} {
		o := patient
		if name == "by a signal" {
			o = &CommandOptions{Silence: time.Minute, Grace: 2 * time.Second}
		}
		_, _, err := cancelled(t, o, text)
		var exit *ExitError
		if !errors.As(err, &exit) || exit.Code != Interrupted || exit.Message != "saved" {
			t.Errorf("stopped %s: %v, want exit code 75", name, err)
		}
	}
}

// TestRunDeaf: a job that does not answer is left, with a word that it may go on.
func TestRunDeaf(t *testing.T) {
	dir, _, err := cancelled(t, brief, `trap "" TERM; `+saysBegan+`echo "at work" >&2; while :; do sleep 0.1; done`)
	var lost *LostError
	if !errors.Is(err, context.Canceled) || !errors.As(err, &lost) || lost.PID != 4711 {
		t.Errorf("%v, want a cancelled LostError of process 4711", err)
	}
	gone(t, dir)
}

// TestRunFinished: a job that ends although it was told to stop has its result.
func TestRunFinished(t *testing.T) {
	if _, result, err := cancelled(t, patient, saysBegan+`echo "at work" >&2; read word; `+saysStopping+`echo '{"step":3}'; `+saysEnded); err != nil ||
		string(result) != `{"step":3}` {
		t.Errorf("%s, %v", result, err)
	}
}

// TestRunShared: a process that keeps the output open, as ssh's shared connection does,
// holds up no job.
func TestRunShared(t *testing.T) {
	launch, dir := script(t, saysBegan+`sleep 1000 & echo $! >"$0/pid"; echo '{}'; `+saysEnded)
	start := time.Now()
	if _, err := Command(launch, brief).Run(t.Context(), job, func(string) {}); err != nil || time.Since(start) > 100*time.Second {
		t.Errorf("%v after %v", err, time.Since(start))
	}
	data, err := os.ReadFile(filepath.Join(dir, "pid"))
	var pid int
	if _, scan := fmt.Sscan(string(data), &pid); err != nil || scan != nil {
		t.Fatal(err, scan)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Errorf("the process that it left: %v", err)
	}
}

// TestEnvironment: what a node is launched with holds none of quire's settings.
func TestEnvironment(t *testing.T) {
	t.Setenv("QUIRE_NOTIFY_WEBHOOK", "https://hooks.example/secret")
	t.Setenv("NODE_TEST_KEPT", "kept")
	launch, _ := script(t, saysBegan+`printf '{"env":"%s%s"}\n' "$QUIRE_NOTIFY_WEBHOOK" "$NODE_TEST_KEPT"; `+saysEnded)
	result, err := Command(launch, brief).Run(t.Context(), job, func(string) {})
	if err != nil || string(result) != `{"env":"kept"}` {
		t.Errorf("%s, %v", result, err)
	}
}
