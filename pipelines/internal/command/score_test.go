package command_test

import (
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/quire-ml/quire/model/train"
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
	if mean := (one["nats_per_char"].(float64)*19 + two["nats_per_char"].(float64)*2) / 21; len(files) != 3 || all["chars"] != 21.0 ||
		math.Abs(all["nats_per_char"].(float64)-mean) > 1e-12 {
		t.Errorf("of three files: %v, want %v nats over 21 characters", all, mean)
	}
	if f := files[0].(map[string]any); f["name"] != in("one.txt") || f["nats_per_char"] != one["nats_per_char"] || f["chars"] != 19.0 ||
		files[2].(map[string]any)["nats_per_char"] != nil {
		t.Errorf("the files are %v", files)
	}
	o := l.ok("score", in("one.txt"), in("two.txt"), "--html", in("page.html"))
	if page := l.read(in("page.html")); strings.Count(o.stdout, "\n") != 3 || !strings.HasPrefix(o.stdout, in("one.txt")+": ") ||
		strings.Count(page, "bits a character over") != 2 ||
		!strings.Contains(page, `<span class="first">t</span>`) {
		t.Errorf("two files: %v\n%s", o, page)
	}
	l.ok("train", "--set", "train.epochs=1", "--set", "train.out=other")
	c := l.result(scoreKeys+" compared most_different checkpoint", "score", in("one.txt"), "--set", "train.out=run", "--compare",
		filepath.Join(l.work, "other"))
	second := l.result(scoreKeys, "score", in("one.txt"), "--checkpoint", filepath.Join(l.work, "other"))
	if c["nats_per_char"] != one["nats_per_char"] || c["compared"].(map[string]any)["nats_per_char"] != second["nats_per_char"] ||
		len(c["most_different"].([]any)) != 1 {
		t.Errorf("side by side: %v, alone %v and %v", c, one, second)
	}
	twice := strings.Repeat("the light of the the", 9)
	c = l.result(scoreKeys+" adapted compared most_different checkpoint", "score", "--text", twice, "--set", "train.out=run", "--compare",
		filepath.Join(l.work, "other"), "--adapt", "0.5")
	second = l.result(scoreKeys+" adapted", "score", "--text", twice, "--checkpoint", filepath.Join(l.work, "other"), "--adapt", "0.5")
	if fmt.Sprint(c["compared"].(map[string]any)["adapted"]) != fmt.Sprint(second["adapted"]) ||
		fmt.Sprint(c["adapted"]) == fmt.Sprint(second["adapted"]) {
		t.Errorf("side by side, learning: %v, alone %v", c, second)
	}
	if o := l.ok("score", in("one.txt"), "--set", "train.out=run", "--compare", filepath.Join(l.work, "other")); !strings.Contains(o.stdout,
		"differ most") || !strings.Contains(o.stdout, `"the light of the the"`) {
		t.Errorf("side by side: %v", o)
	}
	other := filepath.Join(l.work, "other")
	l.ok("score", in("one.txt"), "--set", "train.out=run", "--compare", other, "--html", in("both.html"))
	if page := l.read(in("both.html")); !strings.Contains(page, "the second is that of "+other) || !strings.Contains(page, `<td class="passage">the light of the the</td>`) {
		t.Errorf("a page of both:\n%s", page)
	}
	if o := l.ok("score", "--text", "th"); !strings.Contains(o.stdout, "a character over 1 character\n") {
		t.Errorf("a text of one prediction: %v", o)
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

// TestScoreAdapt scores with a model that learns, beside the one that does not.
func TestScoreAdapt(t *testing.T) {
	l := untrained(t)
	in := func(name string) string { return filepath.Join(l.dir, name) }
	l.write(in("long.txt"), strings.Repeat("the light of the the ", 20))
	l.write(in("short.txt"), "the")
	l.write(in("none.txt"), "")
	model := filepath.Join(l.work, "run", "checkpoints", "step-00000000.safetensors")
	before := l.digest(model)
	plain := l.result(scoreKeys, "score", in("long.txt"))
	one := l.result(scoreKeys+" adapted log_probs", "score", in("long.txt"), "--adapt", "0.5", "--chars")
	adapted := func(r any) map[string]any { return r.(map[string]any)["adapted"].(map[string]any) }
	a := adapted(one)
	nats, list := a["nats_per_char"].(float64), a["log_probs"].([]any)
	if one["nats_per_char"] != plain["nats_per_char"] || nats > plain["nats_per_char"].(float64)-0.05 || a["bits_per_char"] != nats/math.Ln2 ||
		a["lr"] != 0.5 || a["passage_chars"] != float64(train.AdaptChars) {
		t.Errorf("with --adapt %v, without %v", one, plain)
	}
	sum := 0.0
	for i, p := range list {
		if own := one["log_probs"].([]any)[i]; (i <= train.AdaptChars) != (p == own) {
			t.Fatalf("character %d: %v, of the model that does not learn %v", i, p, own)
		}
		if p != nil {
			sum -= p.(float64)
		}
	}
	if chars := 20*21 - 1; len(list) != chars+1 || list[0] != nil || math.Abs(sum/float64(chars)-nats) > 1e-9 {
		t.Errorf("%d log-probabilities with the mean %v, want %v", len(list), -sum/float64(chars), nats)
	}
	all := l.result(scoreKeys+" adapted files", "score", in("short.txt"), in("long.txt"), in("none.txt"), "--adapt", "0.5")
	files := all["files"].([]any)
	if a := adapted(files[1]); a["nats_per_char"] != nats ||
		adapted(files[0])["nats_per_char"] != files[0].(map[string]any)["nats_per_char"] || adapted(files[2])["nats_per_char"] != nil {
		t.Errorf("of three files: %v, alone %v", all, nats)
	}
	if mean := (nats*419 + adapted(files[0])["nats_per_char"].(float64)*2) / 421; math.Abs(adapted(all)["nats_per_char"].(float64)-mean) > 1e-12 {
		t.Errorf("of all files: %v, want %v", all, mean)
	}
	line := fmt.Sprintf("over 419 characters; learning at 0.5: %.4f nats, %.4f bits\n", nats, nats/math.Ln2)
	o := l.ok("score", in("long.txt"), "--adapt", "0.5", "--chars", "--html", in("page.html"))
	if lines := strings.Split(o.stdout, "\n"); !strings.HasSuffix(o.stdout, line) || lines[0] != `"t"              -         -` ||
		len(strings.Fields(lines[1])) != 3 ||
		!strings.Contains(l.read(in("page.html")), strings.TrimSpace(line)) {
		t.Errorf("in words: %v", o)
	}
	c := l.result(scoreKeys+" adapted compared most_different checkpoint", "score", in("long.txt"), "--adapt", "0.5", "--compare", model)
	if adapted(c)["nats_per_char"] != nats || adapted(c["compared"])["nats_per_char"] != nats {
		t.Errorf("side by side with itself: %v", c)
	}
	if o := l.ok("score", in("long.txt"), "--adapt", "0.5", "--compare", model); !strings.Contains(o.stdout,
		fmt.Sprintf("learning at 0.5: %.4f and %.4f nats, ", nats, nats)) {
		t.Errorf("side by side with itself: %v", o)
	}
	if after := l.digest(model); after != before {
		t.Errorf("the checkpoint is %s, was %s", after, before)
	}
	for _, rate := range []string{"0", "-1", "11", "NaN", "Inf"} {
		l.fails(2, []string{"--adapt: the learning rate is ", "want above 0 and at most 10; 0.1 is one to begin with"}, "score", in("long.txt"),
			"--adapt", rate)
	}
	l.write(in("turn.txt"), strings.Repeat("e", 200)+strings.Repeat("t", 200))
	const worse = "score: the model that learns does worse than the one that does not; a smaller --adapt may do better\n"
	if o := l.ok("score", "--text", strings.Repeat("e", 33)+strings.Repeat("t", 31), "--adapt", "10", "--quiet"); !strings.HasSuffix(o.stderr, worse) {
		t.Errorf("a model that does worse: %v", o)
	}
	l.fails(1, []string{"turn.txt: score: ", "which learns at a rate of 10, at character ", "; use a smaller --adapt"}, "score",
		in("turn.txt"), "--adapt", "10")
}
