package score_test

import (
	"crypto/sha256"
	"encoding/base64"
	"html"
	"math"
	"regexp"
	"strings"
	"testing"

	"github.com/quire-ml/quire/pipelines/score"
)

func bits(text string, n float64) score.Char {
	return score.Char{Text: []byte(text), Nats: []float64{n * math.Ln2}}
}

func rendered(t *testing.T, p *score.Page) string {
	t.Helper()
	data, err := p.HTML()
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

var spans = regexp.MustCompile(`(?s)<span class="(h[0-7]|first)">(.*?)</span>`)

// TestPage: each character has the class of its bits; what a text has is text, whatever it
// is; bytes of one character have one colour.
func TestPage(t *testing.T) {
	p := &score.Page{Model: "<model>"}
	p.Begin("<a & b>")
	for _, c := range []score.Char{{Text: []byte("T")}, bits("h", 0.9), bits("e", 0), bits("<", 1.01), bits("script>", 1.9), bits("\x1b", 2.5),
		bits("\u202e", 3.01), bits("\n", 4.2), bits("\xc3", 3), bits("\xa9", 2.5), bits("\xff", 99)} {
		p.Add(c)
	}
	p.End("1.0000 nats")
	out := rendered(t, p)
	_, body, _ := strings.Cut(out, `<div class="sample colour">`)
	want := [][2]string{{"first", "T"}, {"h0", "he"}, {"h1", "<script>"}, {"h2", "\u241b"}, {"h3", "\ufffd"}, {"h4", "\n"}, {"h5", "é"}, {"h7", "\ufffd"}}
	got := spans.FindAllStringSubmatch(body, -1)
	if len(got) != len(want) {
		t.Fatalf("%d spans, want %d: %s", len(got), len(want), body)
	}
	for i, m := range got {
		if m[1] != want[i][0] || html.UnescapeString(m[2]) != want[i][1] {
			t.Errorf("span %d is %q %q, want %q", i, m[1], m[2], want[i])
		}
	}
	for _, part := range []string{"<h2>&lt;a &amp; b&gt;</h2>", "the model &lt;model&gt;:", "<p>1.0000 nats</p>"} {
		if !strings.Contains(out, part) {
			t.Errorf("the page has no %s", part)
		}
	}
	for _, no := range []string{"<script", "style=", "http:", "https:", "left out"} {
		if strings.Contains(out, no) {
			t.Errorf("the page has %s", no)
		}
	}
	for _, m := range regexp.MustCompile(`(?s)<style>(.*?)</style>`).FindAllStringSubmatch(out, -1) {
		sum := sha256.Sum256([]byte(m[1]))
		if digest := "sha256-" + base64.StdEncoding.EncodeToString(sum[:]); !strings.Contains(html.UnescapeString(out), digest) {
			t.Errorf("the policy has no digest %s", digest)
		}
	}
}

// TestPageCompared: a page of two models names both, and shows where they differ.
func TestPageCompared(t *testing.T) {
	p := &score.Page{Model: "<one>", Compared: "<two>", Most: []score.Passage{{File: "<a>", At: 48, Text: "<b>\x1b", Bits: [2]float64{1, 2.5}}}}
	p.Begin("a")
	p.End("1.0000 and 2.0000 nats")
	out := rendered(t, p)
	for _, part := range []string{"the model &lt;one&gt;:", "the second is that of &lt;two&gt;.", "<h2>Where the models differ most</h2>",
		"bits a character, &lt;one&gt;</th>", ">&lt;two&gt;</th>", ">&lt;a&gt;</th>", ">48</td>", ">1.0000</td>", ">2.5000</td>", ">&lt;b&gt;\u241b</td>"} {
		if !strings.Contains(out, part) {
			t.Errorf("the page has no %s", part)
		}
	}
	if p.Most[0].Text != "<b>\x1b" {
		t.Errorf("the passage is now %q", p.Most[0].Text)
	}
	p = &score.Page{Model: "m"}
	p.Begin("a")
	if out := rendered(t, p); strings.Contains(out, "differ most") || strings.Contains(out, "the second is") {
		t.Error("a page of one model speaks of two")
	}
}

// TestPageBound: a page of a long text is bounded, and says what it lacks.
func TestPageBound(t *testing.T) {
	p := &score.Page{Model: "m"}
	for range 2 {
		p.Begin("long")
		for i := range score.PageChars {
			p.Add(bits("<", float64(i%9)))
		}
		p.End("line")
	}
	out := rendered(t, p)
	if len(out) > 8<<20 || strings.Count(out, "left out") != 1 || !strings.Contains(out, "200000 characters are left out here") {
		t.Errorf("%d bytes, %d notes", len(out), strings.Count(out, "left out"))
	}
	if n := strings.Count(out, "&lt;"); n != score.PageChars {
		t.Errorf("%d characters are shown, want %d", n, score.PageChars)
	}
}

// TestDirections: marks that turn the direction of what follows are not shown as they are.
func TestDirections(t *testing.T) {
	for _, mark := range []string{"\u200e", "\u200f", "\u202a", "\u202e", "\u2066", "\u2069"} {
		p := new(score.Page)
		p.Begin("x")
		p.Add(bits(mark, 1))
		p.End("")
		if page := rendered(t, p); strings.Contains(page, mark) || !strings.Contains(page, "\ufffd") {
			t.Errorf("%q is in the page as it is", mark)
		}
	}
}
