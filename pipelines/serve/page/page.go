// Package page is the page on which a person writes with a served model: prompt, settings,
// the text as it comes with its surprise as colour, its seed and receipt.
//
// The page is one file of HTML, one of script and two style sheets, all embedded. Its policy
// lets a browser load nothing from elsewhere, and ask nobody but the server.
package page

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"html/template"
	"net/http"
	"strings"
	"time"

	"github.com/quire-ml/quire/pipelines/look"
)

var (
	//go:embed page.html
	html string
	//go:embed page.js
	script []byte
	//go:embed page.css
	style []byte
)

// file is one of the page's, under a name that holds its digest, so that a browser may keep
// it.
type file struct {
	Name, kind string
	data       []byte
}

func newFile(name, kind string, data []byte) *file {
	sum := sha256.Sum256(data)
	base, ext, _ := strings.Cut(name, ".")
	return &file{"/page/" + base + "-" + hex.EncodeToString(sum[:6]) + "." + ext, kind, data}
}

// Handler answers / and what lies below /page/.
func Handler() http.Handler {
	js, css := newFile("page.js", "text/javascript", script), newFile("page.css", "text/css", style)
	var page bytes.Buffer
	if err := template.Must(template.New("page").Parse(html)).Execute(&page, map[string]any{"Look": look.CSS, "Script": js.Name, "Style": css.Name}); err != nil {
		panic(err) // the template is embedded, and so are its values
	}
	index := &file{"/", "text/html; charset=utf-8", page.Bytes()}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, f := range []*file{index, js, css} {
			if f.Name != r.URL.Path {
				continue
			}
			h := w.Header()
			h.Set("Content-Type", f.kind)
			if f == index {
				h.Set("Content-Security-Policy", Policy())
			} else {
				h.Set("Cache-Control", "private, max-age=31536000, immutable")
			}
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(f.data))
			return
		}
		http.NotFound(w, r)
	})
}

// Policy is the Content-Security-Policy of the page: what look allows, and the script, the
// style sheet and the API of the server itself.
func Policy() string {
	return strings.Replace(look.Policy("script-src 'self'", "connect-src 'self'", "frame-ancestors 'none'"), "style-src ", "style-src 'self' ", 1)
}
