package page

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/quire-ml/quire/pipelines/internal/tiny"
)

// A browser is a real one, and a server that has all hosts of the world for it.
type browser struct {
	t     *testing.T
	host  string // of the server
	dir   string // whose files the server has
	mu    sync.Mutex
	asked []string // host and path of all requests
}

// newBrowser starts the server, or skips the test where there is no Chromium.
func newBrowser(t *testing.T) *browser {
	t.Helper()
	tiny.Chromium(t)
	b := &browser{t: t, dir: t.TempDir()}
	files := http.FileServer(http.Dir(b.dir))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.mu.Lock()
		b.asked = append(b.asked, r.Host+r.URL.Path)
		b.mu.Unlock()
		files.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	b.host = strings.TrimPrefix(server.URL, "http://")
	return b
}

// run starts Chromium, and returns its standard output.
func (b *browser) run(args ...string) string {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), 2*time.Minute)
	defer cancel()
	words := append(tiny.Chromium(b.t), "--host-resolver-rules=MAP * "+b.host, "--virtual-time-budget=4000")
	words = append(words, args...)
	c := exec.CommandContext(ctx, words[0], words[1:]...)
	c.WaitDelay = 5 * time.Second
	var said bytes.Buffer
	c.Stderr = &said
	out, err := c.Output()
	if err != nil {
		b.t.Fatalf("chromium %q: %v\n%s", args, err, said.Bytes())
	}
	return string(out)
}

// put makes a page a file of the server, and returns its path.
func (b *browser) put(name string, data []byte) string {
	b.t.Helper()
	path := filepath.Join(b.dir, name)
	if err := os.WriteFile(path, data, 0o666); err != nil {
		b.t.Fatal(err)
	}
	return path
}

// foreign are the requests that were made, other than of the server's own pages.
func (b *browser) foreign() (list []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, a := range b.asked {
		if strings.Contains(a, "evil.example") {
			list = append(list, a)
		}
	}
	return list
}

// title is that of a page as it is after its scripts.
func title(t *testing.T, dom string) string {
	t.Helper()
	n, err := html.Parse(strings.NewReader(dom))
	if err != nil {
		t.Fatal(err)
	}
	return words(all(all(n, "head")[0], "title")[0])
}

// TestNothingRuns opens a page of attacks from a file, as a reader does: no script of theirs
// runs, and no host is asked for anything. The attacks do both where a page lets them.
func TestNothingRuns(t *testing.T) {
	b := newBrowser(t)
	naive := b.put("naive.html", []byte("<!doctype html><title>before</title>"+
		strings.ReplaceAll(attacks[0]+attacks[1], "%s", "document.title='done'")))
	if got := title(t, b.run("--dump-dom", "file://"+naive)); got != "done" {
		t.Fatalf("the attack does nothing to a page without defence (title %q): this test sees nothing", got)
	}
	if len(b.foreign()) == 0 {
		t.Fatal("a page without defence asks no host: this test sees nothing")
	}
	b.asked = nil
	l := hostile(t)
	out := filepath.Join(b.dir, "page.html")
	if _, err := Write(t.Context(), l.dir, nil, out); err != nil {
		t.Fatal(err)
	}
	dom := b.run("--dump-dom", "file://"+out)
	if got := title(t, dom); !strings.HasPrefix(got, "<script>document.title='done'</script>") || !strings.Contains(dom, `<h2>Lineage</h2>`) {
		t.Errorf("the title is %q", got)
	}
	if got := b.foreign(); got != nil {
		t.Errorf("the page asks for %q", got)
	}
}

// harness shows a page in frames of some widths, and writes what it measures. A page has no
// scripts, so the page around it looks.
const harness = `<!doctype html><title>harness</title><pre id="out"></pre><script>
const found = [];
const widths = [320, 390, 768, 1280];
for (const w of widths) {
	const f = document.createElement('iframe');
	f.width = w; f.height = 800; f.src = %q;
	f.onload = () => {
		const d = f.contentDocument, e = d.documentElement;
		for (const x of d.querySelectorAll('details')) x.open = true;
		const shown = c => [...d.querySelectorAll('svg.' + c)].filter(s => getComputedStyle(s).display != 'none').length;
		const size = s => { const t = d.querySelector(s); return t ? t.getBoundingClientRect().height : 0 };
		found.push({width: w, scroll: e.scrollWidth, wide: shown('wide'), narrow: shown('narrow'),
			ground: f.contentWindow.getComputedStyle(d.body).backgroundColor, ink: f.contentWindow.getComputedStyle(d.body).color,
			label: size('svg.' + (w < 641 ? 'narrow' : 'wide') + ' text.own')});
		if (found.length == widths.length) document.getElementById('out').textContent = JSON.stringify(found);
	};
	document.body.append(f);
}
</script>`

// measured is what the harness finds at a width, in pixels of CSS.
type measured struct {
	Width, Scroll, Wide, Narrow int
	Ground, Ink                 string
	Label                       float64 // height of a label in a picture
}

// measure lays a page out at some widths, in a theme: 0 is dark, 1 is light.
func (b *browser) measure(page string, theme int) (list []measured) {
	b.t.Helper()
	b.put("harness.html", fmt.Appendf(nil, harness, page))
	dom := b.run(fmt.Sprintf("--blink-settings=preferredColorScheme=%d", theme), "--dump-dom", "http://"+b.host+"/harness.html")
	n, err := html.Parse(strings.NewReader(dom))
	if err != nil {
		b.t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(words(all(n, "pre")[0])), &list); err != nil {
		b.t.Fatalf("the harness writes %q: %v", words(all(n, "pre")[0]), err)
	}
	return list
}

// TestLayout: no page is wider than its window, from 320 pixels on, with all details open; a
// phone gets the narrow pictures; the themes have their own colours; labels are readable.
func TestLayout(t *testing.T) {
	b := newBrowser(t)
	evil := hostile(t)
	l := newLab(t)
	l.run("runs/one", 1.5, "name: opticks\n")
	l.record("20261124T030000Z", nil)
	l.record("20261125T030000Z", nil)
	for i, best := range []float64{1.7, 1.5, 1.6, 1.8, 1.9, 2} {
		l.run(fmt.Sprintf("runs/t%d", i+1), best, fmt.Sprintf("name: tuned\ntrain: {lr: 0.00%d}\n", i))
	}
	l.write("sweeps/abc/sweep.csv", table("1.7", "1.5", "1.6", "1.8", "1.9", "2"))
	for name, write := range map[string]func(out string) error{
		"round":   func(out string) error { _, err := Write(t.Context(), l.dir, nil, out); return err },
		"sweep":   func(out string) error { _, err := Write(t.Context(), l.dir, []string{"abc"}, out); return err },
		"two":     func(out string) error { _, err := Write(t.Context(), l.dir, []string{"t1", "t2"}, out); return err },
		"hostile": func(out string) error { _, err := Write(t.Context(), evil.dir, nil, out); return err },
	} {
		page := name + ".html"
		if err := write(filepath.Join(b.dir, page)); err != nil {
			t.Fatal(err)
		}
		for theme, colours := range []string{"rgb(21, 23, 26) rgb(230, 228, 223)", "rgb(253, 252, 250) rgb(31, 35, 40)"} {
			if theme == 0 && name != "round" {
				continue // one page is enough for the colours
			}
			for _, m := range b.measure(page, theme) {
				if m.Scroll > m.Width {
					t.Errorf("%s at %d pixels is %d wide", name, m.Width, m.Scroll)
				}
				if phone := m.Width < 640; phone && (m.Wide > 0 || m.Narrow != 1) || !phone && (m.Wide != 1 || m.Narrow > 0) {
					t.Errorf("%s at %d pixels: %d wide and %d narrow pictures", name, m.Width, m.Wide, m.Narrow)
				}
				if got := m.Ground + " " + m.Ink; got != colours {
					t.Errorf("%s in theme %d: %s, want %s", name, theme, got, colours)
				}
				if m.Width >= 390 && m.Label < 10 {
					t.Errorf("%s at %d pixels: a label is %.1f high", name, m.Width, m.Label)
				}
			}
		}
	}
}

// TestPrint: a page prints, with what is folded on a screen.
func TestPrint(t *testing.T) {
	b := newBrowser(t)
	l := newLab(t)
	l.run("runs/one", 1.5, "name: opticks\n")
	l.record("20261125T030000Z", nil)
	page, pdf := filepath.Join(b.dir, "page.html"), filepath.Join(b.dir, "page.pdf")
	if _, err := Write(t.Context(), l.dir, nil, page); err != nil {
		t.Fatal(err)
	}
	b.run("--no-pdf-header-footer", "--print-to-pdf="+pdf, "file://"+page)
	data, err := os.ReadFile(pdf)
	if err != nil || !bytes.HasPrefix(data, []byte("%PDF-")) || bytes.Count(data, []byte("/Type /Page\n")) < 2 {
		t.Errorf("%v, %d bytes, %d pages", err, len(data), bytes.Count(data, []byte("/Type /Page\n")))
	}
}
