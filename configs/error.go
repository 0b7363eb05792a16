package configs

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	urls "github.com/quire-ml/quire/configs/secret"
)

// Error is a mistake in a config. It prints as one line.
type Error struct {
	Key     string // in the spelling of the user; empty when a whole file is wrong
	Source  string // file:line, variable, --set or flag; empty for a Config made in Go
	Reason  string // continues a sentence after the key: "is 0, not in the range 1 to 8"
	Nearest string // existing name nearest to an unknown one
	Err     error  // cause, or nil
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("configs: ")
	if e.Source != "" {
		b.WriteString(oneLine(e.Source) + ": ")
	}
	if e.Key != "" {
		b.WriteString(show(e.Key) + " ")
	}
	b.WriteString(e.Reason)
	if e.Err != nil {
		b.WriteString(": " + oneLine(e.Err.Error()))
	}
	if e.Nearest != "" {
		b.WriteString("; the nearest is " + e.Nearest)
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// unknown returns the error of an unknown key.
func unknown(key, source string) *Error {
	if name, ok := strings.CutPrefix(key, sweepPrefix); ok && keyByName[name] != nil {
		return &Error{Key: key, Source: source, Nearest: nearestKey(key),
			Reason: "is not for a sweep, which varies only keys that change a model"}
	}
	return &Error{Key: key, Source: source, Reason: "is an unknown key", Nearest: nearestKey(key)}
}

var word = regexp.MustCompile(`^[A-Za-z0-9_.-]+$`)

// show returns a name for a message: bare if it is a word, else in quotes.
func show(name string) string {
	if word.MatchString(name) && len(name) <= shownBytes {
		return name
	}
	return quote(name)
}

// shownBytes bounds the part of a user's text that a message repeats.
const shownBytes = 80

// quote returns text in quotes, without the secrets of URLs. It cuts off the end of a long
// text.
func quote(text string) string {
	text = urls.Text(text)
	if len(text) <= shownBytes {
		return strconv.Quote(text)
	}
	return fmt.Sprintf("%s… (%d bytes)", strconv.Quote(strings.ToValidUTF8(text[:shownBytes], "")), len(text))
}

// oneLine quotes text that has control characters.
func oneLine(text string) string {
	if strings.ContainsFunc(text, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return strconv.Quote(text)
	}
	return text
}
