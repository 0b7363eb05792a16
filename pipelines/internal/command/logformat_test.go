package command_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/quire-ml/quire/pipelines/internal/command"
)

// logged parses each line of stderr as an object of log/slog, and returns them.
func logged(t *testing.T, o outcome) []map[string]any {
	t.Helper()
	var all []map[string]any
	for line := range strings.Lines(o.stderr) {
		var m map[string]any
		err := json.Unmarshal([]byte(line), &m)
		if err == nil {
			_, err = time.Parse(time.RFC3339Nano, fmt.Sprint(m["time"]))
		}
		if err != nil || m["level"] == nil || m["msg"] == "" || m["msg"] == nil {
			t.Errorf("%q: %v: %v", line, err, o.args)
		}
		all = append(all, m)
	}
	return all
}

// TestLogFormat: with --log-format json every line of stderr of a real process is an object:
// of each command that runs long, of its errors and warnings, of Beam, and of packages that
// write to stderr themselves.
func TestLogFormat(t *testing.T) {
	l := newLab(t)
	child := func(code int, args ...string) []map[string]any {
		t.Helper()
		c := l.child(append(args, "--log-format", "json")...)
		c.Env = append(c.Env, "STORAGE_EMULATOR_HOST=127.0.0.1:1", hastenVariable+"=100")
		o := l.finish(c)
		if o.code != code {
			t.Errorf("want exit code %d: %v", code, o)
		}
		return logged(t, o)
	}
	has := func(all []map[string]any, want map[string]any) {
		t.Helper()
		for _, m := range all {
			found := true
			for key, value := range want {
				found = found && fmt.Sprint(m[key]) == fmt.Sprint(value)
			}
			if found {
				return
			}
		}
		t.Errorf("no line has %v: %v", want, all)
	}
	round := child(0, "run", "--verbose", "--runner", "prism", "--json")
	has(round, map[string]any{"level": "INFO", "stage": "train", "msg": "train runs: no earlier result"})
	has(round, map[string]any{"msg": "Serving JobManagement"}) // by Beam
	child(0, "prep", "--out", filepath.Join(l.dir, "set"))
	child(0, "train", "--set", "prep.out="+filepath.Join(l.dir, "set"), "--out", filepath.Join(l.dir, "run"))
	night := child(0, "retrain", "--once", "--slot", "20251101T030000Z")
	has(night, map[string]any{"stage": "train", "slot": "20251101T030000Z", "round": "20251101T030000Z"})
	child(0, "sweep", "--set", "sweep.train.seed=1,2")
	has(child(2, "run", "--set", "train.lr=x"), map[string]any{"level": "ERROR", "exit": 2})
	has(child(3, "run", "--set", "train.epochs=0"), map[string]any{"level": "ERROR", "exit": 3})
	has(child(1, "run", "--set", "corpus.sources=gs://none/x"), map[string]any{"level": "ERROR", "exit": 1})
	has(child(2, "train", "--nonsense"), map[string]any{"level": "ERROR", "exit": 2})
	l.fails(2, []string{`invalid argument "xml" for "--log-format" flag: it must be text or json`}, "run", "--log-format", "xml")
}

// TestLogPanic: a panic of a command is an object with its stack.
func TestLogPanic(t *testing.T) {
	c := &cobra.Command{Use: "run", RunE: func(*cobra.Command, []string) error { panic("by a test") }}
	var stdout, stderr bytes.Buffer
	code := command.Execute(context.Background(), c, []string{"--log-format=json"}, &stdout, &stderr)
	all := logged(t, outcome{stderr: stderr.String()})
	if code != 2 || len(all) != 1 || all[0]["msg"] != "panic: by a test" || !strings.Contains(fmt.Sprint(all[0]["stack"]), "TestLogPanic") {
		t.Errorf("exit code %d, %v", code, all)
	}
}
