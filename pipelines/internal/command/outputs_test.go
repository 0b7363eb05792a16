package command_test

import (
	"os"
	"path/filepath"
	"testing"
)

// TestSpare: no command writes over what it reads, over a file of another kind, or two things
// to one file; its own kind it replaces.
func TestSpare(t *testing.T) {
	l := untrained(t)
	in := func(name string) string { return filepath.Join(l.dir, name) }
	l.write(in("text.txt"), "the light of the the")
	l.write(in("other.json"), `{"a": 1}`)
	model := in("copy.safetensors")
	l.write(model, l.read(filepath.Join(l.work, "run", "checkpoints", "step-00000000.safetensors")))
	if err := os.Link(model, in("link")); err != nil {
		t.Fatal(err)
	}
	generate := []string{"generate", "--prompt", "the", "--length", "3", "--checkpoint", model}
	for range 2 { // what it has written it writes again
		l.ok(append(generate, "--out", in("out.txt"), "--receipt", in("receipt.json"))...)
		l.ok("score", in("text.txt"), "--html", in("page.html"))
		l.ok("replay", in("receipt.json"), "--checkpoint", model, "--out", in("again.txt"))
	}
	for _, c := range []struct {
		says string
		args []string
	}{
		{"which the command reads", append(generate, "--out", model)},
		{"which the command reads", append(generate, "--out", in("link"))},
		{"which the command reads", []string{"generate", "--checkpoint", model, "--prompt-file", in("text.txt"), "--out", in("text.txt")}},
		{"which the command reads", []string{"generate", "--checkpoint", model, "--prompt-file", in("text.txt"), "--receipt", in("text.txt")}},
		{"which the command reads", []string{"replay", in("receipt.json"), "--checkpoint", model, "--out", in("receipt.json")}},
		{"which the command reads", []string{"score", in("text.txt"), "--html", in("text.txt")}},
		{"which the command reads", []string{"score", in("text.txt"), "--checkpoint", model, "--html", model}},
		{"which the command reads", []string{"score", in("text.txt"), "--checkpoint", model, "--compare", in("link"), "--html", in("link")}},
		{"--out and --receipt name one file", append(generate, "--out", in("new"), "--receipt", l.dir+"/./new")},
		{"is not a text", append(generate, "--out", in("other.json"))},
		{"is not a receipt", append(generate, "--receipt", in("text.txt"))},
		{"is not a receipt", append(generate, "--receipt", in("other.json"))},
		{"--out is -, which is not standard output here: without --out the text goes to stdout; ./- is a file of that name", append(generate, "--out", "-")},
		{"--out is -, which is not standard output here: without --out", []string{"replay", in("receipt.json"), "--checkpoint", model, "--out", "-"}},
		{"--receipt is -, which is not standard output here: name a file; ./-", append(generate, "--receipt", "-")},
		{"--html is -, which is not standard output here: name a file", []string{"score", "--text", "the", "--html", "-"}},
		{"--out is -, which is not standard output here: name a file", []string{"report", "--out", "-"}},
		{"is not a page", []string{"score", "--text", "the", "--html", in("text.txt")}},
	} {
		l.fails(2, []string{c.says}, c.args...)
	}
	if l.read(in("text.txt")) != "the light of the the" || l.read(in("other.json")) != `{"a": 1}` {
		t.Error("a file has changed")
	}
}
