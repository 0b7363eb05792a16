package page

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/quire-ml/quire/configs/secret"
	"github.com/quire-ml/quire/pipelines/report"
)

// Lengths, in characters and lines, of what a page shows of a text. The rest is left out,
// and the page says how much.
const (
	shortChars  = 400  // names, reasons, values of settings
	sampleChars = 6000 // text that a model wrote
	sampleLines = 120
	markChars   = 8 // a mark counts as so many: it takes as much of a page
)

// A piece is a part of a text that nobody here has written. A mark stands for what a
// reader could not see, or would be misled by.
type piece struct {
	Text string
	Mark bool
}

// short returns the pieces of a name, a reason or a value, without the secrets of URLs.
func short(s string) []piece { return pieces(secret.Text(clean(s)), shortChars, 12) }

// long returns the pieces of a sample.
func long(s string) []piece { return pieces(clean(s), sampleChars, sampleLines) }

// plain is short without marks, for places in which there is text alone.
func plain(s string) string {
	var b strings.Builder
	for _, p := range short(s) {
		b.WriteString(p.Text)
	}
	return b.String()
}

func clean(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\r\n", "\n")
}

// pieces cuts a text to a number of characters and lines.
func pieces(s string, chars, lines int) (list []piece) {
	var b strings.Builder
	flush := func() {
		if b.Len() > 0 {
			list = append(list, piece{Text: b.String()})
			b.Reset()
		}
	}
	n := 0
	for i, r := range s {
		if r == '\n' {
			lines--
		}
		if n >= chars || lines < 0 {
			flush()
			return append(list, piece{fmt.Sprintf("… %s more are left out", count(int64(utf8.RuneCountInString(s[i:])), "character")), true})
		}
		n++
		if r == '\n' || r == '\t' || !hidden(r) {
			b.WriteRune(r)
			continue
		}
		flush()
		n += markChars - 1
		if r < 0x100 && r != 0xad {
			list = append(list, piece{fmt.Sprintf(`\x%02x`, r), true})
		} else {
			list = append(list, piece{fmt.Sprintf("U+%04X", r), true})
		}
	}
	flush()
	return list
}

// hidden reports whether a character shows nothing, or changes the order in which others
// are shown: such text would seem to be another. The two joiners pass, which scripts and
// emoji need.
func hidden(r rune) bool {
	switch {
	case r == '\u200c', r == '\u200d':
		return false
	case r == '\u2028', r == '\u2029', r == '\u115f', r == '\u1160', r == '\u3164', r == '\uffa0':
		return true
	}
	return unicode.Is(unicode.Cc, r) || unicode.Is(unicode.Cf, r)
}

// isCode reports whether a text is of lines that are indented, which a font of one width
// shows as they are meant.
func isCode(s string) bool {
	return strings.Contains(s, "\n\t") || strings.Count(s, "\n  ") >= 2
}

// nats writes a loss.
func nats(x float64) string { return strconv.FormatFloat(x, 'f', 4, 64) }

// figure writes the number of a check: a loss, a share or a count.
func figure(x *float64) string {
	switch {
	case x == nil:
		return ""
	case *x == float64(int64(*x)) && (*x > 1 || *x < 0):
		return number(int64(*x))
	}
	return strconv.FormatFloat(*x, 'g', 4, 64)
}

// number writes a whole number with commas.
func number(n int64) string { return report.Thousands(strconv.FormatInt(n, 10)) }

// count writes a number of things: "1 step", "1,890 steps".
func count(n int64, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return number(n) + " " + noun
}

// took writes a duration.
func took(seconds float64) string {
	s := int64(seconds + 0.5)
	switch {
	case seconds < 0.0995:
		return fmt.Sprintf("%.0f ms", 1000*seconds)
	case seconds < 9.95:
		return fmt.Sprintf("%.1f s", seconds)
	case s < 60:
		return fmt.Sprintf("%d s", s)
	case s < 3600:
		return fmt.Sprintf("%d min %02d s", s/60, s%60)
	}
	return fmt.Sprintf("%d h %02d min", s/3600, s/60%60)
}

// day writes a time for a person.
func day(t time.Time) string { return t.UTC().Format("2 January 2006, 15:04 UTC") }
