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
