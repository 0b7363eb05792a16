// Package secret is the secrets of URLs, and how texts do without them.
//
// A URL may carry a user with a password or token, a query that is signed or has a
// key, and a fragment. None of them is in a message, a record, a notice or a config
// that quire writes: Hidden stands in place of each.
package secret

import (
	"net/url"
	"regexp"
	"strings"
)

// Hidden stands in place of a secret.
const Hidden = "(secret)"

const begin = `(?i)([a-z][a-z0-9+.-]*://|https?:/)`

// A URL in a text ends at white space or a quotation mark.
var start, inText = regexp.MustCompile(begin), regexp.MustCompile(begin + `[^\s"]*`)

// Text returns text with the secrets of all URLs in it left out.
func Text(text string) string { return inText.ReplaceAllStringFunc(text, URL) }

// URL returns a URL without its secrets. Of a URL that cannot be parsed only the scheme
// is left. Text that has no URL stays, and so does a gs:// URL, whose question marks and
// number signs are part of names.
func URL(u string) string {
	if at := start.FindStringIndex(u); at != nil && at[0] > 0 {
		return u[:at[0]] + URL(u[at[0]:]) // text before it, such as a space
	}
	scheme, rest, ok := strings.Cut(u, ":/")
	web := strings.EqualFold(scheme, "http") || strings.EqualFold(scheme, "https")
	switch {
	case !ok, strings.EqualFold(scheme, "gs"), !web && !strings.HasPrefix(rest, "/"):
		return u
	}
	parsed, err := url.Parse(u)
	if err != nil || web && parsed.Host == "" {
		return scheme + "://" + Hidden
	}
	if parsed.User == nil && parsed.RawQuery == "" && parsed.Fragment == "" {
		return u
	}
	shown := scheme + "://"
	if parsed.User != nil {
		shown += Hidden + "@"
	}
	shown += parsed.Host + parsed.EscapedPath()
	if parsed.RawQuery != "" {
		shown += "?" + Hidden
	}
	if parsed.Fragment != "" {
		shown += "#" + Hidden
	}
	return shown
}

// URLs returns each URL without its secrets.
func URLs(list []string) []string {
	shown := make([]string, len(list))
	for i, u := range list {
		shown[i] = URL(u)
	}
	return shown
}

// Error returns an error whose text has no secrets of URLs, and which wraps err.
func Error(err error) error {
	if text := Text(err.Error()); text != err.Error() {
		return &redacted{text, err}
	}
	return err
}

type redacted struct {
	text string
	err  error
}

func (r *redacted) Error() string { return r.text }
func (r *redacted) Unwrap() error { return r.err }
