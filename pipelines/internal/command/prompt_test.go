package command_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// names is a text without a capital letter and without a space.
var names = strings.Repeat("emma\nolivia\nliam\nnoah\nava\nmia\nethan\n", 120)

// TestOwnText runs the shipped config on a text that its prompt does not fit: the sample
// begins as the text does, and so does what generate writes after it. Nothing is made
// again, and plan agrees.
func TestOwnText(t *testing.T) {
	l := newLab(t)
	l.write(l.corpus, names)
	own := set("workdir="+l.work, "corpus.sources="+l.corpus, "model.hidden=8", "model.embedding=4", "train.epochs=1", "gate.samples=0", "generate.length=20")
	quire := func(args ...string) outcome { return l.finish(l.bare(append(args, own...)...)) }
	const begins = `the text lacks characters of "The "; the sample begins as the text does, with "emma\nolivia\nliam"`
	first := quire("run", "--json")
	r := l.parse("sample run", first)
	sample := r["sample"].(string)
	if first.code != 0 && first.code != 3 || !strings.Contains(first.stderr, begins) || !strings.HasPrefix(sample, "emma\nolivia\nliam") || len(sample) != 36 {
		t.Fatalf("sample %q: %v", sample, first)
	}
	again := quire("run", "--json")
	if r := l.parse("sample", again); r["sample"] != sample || !strings.Contains(again.stderr, "sample    nothing to do") {
		t.Errorf("again: %v", again)
	}
	if o := quire("plan"); o.code != again.code || strings.Contains(o.stdout, " run ") {
		t.Errorf("plan: %v", o)
	}
	model := []string{"generate", "--checkpoint", r["run"].(string)}
	if o := quire(model...); o.stdout != sample+"\n" || !strings.Contains(o.stderr, `the model lacks characters of "The ", so "emma\nolivia\nliam" is the prompt`) {
		t.Errorf("generate: %v", o)
	}
	// The same prompt is refused when it is somebody's wish.
	for _, args := range [][]string{{"run", "--set", "generate.prompt=The "}, append([]string{"generate", "--prompt", "The "}, model[1:]...)} {
		if o := quire(args...); o.code != 2 || !strings.Contains(o.stderr, "character 'T' (U+0054)") {
			t.Errorf("with a prompt of the user: %v", o)
		}
	}
	elsewhere := append(model, "--set", "workdir="+filepath.Join(l.dir, "none"))
	if o := l.finish(l.bare(elsewhere...)); o.code != 0 || !strings.Contains(o.stderr, "the text starts with a random character") {
		t.Errorf("generate without the round's record: %v", o)
	}
}

// TestOwnPrompt refuses a prompt that a user has given and the text cannot spell, after
// prep and before any training, whoever asks.
func TestOwnPrompt(t *testing.T) {
	l := newLab(t)
	l.write(l.corpus, names)
	l.write(l.config, "extends: quickstart\ngenerate: {prompt: \"The \"}\n")
	own := set("workdir="+l.work, "corpus.sources="+l.corpus)
	for _, name := range []string{"run", "plan", "run"} {
		o := l.run(append([]string{name, "--quiet"}, own...)...)
		o.stderr = strings.Join(slices.DeleteFunc(strings.SplitAfter(o.stderr, "\n"), func(line string) bool { return strings.HasPrefix(line, "WARNING: ") }), "")
		l.failed(o, 2, "character 'T' (U+0054) at position 0", "change generate.prompt, or set it to nothing")
		if name == "plan" {
			continue
		}
		for _, file := range l.files(l.work) {
			if strings.HasPrefix(file, "runs/") || strings.HasPrefix(file, "stages/train") {
				t.Errorf("%s has trained: %s", name, file)
			}
		}
		if !strings.Contains(strings.Join(l.files(l.work), " "), "stages/prep") {
			t.Errorf("%s has not prepared: %v", name, l.files(l.work))
		}
	}
	for _, prompt := range []string{"", "emma"} {
		if o := l.run(append([]string{"run", "--set", "generate.prompt=" + prompt, "--to", "prep"}, own...)...); o.code != 0 {
			t.Errorf("%q: %v", prompt, o)
		}
	}
}

// TestPromptBytes gives prompts of any bytes to a model of bytes: by a flag, a file and
// standard input. What is wrong is said in bytes.
func TestPromptBytes(t *testing.T) {
	l := newLab(t)
	l.write(l.corpus, strings.Repeat("\xd9\xe0 \xff\n", 400))
	own := set("prep.unit=byte", "generate.length=5", "generate.seed=3")
	l.ok(append([]string{"prep"}, own...)...)
	l.ok(append([]string{"train"}, own...)...)
	file := filepath.Join(l.dir, "prompt")
	l.write(file, "\xff\n\xd9")
	want := l.finish(l.child(append([]string{"generate", "--prompt", "\xff\n\xd9"}, own...)...))
	if want.code != 0 || !strings.HasPrefix(want.stdout, "\xff\n\xd9") || len(want.stdout) != 3+5 {
		t.Fatalf("%q, %v", want.stdout, want)
	}
	if o := l.finish(l.child(append([]string{"generate", "--prompt-file", file}, own...)...)); o.stdout != want.stdout {
		t.Errorf("of a file: %q, want %q", o.stdout, want.stdout)
	}
	c := l.child(append([]string{"generate", "--prompt-file", "-"}, own...)...)
	in, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	c.Stdin = in
	if o := l.finish(c); o.stdout != want.stdout {
		t.Errorf("of standard input: %q, want %q", o.stdout, want.stdout)
	}
	l.write(file, "\xff\xd7")
	const missing = "byte 0xd7 at position 1 is not one of the 5 bytes that the model knows"
	l.fails(2, []string{missing}, append([]string{"generate", "--prompt-file", file}, own...)...)
	l.fails(2, []string{missing}, append([]string{"generate", "--prompt", "\xff\xd7"}, own...)...)
	l.fails(1, []string{missing}, append([]string{"score", "--file", file}, own...)...)
	exact, made := filepath.Join(l.dir, "exact"), filepath.Join(l.dir, "made.json")
	l.ok(append([]string{"generate", "--prompt", "\xff\n\xd9", "--out", exact, "--receipt", made}, own...)...)
	streamed := l.finish(l.child(append([]string{"generate", "--prompt", "\xff\n\xd9", "--stream"}, own...)...))
	replayed := l.finish(l.child("replay", made))
	if l.read(exact) != want.stdout || streamed.stdout != want.stdout || replayed.stdout != want.stdout {
		t.Errorf("a file has %q, a stream %q, replayed %q, want %q", l.read(exact), streamed.stdout, replayed.stdout, want.stdout)
	}
	var result struct{ Bytes [][]byte }
	if o := l.ok(append([]string{"generate", "--prompt", "\xff\n\xd9", "--json"}, own...)...); json.Unmarshal([]byte(o.stdout), &result) != nil ||
		len(result.Bytes) != 1 || string(result.Bytes[0]) != want.stdout {
		t.Errorf("--json: %v, want the bytes %q", o, want.stdout)
	}
	for _, flag := range []string{"--out", "--receipt", "--prompt-file"} {
		l.fails(2, []string{flag + " is empty"}, "generate", flag, "")
	}
	l.fails(2, []string{"which is a folder; name a file in it"}, "generate", "--out", l.dir)
	l.fails(2, []string{"/dev/null, which is no regular file", "goes to stdout"}, "generate", "--out", os.DevNull)
	banned := l.finish(l.child(append([]string{"generate", "--ban", "\xff", "--ban", "\xd9", "--prompt", " ", "--length", "30"}, own...)...))
	if banned.code != 0 || strings.Contains(banned.stdout, "\xff") || strings.Contains(banned.stdout, "\xd9") {
		t.Errorf("bytes are banned: %q, %v", banned.stdout, banned)
	}
	l.fails(2, []string{"is 2 bytes, and the model is one of bytes", "ban single bytes"}, append([]string{"generate", "--ban", "\u0660"}, own...)...)
	l.fails(2, []string{"--prompt and --prompt-file exclude each other"}, "generate", "--prompt", "a", "--prompt-file", file)
	l.fails(1, []string{filepath.Join(l.dir, "none")}, "generate", "--prompt-file", filepath.Join(l.dir, "none"))
	if o := l.ok("inspect", filepath.Join(l.work, "run")); !strings.Contains(o.stdout, `vocabulary   5 bytes, normalize none: "\n \xd9\xe0\xff"`) {
		t.Errorf("inspect: %v", o)
	}
}
