package corpus

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
)

// TestNFC compares texts with what Python's unicodedata.normalize("NFC", …) makes of
// them, most with more marks on a character than package norm takes.
func TestNFC(t *testing.T) {
	x := strings.Repeat
	for _, c := range []struct{ text, want string }{
		// From Unicode's NormalizationTest.txt, columns 1 and 2.
		{"\u1e0a\u0323", "\u1e0c\u0307"}, {"D\u0323\u0307", "\u1e0c\u0307"}, {"\u212b", "\u00c5"}, {"\u0344", "\u0308\u0301"}, {"\ufb2c", "\u05e9\u05bc\u05c1"},
		{"\u1100\u1161\u11a8", "\uac01"}, {"\uac00\u11a8", "\uac01"}, {"\u0958", "\u0915\u093c"}, {"\u0f73", "\u0f71\u0f72"}, {"\U0002f868", "\u36fc"},
		{"\u09c7\u09be", "\u09cb"}, {"a\u0315\u0300\u05ae\u0344b", "\u00e0\u05ae\u0308\u0301\u0315b"}, {"\U0001d15e", "\U0001d157\U0001d165"},
		{"\U00011131\U00011127", "\U0001112e"},
		// The joiner of others stays.
		{"a\u034f\u0301", "a\u034f\u0301"},
		{"x" + x("\u0301", 40), "x" + x("\u0301", 40)},
		{"e" + x("\u0323", 20) + x("\u0301", 20), "\u1eb9" + x("\u0323", 19) + x("\u0301", 20)},
		{"e" + x("\u0301", 20) + x("\u0323", 20), "\u1eb9" + x("\u0323", 19) + x("\u0301", 20)},
		{"a" + x("\u0301\u0323", 16), "\u1ea1" + x("\u0323", 15) + x("\u0301", 16)},
		{"q" + x("\u0344", 20), "q" + x("\u0308\u0301", 20)},
		{x("\u0301", 35) + "a\u0301", x("\u0301", 35) + "\u00e1"},
		{"e" + x("\u0327", 31) + "\u0301\u0301", "\u0229" + x("\u0327", 30) + "\u0301\u0301"},
		{"\uac00" + x("\u0301", 31) + "\u11a8", "\uac00" + x("\u0301", 31) + "\u11a8"},
		{"\u1100\u1161" + x("\u0323", 31), "\uac00" + x("\u0323", 31)},
		{"a" + x("\u0323", 31) + "\u034f" + x("\u0301", 31), "\u1ea1" + x("\u0323", 30) + "\u034f" + x("\u0301", 31)},
		{"bc" + x("\u0301", 31) + "e\u0301", "b\u0107" + x("\u0301", 30) + "\u00e9"},
	} {
		if got := string(NFC([]byte(c.text))); got != c.want {
			t.Errorf("%+q: %+q, want %+q", c.text, got, c.want)
		}
		if got := string(compose(nil, []byte(c.text))); got != c.want {
			t.Errorf("%+q composed slowly: %+q, want %+q", c.text, got, c.want)
		}
	}
}

// marked is n characters, of which nearly all are marks where marks is true: the text of
// this program.
//
//	A = "aeq\u1100\u1161\u11a8\uac00\u09c7\u0301\u0301\u0323\u0323\u0307\u0308\u0327\u0345\u0344\u09be\u034f\u3099\u304b\u212b\u1e69\u0f71\u0f72\u0f73"
//	def text(seed, n, marks):
//	    x, s = seed, ""
//	    for i in range(n):
//	        x = (x*1664525 + 1013904223) % 2**32
//	        k = (x >> 16) % len(A)
//	        if marks and i % 200 != 0: k = 8 + k % 8
//	        s += A[k]
//	    return s
//	hashlib.sha256(unicodedata.normalize("NFC", text(1, 20000, False)).encode()).hexdigest()
func marked(seed uint32, n int, marks bool) string {
	alphabet := []rune("aeq\u1100\u1161\u11a8\uac00\u09c7\u0301\u0301\u0323\u0323\u0307\u0308\u0327\u0345\u0344\u09be\u034f\u3099\u304b\u212b\u1e69\u0f71\u0f72\u0f73")
	var b strings.Builder
	for i := range n {
		seed = seed*1664525 + 1013904223
		k := int(seed>>16) % len(alphabet)
		if marks && i%200 != 0 {
			k = 8 + k%8
		}
		b.WriteRune(alphabet[k])
	}
	return b.String()
}

// TestNFCText compares long texts with Python's, whole and by digest.
func TestNFCText(t *testing.T) {
	for seed, c := range map[uint32]struct {
		n     int
		marks bool
		want  string
	}{
		1: {20000, false, "0c3eae38004d422fecc1922384ee2df730d9c9135f35e90c160d8cd1c8b80b3a"},
		2: {20000, true, "a86e3a0618647f96757eeec5c45c8a9a4225f3f6d6fe10b2bd6863e91a33722c"},
		3: {500, true, "e7f7084a758d29fff9f196aada1c7fab5212d96a06777ac04a77f337c1b1ddd6"},
	} {
		text := []byte(marked(seed, c.n, c.marks))
		if got := sha(string(NFC(text))); got != c.want {
			t.Errorf("text %d: sha256 %s, want %s", seed, got, c.want)
		}
		if got := sha(string(compose(nil, text))); got != c.want {
			t.Errorf("text %d, composed slowly: sha256 %s, want %s", seed, got, c.want)
		}
	}
}

// TestNFCEvery puts every character of the first plane between marks: few, and more than
// package norm takes. The digests are those of Python's (Unicode 14; U+0ECE is younger):
//
//	h = hashlib.sha256()
//	for c in range(0x20, 0x10000):
//	    if not 0xD800 <= c < 0xE000 and c != 0xECE:
//	        h.update(unicodedata.normalize("NFC", "a" + "\u0323" * n + chr(c) + "\u0323\u0301").encode())
func TestNFCEvery(t *testing.T) {
	for n, want := range map[int]string{
		0:  "0ee329c782d46a8c1f6cf6dcc18265b78608943acbb9d8df656753eb660c8421",
		31: "0f1ac710297dda2dd3416e1c2232a291284729b9b5addf07c1cd4dda713be536",
	} {
		h := sha256.New()
		for c := rune(0x20); c < 0x10000; c++ {
			if c < 0xD800 || c >= 0xE000 {
				if c != 0xECE {
					h.Write(NFC([]byte("a" + strings.Repeat("\u0323", n) + string(c) + "\u0323\u0301")))
				}
			}
		}
		if got := fmt.Sprintf("%x", h.Sum(nil)); got != want {
			t.Errorf("behind %d marks: sha256 %s, want %s", n, got, want)
		}
	}
}
