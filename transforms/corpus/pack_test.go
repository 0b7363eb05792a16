package corpus

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
)

// packedTexts returns the texts of packed documents, by name, each behind its number of
// records.
func packedTexts(t *testing.T, docs []Document, p Packing, o *ResolveOptions) map[string]string {
	t.Helper()
	packed, err := Packed(t.Context(), docs, p, o)
	if err != nil {
		t.Fatal(err)
	}
	sums, err := Digests(t.Context(), packed)
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{}
	for i, d := range packed {
		data, err := os.ReadFile(d.Path)
		if err != nil || int64(len(data)) != d.Bytes || d.CRC != crc(string(data)) || d.SHA256 != sums[i] {
			t.Errorf("%+v: %d bytes, %v", d, len(data), err)
		}
		texts[d.Name] = fmt.Sprintf("%d %s", d.Records, data)
	}
	return texts
}

func TestPacked(t *testing.T) {
	dir := t.TempDir()
	o := &ResolveOptions{Cache: t.TempDir()}
	poems := []Document{put(t, dir, "a.txt", "rose\r\nred\r\n\r\n"), put(t, dir, "b.txt", ""), put(t, dir, "c.txt", "\n"), put(t, dir, "d.txt", "\nsun")}
	posts := []Document{put(t, dir, "1.jsonl", `{"t":"one\n"}`+"\n"+`{"t":""}`+"\n"+`{"t":"two"}`), put(t, dir, "2.jsonl", `{"t":"three"}`)}
	for _, c := range []struct {
		docs []Document
		p    Packing
		want map[string]string
	}{
		{poems, Packing{Pack: PackNewline}, map[string]string{"packed": "2 rose\r\nred\n\nsun\n"}},
		{poems, Packing{Pack: PackBlankLine}, map[string]string{"packed": "2 rose\r\nred\n\n\nsun\n\n"}},
		{poems, Packing{Records: RecordLine}, map[string]string{"a.txt": "2 rose\nred\n", "b.txt": "0 ", "c.txt": "0 ", "d.txt": "1 sun\n"}},
		{posts, Packing{Records: "jsonl:t", Pack: PackNone}, map[string]string{"1.jsonl": "2 one\ntwo\n", "2.jsonl": "1 three\n"}},
		{posts, Packing{Records: "jsonl:t", Pack: PackBlankLine}, map[string]string{"packed": "3 one\n\ntwo\n\nthree\n\n"}},
	} {
		for range 2 { // made, then found
			got := packedTexts(t, c.docs, c.p, o)
			if len(got) != len(c.want) {
				t.Errorf("%+v: %q", c.p, got)
			}
			for name, want := range c.want {
				if got[name] != want {
					t.Errorf("%+v: %s is %q, want %q", c.p, name, got[name], want)
				}
			}
		}
	}
	if same, err := Packed(t.Context(), poems, Packing{Records: RecordFile}, &ResolveOptions{}); err != nil || &same[0] != &poems[0] {
		t.Errorf("documents that stay apart are %v, %v", same, err)
	}
}

// TestPackedAgain packs again: nothing is written, unless the text is damaged or a
// document has changed.
func TestPackedAgain(t *testing.T) {
	dir := t.TempDir()
	o, p := &ResolveOptions{Cache: t.TempDir()}, Packing{Pack: PackNewline}
	docs := []Document{put(t, dir, "a.txt", "one"), put(t, dir, "b.txt", "two")}
	path := func() string {
		t.Helper()
		packed, err := Packed(t.Context(), docs, p, o)
		if err != nil {
			t.Fatal(err)
		}
		return packed[0].Path
	}
	first := path()
	before, err := os.Stat(first)
	if err != nil {
		t.Fatal(err)
	}
	if now, err := os.Stat(path()); err != nil || !os.SameFile(before, now) {
		t.Errorf("written again: %v", err)
	}
	if err := os.WriteFile(first, []byte("one\ntwx\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if text := packedTexts(t, docs, p, o)["packed"]; text != "2 one\ntwo\n" {
		t.Errorf("a damaged text stays: %q", text)
	}
	docs[1] = put(t, dir, "b.txt", "six")
	if path() == first || packedTexts(t, docs, p, o)["packed"] != "2 one\nsix\n" {
		t.Error("another corpus has the text of the first")
	}
}

// TestPackedChanged: a text is kept under the digests of the bytes that it was made of, and
// of no others.
func TestPackedChanged(t *testing.T) {
	for _, p := range []Packing{{Pack: PackNewline}, {Records: RecordLine}, {Records: "jsonl:t"}, {Records: "csv:t"}} {
		dir, cache := t.TempDir(), t.TempDir()
		before := `{"t":"a"}` + "\n" + `{"t":"a"}`
		if p.Records == "csv:t" {
			before = "t\na\nb\n"
		}
		docs := []Document{put(t, dir, "a.txt", before)}
		if _, err := Digests(t.Context(), docs); err != nil {
			t.Fatal(err)
		}
		put(t, dir, "a.txt", strings.Replace(before, "a", "b", 2))
		if got, err := Packed(t.Context(), docs, p, &ResolveOptions{Cache: cache}); !errors.Is(err, ErrChanged) ||
			!strings.HasPrefix(err.Error(), "corpus: a.txt: ") {
			t.Errorf("%+v: another text is packed: %+v, %v", p, got, err)
		}
		put(t, dir, "a.txt", before+"\nand more")
		if _, err := Packed(t.Context(), docs, p, &ResolveOptions{Cache: cache}); err != nil {
			t.Errorf("%+v: the beginning: %v", p, err)
		}
	}
}

func TestPackedErrors(t *testing.T) {
	dir := t.TempDir()
	o := &ResolveOptions{Cache: t.TempDir()}
	docs := []Document{put(t, dir, "a.jsonl", "{\"t\": \"a\", \"e\": \"\"}\n"), put(t, dir, "b.jsonl", "\n{\"u\": 5, \"e\": \"\\n\"}\n")}
	for _, c := range []struct {
		p    Packing
		o    *ResolveOptions
		want string
	}{
		{Packing{Records: "jsonl:t"}, o, `corpus: b.jsonl: line 2: no key "t"`},
		{Packing{Records: "csv:x"}, o, `corpus: a.jsonl: line 1: the first row`},
		{Packing{Records: RecordLine}, &ResolveOptions{}, "no folder"},
		{Packing{Records: "jsonl:e"}, o, "corpus: no record has a character"},
		{Packing{Records: "jsonl:e", Pack: PackNewline}, o, "corpus: no record has a character"},
	} {
		if _, err := Packed(t.Context(), docs, c.p, c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.p, err, c.want)
		}
	}
}

// TestPackedNoText leaves documents as they are that are no text, and packs bytes that
// are allowed.
func TestPackedNoText(t *testing.T) {
	dir := t.TempDir()
	o := &ResolveOptions{Cache: t.TempDir()}
	for text, allowed := range map[string]Packing{"ab\nc\xffd\n": {Replace: true}, "ab\nc\xff\n": {Bytes: true},
		"a\x00b\x00\n\x00c\x00\n\x00d\x00": {Bytes: true}} {
		docs := []Document{put(t, dir, "a.txt", "one\n"), put(t, dir, "b.txt", text)}
		if same, err := Packed(t.Context(), docs, Packing{Records: RecordLine}, o); err != nil || &same[0] != &docs[0] {
			t.Errorf("%q: %v, %v", text, same, err)
		}
		docs[0].Signs.Other = "application/x-tar" // which may be ASCII
		if same, err := Packed(t.Context(), docs[:1], Packing{Records: RecordLine}, o); err != nil || &same[0] != &docs[0] {
			t.Errorf("an archive: %v, %v", same, err)
		}
		docs[0].Signs.Other = ""
		docs[0].Undefined.Count = 1 // in bytes that were decoded
		if same, err := Packed(t.Context(), docs, Packing{Records: RecordLine, Bytes: true}, o); err != nil || &same[0] != &docs[0] {
			t.Errorf("%q, decoded: %v, %v", text, same, err)
		}
		docs[0].Undefined.Count = 0
		allowed.Records = RecordLine
		if packed, err := Packed(t.Context(), docs, allowed, o); err != nil || packed[1].Records == 0 {
			t.Errorf("%q, %+v: %v, %v", text, allowed, packed, err)
		}
	}
}
