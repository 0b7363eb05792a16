package page

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// marked writes pieces as one text, marks in braces.
func marked(list []piece) string {
	var b strings.Builder
	for _, p := range list {
		if p.Mark {
			b.WriteString("{" + p.Text + "}")
		} else {
			b.WriteString(p.Text)
		}
	}
	return b.String()
}

// TestPieces: what shows nothing, or turns other text around, is named; what scripts and
// emoji need passes.
func TestPieces(t *testing.T) {
	for in, want := range map[string]string{
		"":                             "",
		"to be":                        "to be",
		"two\nlines\tand a tab":        "two\nlines\tand a tab",
		"two\r\nlines":                 "two\nlines",
		"a\rb":                         `a{\x0d}b`,
		"\x00\x1b[31mred\x7f":          `{\x00}{\x1b}[31mred{\x7f}`,
		"c1 \u0085.":                   `c1 {\x85}.`,
		"ab\u202Eba":                   "ab{U+202E}ba",
		"\u2066x\u2069":                "{U+2066}x{U+2069}",
		"\u200e\u200f\u061c":           "{U+200E}{U+200F}{U+061C}",
		"zero\u200bwidth\ufeff\u2060":  "zero{U+200B}width{U+FEFF}{U+2060}",
		"soft\u00adhyphen":             "soft{U+00AD}hyphen",
		"par\u2029line\u2028":          "par{U+2029}line{U+2028}",
		"tag\U000E0041":                "tag{U+E0041}",
		"filler\u3164\u115f":           "filler{U+3164}{U+115F}",
		"می\u200cخواهم":                "می\u200cخواهم",
		"\U0001F468\u200d\U0001F469":   "\U0001F468\u200d\U0001F469",
		"é e\u0301 日本 Ω":               "é e\u0301 日本 Ω",
		"bad \xff\xfe utf8":            "bad \uFFFD utf8",
		"https://me:s3cr3t@h/x?key=s3": "https://(secret)@h/x?(secret)",
	} {
		if got := marked(short(in)); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	if got := marked(long("https://me:you@h/x?y")); got != "https://me:you@h/x?y" {
		t.Errorf("a sample is changed: %q", got) // it is a model's text, no URL of the user's
	}
}

// TestCut: a text is cut to a number of characters and of lines, and says what is left out.
func TestCut(t *testing.T) {
	for _, c := range []struct {
		name, in, want string
		chars, lines   int
	}{
		{"as long as it may be", "abcd", "abcd", 4, 9},
		{"one character more", "abcde", "abcd{… 1 character more are left out}", 4, 9},
		{"characters, not bytes", "ééééé", "ééé{… 2 characters more are left out}", 3, 9},
		{"a mark counts as eight", "a\x00bc", `a{\x00}{… 2 characters more are left out}`, 9, 9},
		{"lines", "a\nb\nc\nd", "a\nb{… 4 characters more are left out}", 99, 1},
		{"lines alone", "\n\n\n", "\n\n{… 1 character more are left out}", 99, 2},
		{"nothing", "", "", 0, 0},
	} {
		if got := marked(pieces(c.in, c.chars, c.lines)); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	ten := strings.Repeat("0123456789", 1<<20)
	got := marked(long(ten))
	if want := ten[:sampleChars] + "{… 10,479,760 characters more are left out}"; got != want {
		t.Errorf("a sample of 10 MB ends %q", got[max(0, len(got)-80):])
	}
	if marks := len(long(strings.Repeat("\x00", 1<<20))); marks != sampleChars/8+1 {
		t.Errorf("a sample of NULs has %d marks, of some 30 bytes each", marks)
	}
}

func TestPlain(t *testing.T) {
	if got, want := plain("a\u202Eb\x00 https://u:p@h/"), `aU+202Eb\x00 https://(secret)@h/`; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if n := utf8.RuneCountInString(plain(strings.Repeat("x", 1e6))); n > shortChars+50 {
		t.Errorf("a name has %d characters on a page", n)
	}
}

func TestIsCode(t *testing.T) {
	for in, want := range map[string]bool{
		"func f() {\n\treturn\n}":          true,
		"for:\n  a\n  b":                   true,
		"To be, or not\nto be.":            false,
		"A verse\n  that is set in once":   false,
		"":                                 false,
		"name,age\nA,1\nB,2":               false,
		"   an indented first line, alone": false,
	} {
		if got := isCode(in); got != want {
			t.Errorf("%q: %v", in, got)
		}
	}
}

func TestNumbers(t *testing.T) {
	half, one, big, small, many, minus := 0.5, 1.0, 1.46489034, 0.00655912, 12345.0, -3.0
	for _, c := range []struct {
		got, want string
	}{
		{figure(nil), ""}, {figure(&half), "0.5"}, {figure(&one), "1"}, {figure(&big), "1.465"}, {figure(&small), "0.006559"},
		{figure(&many), "12,345"}, {figure(&minus), "-3"},
		{number(1890), "1890"}, {number(276507), "276,507"},
		{count(1, "step"), "1 step"}, {count(0, "step"), "0 steps"}, {count(12000, "step"), "12,000 steps"},
		{nats(1.46489034), "1.4649"},
		{took(0), "0 ms"}, {took(0.0423), "42 ms"}, {took(0.1674), "0.2 s"}, {took(9.94), "9.9 s"}, {took(9.96), "10 s"},
		{took(59.4), "59 s"}, {took(59.6), "1 min 00 s"}, {took(175.64), "2 min 56 s"}, {took(3599.6), "1 h 00 min"},
		{took(11520), "3 h 12 min"},
		{day(time.Date(2026, 11, 26, 15, 8, 28, 0, time.FixedZone("", 2*3600))), "26 November 2026, 13:08 UTC"},
	} {
		if c.got != c.want {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
}
