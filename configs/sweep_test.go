package configs

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// trialsOf returns the trials of --set flags, one a line.
func trialsOf(t *testing.T, set ...string) string {
	t.Helper()
	r, err := Load(Options{Set: set})
	if err != nil {
		t.Fatal(err)
	}
	trials, err := r.Trials()
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for i, trial := range trials {
		if trial.Number != i+1 {
			t.Errorf("trial %d has number %d", i+1, trial.Number)
		}
		lines = append(lines, trial.String())
	}
	return strings.Join(lines, "; ")
}

func TestTrials(t *testing.T) {
	for _, test := range []struct {
		set  []string
		want string
	}{
		{[]string{"sweep.train.lr=[0.001, 0.002]", "sweep.model.cell=gru,lstm"},
			"model.cell=gru train.lr=0.001; model.cell=gru train.lr=0.002; model.cell=lstm train.lr=0.001; model.cell=lstm train.lr=0.002"},
		{[]string{"sweep.model.hidden={from: 128, to: 1000, by: x2}"}, "model.hidden=128; model.hidden=256; model.hidden=512"},
		{[]string{"sweep.train.batch={from: 16, to: 48, by: 16}"}, "train.batch=16; train.batch=32; train.batch=48"},
		{[]string{"sweep.model.dropout={from: 0.1, to: 0.3, by: 0.1}"}, "model.dropout=0.1; model.dropout=0.2; model.dropout=0.3"},
		{[]string{"sweep.train.lr={from: 0.00001, to: 0.001, by: x10}"}, "train.lr=1e-05; train.lr=0.0001; train.lr=0.001"},
		{[]string{"sweep.train.seed=1,2,3", "sweep.trials=2"}, "train.seed=1; train.seed=2"},
		{[]string{"sweep.train.seed=1,2", "sweep.train.seed=[]", "sweep.train.lr=0.1"}, "train.lr=0.1"},
	} {
		if got := trialsOf(t, test.set...); got != test.want {
			t.Errorf("%v gives\n%s, want\n%s", test.set, got, test.want)
		}
	}
}

// TestTrialsRandom draws without doing so twice; more trials add to fewer.
func TestTrialsRandom(t *testing.T) {
	set := []string{"sweep.train.seed={from: 1, to: 20, by: 1}", "sweep.train.batch=8,16", "sweep.pick=random"}
	few, all := trialsOf(t, append(set, "sweep.trials=5")...), trialsOf(t, append(set, "sweep.trials=40")...)
	if !strings.HasPrefix(all, few+"; ") {
		t.Errorf("5 are %s, 40 %s", few, all)
	}
	seen := map[string]bool{}
	for _, s := range strings.Split(all, "; ") {
		seen[s] = true
	}
	if len(seen) != 40 {
		t.Errorf("%d different trials, want 40", len(seen))
	}
	if other := trialsOf(t, append(set, "sweep.trials=5", "sweep.seed=2")...); other == few {
		t.Errorf("seeds 1 and 2 give %s", few)
	}
	t.Log(few)
}

// writeOne writes a config file and returns its path.
func writeOne(t *testing.T, text string) string {
	t.Helper()
	return filepath.Join(write(t, map[string]string{"config.yaml": text}), "config.yaml")
}

// TestTrialConfig says that a trial's config, as a file, is that of its values
// and no sweep, and that a sweep's has its values.
func TestTrialConfig(t *testing.T) {
	name := writeOne(t, "extends: quickstart\nsweep:\n  train: {lr: [0.001, 0.003]}\n  model.hidden: {from: 8, to: 16, by: x2}\n")
	r, err := Load(Options{Config: name, Environ: []string{"QUIRE_SWEEP_TRAIN_LR=0.004,0.005"}})
	if err != nil {
		t.Fatal(err)
	}
	if text := string(r.YAML()); !strings.Contains(text, "  train.lr: [0.004, 0.005]\n") || !strings.Contains(text, "  model.hidden: [8, 16]\n") {
		t.Errorf("the config is\n%s", text)
	}
	text, err := r.Explain("sweep.train.lr")
	if err != nil || !strings.Contains(text, "set by    QUIRE_SWEEP_TRAIN_LR") || !strings.Contains(text, "over      [0.001 0.003] of "+name+":3") {
		t.Errorf("%v: %s", err, text)
	}
	trials, err := r.Trials()
	if err != nil || len(trials) != 4 {
		t.Fatalf("%d trials, %v", len(trials), err)
	}
	best := writeOne(t, string(trials[3].Resolved.YAML()))
	again, err := Load(Options{Config: best})
	if err != nil {
		t.Fatal(err)
	}
	if c := again.Config; c.Train.LR != 0.005 || c.Model.Hidden != 16 || len(again.Varied()) != 0 || fmt.Sprint(c) != fmt.Sprint(trials[3].Resolved.Config) {
		t.Errorf("the best config is %+v", c)
	}
}

func TestSweepMistakes(t *testing.T) {
	for _, test := range []struct{ set, want string }{
		{"sweep.train.rl=1", "sweep.train.rl is an unknown key; the nearest is sweep.train.lr"},
		{"sweep.train.from=a,b", "sweep.train.from is not for a sweep"},
		{"sweep.train.device=cpu", "sweep.train.device is not for a sweep"},
		{"sweep.workdir=a", "sweep.workdir is not for a sweep"},
		{"sweep.train.checkpoint.keep_last=1", "sweep.train.checkpoint.keep_last is not for a sweep"},
		{"sweep.train=1", "sweep.train is a section"},
		{"sweep.train.lr=0", "sweep.train.lr has a value, number 1, that is 0, out of range"},
		{"sweep.train.lr=0.1,NaN", `has a value, number 2, that is "NaN", not a finite decimal number`},
		{"sweep.train.lr=0.1,0.10", "has a value, number 2, that is 0.1 a second time"},
		{"sweep.train.batch=1.5", `has a value, number 1, that is "1.5", not a whole number`},
		{"sweep.model.cell=gru,rnn", `has a value, number 2, that is "rnn"; it must be gru or lstm`},
		{"sweep.model.cell={from: gru, to: lstm, by: 1}", "is a range, but its values are not numbers"},
		{"sweep.train.batch={from: 8, to: 32}", "is a range without by"},
		{"sweep.train.batch={from: 8, ot: 32, by: 1}", "has ot, but a range has from, to and by; the nearest is to"},
		{"sweep.train.batch={from: 8, from: 9, to: 32, by: 1}", "sweep.train.batch"},
		{"sweep.train.batch={from: 8, to: 4, by: 1}", "is an empty range: from 8 is more than to 4"},
		{"sweep.train.batch={from: 8, to: 32, by: x1}", "to multiply, by is x1.001 or more"},
		{"sweep.train.batch={from: 8, to: 32, by: x1.3}", `has a value, number 2, that is "10.4", not a whole number`},
		{"sweep.train.batch={from: 8, to: 32, by: -1}", "has by -1; it must be above 0"},
		{"sweep.train.batch={from: 1, to: 2000, by: 1}", "is a range of more than 1000 values"},
		{"sweep.train.batch={from: 0, to: 8, by: 1}", "has from, which is 0, out of range"},
		{"sweep.train.seed={from: 1, to: 9223372036854775807, by: 1}", "too large for a range"},
		{"sweep.trials=3", "sweep.trials is 3, but there are 2 combinations"},
		{"sweep.pick=random", "sweep.trials is 0, but sweep.pick random needs a number, 1 to 2"},
	} {
		r, err := Load(Options{Set: []string{"sweep.train.seed=1,2", test.set}})
		if err == nil {
			_, err = r.Trials()
		}
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s gives %v, want %s", test.set, err, test.want)
		}
	}
	r, err := Load(Options{Set: []string{"sweep.train.curriculum.seq_length=0,200,300"}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.Trials()
	want := "configs: trial 2 of the sweep (train.curriculum.seq_length=200): train.curriculum.seq_length is 200, more than prep.seq_length 100, to " +
		"which it rises; refused are trials 2, 3"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
