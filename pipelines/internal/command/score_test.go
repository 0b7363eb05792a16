package command_test

import (
	"math"
	"path/filepath"
	"strings"
	"testing"
)

// TestScoreFiles scores several files, as a page, and with a second model beside the first.
func TestScoreFiles(t *testing.T) {
	l := untrained(t)
	in := func(name string) string { return filepath.Join(l.dir, name) }
	l.write(in("one.txt"), "the light of the the")
	l.write(in("two.txt"), "the")
	l.write(in("none.txt"), "")
	one, two := l.result(scoreKeys, "score", in("one.txt")), l.result(scoreKeys, "score", "--file", in("two.txt"))
	all := l.result(scoreKeys+" files", "score", in("one.txt"), in("two.txt"), in("none.txt"))
	files := all["files"].([]any)
	if mean := (one["nats_per_char"].(float64)*19 + two["nats_per_char"].(float64)*2) / 21; len(files) != 3 || all["chars"] != 21.0 || math.Abs(all["nats_per_char"].(float64)-mean) > 1e-12 {
		t.Errorf("of three files: %v, want %v nats over 21 characters", all, mean)
	}
	if f := files[0].(map[string]any); f["name"] != in("one.txt") || f["nats_per_char"] != one["nats_per_char"] || f["chars"] != 19.0 || files[2].(map[string]any)["nats_per_char"] != nil {
		t.Errorf("the files are %v", files)
	}
	o := l.ok("score", in("one.txt"), in("two.txt"), "--html", in("page.html"))
	if page := l.read(in("page.html")); strings.Count(o.stdout, "\n") != 3 || !strings.HasPrefix(o.stdout, in("one.txt")+": ") || strings.Count(page, "bits a character over") != 2 ||
		!strings.Contains(page, `<span class="first">t</span>`) {
		t.Errorf("two files: %v\n%s", o, page)
	}
	l.ok("train", "--set", "train.epochs=1", "--set", "train.out=other")
	c := l.result(scoreKeys+" compared most_different checkpoint", "score", in("one.txt"), "--set", "train.out=run", "--compare", filepath.Join(l.work, "other"))
	second := l.result(scoreKeys, "score", in("one.txt"), "--checkpoint", filepath.Join(l.work, "other"))
	if c["nats_per_char"] != one["nats_per_char"] || c["compared"].(map[string]any)["nats_per_char"] != second["nats_per_char"] || len(c["most_different"].([]any)) != 1 {
		t.Errorf("side by side: %v, alone %v and %v", c, one, second)
	}
	if o := l.ok("score", in("one.txt"), "--set", "train.out=run", "--compare", filepath.Join(l.work, "other")); !strings.Contains(o.stdout, "differ most") || !strings.Contains(o.stdout, `"the light of the the"`) {
		t.Errorf("side by side: %v", o)
	}
	l.fails(2, []string{"exclude --text and --file"}, "score", in("one.txt"), "--text", "a")
	l.fails(1, []string{"no such file", "--text"}, "score", "the light")
	l.fails(1, []string{in("two.txt") + ": ", "'Z'", "position 2"}, "score", in("one.txt"), l.rewritten(in("two.txt"), "thZ"))
}

// rewritten writes a file and returns its path.
func (l *lab) rewritten(path, text string) string {
	l.write(path, text)
	return path
}
