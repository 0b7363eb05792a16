package text_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/model/checkpoint"
	"github.com/quire-ml/quire/model/rnn"
	"github.com/quire-ml/quire/pipelines/internal/tiny"
	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/runners/memory"
	"github.com/quire-ml/quire/transforms/vocab"
)

func TestGenerate(t *testing.T) {
	m := open(t, constant(t, "abc", []float64{1, 5, 1}, nil))
	g := configs.Generate{Prompt: "ca", Length: 4, TopP: 1, Seed: 9}
	var out bytes.Buffer
	r, err := text.Generate(t.Context(), m, g, &out)
	if err != nil || out.String() != "cabbbb" || !slices.Equal(r.Texts, []string{"cabbbb"}) || r.Seed != 9 {
		t.Errorf("%q, %+v, %v", out.String(), r, err)
	}
	g.Prompt, g.Temperature, g.Length = "", 1, 3000
	if r, err = text.Generate(t.Context(), m, g, &bytes.Buffer{}); err != nil || len(r.Texts[0]) != 3000 {
		t.Fatalf("%v", err)
	}
	// 5/7 of 3000 are 2143, with a standard deviation of 25.
	if n := strings.Count(r.Texts[0], "b"); n < 2043 || n > 2243 {
		t.Errorf("%d of 3000 characters are b, want about 2143", n)
	}
	var missing *vocab.CharError
	g.Prompt = "x"
	if _, err := text.Generate(t.Context(), m, g, &out); !errors.As(err, &missing) || !errors.Is(err, text.ErrPrompt) {
		t.Errorf("a prompt that the model lacks: %v", err)
	}
	g.Prompt, g.Temperature = "", math.NaN()
	if _, err := text.Generate(t.Context(), m, g, &out); err == nil {
		t.Error("a temperature of NaN is accepted")
	}
}

// withUnknown gives a constant model a vocabulary with [UNK] as id 0, for which the first
// of its characters gives its probability.
func withUnknown(t *testing.T, known string) func(c *checkpoint.Checkpoint) {
	return func(c *checkpoint.Checkpoint) {
		counts := map[rune]int64{'\U0010ffff': 1}
		for _, r := range known {
			counts[r] = 2
		}
		v, err := vocab.New(vocab.Rune, counts, 2)
		if err != nil {
			t.Fatal(err)
		}
		if c.Vocab, err = json.Marshal(v); err != nil {
			t.Fatal(err)
		}
	}
}

// TestUnknown: [UNK] is drawn where it is asked for alone, though it is the likeliest; a
// prompt with it is refused, without it, or read.
func TestUnknown(t *testing.T) {
	m := open(t, constant(t, "abc", []float64{9, 2, 1}, withUnknown(t, "ab")))
	for _, c := range []struct{ unknown, prompt, want, fails string }{
		{"", "a", "aaaa", ""},
		{"error", "xaxzy\u00e9", "", "text: prompt: 4 characters are not among the 3 that the model knows: character 'x' (U+0078) at position 0 (byte 0), " +
			"character 'z' (U+007A) at position 3 (byte 3), character 'y' (U+0079) at position 4 (byte 4), character '\u00e9' (U+00E9) at position 5 (byte 5)"},
		{"error", "bx", "", "text: prompt: character 'x' (U+0078) at position 1 (byte 1) is not one of the 3 characters that the model knows"},
		{"error", "a\xff", "", "text: prompt: byte 1 (not valid UTF-8) is not one of the 3 characters that the model knows"},
		{"skip", "bxb\xff", "bbaaa", ""},
		{"unk", "bx", "bx[UNK][UNK][UNK]", ""},
	} {
		g := configs.Generate{Prompt: c.prompt, Length: 3, TopP: 1, Unknown: c.unknown}
		var out bytes.Buffer
		r, err := text.Generate(t.Context(), m, g, &out)
		if c.fails != "" {
			var prompt *text.PromptError
			if err == nil || err.Error() != c.fails || !errors.Is(err, text.ErrPrompt) || !errors.As(err, &prompt) || !prompt.Unknown() {
				t.Errorf("%q, %s: %v, want %s", c.prompt, c.unknown, err, c.fails)
			}
			continue
		}
		if err != nil || r.Texts[0] != c.want || out.String() != c.want {
			t.Errorf("%q, %s: %q, %v, want %q", c.prompt, c.unknown, out.String(), err, c.want)
		}
	}
	many := strings.Builder{}
	for c := 'A'; c <= 'Z'; c++ {
		many.WriteRune(c)
	}
	if _, err := m.Prompt(many.String(), ""); err == nil || !strings.HasSuffix(err.Error(), "character 'J' (U+004A) at position 9 (byte 9), and 16 more") {
		t.Errorf("of 26 characters: %v", err)
	}
	plain := open(t, constant(t, "ab", []float64{1, 1}, nil))
	var prompt *text.PromptError
	if _, err := plain.Prompt("x", "unk"); !errors.As(err, &prompt) || prompt.Unknown() || !strings.HasSuffix(err.Error(), ", and it has no [UNK] to read them as") {
		t.Errorf("a model without [UNK] reads x: %v", err)
	}
}

// TestBan: banned characters are not drawn; those that the model lacks are passed over; a
// ban of all is an error.
func TestBan(t *testing.T) {
	m := open(t, constant(t, "abc", []float64{5, 3, 1}, nil))
	for ban, want := range map[string]string{"": "caa", "a": "cbb", "xbay\xff": "ccc"} {
		g := configs.Generate{Prompt: "c", Length: 2, TopP: 1, Ban: ban}
		if r, err := text.Generate(t.Context(), m, g, &bytes.Buffer{}); err != nil || r.Texts[0] != want {
			t.Errorf("ban %q: %+v, %v, want %s", ban, r, err, want)
		}
	}
	if _, err := m.Request(configs.Generate{TopP: 1, Ban: "cba"}); !errors.Is(err, text.ErrBan) ||
		err.Error() != "text: ban: all 3 characters of the model are banned" {
		t.Errorf("all are banned: %v", err)
	}
}

// TestCheckBan: a ban of what the model lacks, and of a character of several bytes by a model
// of bytes, cannot work; a byte of such a character can be banned.
func TestCheckBan(t *testing.T) {
	runes := open(t, constant(t, "abc", []float64{5, 3, 1}, nil))
	octets := open(t, tiny.Model{Shape: rnn.Shape{Layers: 1, Embedding: 2, Hidden: 2}, Vocab: tiny.Vocab(t, vocab.Byte, "a\xd0\xbe", false), Weigh: tiny.Drawn(1, 1)}.Save(t, t.TempDir()))
	for _, c := range []struct {
		m          *text.Model
		ban, fails string
	}{
		{runes, "ab", ""},
		{runes, "axy", "text: ban: character 'x' (U+0078) at position 1 (byte 1), character 'y' (U+0079) at position 2 (byte 2) are not among those of the 3 characters"},
		{runes, "\u043e", "text: ban: character '\u043e' (U+043E) at position 0 (byte 0) is not one of the 3 characters that the model knows"},
		{octets, "\u043e", "text: ban: character '\u043e' (U+043E) is 2 bytes, and the model is one of bytes"},
		{octets, "a\xbe", ""},
		{octets, "\xd0", ""},
		{octets, "b", "text: ban: byte 0x62 at position 0 is not one of the 3 bytes that the model knows"},
	} {
		err := c.m.CheckBan(c.ban)
		if c.fails == "" && err != nil || c.fails != "" && (err == nil || !errors.Is(err, text.ErrBan) || !strings.HasPrefix(err.Error(), c.fails)) {
			t.Errorf("%q: %v, want %s", c.ban, err, c.fails)
		}
	}
	for stop, want := range map[string]string{"ab": "", "axb": "character 'x' (U+0078) at position 1 (byte 1)", "\xd0": ""} {
		if got := text.Places(runes.CheckStop(stop)); got != want {
			t.Errorf("stop %q: %s, want %s", stop, got, want)
		}
	}
}

// TestWrite: texts side by side are those of one by one; they are shown in order, and each
// ends where its stop string begins.
func TestWrite(t *testing.T) {
	m := open(t, constant(t, "abcd", []float64{4, 3, 2, 1}, nil))
	g := configs.Generate{Prompt: "dd", Length: 40, Temperature: 1, TopP: 1, Seed: 3, Num: 70, Stop: []string{"dd", "cbd"}}
	q, err := m.Request(g)
	if err != nil {
		t.Fatal(err)
	}
	if len(q.Streams) != 70 || q.Streams[69] != 69 {
		t.Fatalf("streams are %v", q.Streams)
	}
	shown, last := make([]string, 70), 0
	r, err := m.Write(t.Context(), q, func(i int, part []byte) error {
		if i < last {
			t.Errorf("text %d is shown after text %d", i, last)
		}
		last = i
		shown[i] += string(part)
		return nil
	})
	if err != nil || !slices.Equal(shown, r.Texts) || r.SHA256 != m.SHA256 || string(r.Checkpoint) != m.Path {
		t.Fatalf("%q was shown of %+v, %v", shown, r, err)
	}
	stopped := 0
	free := *q
	free.Stop = nil
	for i := range r.Texts {
		free.Streams = []uint64{uint64(i)}
		alone, err := m.Write(t.Context(), &free, func(int, []byte) error { return nil })
		if err != nil {
			t.Fatal(err)
		}
		whole := alone.Continuations(&free)[0]
		end, stops := endOf(whole, g.Stop)
		want := text.Whole
		if stops {
			want = text.Stopped
			stopped++
		}
		if got := r.Continuations(q)[i]; got != whole[:end] || r.Finish[i] != want || len(whole) != 40 {
			t.Errorf("text %d is %q, %s; without stop strings %q", i, got, r.Finish[i], whole)
		}
	}
	if stopped == 0 || stopped == 70 {
		t.Errorf("%d of 70 texts were stopped: the test has none of one kind", stopped)
	}
}

// TestWriteNothing: texts of no length are the prompt, and one that cannot be shown ends all.
func TestWriteNothing(t *testing.T) {
	m := open(t, constant(t, "ab", []float64{1, 1}, nil))
	q, err := m.Request(configs.Generate{Prompt: "ba", TopP: 1, Num: 2})
	if err != nil {
		t.Fatal(err)
	}
	if r, err := m.Write(t.Context(), q, func(int, []byte) error { return nil }); err != nil || !slices.Equal(r.Texts, []string{"ba", "ba"}) ||
		r.Finish[1] != text.Whole {
		t.Errorf("no characters: %+v, %v", r, err)
	}
	q.Length = 1 << 50
	if _, err := m.Write(t.Context(), q, func(int, []byte) error { return nil }); !errors.As(err, new(*memory.ShortError)) {
		t.Errorf("a text that no machine holds: %v", err)
	}
	q.Length = 50_000_000 // which nobody writes to its end
	broken, parts := errors.New("the pipe is closed"), 0
	_, err = m.Write(t.Context(), q, func(int, []byte) error {
		if parts++; parts == 4 {
			return broken
		}
		return nil
	})
	if !errors.Is(err, broken) || parts != 4 {
		t.Errorf("%d parts, %v", parts, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := m.Write(ctx, q, func(int, []byte) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	q.Sampling.MinP = 2
	if _, err := m.Write(t.Context(), q, func(int, []byte) error { return nil }); err == nil || !strings.Contains(err.Error(), "min_p is 2") {
		t.Errorf("min_p of 2: %v", err)
	}
}

// FuzzPrompt: any bytes as a prompt of a model of characters or of bytes. What the model
// reads is the prompt, its text has the ids, and what it lacks is listed.
func FuzzPrompt(f *testing.F) {
	runes, err := vocab.New(vocab.Rune, map[rune]int64{'a': 2, 'b': 2, '\u00e9': 2, '\ufffd': 2, 'x': 1}, 2)
	if err != nil {
		f.Fatal(err)
	}
	octets, err := vocab.New(vocab.Byte, map[rune]int64{'a': 1, 0xc3: 1, 0xa9: 1, 0xff: 1}, 1)
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range []string{"", "ab", "x\u00e9\xff", "\u00e9\xc3", "\xc30\xa9", strings.Repeat("z", 99)} {
		f.Add(s, uint8(0))
		f.Add(s, uint8(7))
		f.Add(s, uint8(4))
	}
	f.Fuzz(func(t *testing.T, prompt string, how uint8) {
		m := &text.Model{Vocab: []*vocab.Vocab{runes, octets}[how%2], Checkpoint: &checkpoint.Checkpoint{}}
		if how&8 != 0 {
			m.Normalize = "nfc"
		}
		unknown := []string{"error", "skip", "unk"}[how/2%3]
		p, err := m.Prompt(prompt, unknown)
		if err != nil {
			if !errors.Is(err, text.ErrPrompt) || unknown == "skip" {
				t.Fatalf("%q, %s: %v", prompt, unknown, err)
			}
			return
		}
		var back []byte
		for _, id := range p.IDs {
			back = m.Vocab.AppendText(back, id)
		}
		known, lost := m.Vocab.Split(p.Text)
		want, got := string(known), strings.ReplaceAll(string(back), "[UNK]", "") // no character of [UNK] is in the vocabularies
		if got != want || unknown != "unk" && len(lost) > 0 || (len(p.Lost) > 0) != (prompt != "" && unknown != "error" && !allKnown(m, prompt)) {
			t.Fatalf("%q, %s: the ids are of %q, want %q; lost are %v", prompt, unknown, got, want, p.Lost)
		}
	})
}

// allKnown reports whether the model has ids of their own for all characters of a text.
func allKnown(m *text.Model, prompt string) bool {
	_, lacking := m.Vocab.Split(m.Text([]byte(prompt)))
	return len(lacking) == 0
}
