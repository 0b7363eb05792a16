// Package look is the look of quire's pages: one style sheet for those that it writes
// and those that it serves, and the policy under which a browser shows them.
//
// A page names its parts by the classes of look.css, and has the sheet in an element
// of its own:
//
//	<meta http-equiv="Content-Security-Policy" content="{{.Policy}}">
//	<style>{{.CSS}}</style>
package look

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"strings"
)

// CSS is the style sheet. It is the text of a style element, without a space more: the
// policy has its digest.
//
//go:embed look.css
var CSS template.CSS

// Policy returns a Content-Security-Policy under which a page loads nothing, runs no
// script and sends no form; CSS is its only style, so that no attribute has style.
// Directives of a page's own come behind: "connect-src 'self'".
func Policy(directives ...string) string {
	sum := sha256.Sum256([]byte(CSS))
	policy := []string{"default-src 'none'", "style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'", "img-src data:",
		"base-uri 'none'", "form-action 'none'"}
	return strings.Join(append(policy, directives...), "; ")
}
