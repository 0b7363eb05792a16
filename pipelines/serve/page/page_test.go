package page_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/quire-ml/quire/pipelines/look"
	"github.com/quire-ml/quire/pipelines/serve/page"
)

func get(t *testing.T, path string) (*http.Response, string) {
	t.Helper()
	w := httptest.NewRecorder()
	page.Handler().ServeHTTP(w, httptest.NewRequest("GET", path, nil))
	data, err := io.ReadAll(w.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.Result(), string(data)
}

// TestFiles follows what the page names: files of the server alone, which a browser keeps
// for ever, under names that change with them.
func TestFiles(t *testing.T) {
	resp, html := get(t, "/")
	if resp.StatusCode != 200 || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") || !strings.Contains(html, string(look.CSS)) {
		t.Fatalf("%d %v", resp.StatusCode, resp.Header)
	}
	found := regexp.MustCompile(`(?:src|href)="([^"]+)"`).FindAllStringSubmatch(html, -1)
	kinds := map[string]string{".js": "text/javascript", ".css": "text/css"}
	files := 0
	for _, m := range found {
		switch path := m[1]; {
		case strings.HasPrefix(path, "/page/"):
			files++
			resp, data := get(t, path)
			kind := kinds[path[strings.LastIndex(path, "."):]]
			if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != kind || !strings.Contains(resp.Header.Get("Cache-Control"), "immutable") {
				t.Errorf("%s: %d %v", path, resp.StatusCode, resp.Header)
			}
			if regexp.MustCompile(`https?://|@import|\beval\b|innerHTML`).MatchString(data) {
				t.Errorf("%s names another host, or runs text as code", path)
			}
		case path == "data:,", strings.HasPrefix(path, "#"), strings.HasPrefix(path, "/"):
		default:
			t.Errorf("the page names %s", path)
		}
	}
	if files != 2 {
		t.Errorf("the page names %d files, want a script and a sheet", files)
	}
	if resp, _ := get(t, "/page/other.js"); resp.StatusCode != 404 {
		t.Errorf("another file: %d", resp.StatusCode)
	}
}

// TestPolicy: a browser may load from the server alone, and run nothing that is written in
// the page.
func TestPolicy(t *testing.T) {
	resp, html := get(t, "/")
	policy := resp.Header.Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "script-src 'self'", "connect-src 'self'", "frame-ancestors 'none'",
		"style-src 'self' 'sha256-", "base-uri 'none'", "form-action 'none'"} {
		if !strings.Contains(policy, want) {
			t.Errorf("the policy %s lacks %s", policy, want)
		}
	}
	if strings.Contains(policy, "unsafe") || strings.Contains(policy, "http") || strings.Contains(policy, "*") {
		t.Error(policy)
	}
	if m := regexp.MustCompile(`<script>|<script [^>]*>[^<]|\son[a-z]+=|style=`).FindString(html); m != "" {
		t.Errorf("the page has %s, which its policy forbids", m)
	}
}

// TestLabels: everything that a person fills in has a name that is read to the blind.
func TestLabels(t *testing.T) {
	_, html := get(t, "/")
	for _, m := range regexp.MustCompile(`<(?:input|textarea)[^>]*id="(\w+)"`).FindAllStringSubmatch(html, -1) {
		if !strings.Contains(html, `for="`+m[1]+`"`) && m[1] != "colour" { // its label is around it
			t.Errorf("%s has no label", m[1])
		}
	}
}
