package command_test

import "testing"

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
