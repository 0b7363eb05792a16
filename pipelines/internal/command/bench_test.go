package command_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/quire-ml/quire/pipelines/internal/command"
)

func TestBench(t *testing.T) {
	l := newLab(t)
	args := []string{"bench", "--hidden", "16", "--embedding", "8", "--batch", "2", "--length", "5", "--steps", "2"}
	r := l.result("cell variant threads chars_per_second gflops peak_gflops peak_share generate", append(args, "--generate", "10")...)
	for _, key := range []string{"1", "64"} {
		if rate, ok := r["generate"].(map[string]any)[key].(float64); !ok || rate <= 0 {
			t.Errorf("generate has no rate of %s streams: %v", key, r["generate"])
		}
	}
	if share := r["peak_share"].(float64); share <= 0 || share > 1 {
		t.Errorf("peak_share is %v", share)
	}
	l.fails(2, []string{`cell is "rnn"`, "gru or lstm"}, append(args, "--cell", "rnn")...)
	l.fails(2, []string{"--batch is 0"}, "bench", "--batch", "0")
}

// TestBenchSizes: a flag decides a size, then --set, a variable and the file of --config, where they
// set its key. What the default config sets is nothing that anybody asked for.
func TestBenchSizes(t *testing.T) {
	l := newLab(t) // the tiny config: gru, one layer, embedding 4, hidden 8; batch 8, seq_length 10
	sizes := func(args ...string) string {
		t.Helper()
		args = append([]string{"bench", "--steps", "1", "--generate", "0", "--json"}, args...)
		var stdout, stderr bytes.Buffer
		if code := command.Execute(t.Context(), command.Quire(), args, &stdout, &stderr); code != 0 {
			t.Fatalf("%v: exit code %d: %s", args, code, stderr.String())
		}
		r := l.parse("", outcome{stdout: stdout.String()})
		return fmt.Sprintf("%v %v %v %v %v %v %v", r["cell"], r["layers"], r["hidden"], r["embedding"], r["batch"], r["length"], r["device"])
	}
	same := func(got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("sizes %s, want %s", got, want)
		}
	}
	same(sizes("--hidden", "8"), "gru 1 8 256 64 100 cpu")
	same(sizes("--set", "model.hidden=9", "--set", "prep.seq_length=4"), "gru 1 9 256 64 4 cpu")
	same(sizes("--config", l.config), "gru 1 8 4 8 10 cpu")
	same(sizes("--config", l.config, "--set", "model.cell=lstm", "--set", "model.layers=2", "--set", "model.embedding=6", "--hidden", "5", "--batch", "3",
		"--set", "train.batch=7", "--set", "prep.seq_length=4"), "lstm 2 5 6 3 4 cpu")
	t.Setenv("QUIRE_MODEL_HIDDEN", "7")
	same(sizes(), "gru 1 7 256 64 100 cpu")
	same(sizes("--config", l.config, "--length", "3"), "gru 1 7 4 8 3 cpu")
	if o := l.run("bench", "--steps", "1", "--generate", "0", "--set", "train.precision=bf16"); !strings.Contains(o.stdout+o.stderr, "bf16") {
		t.Errorf("the precision of the config: %v", o)
	}
	if o := l.ok("bench", "--steps", "1", "--generate", "0"); !strings.HasPrefix(o.stdout, "model       gru, 1 layer, hidden 7, embedding 4; batches of 8 × 10\n") {
		t.Errorf("in words: %v", o)
	}
	l.fails(2, []string{"prep.seq_length is 100000; it must be 1 to 65536"}, "bench", "--set", "prep.seq_length=100000")
	l.fails(2, []string{"model.hiden", "model.hidden"}, "bench", "--set", "model.hiden=9")
}
