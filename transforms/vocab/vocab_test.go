package vocab

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func count(text string) map[rune]int64 {
	counts := map[rune]int64{}
	for _, c := range text {
		counts[c]++
	}
	return counts
}

func must(t testing.TB, unit Unit, counts map[rune]int64, minCount int64) *Vocab {
	t.Helper()
	v, err := New(unit, counts, minCount)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestIDs(t *testing.T) {
	for _, c := range []struct {
		unit     Unit
		text     string
		minCount int64
		chars    string // in id order, after [UNK]
		unknown  bool
	}{
		{Rune, "hello, world", 1, " ,dehlorw", false},
		{Rune, "hello, world", 0, " ,dehlorw", false},
		{Rune, "hello, world", 2, "lo", true},
		{Rune, "abab", 2, "ab", false}, // nothing is dropped
		{Rune, "a", 1, "a", false},
		{Rune, "\U0010ffff𝄞\uffff\ufffdéa\x00", 1, "\x00aé\ufffd\uffff𝄞\U0010ffff", false},
		{Byte, "\x00\u00ffa\u00e9", 1, "\x00a\u00e9\u00ff", false},
		{Byte, "\x00\x00\u00ffa\u00e9", 2, "\x00", true},
	} {
		v := must(t, c.unit, count(c.text), c.minCount)
		if v.HasUnknown() != c.unknown || v.Unit() != c.unit || len(v.Digest()) != 64 {
			t.Errorf("%q: unknown %v, unit %s, digest %s", c.text, v.HasUnknown(), v.Unit(), v.Digest())
		}
		next := int32(0)
		if c.unknown {
			next = 1
			if got := string(v.AppendText(nil, 0)); got != "[UNK]" {
				t.Errorf("%q: id 0 is %q", c.text, got)
			}
		}
		for _, r := range c.chars {
			id, ok := v.ID(r)
			if id != next || !ok {
				t.Errorf("%q: %q has id %d, %v, want %d", c.text, r, id, ok, next)
			}
			want := string(r)
			if c.unit == Byte {
				want = string([]byte{byte(r)})
			}
			if got := string(v.AppendText([]byte("x"), id)); got != "x"+want {
				t.Errorf("%q: id %d is %q, want %q", c.text, id, got[1:], want)
			}
			next++
		}
		if v.Size() != int(next) {
			t.Errorf("%q: size %d, want %d", c.text, v.Size(), next)
		}
		if id, ok := v.ID('Z'); id != 0 || ok != c.unknown {
			t.Errorf("%q: a character that is not there has id %d, %v", c.text, id, ok)
		}
	}
}

func TestNewErrors(t *testing.T) {
	for _, c := range []struct {
		unit     Unit
		counts   map[rune]int64
		minCount int64
		want     string
	}{
		{Rune, nil, 1, "vocab: there are no characters"},
		{Rune, map[rune]int64{'a': 1, 'b': 2}, 3, "vocab: none of 2 characters occurs min_count = 3 times; use a smaller min_count or more text"},
		{"word", map[rune]int64{'a': 1}, 1, `vocab: unit is "word"; use rune or byte`},
		{Byte, map[rune]int64{256: 1}, 1, "vocab: U+0100 is no character of unit byte"},
		{Rune, map[rune]int64{0xd800: 1}, 1, "vocab: U+D800 is no character of unit rune"},
		{Rune, map[rune]int64{-1: 1}, 1, "is no character of unit rune"},
		{Rune, map[rune]int64{0x110000: 1}, 1, "vocab: U+110000 is no character of unit rune"},
		{Rune, map[rune]int64{'a': 0}, 1, "vocab: character 'a' (U+0061) is counted 0 times"},
	} {
		v, err := New(c.unit, c.counts, c.minCount)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: got %v, %v, want %s", c.counts, v, err, c.want)
		}
	}
}

func TestEncode(t *testing.T) {
	v := must(t, Rune, count("abé𝄞\ufffd"), 1)
	ids, err := v.Encode([]int32{9}, []byte("a𝄞\x80é\ufffdb"))
	if err != nil || !slices.Equal(ids, []int32{9, 0, 4, 3, 2, 3, 1}) {
		t.Errorf("got %v, %v", ids, err)
	}
	unk := must(t, Rune, count("aab"), 2)
	if ids, err := unk.Encode(nil, []byte("abz\xff")); err != nil || !slices.Equal(ids, []int32{1, 0, 0, 0}) {
		t.Errorf("with [UNK]: got %v, %v", ids, err)
	}
	b := must(t, Byte, map[rune]int64{0: 1, 0xc3: 1, 0xff: 1}, 1)
	if ids, err := b.Encode(nil, []byte("\xff\xc3\x00\xc3")); err != nil || !slices.Equal(ids, []int32{2, 1, 0, 1}) {
		t.Errorf("bytes: got %v, %v", ids, err)
	}
}

func TestCharError(t *testing.T) {
	v := must(t, Rune, count("abé"), 1)
	for _, c := range []struct {
		text  string
		char  rune
		index int
		at    int
		want  string
	}{
		{"éaz", 'z', 2, 3, "vocab: character 'z' (U+007A) at position 2 (byte 3) is not one of the 3 characters that the model knows; use others, or " +
			"train on text that has it or with a min_count of 2 or more, which adds [UNK]"},
		{"é\ufffd", '\ufffd', 1, 2, "character '�' (U+FFFD) at position 1 (byte 2) is not one of"},
		{"éa\xc3", '\ufffd', 2, 3, "vocab: byte 3 of the text is not valid UTF-8; correct the text"},
	} {
		ids, err := v.Encode(nil, []byte(c.text))
		var e *CharError
		if !errors.As(err, &e) || e.Char != c.char || e.Index != c.index || e.Byte != c.at || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: got %v, want %s", c.text, err, c.want)
		}
		if len(ids) != c.index {
			t.Errorf("%q: %d ids before it", c.text, len(ids))
		}
	}
	b := must(t, Byte, map[rune]int64{'a': 1, 0xc3: 1}, 1)
	const want = "vocab: byte 0xd7 at position 2 is not one of the 2 bytes that the model knows; use others, or train on text that has it or with a " +
		"min_count of 2 or more, which adds [UNK]"
	if _, err := b.Encode(nil, []byte("a\xc3\xd7")); err == nil || err.Error() != want {
		t.Errorf("of bytes: %v, want %s", err, want)
	}
	if _, err := New(Byte, map[rune]int64{0xd7: 0}, 1); err == nil || err.Error() != "vocab: byte 0xd7 is counted 0 times" {
		t.Errorf("of bytes: %v", err)
	}
}

func TestGoldenJSON(t *testing.T) {
	for _, c := range []struct {
		v    *Vocab
		want string
	}{
		{must(t, Rune, count("AB \n\n<é\u2028"), 1),
			`{"format":"quire-vocab/1","unit":"rune","chars":["\n"," ","\u003c","A","B","é","\u2028"],"counts":[2,1,1,1,1,1,1],"digest":"36898f32a6a8a083aacaa29cb2c18e28096471836037b1f6ee2689565b6aeeec"}`},
		{must(t, Byte, map[rune]int64{0: 3, 9: 1, '"': 2, '\\': 5, 0x7f: 2, 0xe9: 4}, 2),
			`{"format":"quire-vocab/1","unit":"byte","chars":["[UNK]","\u0000","\"","\\","\u007f","é"],"counts":[1,3,2,5,2,4],"digest":"8f6c28a393be97db3397024776c61ac1fbd424209abab452a827c7989cb6d80f"}`},
	} {
		got, err := c.v.MarshalJSON()
		if err != nil || string(got) != c.want {
			t.Errorf("got  %s, %v\nwant %s", got, err, c.want)
		}
	}
}

// everything has every character that there is.
func everything(t testing.TB, unit Unit) *Vocab {
	counts := map[rune]int64{}
	for c := rune(0); c <= utf8.MaxRune && (unit == Rune || c < 256); c++ {
		if utf8.ValidRune(c) {
			counts[c] = int64(c) + 1
		}
	}
	return must(t, unit, counts, 2)
}

func TestJSONRoundTrip(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	vocabs := []*Vocab{everything(t, Rune), everything(t, Byte), must(t, Rune, count("a"), 1)}
	for range 200 {
		counts := map[rune]int64{}
		for range 1 + r.IntN(300) {
			if c := rune(r.Uint32N(utf8.MaxRune+1)) >> r.IntN(21); utf8.ValidRune(c) {
				counts[c] = 1 + r.Int64N(1<<r.IntN(62))
			}
		}
		if v, err := New(Rune, counts, 1+r.Int64N(3)); err == nil {
			vocabs = append(vocabs, v)
		}
	}
	for i, v := range vocabs {
		data, err := v.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		var w Vocab
		if err := w.UnmarshalJSON(data); err != nil {
			t.Fatalf("vocabulary %d: %v", i, err)
		}
		if !v.Same(&w) || !slices.Equal(v.counts, w.counts) || v.Digest() != w.Digest() || v.HasUnknown() != w.HasUnknown() {
			t.Fatalf("vocabulary %d came back as another", i)
		}
		// Inside other values, as in a checkpoint, the bytes stay what they are.
		outer, err := json.Marshal(map[string]any{"v": v, "raw": json.RawMessage(data)})
		var back map[string]json.RawMessage
		if err != nil || json.Unmarshal(outer, &back) != nil || !bytes.Equal(back["v"], data) || !bytes.Equal(back["raw"], data) {
			t.Fatalf("vocabulary %d: encoding/json changed the bytes: %v", i, err)
		}
	}
}

func TestSame(t *testing.T) {
	a := must(t, Rune, count("ab"), 1)
	for _, c := range []struct {
		v    *Vocab
		want bool
	}{
		{must(t, Rune, count("abab"), 1), true},
		{must(t, Rune, count("abc"), 1), false},
		{must(t, Rune, count("ac"), 1), false},
		{must(t, Rune, count("aabbc"), 2), false}, // [UNK] a b
		{must(t, Byte, count("ab"), 1), false},
	} {
		if got := a.Same(c.v); got != c.want {
			t.Errorf("%q: %v", c.v.chars, got)
		}
	}
}

func TestMap(t *testing.T) {
	ab, abUnknown := must(t, Rune, count("ab"), 1), must(t, Rune, count("aabbc"), 2) // the second: [UNK] a b
	bcUnknown := must(t, Rune, count("bbccx"), 2)                                    // [UNK] b c
	for _, c := range []struct {
		v, w *Vocab
		want []int32
	}{
		{ab, ab, []int32{0, 1}},
		{ab, must(t, Rune, count("b"), 1), []int32{-1, 0}},
		{ab, abUnknown, []int32{1, 2}},
		{ab, bcUnknown, []int32{-1, 1}}, // a is one of those that [UNK] stands for
		{abUnknown, ab, []int32{-1, 0, 1}},
		{abUnknown, bcUnknown, []int32{0, -1, 1}},
		{ab, must(t, Byte, count("ab"), 1), []int32{-1, -1}},
		{abUnknown, must(t, Byte, count("aabbc"), 2), []int32{-1, -1, -1}},
	} {
		if got := c.v.Map(c.w); !slices.Equal(got, c.want) {
			t.Errorf("%q to %q: %d, want %d", c.v.chars, c.w.chars, got, c.want)
		}
	}
}

// TestDamage flips every bit of every byte and cuts at every length.
func TestDamage(t *testing.T) {
	for _, v := range []*Vocab{must(t, Rune, count("ab\n\"é𝄞\ufffd<ba"), 1), must(t, Byte, map[rune]int64{0: 1, 'a': 3, 0xff: 4}, 2)} {
		data, err := v.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		check := func(what string, damaged []byte) {
			t.Helper()
			w := must(t, Rune, count("x"), 1)
			err := w.UnmarshalJSON(damaged)
			if err == nil {
				t.Fatalf("%s was not detected:\n%s", what, damaged)
			}
			if !strings.HasPrefix(err.Error(), "vocab: ") || w.Size() != 1 || w.HasUnknown() {
				t.Fatalf("%s: %v, and %v", what, err, w)
			}
		}
		for i := range data {
			for bit := range 8 {
				d := bytes.Clone(data)
				d[i] ^= 1 << bit
				check(fmt.Sprintf("bit %d of byte %d", bit, i), d)
			}
			check(fmt.Sprintf("a missing byte %d", i), slices.Delete(bytes.Clone(data), i, i+1))
			check(fmt.Sprintf("a cut at byte %d", i), data[:i])
		}
		check("a byte more", append(bytes.Clone(data), ' '))
		check("null", []byte("null"))
	}
}

func TestUnmarshalMessages(t *testing.T) {
	v := must(t, Rune, count("ab"), 1)
	data, _ := v.MarshalJSON()
	text := string(data)
	for _, c := range []struct{ text, want string }{
		{strings.Replace(text, `"a"`, `"A"`, 1), "digest says " + v.Digest()},
		{strings.Replace(text, `[1,1]`, `[1,2]`, 1), "digest says " + v.Digest()},
		{strings.Replace(text, `{"`, `{ "`, 1), "byte 1 of 150 is not as it was written"},
		{strings.Replace(text, `"a","b"`, `"b","a"`, 1), "character 'a' (U+0061) comes after character 'b' (U+0062): not in order"},
		{strings.Replace(text, `"a","b"`, `"a","a"`, 1), "not in order"},
		{strings.Replace(text, `"b"`, `"bb"`, 1), `id 1 is "bb", not one character`},
		{strings.Replace(text, `"b"`, `""`, 1), `id 1 is "", not one character`},
		{strings.Replace(text, `"b"`, `"[UNK]"`, 1), `id 1 is "[UNK]", not one character`},
		{strings.Replace(text, `[1,1]`, `[1]`, 1), "2 characters, but 1 counts"},
		{strings.Replace(text, `[1,1]`, `[1,0]`, 1), "id 1 is counted 0 times"},
		{strings.Replace(text, `vocab/1`, `vocab/2`, 1), `format is "quire-vocab/2", want "quire-vocab/1"`},
		{strings.Replace(text, `rune`, `word`, 1), `unit is "word"`},
		{strings.Replace(text, `"rune"`, `7`, 1), "byte 33"},
		{text[:50], "byte 49: unexpected end of JSON input"},
	} {
		if err := new(Vocab).UnmarshalJSON([]byte(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s\ngot %v, want %s", c.text, err, c.want)
		}
	}
	if _, err := new(Vocab).MarshalJSON(); err == nil {
		t.Error("an empty vocabulary was encoded")
	}
}

func FuzzUnmarshalJSON(f *testing.F) {
	for _, v := range []*Vocab{must(f, Rune, count("hello, world"), 1), must(f, Byte, count("aab"), 2)} {
		data, _ := v.MarshalJSON()
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		// What is accepted comes back as the same bytes.
		var v Vocab
		if v.UnmarshalJSON(data) != nil {
			return
		}
		if again, err := v.MarshalJSON(); err != nil || !bytes.Equal(again, data) {
			t.Errorf("%s came back as %s, %v", data, again, err)
		}
	})
}

func FuzzEncode(f *testing.F) {
	f.Add([]byte("Wherefore art thou?"))
	f.Add([]byte("\xff\x00é𝄞"))
	f.Fuzz(func(t *testing.T, text []byte) {
		counts := map[rune]int64{}
		for _, b := range text {
			counts[rune(b)]++
		}
		runes := count(string(text))
		for unit, counts := range map[Unit]map[rune]int64{Byte: counts, Rune: runes} {
			if len(counts) == 0 {
				continue
			}
			v := must(t, unit, counts, 1)
			ids, err := v.Encode(nil, text)
			if err != nil {
				t.Fatal(err)
			}
			var back []byte
			for _, id := range ids {
				back = v.AppendText(back, id)
			}
			want := text
			if unit == Rune {
				want = []byte(strings.ToValidUTF8(string(text), ""))
				back = []byte(strings.ReplaceAll(string(back), "\ufffd", ""))
				want = []byte(strings.ReplaceAll(string(want), "\ufffd", ""))
			}
			if !bytes.Equal(back, want) {
				t.Errorf("%q came back as %q", text, back)
			}
		}
	})
}

// TestSplit: what a vocabulary lacks is left out and listed, each once, at its first place;
// what it has only [UNK] for is lacking too.
func TestSplit(t *testing.T) {
	runes := must(t, Rune, map[rune]int64{'a': 2, 'é': 2, 'x': 1}, 2)
	octets := must(t, Byte, map[rune]int64{'a': 1, 0xc3: 1}, 1)
	for _, c := range []struct {
		v           *Vocab
		text, known string
		places      []string
	}{
		{runes, "", "", nil}, {runes, "aéa", "aéa", nil},
		{runes, "xaéxb\xffé\xff", "aéé", []string{"character 'x' (U+0078) at position 0 (byte 0)", "character 'b' (U+0062) at position 4 (byte 5)",
			"byte 6 (not valid UTF-8)"}},
		{octets, "aé\xffé", "a\xc3\xc3", []string{"byte 0xa9 at position 2", "byte 0xff at position 3"}},
	} {
		known, lacking := c.v.Split([]byte(c.text))
		var places []string
		for _, e := range lacking {
			places = append(places, e.Place())
		}
		if string(known) != c.known || !slices.Equal(places, c.places) {
			t.Errorf("%q: %q without %q, want %q without %q", c.text, known, places, c.known, c.places)
		}
	}
}
