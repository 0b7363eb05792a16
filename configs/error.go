package configs

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Error is a mistake in a config. It prints as one line.
type Error struct {
	Key     string // as it was written; empty when a whole file is wrong
	Source  string // who set it: file:line, a variable, --set, a flag; empty for a Config made in Go
	Reason  string // goes on after the key: "is 0, not in the range 1 to 8"
	Nearest string // nearest name there is, for an unknown one
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

// unknown is the error of a key that there is not.
func unknown(key, source string) *Error {
	if name, ok := strings.CutPrefix(key, sweepPrefix); ok && keyByName[name] != nil {
		return &Error{Key: key, Source: source, Reason: "is not for a sweep, which varies keys of prep, model and train that change a model", Nearest: nearestKey(key)}
	}
	return &Error{Key: key, Source: source, Reason: "is an unknown key", Nearest: nearestKey(key)}
}

var word = regexp.MustCompile(`^[A-Za-z0-9_.-]+$`)

// show returns a name as a message shows it: bare when it is a word.
func show(name string) string {
	if word.MatchString(name) && len(name) <= shownBytes {
		return name
	}
	return quote(name)
}

// shownBytes is how much of a user's text a message repeats.
const shownBytes = 80

// quote returns text in quotes, its end left out when it is long.
func quote(text string) string {
	if len(text) <= shownBytes {
		return strconv.Quote(text)
	}
	return fmt.Sprintf("%s… (%d bytes)", strconv.Quote(strings.ToValidUTF8(text[:shownBytes], "")), len(text))
}

// oneLine quotes text that would not stay on one line.
func oneLine(text string) string {
	if strings.ContainsFunc(text, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return strconv.Quote(text)
	}
	return text
}
