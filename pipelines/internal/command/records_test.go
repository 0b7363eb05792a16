package command_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// manifest is the part of a manifest that these tests look at.
type manifest struct {
	Records   string
	Pack      string
	Chars     int64
	Dropped   int64 `json:"dropped_chars"`
	Documents []struct {
		Name    string
		Records int64
	}
	Splits []struct {
		Shards []struct{ SHA256 string }
	}
}

// prepared makes a set and returns its manifest.
func (l *lab) prepared(name string, args ...string) (m manifest) {
	l.t.Helper()
	out := filepath.Join(l.dir, name)
	l.ok(append([]string{"prep", "--out", out}, args...)...)
	if err := json.Unmarshal([]byte(l.read(filepath.Join(out, "manifest.json"))), &m); err != nil {
		l.t.Fatal(err)
	}
	return m
}

// TestRecordsSet makes sets of records in each form, on two engines, with one and many
// ranges. Their shards are those of a file with the records, a line break behind each.
func TestRecordsSet(t *testing.T) {
	l := newLab(t)
	lines := strings.Split(strings.TrimSpace(text(3000)), "\n")
	var plain, jsonl, table strings.Builder
	table.WriteString("id,said\r\n")
	for i, s := range lines {
		fmt.Fprintf(&plain, "%s\n", s)
		data, err := json.Marshal(map[string]any{"id": i, "said": s, "none": nil})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&jsonl, "%s\n", data)
		fmt.Fprintf(&table, "%d,\"%s\"\r\n", i, s)
	}
	l.write(l.corpus, plain.String())
	want := l.prepared("plain")
	if want.Records != "" || want.Pack != "" || want.Documents[0].Records != 0 {
		t.Errorf("the manifest of a file speaks of records: %+v", want)
	}
	if err := os.Mkdir(filepath.Join(l.dir, "lines"), 0o777); err != nil {
		t.Fatal(err)
	}
	for i, s := range lines {
		l.write(filepath.Join(l.dir, "lines", fmt.Sprintf("%05d.txt", i)), s)
	}
	for name, c := range map[string]struct {
		text string
		set  []string
	}{
		"line.txt":    {strings.ReplaceAll(plain.String(), "\n", "\r\n"), []string{"corpus.records=line"}},
		"posts.jsonl": {jsonl.String(), []string{"corpus.records=jsonl:said"}},
		"table.csv":   {table.String(), []string{"corpus.records=csv:said"}},
		"lines":       {"", []string{"prep.pack=newline"}},
	} {
		file := filepath.Join(l.dir, name)
		if c.text != "" {
			l.write(file, c.text)
		}
		for _, runner := range []string{"direct", "prism"} {
			got := l.prepared(name+runner, "--runner", runner, "--set", "corpus.sources="+file, "--set", c.set[0])
			if fmt.Sprint(got.Splits) != fmt.Sprint(want.Splits) || got.Chars != want.Chars || got.Dropped != want.Dropped {
				t.Errorf("%s on %s: %+v, want the shards of %+v", name, runner, got, want)
			}
			key, value, _ := strings.Cut(c.set[0], "=")
			said := map[string]string{"corpus.records": got.Records, "prep.pack": got.Pack}[key]
			document := map[string]string{"corpus.records": name, "prep.pack": "packed"}[key]
			if len(got.Documents) != 1 || got.Documents[0].Name != document || got.Documents[0].Records != int64(len(lines)) || said != value {
				t.Errorf("%s on %s: %+v, want %d records in %s", name, runner, got, len(lines), document)
			}
		}
	}
}

// TestRecordsRound runs a round of records, in processes of their own: the way back
// from its sample ends at the file, another file makes another round, and a carried
// hidden goes through records.
func TestRecordsRound(t *testing.T) {
	l := newLab(t)
	posts := filepath.Join(l.dir, "posts.jsonl")
	var b strings.Builder
	for _, s := range strings.Split(text(2000), "\n") {
		fmt.Fprintf(&b, "{\"said\": %q}\n", s)
	}
	l.write(posts, b.String())
	args := []string{"--set", "corpus.sources=" + posts, "--set", "corpus.records=jsonl:said", "--set", "train.hidden=carry"}
	o := l.finish(l.child(append([]string{"run"}, args...)...))
	if o.code != 0 {
		t.Fatal(o)
	}
	o = l.finish(l.child(append([]string{"run"}, args...)...))
	wantStages(t, o, "nothing to do")
	shown := l.result("lineage", append([]string{"runs", "show"}, args...)...)["lineage"].([]any)
	last := shown[len(shown)-1].(map[string]any)
	if want := fmt.Sprintf("%x", sha256.Sum256([]byte(b.String()))); last["what"] != "source" || last["name"] != "posts.jsonl" || last["sha256"] != want {
		t.Errorf("the lineage ends at %v, want posts.jsonl with sha256 %s", last, want)
	}
	// The same records in other bytes are the same corpus.
	l.write(posts, strings.ReplaceAll(b.String(), "\": ", "\":"))
	wantStages(t, l.finish(l.child(append([]string{"run"}, args...)...)), "nothing to do")
	l.write(posts, b.String()+"{\"said\": \"the light of glass\"}\n")
	if o := l.finish(l.child(append([]string{"run"}, args...)...)); stageLines(t, o)["prep"] != "runs" {
		t.Errorf("one record more: %v", o)
	}
}

// TestRecordMistakes: an error names the line and what to set.
func TestRecordMistakes(t *testing.T) {
	l := newLab(t)
	posts := filepath.Join(l.dir, "posts.jsonl")
	l.write(posts, "{\"body\": \"the light\"}\n{\"body\": 5}\n")
	source := []string{"run", "--set", "corpus.sources=" + posts, "--set"}
	l.fails(2, []string{"corpus.records", "jsonl:KEY or csv:COLUMN"}, append(source, "corpus.records=json:text")...)
	l.fails(2, []string{"corpus.records", "jsonl:KEY or csv:COLUMN"}, append(source, "corpus.records=jsonl:")...)
	l.fails(1, []string{"posts.jsonl: line 1: no key \"text\"; the keys are \"body\"", "correct corpus.records"}, append(source, "corpus.records=jsonl:text")...)
	l.fails(1, []string{"posts.jsonl: line 2: the value of \"body\" is a number"}, append(source, "corpus.records=jsonl:body")...)
	l.write(posts, "the light\nof \xffglass\n")
	l.fails(1, []string{"posts.jsonl: byte 13 (0xff) is not valid UTF-8", "correct it, or use invalid_utf8 replace"}, append(source, "corpus.records=line")...)
	for _, allow := range []string{"prep.invalid_utf8=replace", "prep.unit=byte"} {
		if m := l.prepared(allow, "--set", "corpus.sources="+posts, "--set", "corpus.records=line", "--set", allow, "--set", "prep.seq_length=1"); m.Documents[0].Records != 2 {
			t.Errorf("%s: %+v, want 2 records", allow, m)
		}
	}
}

// TestShortDocuments: documents that are shorter than a sequence, or have no sequence
// left to validate on, are refused with prep.pack, which helps.
func TestShortDocuments(t *testing.T) {
	l := newLab(t)
	folder := filepath.Join(l.dir, "poems")
	if err := os.Mkdir(folder, 0o777); err != nil {
		t.Fatal(err)
	}
	for i, s := range strings.Split(text(6000), ".") {
		l.write(filepath.Join(folder, fmt.Sprintf("%03d.txt", i)), s[:min(len(s), 60)]+"\n")
	}
	for _, length := range []string{"100", "30"} {
		args := []string{"prep", "--out", filepath.Join(l.dir, "set"+length), "--set", "corpus.sources=" + folder, "--set", "prep.seq_length=" + length}
		l.fails(1, []string{"join the documents with pack newline", "prep.pack"}, args...)
		l.ok(append(args, "--set", "prep.pack=newline")...)
	}
}
