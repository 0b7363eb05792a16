package engine

import (
	"regexp"
	"strings"
)

var (
	status = regexp.MustCompile(`rpc error: code = \w+ desc = `)         // gRPC's text before an error's
	dofn   = regexp.MustCompile(`(?s)^.*\bDoFn\[UID:[^\n]*\] failed:\n`) // Beam's before a DoFn's error
	stack  = regexp.MustCompile(`(?s)\sgoroutine \d+ \[running\]:.*$`)   // Beam's after a DoFn's panic
	blank  = regexp.MustCompile(`\s+`)
)

// rootCause returns one line out of an error text of Beam's. Beam puts each
// layer's cause on the lines after "caused by:"; the last is a DoFn's error,
// after a line that describes the DoFn, or a panic with its stack.
func rootCause(text string) string {
	text = status.ReplaceAllString(text, "")
	if i := strings.LastIndex(text, "caused by:"); i >= 0 && strings.TrimSpace(text[i+len("caused by:"):]) != "" {
		text = text[i+len("caused by:"):]
	}
	text = stack.ReplaceAllString(dofn.ReplaceAllString(text, ""), "")
	return blank.ReplaceAllString(strings.TrimSpace(text), " ")
}
