package report

import (
	"bytes"
	"os"
	"testing"
)

// TestVisible writes each text at once, and byte by byte.
func TestVisible(t *testing.T) {
	for text, want := range map[string]string{
		"plain text\n\tof Ünïcödé, 日本語": "plain text\n\tof Ünïcödé, 日本語",
		"two\r\nlines\r\n":              "two\nlines\n",
		"a\rb\r\rc\r\nd":                `a\rb\r\rc` + "\nd",
		"\x1b[2Jgone\x07\x00\x7f":       `\x1b[2Jgone\x07\x00\x7f`,
		"csi \u009b2J":                  "csi \xc2" + `\x9b2J`,
		"\u00a0 and Â€":                 "\u00a0 and Â€",
		"":                              "",
	} {
		var whole, bytewise bytes.Buffer
		if n, err := NewVisible(&whole).Write([]byte(text)); n != len(text) || err != nil {
			t.Errorf("%q: %d bytes, %v", text, n, err)
		}
		v := NewVisible(&bytewise)
		for i := range len(text) {
			if _, err := v.Write([]byte{text[i]}); err != nil {
				t.Fatal(err)
			}
		}
		if whole.String() != want || bytewise.String() != want {
			t.Errorf("%q: %q at once, %q byte by byte, want %q", text, whole.String(), bytewise.String(), want)
		}
	}
}

// TestIsTerminal: no buffer and no file is one.
func TestIsTerminal(t *testing.T) {
	f, err := os.Create(t.TempDir() + "/f")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if IsTerminal(&bytes.Buffer{}) || IsTerminal(f) {
		t.Error("a buffer or a file is a terminal")
	}
}
