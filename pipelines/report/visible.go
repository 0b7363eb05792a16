package report

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/term"
)

// IsTerminal reports whether a reader or writer is a terminal.
func IsTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// Visible writes text to a terminal. A model, or a corpus, chooses the characters of
// the text, so a control character appears as an escape such as \x1b and commands
// nothing. Newlines, with or without a carriage return, and tabs pass. A Visible is
// for one goroutine at a time.
type Visible struct {
	w    io.Writer
	last byte // of the text so far
}

// NewVisible returns a Visible that writes to w.
func NewVisible(w io.Writer) *Visible { return &Visible{w: w} }

// Write implements io.Writer. It takes all of p, or none.
func (v *Visible) Write(p []byte) (int, error) {
	out := make([]byte, 0, len(p))
	last := v.last
	for _, b := range p {
		if last == '\r' && b != '\n' {
			out = append(out, `\r`...)
		}
		c1 := last == 0xc2 && b >= 0x80 && b < 0xa0 // U+0080 to U+009F in UTF-8
		switch {
		case b == '\r': // written with the next byte
		case b < ' ' && b != '\n' && b != '\t', b == 0x7f, c1:
			out = fmt.Appendf(out, `\x%02x`, b)
		default:
			out = append(out, b)
		}
		last = b
	}
	if _, err := v.w.Write(out); err != nil {
		return 0, err
	}
	v.last = last
	return len(p), nil
}
