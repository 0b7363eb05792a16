package command_test

import (
	"fmt"
	"strings"
	"testing"
)

// TestSmallText runs the shipped config on texts that are too small for it. Each is
// refused before any training, with a value that is then enough, and one more is not.
func TestSmallText(t *testing.T) {
	for _, test := range []struct {
		chars, enough int
		key           string
	}{{100, 4, "prep.seq_length"}, {300, 15, "prep.seq_length"}, {1500, 13, "train.batch"}} {
		l := newLab(t)
		l.write(l.corpus, text(test.chars))
		l.write(l.config, "extends: quickstart\n")
		args := append([]string{"run", "--quiet"}, set("workdir="+l.work, "corpus.sources="+l.corpus, "model.hidden=8", "model.embedding=4",
			"train.epochs=1", "gate.samples=0")...)
		l.fails(1, []string{fmt.Sprintf("(%d at most)", test.enough), test.key}, args...)
		for _, file := range l.files(l.work) {
			if strings.HasPrefix(file, "runs/") {
				t.Errorf("%d characters: there is %s", test.chars, file)
			}
		}
		l.fails(1, []string{"at most)"}, append(args, "--set", fmt.Sprintf("%s=%d", test.key, test.enough+1))...)
		if o := l.run(append(args, "--set", fmt.Sprintf("%s=%d", test.key, test.enough))...); o.code != 0 && o.code != 3 {
			t.Errorf("%d characters, %s %d: %v", test.chars, test.key, test.enough, o)
		}
	}
	l := newLab(t)
	l.write(l.corpus, text(9))
	l.fails(1, []string{"use more text; see prep.seq_length"}, "run", "--set", "prep.validation.fraction=0.01")
}

// TestFewSteps: plan and run say before any work that a text gives few steps, once, and with
// the epochs that help; of enough steps, and of a training that is done, they say nothing.
func TestFewSteps(t *testing.T) {
	l := newLab(t)
	l.write(l.config, "extends: quickstart\n")
	small := set("workdir="+l.work, "model.hidden=8", "model.embedding=4", "gate.samples=0")
	warnings := func(chars int, unit string, more ...string) (plan, run int) {
		t.Helper()
		said := "WARNING: train: 12 steps in all are few: with less than 20, at the default train.lr, the loss hardly falls below the unigram entropy," +
			" and the gate refuses such a model; use train.epochs=30, a smaller train.batch, or more text\n"
		l.write(l.corpus, strings.Repeat(unit, chars))
		args := append(append([]string{}, small...), set(append(more, "corpus.sources="+l.corpus)...)...)
		o := l.run(append([]string{"plan"}, args...)...)
		plan = strings.Count(o.stderr, said) + 10*strings.Count(o.stderr, "WARNING: train:")
		o = l.run(append([]string{"run"}, args...)...)
		if before, _, found := strings.Cut(o.stderr, said); found && strings.Contains(before, "characters, ") && unit == "a" {
			t.Errorf("it is said after the set is made: %s", o.stderr)
		}
		return plan, strings.Count(o.stderr, said) + 10*strings.Count(o.stderr, "WARNING: train:")
	}
	for _, test := range []struct {
		chars     int
		unit      string
		more      []string
		plan, run int
	}{
		{4000, "a", nil, 11, 11},
		{4000, "a", []string{"train.epochs=10"}, 0, 0},
		{4000, "a", []string{"train.max_steps=5"}, 0, 0},
		{4000, "ש", []string{"prep.seed=2"}, 0, 11}, // two bytes a character: known when the set is made
	} {
		if plan, run := warnings(test.chars, test.unit, test.more...); plan != test.plan || run != test.run {
			t.Errorf("%d of %q, %v: said %d by plan, %d by run, want %d, %d", test.chars, test.unit, test.more, plan, run, test.plan, test.run)
		}
		if plan, run := warnings(test.chars, test.unit, test.more...); plan != 0 || run != 0 {
			t.Errorf("%d of %q, %v: said again %d by plan, %d by run", test.chars, test.unit, test.more, plan, run)
		}
	}
	l.write(l.corpus, strings.Repeat("b", 4000))
	args := append(append([]string{}, small...), set("corpus.sources="+l.corpus)...)
	if o := l.ok(append([]string{"run", "--to", "prep"}, args...)...); strings.Contains(o.stderr, "steps") {
		t.Errorf("a round without a training: %v", o)
	}
}
