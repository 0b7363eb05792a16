package command_test

import (
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A kind is a kind of text that people bring. It goes through a round of the shipped
// config; or it is refused before any work, by an error that has the parts refused,
// and goes through with the settings that these name.
type kind struct {
	file, text string
	refused    []string
	with       []string
}

// kinds are the texts, of sizes that people have, and some of 300 bytes.
func kinds() []kind {
	utf16 := []string{"it is UTF-16", "--set corpus.encoding=utf-16"}
	names, poems := written(40*kilobyte, nameLine), written(60*kilobyte, poem(hebrew, " ", "."))
	list := []kind{
		{file: "tunes.abc", text: written(40*kilobyte, abcTune)},
		{file: "games.pgn", text: written(60*kilobyte, chessGame)},
		{file: "proteins.fasta", text: written(50*kilobyte, protein)},
		{file: "names.txt", text: names},
		{file: "chinese.txt", text: written(60*kilobyte, chineseQuatrain)},
		{file: "hebrew.txt", text: written(40*kilobyte, poem(hebrew, " ", "."))},
		{file: "arabic.txt", text: written(60*kilobyte, poem(arabic, " ", "."))},
		{file: "japanese.txt", text: written(60*kilobyte, poem(japanese, "", "。"))},
		{file: "thai.txt", text: written(80*kilobyte, poem(thai, "", ""))},
		{file: "reviews.csv", text: written(60*kilobyte, reviewCSV)},
		{file: "posts.jsonl", text: written(80*kilobyte, postJSON)},
		{file: "icons.svg", text: written(60*kilobyte, iconSVG)},
		{file: "utf16.txt", text: utf16Text(written(40*kilobyte, proseLine), binary.LittleEndian), refused: utf16, with: []string{"corpus.encoding=utf-16"}},
		{file: "windows1255.txt", text: windows1255(poems), refused: []string{"byte 0 (0x", "--set corpus.encoding=windows-1255"}, with: []string{"corpus.encoding=windows-1255"}},
		{file: "mac.txt", text: strings.ReplaceAll(written(40*kilobyte, proseLine), "\n", "\r")},
	}
	return append(list,
		kind{file: "utf16be.txt", text: utf16Text(poems, binary.BigEndian)[2:], refused: []string{"it is UTF-16", "--set corpus.encoding=utf-16be"}, with: []string{"corpus.encoding=utf-16be"}},
		kind{file: "marked.txt", text: "\ufeff" + names},
	)
}

// records are texts whose records are documents.
func records() []kind {
	return []kind{
		{file: "names.txt", text: written(40*kilobyte, nameLine), with: []string{"corpus.records=line", "prep.validation.by=block"}},
		{file: "posts.jsonl", text: written(80*kilobyte, postJSON), with: []string{"corpus.records=jsonl:text", "prep.pack=blank_line"}},
		{file: "reviews.csv", text: written(60*kilobyte, reviewCSV), with: []string{"corpus.records=csv:review"}},
	}
}

// small are texts of some 300 bytes.
func small() []kind {
	refused, with := []string{"a smaller seq_length (", " at most)", "prep.seq_length"}, []string{"prep.seq_length=8", "train.batch=2"}
	return []kind{
		{file: "names.txt", text: written(300, nameLine), refused: refused, with: with},
		{file: "tune.abc", text: written(300, abcTune), refused: refused, with: with},
		{file: "post.jsonl", text: written(300, postJSON), refused: refused, with: with},
		{file: "hebrew.txt", text: written(300, poem(hebrew, " ", ".")), refused: refused, with: with},
	}
}

// fast makes a round of larger texts short. A soak has the shipped config as it is, and
// texts of twice the size.
var (
	fast     = []string{"model.hidden=64", "model.embedding=16", "train.epochs=3", "train.batch=4", "train.lr=0.01", "gate.samples=8"}
	kilobyte = map[bool]int{true: 1000, false: 500}[soak]
)

// TestKinds gives every kind of text to quire run, the command, in a folder of its own.
func TestKinds(t *testing.T) {
	for name, list := range map[string][]kind{"": kinds(), "records/": records(), "small/": small()} {
		for _, k := range list {
			t.Run(name+k.file, func(t *testing.T) { k.run(t) })
		}
	}
}

// run runs rounds of the kind.
func (k kind) run(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, k.file), []byte(k.text), 0o666); err != nil {
		t.Fatal(err)
	}
	l := &lab{t: t, dir: dir}
	quire := func(settings ...string) outcome {
		args := []string{"run", "--set", "corpus.sources=" + k.file}
		if !soak && len(k.text) > 1000 {
			settings = append(fast, settings...)
		}
		c := exec.Command(os.Args[0], append(args, set(settings...)...)...)
		c.Env, c.Dir = append(os.Environ(), childVariable+"=1"), dir
		return l.finish(c)
	}
	if k.refused != nil {
		o := quire()
		lines := strings.Split(strings.TrimSpace(o.stderr), "\n")
		for _, part := range k.refused {
			if o.code == 0 || !strings.Contains(lines[len(lines)-1], part) {
				t.Errorf("want a refusal with %q: %v", part, o)
			}
		}
		if strings.Contains(o.stderr, "train     runs") {
			t.Errorf("refused after work: %v", o)
		}
	}
	o := quire(k.with...)
	if o.code != 0 || !strings.Contains(o.stdout, "promoted") {
		t.Fatal(o)
	}
}
