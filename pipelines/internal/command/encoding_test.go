package command_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"
)

// russian is a text in which Cyrillic, Latin and line ends come in turn.
var russian = strings.Repeat("Все счастливые семьи похожи друг на друга, wrote Tolstoy,\r\nкаждая несчастливая семья несчастлива по-своему.\r\n", 30)

// encode16 returns a text in UTF-16.
func encode16(text string, big bool) string {
	var b strings.Builder
	for _, u := range utf16.Encode([]rune(text)) {
		if low, high := byte(u), byte(u>>8); big {
			b.Write([]byte{high, low})
		} else {
			b.Write([]byte{low, high})
		}
	}
	return b.String()
}

// encode1251 returns a Russian text in windows-1251: А is 0xC0, and so on.
func encode1251(text string) string {
	var b strings.Builder
	for _, c := range text {
		if c >= 'А' {
			c += 0xC0 - 'А'
		}
		b.WriteByte(byte(c))
	}
	return b.String()
}

// zip compresses a text.
func zip(text string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	fmt.Fprint(w, text)
	w.Close()
	return b.String()
}

// TestEncodings prepares one text in many encodings. Refused are those that are not
// UTF-8, before any work, with the setting that helps; with it, the sequences are those
// of the text in UTF-8.
func TestEncodings(t *testing.T) {
	l := newLab(t)
	l.write(filepath.Join(l.dir, "utf8.txt"), russian)
	plain := l.result(prepKeys, "prep", "--set", "corpus.sources="+filepath.Join(l.dir, "utf8.txt"), "--out", "plain")
	for i, c := range []struct{ name, data, use, why string }{
		{"mark.txt", "\ufeff" + russian, "", ""},
		{"le.txt", encode16(russian, false), "utf-16le", "it is UTF-16, and was read as UTF-8"},
		{"be.txt", encode16(russian, true), "utf-16be", "it is UTF-16, and was read as UTF-8"},
		{"markbe.txt", "\xfe\xff" + encode16(russian, true), "utf-16", "it is UTF-16, and was read as UTF-8"},
		{"le.txt.gz", zip("\xff\xfe" + encode16(russian, false)), "utf-16", "it is UTF-16, and was read as UTF-8"},
		{"1251.txt", encode1251(russian), "windows-1251", "byte 0 (0xc2) is not valid UTF-8, the first of 2310"},
	} {
		file := filepath.Join(l.dir, c.name)
		l.write(file, c.data)
		args := []string{"prep", "--set", "corpus.sources=" + file, "--out", fmt.Sprint("set", i)}
		if c.use != "" {
			l.fails(1, []string{strings.TrimSuffix(c.name, ".gz"), c.why, "to read it so: --set corpus.encoding=" + c.use}, args...)
			whole := func(command string) []string { return []string{command, "--set", "corpus.sources=" + file} }
			if p, o := l.run(whole("plan")...), l.run(whole("run")...); p.code != 1 || o.code != 1 || lastLine(p) != lastLine(o) || !strings.Contains(lastLine(p), c.why) {
				t.Errorf("%s: a plan is not the round: %v\n%v", c.name, p, o)
			}
			args = append(args, "--set", "corpus.encoding="+c.use)
		}
		r := l.result(prepKeys, args...)
		for _, key := range []string{"chars", "vocab", "dropped_chars", "unigram_nats", "bigram_nats"} {
			if r[key] != plain[key] {
				t.Errorf("%s: %s is %v, want %v", c.name, key, r[key], plain[key])
			}
		}
		for _, name := range []string{"vocab.json", "train-00000-of-00001.tfrecord", "validation-00000-of-00001.tfrecord"} {
			if l.read(filepath.Join(r["set"].(string), name)) != l.read(filepath.Join(plain["set"].(string), name)) {
				t.Errorf("%s: %s is another", c.name, name)
			}
		}
	}
	one := filepath.Join(l.dir, "1251.txt")
	l.fails(1, []string{"is not valid windows-1255", "see corpus.encoding, prep.invalid_utf8"}, "prep", "--set", "corpus.sources="+one, "--out", "wrong", "--set", "corpus.encoding=windows-1255")
}

// TestNewlines: CR alone is told of, and made LF where that is asked for.
func TestNewlines(t *testing.T) {
	l := newLab(t)
	lf := filepath.Join(l.dir, "lf.txt")
	l.write(lf, text(3000))
	l.write(l.corpus, strings.ReplaceAll(text(3000), "\n", "\r"))
	const hint = "text.txt: CR alone ends its lines; with newlines lf, LF does"
	if o := l.ok("prep"); !strings.Contains(o.stderr, hint) {
		t.Errorf("no hint: %v", o)
	}
	if o := l.ok("prep", "--out", "two", "--set", "corpus.newlines=lf"); strings.Contains(o.stderr, hint) {
		t.Errorf("a hint although lines end in LF: %v", o)
	}
	l.ok("prep", "--out", "three", "--set", "corpus.sources="+lf)
	for _, name := range []string{"vocab.json", "train-00000-of-00001.tfrecord"} {
		if l.read(filepath.Join(l.work, "two", name)) != l.read(filepath.Join(l.work, "three", name)) {
			t.Errorf("%s is another", name)
		}
	}
}

// TestScoreEncoding scores a text as it would be read from the corpus.
func TestScoreEncoding(t *testing.T) {
	l := newLab(t)
	l.ok("prep")
	l.ok("train")
	lines := "the light\nis bent\n"
	for name, data := range map[string]string{"plain.txt": lines, "mark.txt": "\ufeff" + lines, "utf16.txt": "\xff\xfe" + encode16(strings.ReplaceAll(lines, "\n", "\r\n"), false)} {
		l.write(filepath.Join(l.dir, name), data)
	}
	want := l.result("chars", "score", "--file", filepath.Join(l.dir, "plain.txt"))
	for _, args := range [][]string{
		{"score", "--file", filepath.Join(l.dir, "mark.txt")},
		{"score", "--file", filepath.Join(l.dir, "utf16.txt"), "--set", "corpus.encoding=utf-16", "--set", "corpus.newlines=lf"},
	} {
		if got := l.result("chars", args...); got["nats_per_char"] != want["nats_per_char"] || got["chars"] != 17.0 {
			t.Errorf("%v: %v, want %v", args, got, want)
		}
	}
	l.write(filepath.Join(l.dir, "plain.txt"), "\xd9")
	l.fails(1, []string{"plain.txt: text: byte 0 (0xd9) is not valid windows-1255"}, "score", "--file", filepath.Join(l.dir, "plain.txt"), "--set", "corpus.encoding=windows-1255")
}

// TestScoreForms: a text for score may be compressed, or in another encoding; one that is read
// in the wrong form is refused by what it is.
func TestScoreForms(t *testing.T) {
	l := untrained(t)
	in := func(name, data string) string { return l.rewritten(filepath.Join(l.dir, name), data) }
	if o := l.run("score", in("again.txt", encode1251("the Ы")), "--set", "corpus.encoding=windows-1251"); o.code != 1 ||
		!strings.Contains(o.stderr, "'Ы'") || strings.Contains(o.stderr, "to read it so") {
		t.Errorf("a character that the model lacks, in the right encoding: %v", o)
	}
	if o := l.run("score", "--text", "the light \xe9t the"); o.code != 1 || !strings.Contains(o.stderr, "byte 10 of the text is not valid UTF-8") ||
		strings.Contains(o.stderr, "to read it so") {
		t.Errorf("--text in another encoding: %v", o)
	}
	if err := os.Mkdir(filepath.Join(l.dir, "folder.gz"), 0o755); err != nil {
		t.Fatal(err)
	}
	if o := l.run("score", filepath.Join(l.dir, "folder.gz")); o.code != 1 || !strings.Contains(o.stderr, "folder.gz: is a directory") ||
		strings.Contains(o.stderr, "gzip") {
		t.Errorf("a folder: %v", o)
	}
	const light = "the light of the the "
	nats := l.result(scoreKeys, "score", in("plain.txt", light))["nats_per_char"]
	for _, c := range []struct{ name, data, use, why string }{
		{"light.txt.gz", zip(light), "", ""},
		{"light.gz.txt", zip(light), "", "it is application/x-gzip, no text in UTF-8; unpack or convert it first"},
		{"zip.gz", light, "", "zip.gz: it is not in the format of gzip"},
		{"cut.gz", zip(light)[:30], "", "cut.gz: damaged or cut off: unexpected EOF"},
		{"head.gz", zip(light)[:10], "", "head.gz: damaged or cut off: unexpected EOF"},
		{"table.gz", zip(light)[:10] + "\xff\xff\xff", "", "table.gz: damaged or cut off: flate: corrupt input"},
		{"sum.gz", zip(light)[:len(zip(light))-8] + "12345678", "", "sum.gz: damaged or cut off: gzip: invalid checksum"},
		{"none.gz", "", "", "none.gz: it is empty, and not in the format of gzip"},
		{"le.txt", encode16(light, false), "utf-16le", "it is UTF-16, and was read as UTF-8"},
		{"le.gz", zip("\xff\xfe" + encode16(light, false)), "utf-16", "it is UTF-16, and was read as UTF-8"},
		{"1251.txt", encode1251(russian), "windows-1251", "byte 0 (0xc2) is not valid UTF-8; it is likely windows-1251"},
		{"other.txt", "the light\xff", "", "byte 9 of the text is not valid UTF-8; correct the text"},
		{"lacks.txt", "the Zebra" + encode1251(russian), "windows-1251", "it is likely windows-1251"},
	} {
		file, advice := in(c.name, c.data), "to read it so: --set corpus.encoding="+c.use
		switch o := l.run("score", file, "--json"); {
		case c.why == "" && o.code != 0, c.why != "" && (o.code != 1 || !strings.Contains(o.stderr, c.why)), c.use == "" && strings.Contains(o.stderr, "to read it so"),
			c.use != "" && !strings.Contains(o.stderr, advice):
			t.Errorf("%s: %v, want %q and %q", c.name, o, c.why, c.use)
		}
		if strings.HasPrefix(c.use, "utf-16") || c.why == "" {
			args := []string{"score", file}
			if c.use != "" {
				args = append(args, "--set", "corpus.encoding="+c.use)
			}
			if got := l.result(scoreKeys, args...)["nats_per_char"]; got != nats {
				t.Errorf("%s: %v nats, of the plain text %v", c.name, got, nats)
			}
		}
	}
}
