package configs

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	urls "github.com/quire-ml/quire/configs/secret"
)

// A domain is the set of values that a key takes. An error continues a sentence
// that begins with the key.
type domain interface {
	// parse turns bare text into a value of the key's type, which may be out of
	// range.
	parse(text string) (any, error)
	// check returns an error for a value out of range.
	check(value any) error
	// String is the range in words.
	String() string
}

// whole is the whole numbers lo to hi, as int64.
type whole struct{ lo, hi int64 }

var digits = regexp.MustCompile(`^[-+]?(0|[1-9][0-9]*)$`)

func (d whole) parse(text string) (any, error) {
	if !digits.MatchString(text) {
		return nil, fmt.Errorf("is %s, not a whole number in decimal digits", quote(text))
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("is %s, too large; it must be a %v", quote(text), d)
	}
	return n, nil
}

func (d whole) check(value any) error {
	if n, ok := value.(int64); !ok || n < d.lo || n > d.hi {
		return fmt.Errorf("is %v, out of range; it must be a %v", value, d)
	}
	return nil
}

func (d whole) String() string {
	switch {
	case d.lo == math.MinInt64:
		return "whole number of 64 bits"
	case d.hi == math.MaxInt64:
		return fmt.Sprintf("whole number, %d or more", d.lo)
	}
	return fmt.Sprintf("whole number, %d to %d", d.lo, d.hi)
}

// number is the finite numbers lo to hi, without lo where openLo, without hi
// where openHi.
type number struct {
	lo, hi         float64
	openLo, openHi bool
}

var decimal = regexp.MustCompile(`^[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?$`)

func (d number) parse(text string) (any, error) {
	if !decimal.MatchString(text) {
		return nil, fmt.Errorf("is %s, not a finite decimal number", quote(text))
	}
	x, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return nil, fmt.Errorf("is %s, too large; it must be a %v", quote(text), d)
	}
	mantissa, _, _ := strings.Cut(strings.ToLower(text), "e")
	if x == 0 && strings.ContainsAny(mantissa, "123456789") {
		return nil, fmt.Errorf("is %s, which a 64-bit number cannot tell from 0", quote(text))
	}
	return x, nil
}

func (d number) check(value any) error {
	x, ok := value.(float64)
	if !ok || !(x >= d.lo && x <= d.hi) || d.openLo && x == d.lo || d.openHi && x == d.hi {
		return fmt.Errorf("is %v, out of range; it must be a %v", value, d)
	}
	return nil
}

func (d number) String() string {
	lo, hi := "at least", "at most"
	if d.openLo {
		lo = "above"
	}
	if d.openHi {
		hi = "below"
	}
	return fmt.Sprintf("number, %s %g and %s %g", lo, d.lo, hi, d.hi)
}

// truth is true and false.
type truth struct{}

func (truth) parse(text string) (any, error) {
	if text != "true" && text != "false" {
		return nil, fmt.Errorf("is %s; it must be true or false", quote(text))
	}
	return text == "true", nil
}

func (truth) check(value any) error {
	if _, ok := value.(bool); !ok {
		return fmt.Errorf("is %v; it must be true or false", value)
	}
	return nil
}

func (truth) String() string { return "true or false" }

// words is a choice of words.
type words []string

func (d words) parse(s string) (any, error) { return s, nil }

func (d words) check(value any) error {
	if s, ok := value.(string); !ok || !slices.Contains(d, s) {
		return fmt.Errorf("is %s; it must be %v", format(value), d)
	}
	return nil
}

func (d words) String() string { return either(d) }

// either joins words as "a, b or c".
func either(list []string) string {
	if len(list) == 1 {
		return list[0]
	}
	last := len(list) - 1
	return strings.Join(list[:last], ", ") + " or " + list[last]
}

// text is UTF-8 text for which ok holds.
type text struct {
	what string // the rule in words
	ok   func(s string) bool
	why  func(s string) error // says why ok does not hold; nil: the rule says enough
}

// reasoned is text for which why has no error.
func reasoned(what string, why func(s string) error) text {
	return text{what, func(s string) bool { return why(s) == nil }, why}
}

func (d text) parse(s string) (any, error) { return s, nil }

func (d text) check(value any) error {
	s, ok := value.(string)
	switch {
	case ok && d.why != nil && !d.ok(s):
		return fmt.Errorf("is %s: %w; it must be %v", format(value), d.why(s), d)
	case !ok || !d.ok(s):
		return fmt.Errorf("is %s; it must be %v", format(value), d)
	case !utf8.ValidString(s):
		return fmt.Errorf("is %s, which is not UTF-8", format(value))
	}
	return nil
}

func (d text) String() string { return d.what }

// homePath reports whether a shell would read s as a path below somebody's home.
func homePath(s string) bool { return s == "~" || strings.HasPrefix(s, "~/") }

// whyNoPath says why s cannot be a path or a URL. No shell expands a path of a config.
func whyNoPath(s string) error {
	switch {
	case !line(s):
		return errors.New("it is empty, too long or no single line")
	case homePath(s):
		return errors.New("~ is not expanded")
	case s == "-":
		return errors.New("it stands for no stream here; ./- is what has that name")
	}
	return nil
}

// isWord reports whether s can be a word of a command that no shell reads.
func isWord(s string) bool { return line(s) && !homePath(s) }

// orEmpty is why for what may be empty, too.
func orEmpty(why func(s string) error) func(s string) error {
	return func(s string) error {
		if s == "" {
			return nil
		}
		return why(s)
	}
}

// secret is text that no message and no written config shows.
type secret struct {
	what string // the rule in words
	ok   func(s string) bool
}

func (d secret) parse(s string) (any, error) { return s, nil }

func (d secret) check(value any) error {
	if s, ok := value.(string); !ok || !d.ok(s) || !utf8.ValidString(s) {
		return fmt.Errorf("is a secret and not shown; it must be %v", d)
	}
	return nil
}

func (d secret) String() string { return d.what }

// hidden stands in place of a secret.
const hidden = urls.Hidden

// shown returns a value of k without its secrets.
func (k *key) shown(value any) any {
	switch k.domain.(type) {
	case secret:
		if value != "" {
			return hidden
		}
	case sources:
		return urls.URLs(value.([]string))
	}
	return value
}

func isCommand(s string) bool { return s == "" || s != hidden && line(s) }

func isWebhook(s string) bool {
	u, err := url.Parse(s)
	return s == "" || line(s) && err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}

// isListen reports whether s can be an address to listen on.
func isListen(s string) bool {
	_, port, err := net.SplitHostPort(s)
	return s == "" || line(s) && err == nil && port != ""
}

// isSigning reports whether s is a secret of Standard Webhooks, or the file of one.
func isSigning(s string) bool {
	if path, ok := strings.CutPrefix(s, "file:"); ok {
		return line(path)
	}
	_, err := urls.Key(s)
	return s == "" || err == nil
}

// line reports whether s is a single line that is not empty: a name or a path.
func line(s string) bool {
	return s != "" && len(s) <= 4096 && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// sources is a list of texts by path, pattern or URL.
type sources struct{}

// parse reads a list: a,b or, in YAML, [a, "b, c"].
func (d sources) parse(text string) (any, error) {
	if text == "" {
		return []string{}, nil
	}
	if text[0] == '[' && text[len(text)-1] == ']' {
		doc, err := document([]byte(text))
		if err != nil {
			return nil, fmt.Errorf("is %s, not a list in YAML", quote(text))
		}
		return items(doc)
	}
	list := splitSources(text)
	for i := range list {
		list[i] = strings.TrimSpace(list[i])
	}
	return list, nil
}

// splitSources cuts a text at its commas, but at none within the braces of a pattern.
// Where braces do not match, it cuts at all.
func splitSources(text string) []string {
	var list []string
	depth, from := 0, 0
	for i := range len(text) {
		switch text[i] {
		case '{':
			depth++
		case '}':
			depth--
		case ',':
			if depth == 0 {
				list, from = append(list, text[from:i]), i+1
			}
		}
		if depth < 0 {
			break
		}
	}
	if depth != 0 {
		return strings.Split(text, ",")
	}
	return append(list, text[from:])
}

func (d sources) check(value any) error {
	list, ok := value.([]string)
	if !ok {
		return fmt.Errorf("is %v; it must be a list", value)
	}
	for _, s := range list {
		switch {
		case s == "":
			return errors.New("has an empty item; remove it")
		case homePath(s):
			return fmt.Errorf("has the item %s, and ~ is not expanded; write the whole path", quote(s))
		case !line(s) || !utf8.ValidString(s):
			return fmt.Errorf("has the item %s, which is not a path or URL on one line", quote(urls.URL(s)))
		}
		if err := checkExpansion(s); err != nil {
			return err
		}
	}
	return nil
}

func (d sources) String() string {
	return "list of files, folders, patterns such as **/*.{txt,md}, https:// and gs:// URLs; ${GOROOT} is expanded"
}

// list is a list of words for each of which ok holds.
type list struct {
	what string // the rule in words
	ok   func(word string) bool
}

// parse reads a list: a,b or, in YAML, [a, "b, c"].
func (d list) parse(text string) (any, error) { return sources{}.parse(text) }

func (d list) check(value any) error {
	words, ok := value.([]string)
	if !ok {
		return fmt.Errorf("is %v; it must be a %v", value, d)
	}
	for _, w := range words {
		if !d.ok(w) || !utf8.ValidString(w) {
			return fmt.Errorf("has the item %s; it must be a %v", quote(w), d)
		}
	}
	return nil
}

func (d list) String() string { return d.what }

// format returns a value for messages and Explain.
func format(value any) string {
	switch v := value.(type) {
	case string:
		return quote(v)
	case []string:
		quoted := make([]string, len(v))
		for i, s := range v {
			quoted[i] = quote(s)
		}
		return "[" + strings.Join(quoted, ", ") + "]"
	}
	return fmt.Sprint(value)
}
