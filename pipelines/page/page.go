// Package page writes what quire has made as a page of HTML: a round, a training, a
// sweep, or several trainings side by side.
//
// A page is one file. It asks no host for anything, runs no script (see look.Policy), and
// has the same bytes for the same files. Whatever a model, a corpus or a config has written
// is text in it: escaped, cut to a length, its invisible characters marked.
package page

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"

	"github.com/quire-ml/quire/pipelines/look"
)

// A document is what a page shows. Parts that are empty are not shown.
type document struct {
	Kicker string // what it is
	Title  string
	Badge  badge
	Lede   string
	Began  string
	Error  string // why it ended
	Notes  []string
	Facts  []fact

	Sample  *sample
	Picture *picture
	Epochs  []epochRow // for a table
	Samples []sample   // epoch by epoch
	Left    int        // epochs without a sample here

	Checks   []check
	Verdict  string
	Changes  *changes
	Drift    []fact
	DriftSay string
	Stages   []stageRow
	Lineage  []ancestor
	More     string // of the lineage

	Runs    *runTable
	Differs *differences

	Config []setting
	Footer []string
}

// A badge is a verdict in a word or two. Its class is good, bad or warn.
type badge struct{ Text, Class string }

// A fact is a figure, with its name and a remark.
type fact struct{ Name, Value, More string }

// A sample is text that a model wrote.
type sample struct {
	Name, More, Text string
	Class            string // its colour among others
}

// A check is a finding of the gate.
type check struct {
	Name, Figure, Limit, Text string
	Passed                    bool
}

// A setting is a key of the config with its value.
type setting struct{ Key, Value string }

// changes are the settings in which a round differs from the one before.
type changes struct {
	Before string
	Rows   []changed
}

type changed struct{ Key, Before, After string }

// A stageRow is a stage of a round. Its bar lies on a scale of 1000.
type stageRow struct {
	Name, State, Class, Time, X, Width string
	Why                                []string
}

// An ancestor is something that a sample comes from.
type ancestor struct{ What, Name, SHA256 string }

// A runTable is several trainings, the lowest loss first.
type runTable struct {
	Ranked bool     // the losses compare
	Keys   []string // of the settings that have a column
	Rows   []*runFacts
	Left   int // trainings without a row
}

// differences are the settings in which several trainings differ.
type differences struct {
	Runs []*runFacts
	Rows []difference
}

type difference struct {
	Key    string
	Values []string
}

//go:embed *.html
var files embed.FS

var templates = template.Must(template.New("").Funcs(template.FuncMap{
	"short": short, "long": long, "plain": plain, "nats": pointer(nats), "number": number, "code": isCode,
}).ParseFS(files, "*.html"))

// pointer is f for a number that may not be known.
func pointer(f func(float64) string) func(*float64) string {
	return func(x *float64) string {
		if x == nil {
			return ""
		}
		return f(*x)
	}
}

func speed(x float64) string { return number(int64(x)) }

// render returns the page of a document.
func (d *document) render() ([]byte, error) {
	var b bytes.Buffer
	err := templates.ExecuteTemplate(&b, "page.html", struct {
		*document
		Head template.HTML
	}{d, look.Head(generator, plain(d.Title)+" · "+d.Kicker)})
	if err != nil {
		return nil, fmt.Errorf("page: %s: %w", d.Title, err)
	}
	return b.Bytes(), nil
}
