package configs

import (
	"strings"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/ianaindex"
	"golang.org/x/text/encoding/unicode"
)

// isEncoding reports whether a text names an encoding: in one way, as a name is in the
// manifest of a set.
func isEncoding(name string) bool {
	e, err := htmlindex.Get(name)
	if err != nil {
		e, err = ianaindex.IANA.Encoding(name)
	}
	return err == nil && e != nil && e != encoding.Replacement && name == strings.ToLower(strings.TrimSpace(name)) &&
		(e != unicode.UTF8 || name == "utf-8")
}
