package command_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/quire-ml/quire/pipelines/internal/command"
)

const (
	evaluateKeys = "nats_per_char bits_per_char chars"
	scoreKeys    = "nats_per_char bits_per_char chars"
)

// untrained makes a lab with the set and the run of an untrained model.
func untrained(t *testing.T) *lab {
	t.Helper()
	l := newLab(t)
	l.ok("prep")
	r := l.result(trainKeys, "train", "--set", "train.epochs=0")
	if r["step"] != 0.0 || r["epoch"] != 0.0 || r["train_nats"] != nil || !strings.HasSuffix(r["checkpoint"].(string), "step-00000000.safetensors") {
		t.Fatalf("training of 0 epochs gives %v", r)
	}
	return l
}

// TestNFC gives a model whose set is in NFC texts that are not.
func TestNFC(t *testing.T) {
	l := newLab(t)
	l.write(l.corpus, strings.Repeat("caf\u00e9 au lait, cafe\u0301 noir\n", 50))
	l.ok("prep", "--set=prep.normalize=nfc")
	l.ok("train", "--set=train.epochs=0", "--set=prep.normalize=nfc")
	composed, apart := "un caf\u00e9", "un cafe\u0301"
	one := l.result(scoreKeys+" log_probs", "score", "--text", composed, "--chars")
	two := l.result(scoreKeys+" log_probs", "score", "--text", apart, "--chars")
	if len(one["log_probs"].([]any)) != 7 || fmt.Sprint(one) != fmt.Sprint(two) {
		t.Errorf("scores are %v and, taken apart, %v", one, two)
	}
	for _, prompt := range []string{composed, apart} {
		r := l.result("texts seed", "generate", "--prompt", prompt, "--length", "1")
		if got := r["texts"].([]any)[0].(string); !strings.HasPrefix(got, composed) || len([]rune(got)) != 8 {
			t.Errorf("%q is continued as %q", prompt, got)
		}
	}
	if o := l.ok("score", "--text", apart, "--chars"); !strings.Contains(o.stdout, `"é"`) {
		t.Errorf("the characters are not those of NFC: %v", o)
	}
}

// TestGenerateInterrupted: a text that is cut off is not saved, and nothing says so.
func TestGenerateInterrupted(t *testing.T) {
	l := untrained(t)
	c := l.child("generate", "--length", "100000000", "--stream", "--quiet")
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	c.Stderr = &stderr
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	if err := c.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, out)
	c.Wait()
	if code := c.ProcessState.ExitCode(); code != 75 || stderr.String() != "quire: interrupted\n" {
		t.Errorf("exit code %d: %s", code, stderr.String())
	}
}

// TestUntrained uses a model that nothing was taught: it is about as good as
// guessing.
func TestUntrained(t *testing.T) {
	l := untrained(t)
	chars := map[rune]bool{}
	for _, c := range l.read(l.corpus) {
		chars[c] = true
	}
	uniform := math.Log(float64(len(chars)))
	near := func(what string, nats any) {
		t.Helper()
		if x, ok := nats.(float64); !ok || math.Abs(x-uniform) > 0.05*uniform {
			t.Errorf("%s gives %v nats, want about %.3f", what, nats, uniform)
		}
	}
	e := l.result(evaluateKeys, "evaluate")
	near("evaluate", e["nats_per_char"])
	if bits := e["nats_per_char"].(float64) / math.Ln2; math.Abs(bits-e["bits_per_char"].(float64)) > 1e-12 {
		t.Errorf("bits_per_char is %v, want %v", e["bits_per_char"], bits)
	}
	near("score", l.result(scoreKeys, "score", "--file", l.corpus)["nats_per_char"])
	for n := range 4 {
		text := "the light"[:n]
		r := l.result(scoreKeys+" log_probs", "score", "--text", text, "--chars")
		list := r["log_probs"].([]any)
		if len(list) != n || r["chars"] != float64(max(0, n-1)) || (r["nats_per_char"] == nil) != (n < 2) {
			t.Errorf("score of %q gives %v", text, r)
		}
		for i, p := range list {
			if (p == nil) != (i == 0) {
				t.Errorf("log_probs of %q are %v, want null for the first alone", text, list)
			}
		}
		if _, ok := l.result(scoreKeys, "score", "--text", text)["log_probs"]; ok {
			t.Error("score gives log_probs without --chars")
		}
		l.ok("score", "--text", text, "--chars")
	}
	if g := l.result("texts seed", "generate", "--length", "7"); len(g["texts"].([]any)[0].(string)) != len("the ")+7 {
		t.Errorf("generate gives %v", g)
	}
}

func TestGenerate(t *testing.T) {
	l := untrained(t)
	text := func(args ...string) string {
		t.Helper()
		return l.result("texts seed", append([]string{"generate"}, args...)...)["texts"].([]any)[0].(string)
	}
	a := text("--seed", "7", "--length", "50")
	if b := text("--seed", "7", "--length", "50"); a != b {
		t.Errorf("the same seed gives %q and %q", a, b)
	}
	if b := text("--seed", "8", "--length", "50"); a == b {
		t.Errorf("seeds 7 and 8 both give %q", a)
	}
	if b := text("--seed", "7", "--length", "20"); !strings.HasPrefix(a, b) {
		t.Errorf("20 characters are %q, not the beginning of %q", b, a)
	}
	if got := text("--length", "0"); got != "the " {
		t.Errorf("no characters after the prompt are %q", got)
	}
	if got := text("--prompt", "", "--length", "5"); len(got) != 5 {
		t.Errorf("5 characters without a prompt are %q", got)
	}
	greedy := text("--temperature", "0", "--length", "20")
	if got := text("--top-k", "1", "--seed", "9", "--length", "20"); got != greedy {
		t.Errorf("top-k 1 gives %q, temperature 0 %q", got, greedy)
	}
	if o := l.ok("generate", "--seed", "7", "--length", "50"); o.stdout != a+"\n" {
		t.Errorf("generate prints %q, want %q", o.stdout, a)
	}
	if r := l.result("seed", "generate", "--seed", "7"); r["seed"] != 7.0 {
		t.Errorf("the seed is %v, want 7", r["seed"])
	}
	l.fails(2, []string{"--temperature", "range"}, "generate", "--temperature", "-1")
	for _, prompt := range []string{"the é", "thé"} {
		l.fails(2, []string{"generate.prompt", `'é'`, "position", "characters that the model knows"}, "generate", "--prompt", prompt)
	}
}

func TestScore(t *testing.T) {
	l := untrained(t)
	l.fails(1, []string{"'Z'", "position 4 (byte 4)"}, "score", "--text", "the Z")
	l.fails(1, []string{"none.txt", "no such file"}, "score", "--file", filepath.Join(l.dir, "none.txt"))
	r := l.result(scoreKeys+" log_probs", "score", "--text", "the light of", "--chars")
	var sum float64
	for _, p := range r["log_probs"].([]any)[1:] {
		sum -= p.(float64)
	}
	if got := r["nats_per_char"].(float64); math.Abs(got-sum/11) > 1e-12 || r["chars"] != 11.0 {
		t.Errorf("score gives %v nats over %v characters, the log_probs %v", got, r["chars"], sum/11)
	}
	var stdout, stderr bytes.Buffer
	c := command.Quire()
	c.SetIn(strings.NewReader("the light of"))
	if code := command.Execute(context.Background(), c, []string{"score", "--config", l.config}, &stdout, &stderr); code != 0 {
		t.Fatal(code, stderr.String())
	}
	if want := fmt.Sprintf("%.4f nats", r["nats_per_char"]); !strings.Contains(stdout.String(), want) {
		t.Errorf("score of standard input prints %q, want %s", stdout.String(), want)
	}
}

// TestEvaluateSplit measures a model on each split of a set, and on one that the
// set lacks.
func TestEvaluateSplit(t *testing.T) {
	l := newLab(t)
	l.ok("prep", "--set", "prep.test.fraction=0.2")
	l.ok("train", "--set", "train.max_steps=2")
	seen := map[any]bool{}
	for split, chars := range map[string]float64{"train": 2089, "validation": 296, "test": 593} {
		r := l.result(evaluateKeys, "evaluate", "--split", split)
		if r["split"] != split || r["chars"] != chars || seen[r["nats_per_char"]] {
			t.Errorf("%s: %v", split, r)
		}
		seen[r["nats_per_char"]] = true
		if split == "validation" {
			if without := l.result(evaluateKeys, "evaluate"); without["nats_per_char"] != r["nats_per_char"] || without["split"] != "validation" {
				t.Errorf("without --split: %v, want %v", without, r)
			}
		}
	}
	l.fails(1, []string{`no split "tests"`, "it has train, validation, test"}, "evaluate", "--split", "tests")
	l.ok("prep", "--replace", "--set", "prep.validation.fraction=0")
	l.fails(1, []string{filepath.Join(l.work, "set"), `no split "validation"`, "it has train"}, "evaluate", "--split", "validation")
	if r := l.result(evaluateKeys, "evaluate"); r["split"] != "train" {
		t.Errorf("a set without validation: %v", r)
	}
}

// TestEvaluateWindow: the loss in windows is that of their texts one by one, as score has it. What has
// no such windows is refused, with a remedy.
func TestEvaluateWindow(t *testing.T) {
	l := untrained(t)
	held, nats := l.read(l.corpus)[2700:2997], 0.0
	for at := 0; at < 296; at += 100 {
		part := l.result(scoreKeys, "score", "--text", held[at:min(at+101, 297)])
		nats += part["nats_per_char"].(float64) * part["chars"].(float64)
	}
	carried := l.result(evaluateKeys, "evaluate")
	r := l.result(evaluateKeys+" windowed", "evaluate", "--window", "100")
	w := r["windowed"].(map[string]any)
	if got := w["nats_per_char"].(float64); !(math.Abs(got-nats/296) <= 1e-12) || w["bits_per_char"] != got/math.Ln2 || w["window_chars"] != 100.0 ||
		got == r["nats_per_char"] {
		t.Errorf("windows of 100: %v, want %v nats", r, nats/296)
	}
	if delete(r, "windowed"); fmt.Sprint(r) != fmt.Sprint(carried) {
		t.Errorf("with windows %v, without %v", r, carried)
	}
	if out, want := l.ok("evaluate", "--window", "100").stdout, fmt.Sprintf("\n%.4f nats, ", nats/296); strings.Count(out, "\n") != 2 || !strings.Contains(out, want) {
		t.Errorf("windows of 100 in words: %s, want %q", out, want)
	}
	for _, window := range []string{"0", "-1", "65537"} {
		l.fails(2, []string{"--window: a window of " + window + " characters, want 1 to 65536; 256 is nanoGPT's"}, "evaluate", "--window", window)
	}
	l.ok("prep", "--replace", "--set", "prep.stride=5")
	l.ok("evaluate", "--window", "10")
	l.fails(1, []string{"windows of 11 characters: the sequences of the set ", "; use a --window of 10 at most, or a set with prep.validation.by tail and prep.stride 0"},
		"evaluate", "--window", "11")
}

// TestNotContinuous trains with a carried hidden on a set that does not allow it.
func TestNotContinuous(t *testing.T) {
	l := newLab(t)
	l.ok("prep", "--set", "prep.stride=5")
	l.fails(1, []string{"stride 5", "prep.stride 0", "train.hidden zero"}, "train", "--set", "train.hidden=carry")
}

// TestNoModel uses a model where there is none.
func TestNoModel(t *testing.T) {
	l := newLab(t)
	for _, args := range [][]string{{"generate"}, {"score", "--text", "a"}, {"evaluate"}} {
		l.fails(1, []string{"no checkpoint at " + filepath.Join(l.work, "run"), "train a model first"}, args...)
	}
	for name, file := range map[string]struct{ data, says string }{
		"a.txt": {"no checkpoint", "text"}, "a.safetensors": {"no checkpoint", "text"}, "a.gz": {"\x1f\x8b\x08\x00\x00", "compressed by gzip"},
	} {
		path := filepath.Join(l.dir, name)
		l.write(path, file.data)
		for _, args := range [][]string{{"generate", "--checkpoint"}, {"score", "--text", "a", "--checkpoint"}, {"inspect"}, {"promote"}} {
			want := "quire: checkpoint: " + path + ": byte 0: it is " + file.says + ", no checkpoint of quire; name a .safetensors file that a training wrote, or the directory of a run\n"
			if o := l.run(append(args, path, "--quiet")...); o.code != 1 || o.stderr != want {
				t.Errorf("%v of %s: %v", args, name, o)
			}
		}
	}
	empty := filepath.Join(l.dir, "empty")
	l.write(empty, "")
	l.fails(1, []string{empty + ": byte 0: the file is empty", "use another checkpoint: a file, or the directory of a run"}, "inspect", empty)
	damaged := t.TempDir()
	for _, pointer := range []string{"latest.json", "best.json"} {
		l.write(filepath.Join(damaged, pointer), "{")
	}
	l.fails(1, []string{"best.json", "--which latest"}, "generate", "--checkpoint", damaged)
	l.fails(1, []string{"latest.json", "--which best"}, "generate", "--checkpoint", damaged, "--which", "latest")
	l.fails(1, []string{"nothing at " + filepath.Join(l.dir, "none")}, "inspect", filepath.Join(l.dir, "none"))
	l.fails(1, []string{"no checkpoint at " + l.dir}, "inspect", l.dir)
}

// TestOtherVocabulary evaluates a model on a set whose ids mean other characters.
func TestOtherVocabulary(t *testing.T) {
	l := untrained(t)
	l.write(l.corpus, strings.ToUpper(text(3000)))
	l.ok("prep", "--replace")
	l.fails(1, []string{filepath.Join(l.work, "run"), filepath.Join(l.work, "set"), "vocabularies differ"}, "evaluate")
}

func TestInspect(t *testing.T) {
	l := untrained(t)
	set, run := filepath.Join(l.work, "set"), filepath.Join(l.work, "run")
	manifest := l.result(prepKeys, "prep")["manifest_sha256"]

	r := l.result("kind path set", "inspect", "--first", "2")
	s := r["set"].(map[string]any)
	if r["kind"] != "set" || r["path"] != set || s["manifest_sha256"] != manifest || len(s["first"].([]any)) != 2 {
		t.Errorf("a set is %v", r)
	}
	first := s["first"].([]any)[0].(map[string]any)
	input, target := first["input"].(string), first["target"].(string)
	if len(input) != 10 || len(target) != 10 || input[1:] != target[:9] || !strings.Contains(l.read(l.corpus), input+target[9:]) {
		t.Errorf("the first sequence is %q and %q", input, target)
	}
	if o := l.ok("inspect", set); !strings.Contains(o.stdout, fmt.Sprintf("input   %q\n  target  %q", input, target)) || !strings.Contains(o.stdout, "intact") {
		t.Errorf("inspect prints %v", o)
	}

	r = l.result("kind path shard", "inspect", filepath.Join(set, "validation-00000-of-00001.tfrecord"), "--first", "3")
	h := r["shard"].(map[string]any)
	if r["kind"] != "shard" || h["listed"] != true || len(h["first"].([]any)) != 3 || h["lengths"].(map[string]any)["11"] != h["records"] {
		t.Errorf("a shard is %v", r)
	}

	for _, path := range []string{run, filepath.Join(run, "checkpoints", "step-00000000.safetensors")} {
		r = l.result("kind path checkpoint", "inspect", path)
		c := r["checkpoint"].(map[string]any)
		tensors := c["tensors"].(map[string]any)
		if r["kind"] != "checkpoint" || c["hidden"] != 8.0 || c["step"] != 0.0 || c["set"] != manifest || len(tensors) != 3*7 {
			t.Errorf("a checkpoint is %v", r)
		}
		if shape := tensors["rnn.weight_hh_l0"].(map[string]any)["shape"]; fmt.Sprint(shape) != "[24 8]" {
			t.Errorf("rnn.weight_hh_l0 has shape %v", shape)
		}
		if o := l.ok("inspect", path); !strings.Contains(o.stdout, "rnn.weight_hh_l0") || !strings.Contains(o.stdout, "(24, 8)") {
			t.Errorf("inspect prints %v", o)
		}
	}
}
