package command_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const generateKeys = "texts seed finish checkpoint checkpoint_sha256"

// TestGenerateTexts writes several texts, with stop strings, bans and an output file, and
// replays them from the receipt.
func TestGenerateTexts(t *testing.T) {
	l := untrained(t)
	in := func(name string) string { return filepath.Join(l.dir, name) }
	list := func(args ...string) []any {
		t.Helper()
		return l.result(generateKeys, append([]string{"generate", "--length", "40"}, args...)...)["texts"].([]any)
	}
	texts := list("--num", "3", "--seed", "7")
	if one := list("--seed", "7"); len(texts) != 3 || len(one) != 1 || one[0] != texts[0] || texts[1] == texts[0] {
		t.Errorf("three texts are %q, one is %q", texts, one)
	}
	want := texts[0].(string) + "\n---------------\n" + texts[1].(string) + "\n---------------\n" + texts[2].(string) + "\n"
	for _, stream := range []string{"--stream=false", "--stream"} {
		if o := l.ok("generate", "--length", "40", "--num", "3", "--seed", "7", stream); o.stdout != want {
			t.Errorf("%s prints %q, want %q", stream, o.stdout, want)
		}
	}
	o := l.ok("generate", "--length", "40", "--num", "3", "--seed", "7", "--out", in("texts/a b.txt"), "--receipt", in("receipt.json"))
	if o.stdout != "" || l.read(in("texts/a b.txt")) != want {
		t.Errorf("stdout has %q, the file %q", o.stdout, l.read(in("texts/a b.txt")))
	}
	l.fails(2, []string{"is a folder; name a file in it"}, "generate", "--length", "1", "--out", in("texts")+"/")
	if _, err := os.Stat(in("texts/texts")); err == nil {
		t.Error("the name of a folder is that of a file in it")
	}
	stop := texts[0].(string)[10:12]
	stopped := l.result(generateKeys, "generate", "--length", "40", "--seed", "7", "--stop", "\x01", "--stop", stop)
	if got := stopped["texts"].([]any)[0].(string); strings.Contains(got[4:], stop) || !strings.HasPrefix(texts[0].(string), got) ||
		stopped["finish"].([]any)[0] != "stop" {
		t.Errorf("stopped before %q: %v", stop, stopped)
	}
	if got := list("--ban", "aeio", "--prompt", "")[0].(string); strings.ContainsAny(got, "aeio") {
		t.Errorf("without vowels: %q", got)
	}
	if got := list("--ban", "ae", "--ban", "io", "--prompt", "")[0].(string); strings.ContainsAny(got, "aeio") {
		t.Errorf("without vowels, by two flags: %q", got)
	}
	l.fails(2, []string{"ban: character 'é' (U+00E9)", "leave out of --ban"}, "generate", "--ban", "e", "--ban", "é")
	l.fails(2, []string{"stop string is empty"}, "generate", "--stop", "")
	if o := l.ok("generate", "--length", "1", "--stop", "é"); !strings.Contains(o.stderr, "no text ends before the stop string \"é\": the model lacks character 'é'") {
		t.Errorf("a stop string that the model cannot write: %v", o)
	}
	if got := list("--prompt", "thé e", "--unknown", "skip", "--length", "0")[0]; got != "th e" {
		t.Errorf("without é: %q", got)
	}
	l.fails(2, []string{"'é' (U+00E9) at position 2", "'Z' (U+005A) at position 4", "2 characters", "generate.unknown"}, "generate", "--prompt", "thé Z")
	l.fails(2, []string{"characters of the model are banned", "generate.ban"}, "generate", "--ban", l.read(l.corpus))
	l.fails(2, []string{"--min-p", "range"}, "generate", "--min-p", "1.5")

	replayed := l.result(generateKeys, "replay", in("receipt.json"))
	if got, err := json.Marshal(replayed["texts"]); err != nil || string(got) != string(must(json.Marshal(texts))) {
		t.Errorf("replayed are %s, want %q", got, texts)
	}
	if o := l.ok("replay", in("receipt.json"), "--out", in("again.txt")); o.stdout != "" || l.read(in("again.txt")) != want ||
		!strings.Contains(o.stderr, "the text is the one of the receipt, bit for bit, by "+replayed["checkpoint"].(string)) {
		t.Errorf("replayed: %v", o)
	}
	l.write(in("other.json"), strings.Replace(l.read(in("receipt.json")), `"seed": 7`, `"seed": 8`, 1))
	l.fails(1, []string{"the text of stream 0 differs", "sha256"}, "replay", in("other.json"))
	l.write(in("other.json"), strings.Replace(l.read(in("receipt.json")), replayed["checkpoint_sha256"].(string), strings.Repeat("0", 64), 1))
	l.fails(1, []string{"the model with sha256 0000", "is not there", "--checkpoint"}, "replay", in("other.json"))
	l.fails(1, []string{"none.json", "no such file"}, "replay", in("none.json"))
	l.fails(2, []string{"argument is missing"}, "replay")
	if _, err := os.Stat(in("none.json")); err == nil {
		t.Error("replay made its receipt")
	}
}

func must(data []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return data
}
