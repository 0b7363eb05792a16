package look

import (
	"fmt"
	"html"
	"html/template"
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// themes are the blocks of look.css that set colours.
var themes = regexp.MustCompile(`(?s):root \{(.*?)\}`)

var colour = regexp.MustCompile(`--([a-z0-9]+): #([0-9a-f]{6});`)

// luminance is the relative luminance of WCAG 2.
func luminance(t *testing.T, hex string) float64 {
	n, err := strconv.ParseUint(hex, 16, 32)
	if err != nil {
		t.Fatal(err)
	}
	linear := func(v uint64) float64 {
		c := float64(v&0xff) / 255
		if c <= 0.04045 {
			return c / 12.92
		}
		return math.Pow((c+0.055)/1.055, 2.4)
	}
	return 0.2126*linear(n>>16) + 0.7152*linear(n>>8) + 0.0722*linear(n)
}

func contrast(t *testing.T, a, b string) float64 {
	x, y := luminance(t, a), luminance(t, b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

// TestContrast holds every colour of text to WCAG's 4.5:1, on every ground, in the
// light, the dark and the printed theme.
func TestContrast(t *testing.T) {
	if got := contrast(t, "ffffff", "767676"); math.Abs(got-4.54) > 0.005 { // WCAG's own example
		t.Fatalf("the contrast of #767676 on white is %.3f, want 4.54", got)
	}
	found := themes.FindAllStringSubmatch(string(CSS), -1)
	if len(found) != 3 {
		t.Fatalf("%d themes, want light, dark and print", len(found))
	}
	for i, theme := range found {
		colours := map[string]string{}
		for _, m := range colour.FindAllStringSubmatch(theme[1], -1) {
			colours[m[1]] = m[2]
		}
		for _, ground := range []string{"paper", "card", "tint"} {
			for _, ink := range strings.Fields("ink soft accent good bad warn train base s1 s2 s3 s4 s5 s6") {
				if got := contrast(t, colours[ink], colours[ground]); got < 4.5 {
					t.Errorf("theme %d: --%s on --%s has contrast %.2f, want 4.5", i, ink, ground, got)
				}
			}
		}
	}
}

// TestSheet holds that the sheet asks no host for anything, and is the same text in a
// template, whose digest the policy has.
func TestSheet(t *testing.T) {
	for _, no := range []string{"url(", "@import", "http:", "https:", "</"} {
		if strings.Contains(string(CSS), no) {
			t.Errorf("the sheet has %q", no)
		}
	}
	var b strings.Builder
	if err := template.Must(template.New("").Parse(`<style>{{.}}</style>`)).Execute(&b, CSS); err != nil {
		t.Fatal(err)
	}
	if b.String() != "<style>"+string(CSS)+"</style>" {
		t.Error("a template changes the sheet: the digest of the policy would not fit")
	}
}

// TestHead: a title is text, whatever it is, and the policy has the digests of all sheets.
func TestHead(t *testing.T) {
	head := string(Head("quire test", `</title><script>"a" & b`, "p { color: red }"))
	if got := Generator([]byte(head)); got != "quire test" || Generator([]byte(head[:60])) != "" || Generator(nil) != "" {
		t.Errorf("the generator is %q", got)
	}
	if !strings.Contains(head, "<title>&lt;/title&gt;&lt;script&gt;&#34;a&#34; &amp; b</title>") {
		t.Errorf("the title is not text: %s", head)
	}
	// printf 'p { color: red }' | openssl dgst -sha256 -binary | base64
	for _, part := range []string{"&#39;sha256-ngewhhP73WDIbgwseeu52VAAJgKdGUsu1IUQQsAm8m4=&#39;", "<style>p { color: red }</style>", "<style>" + string(CSS) + "</style>",
		html.EscapeString(strings.TrimSuffix(Policy(), "'; img-src data:; base-uri 'none'; form-action 'none'"))} {
		if !strings.Contains(head, part) {
			t.Errorf("the head has no %s", part)
		}
	}
}

func ExamplePolicy() {
	policy := Policy("connect-src 'self'")
	fmt.Println(regexp.MustCompile(`sha256-[^']*`).ReplaceAllString(policy, "sha256-…"))
	// Output: default-src 'none'; style-src 'sha256-…'; img-src data:; base-uri 'none'; form-action 'none'; connect-src 'self'
}
