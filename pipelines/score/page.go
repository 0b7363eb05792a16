package score

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/quire-ml/quire/pipelines/look"
)

// heat has the colours of surprise.
//
//go:embed heat.css
var heat template.CSS

//go:embed page.html
var pageHTML string

var pageTemplate = template.Must(template.New("page").Parse(pageHTML))

// PageChars is the number of characters that a page shows of all its texts together.
const PageChars = 200_000

// classes is the number of colours: bits 0, 1, … and 7 or more.
const classes = 8

// A Page is a text with its surprise as colour, as one file of HTML that asks no host for
// anything and runs no script. The zero value has no texts.
type Page struct {
	Model    string    // its path, or name
	Compared string    // the second model's, whose losses stand beside the first's; "" for none
	Most     []Passage // on which the two differ most
	texts    []*pageText
	shown    int

	part []byte  // of a character whose bytes come one by one
	nats float64 // of part
	none bool    // part begins the text
}

type pageText struct {
	Name  string
	Spans []*span
	Line  string // the loss
	Left  int64  // characters that are not shown
}

// span is characters that follow one another and have one colour.
type span struct {
	Class string
	Text  string
	buf   bytes.Buffer
}

// Begin begins another text.
func (p *Page) Begin(name string) {
	p.texts = append(p.texts, &pageText{Name: name})
	p.part, p.nats, p.none = nil, 0, true
}

// Add takes a character of the text; the first model's surprise is its colour.
func (p *Page) Add(c Char) {
	t := p.texts[len(p.texts)-1]
	if p.shown == PageChars {
		t.Left++
		return
	}
	p.shown++
	p.part = append(p.part, c.Text...)
	if c.Nats != nil {
		p.nats += c.Nats[0]
	}
	if utf8.FullRune(p.part) {
		p.flush()
	}
}

// flush gives the characters of part their colour.
func (p *Page) flush() {
	if len(p.part) == 0 {
		return
	}
	t, class := p.texts[len(p.texts)-1], "first"
	if !p.none {
		class = fmt.Sprintf("h%d", min(classes-1, int(max(0, math.Floor(p.nats/math.Ln2)))))
	}
	if n := len(t.Spans); n == 0 || t.Spans[n-1].Class != class {
		t.Spans = append(t.Spans, &span{Class: class})
	}
	t.Spans[len(t.Spans)-1].buf.Write(p.part)
	p.part, p.nats, p.none = nil, 0, false
}

// End ends the text, with its loss in words.
func (p *Page) End(line string) {
	p.flush()
	p.texts[len(p.texts)-1].Line = line
}

// IsPage reports whether data is a page of quire's, of a score or another.
func IsPage(data []byte) bool { return strings.HasPrefix(look.Generator(data), "quire") }

// HTML returns the page.
func (p *Page) HTML() ([]byte, error) {
	var names []string
	most := slices.Clone(p.Most)
	for i := range most {
		most[i].Text = readable(most[i].Text)
	}
	for _, t := range p.texts {
		names = append(names, t.Name)
		for _, s := range t.Spans {
			s.Text = readable(s.buf.String())
		}
	}
	var b bytes.Buffer
	err := pageTemplate.Execute(&b, map[string]any{"Head": look.Head("quire score", strings.Join(names, ", ")+" · score", heat),
		"Model": readable(p.Model), "Compared": readable(p.Compared), "Differ": most, "Texts": p.texts, "Most": PageChars})
	if err != nil {
		return nil, fmt.Errorf("score: %w", err)
	}
	return b.Bytes(), nil
}

// readable returns a text in which control characters are pictures of them, and bytes that
// are not UTF-8 are U+FFFD.
func readable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r < ' ' && r != '\n' && r != '\t':
			return '\u2400' + r
		case r == 0x7f:
			return '\u2421'
		case r >= 0x80 && r < 0xa0, r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069, r == 0x200e, r == 0x200f:
			return '\ufffd' // controls, and those that turn the direction of what follows
		}
		return r
	}, strings.ToValidUTF8(s, "\ufffd"))
}
