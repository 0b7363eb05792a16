// Package look is the look of quire's pages: one style sheet for those that it writes
// and those that it serves, and the policy under which a browser shows them.
//
// A page names its parts by the classes of look.css. One that is a file begins with Head;
// one that is served has the sheet in an element of its own, and Policy in its header:
//
//	<style>{{.CSS}}</style>
package look

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html"
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
	return policy([]template.CSS{CSS}, directives)
}

func policy(sheets []template.CSS, directives []string) string {
	styles := "style-src"
	for _, sheet := range sheets {
		sum := sha256.Sum256([]byte(sheet))
		styles += " 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	}
	return strings.Join(append([]string{"default-src 'none'", styles, "img-src data:", "base-uri 'none'", "form-action 'none'"}, directives...), "; ")
}

// mark is the element that names who has made a page, up to the name.
const mark = `<meta name="generator" content="`

// Generator returns who has made a page that Head begins; empty: data is none.
func Generator(data []byte) string {
	const head = 4096 // Head has the mark within it
	_, after, found := bytes.Cut(data[:min(len(data), head)], []byte(mark))
	name, _, closed := bytes.Cut(after, []byte(`"`))
	if !found || !closed {
		return ""
	}
	return html.UnescapeString(string(name))
}

// Head returns the beginning of a page that is one file, up to the end of its head: the policy,
// who has made it, its title, CSS, and further sheets of its own. The policy allows those too.
func Head(generator, title string, more ...template.CSS) template.HTML {
	sheets := append([]template.CSS{CSS}, more...)
	var b strings.Builder
	fmt.Fprintf(&b, `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="%s">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
%s%s">
<title>%s</title>
`, html.EscapeString(policy(sheets, nil)), mark, html.EscapeString(generator), html.EscapeString(title))
	for _, sheet := range sheets {
		fmt.Fprintf(&b, "<style>%s</style>\n", sheet)
	}
	b.WriteString("</head>")
	return template.HTML(b.String())
}
