package gate

import (
	"crypto/sha256"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/quire-ml/quire/pipelines/internal/tiny"
	"github.com/quire-ml/quire/pipelines/report"
	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/transforms/dataset"
)

// licence begins the documents of a boilerplate corpus.
const licence = `Permission is hereby granted, free of charge, to any person obtaining a copy of
this software and associated documentation files, to deal in it without restriction.

`

// forms is n pieces of English of 200 characters, from a place on, each below the licence.
func (l *lab) forms(from, n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(licence + l.text[from+i*200:from+(i+1)*200])
	}
	return b.String()
}

func openSet(t *testing.T, dir string) (*dataset.Set, func(), error) {
	t.Helper()
	return text.OpenSet(t.Context(), dir)
}

// find returns the finding of a check.
func find(t *testing.T, r *Result, name string) Check {
	t.Helper()
	i := slices.IndexFunc(r.Checks, func(c Check) bool { return c.Name == name })
	if i < 0 {
		t.Fatalf("there is no check %s: %+v", name, r)
	}
	return r.Checks[i]
}

// TestGateFormula judges what models write that have learned texts rich in boilerplate: one
// in many places of the training text, and one in the held-out part too. Samples of
// boilerplate and new English pass. Samples of the training text are copies, the
// boilerplate in them aside.
func TestGateFormula(t *testing.T) {
	l := newLab(t)
	l.c.Gate.Length = 200
	for name, corpus := range map[string]string{
		"many": l.withAll("") + l.forms(0, 30) + l.text[6000:7200],
		"few":  l.withAll("") + l.text[:8000] + l.forms(8000, 5) + l.text[9000:10_000] + l.forms(10_000, 2),
	} {
		set, done, err := openSet(t, l.prepare(name, corpus, 0.1))
		if err != nil {
			t.Fatal(err)
		}
		defer done()
		judge := func(sample func(i int) string) *candidate {
			t.Helper()
			c := &candidate{limits: l.c.Gate, o: Options{Corpus: l.found(name)}, set: set}
			if c.held, err = c.heldTexts(t.Context(), 8, 200); err != nil {
				t.Fatal(err)
			}
			for i := range 16 {
				ids, err := set.Vocab().Encode(nil, []byte(sample(i)))
				if err != nil {
					t.Fatal(err)
				}
				c.written = append(c.written, ids)
			}
			if err := c.compareTexts(t.Context()); err != nil {
				t.Fatal(err)
			}
			return c
		}
		honest := judge(func(i int) string { return (licence[i:] + l.text[15_000+i*100:])[:200] })
		heart := judge(func(i int) string { return corpus[i*300 : i*300+200] })
		for _, k := range sampleChecks[3:6] {
			if found := k.find(honest); !found.Passed || k.name != "span" && *found.Value+found.Formula <= *found.Limit {
				t.Errorf("%s, %s: honest samples: %v, %s", name, k.name, found.Passed, found.Text)
			}
			if found := k.find(heart); found.Passed {
				t.Errorf("%s, %s: copies: %s", name, k.name, found.Text)
			}
		}
	}
}

// TestFindings: each finding is a line, of the reason, of the error and on the console. The
// result has the digest of the file that was judged.
func TestFindings(t *testing.T) {
	l := newLab(t)
	limits := l.c.Gate
	limits.Margin, limits.MaxGap, limits.Samples = 5, -1, 0
	var out strings.Builder
	res, err := Judge(t.Context(), limits, l.promoted, Options{Set: l.set, Promoted: l.promoted, Console: report.NewConsole(&out, false)})
	if err != nil {
		t.Fatal(err)
	}
	gap, better := find(t, res, "gap").Text, find(t, res, "promoted").Text
	if want := "refused: " + gap + "\nrefused: " + better; res.Passed || res.Reason != want {
		t.Errorf("the reason is %q, want %q", res.Reason, want)
	}
	if got, want := (&RefusedError{res}).Error(), "the gate refused the model:\n  "+gap+"\n  "+better; got != want {
		t.Errorf("the error is %q, want %q", got, want)
	}
	if want := "gate: refused: " + gap + "\ngate: refused: " + better + "\n"; !strings.HasSuffix(out.String(), want) {
		t.Errorf("the console has %q, want %q", out.String(), want)
	}
	limits.MaxGap = 0.25
	if res, err = Judge(t.Context(), limits, l.promoted, Options{Set: l.set, Promoted: l.promoted, Console: tiny.Console()}); err != nil {
		t.Fatal(err)
	}
	if got, want := (&RefusedError{res}).Error(), "the gate refused the model: "+better; got != want {
		t.Errorf("the error is %q, want %q", got, want)
	}
	data, err := os.ReadFile(l.promoted)
	if want := fmt.Sprintf("%x", sha256.Sum256(data)); err != nil || res.SHA256 != want {
		t.Errorf("the digest is %s, want %s, %v", res.SHA256, want, err)
	}
	limits.Margin = 0
	if res, err = Judge(t.Context(), limits, l.promoted, Options{Set: l.set, Promoted: "", Console: tiny.Console()}); err != nil ||
		res.Reason != "passed: "+find(t, res, "loss").Text {
		t.Errorf("got %+v, %v", res, err)
	}
}

// TestPercent: a person reads shares as per cents.
func TestPercent(t *testing.T) {
	for share, want := range map[float64]string{0: "0 %", 0.98: "98 %", 0.98765: "98.8 %", 0.00063: "0.063 %", 1: "100 %"} {
		if got := percent(share); got != want {
			t.Errorf("%v is %q, want %q", share, got, want)
		}
	}
}
