package command_test

import (
	"bytes"
	"context"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/quire-ml/quire/pipelines/internal/command"
)

// fullOutput takes so many bytes, and then none.
type fullOutput int

func (f *fullOutput) Write(p []byte) (int, error) {
	n := min(len(p), int(*f))
	*f -= fullOutput(n)
	if n < len(p) {
		return n, syscall.ENOSPC
	}
	return n, nil
}

// TestOutputFails has every command print its result where nothing can be written,
// and where the result does not fit.
func TestOutputFails(t *testing.T) {
	l := newLab(t)
	round := l.result(runKeys, "run")["round"].(string)
	receipt, model := filepath.Join(t.TempDir(), "receipt.json"), filepath.Join(t.TempDir(), "model")
	l.ok("generate", "--receipt", receipt)
	swept := append(slices.Clone(sweepArgs[:3]), "--set", "train.epochs=1")
	calls := [][]string{
		{"run"}, {"plan"}, {"prep"}, {"train"}, swept, {"evaluate", "--set", "prep.out=set"}, {"generate"}, {"replay", receipt}, {"score", "--text", "the light"},
		{"score", "--text", "the light", "--chars"}, {"inspect", "--set", "prep.out=set"}, {"inspect", "--metrics", "--set", "train.out=run"}, {"runs", "list"}, {"runs", "show", round},
		{"runs", "diff", round, round}, {"runs", "watch"}, {"report"}, {"promote", "--history"}, {"gc", "--keep-last", "9"}, {"export", model}, {"config"}, {"config", "explain", "train.lr"}, {"version"}, {"--version"}, {"help", "run"},
		{"retrain", "--once", "--slot", "2026-11-01T03:00:00Z"}, {"completion", "bash"},
		{"bench", "--steps", "1", "--hidden", "8", "--embedding", "4", "--batch", "4", "--length", "8", "--generate", "1"},
	}
	seen := map[string]bool{"serve": true, "docs": true, "node": true} // the first ends when it is told to, the others print no result
	execute := func(args []string, stdout io.Writer) (code int, stderr string) {
		var b bytes.Buffer
		code = command.Execute(context.Background(), command.Quire(), args, stdout, &b)
		return code, b.String()
	}
	for _, call := range calls {
		seen[call[0]] = true
		result := call[0] != "--version" && call[0] != "help" && call[0] != "completion"
		if result {
			call = append(call, "--config", l.config)
		}
		var stdout bytes.Buffer
		if code, stderr := execute(call, &stdout); code != 0 || stdout.Len() == 0 {
			t.Errorf("%v: exit code %d, %d bytes of a result: %s", call, code, stdout.Len(), stderr)
			continue
		}
		for _, room := range []int{0, stdout.Len() / 2} {
			full := fullOutput(room)
			if code, stderr := execute(call, &full); code != 1 || !strings.Contains(stderr, unwritten) {
				t.Errorf("%v with room for %d bytes: exit code %d: %s", call, room, code, stderr)
			}
		}
		if !result {
			continue
		}
		var none fullOutput
		if code, stderr := execute(append(call, "--json"), &none); code != 1 || !strings.Contains(stderr, unwritten) {
			t.Errorf("%v --json: exit code %d: %s", call, code, stderr)
		}
	}
	for _, c := range command.Quire().Commands() {
		if !seen[c.Name()] {
			t.Errorf("no call of %s", c.Name())
		}
	}
}

const unwritten = "the result cannot be written: no space left on device"
