package serve_test

import (
	"os"
	"strings"
	"testing"

	"github.com/quire-ml/quire/pipelines/receipt"
	"github.com/quire-ml/quire/pipelines/serve"
)

// TestPage is a person at a browser: types, writes, stops, writes again from the receipt.
// SERVE_TEST_SCREENSHOTS=folder keeps pictures, SERVE_TEST_CHECKPOINT=file has another model's text
// in them.
func TestPage(t *testing.T) {
	path := os.Getenv("SERVE_TEST_CHECKPOINT")
	if path == "" {
		path = save(t, kind{hidden: 512}) // it writes slowly enough to be stopped
	}
	m := open(t, path)
	h := start(t, m, func(o *serve.Options) { long(o); o.Name = "opticks" })
	b := newBrowser(t)
	b.view(1200, "light")
	b.call("Page.navigate", map[string]any{"url": strings.Replace(h.url, "127.0.0.1", "localhost", 1) + "/"})
	b.until(`document.readyState === "complete" && document.getElementById("model")?.textContent === "opticks"`)
	if b.eval(`document.activeElement.id`) != "prompt" {
		t.Error("the prompt has not the focus")
	}
	b.shoot("page-light-empty")

	// Ctrl+Enter writes; the text is the one of the API.
	b.write("the prism")
	b.eval(`document.getElementById("seed").value = "9007199254740993"; document.getElementById("max_tokens").value = "300"`)
	b.press("Enter", 13, 2)
	b.until(`document.getElementById("status").textContent.startsWith("Written in")`)
	const shown = `document.querySelector("#output").textContent`
	want := h.ask(`{"prompt":"the prism","max_tokens":300,"seed":9007199254740993,"temperature":0.8}`).Choices[0].Text
	if got := b.eval(shown); got != "the prism"+want {
		t.Errorf("the page has %q, want %q", got, want)
	}
	if n := b.eval(`document.querySelectorAll("#output.colour [class^=h]").length`); n != 300.0 {
		t.Errorf("%v characters have a colour", n)
	}
	if b.eval(`getComputedStyle(document.querySelector("#output .h7") ?? document.querySelector("#output .h5")).backgroundColor`) == "rgba(0, 0, 0, 0)" {
		t.Error("surprise has no colour")
	}
	shownReceipt, _ := b.eval(`document.getElementById("receipt").textContent`).(string)
	if r, err := receipt.Decode([]byte(shownReceipt)); err != nil {
		t.Errorf("the receipt is %s, %v", shownReceipt, err)
	} else if _, err := r.Replay(t.Context(), m, func(int, []byte) error { return nil }); err != nil || r.Seed != 1<<53+1 { // no number of JavaScript
		t.Errorf("the receipt is %+v, %v", r, err)
	}
	b.shoot("page-light-text")

	// Replay writes it again, and says that it is the same.
	b.click("replay")
	b.until(`document.getElementById("status").textContent.startsWith("The same text again")`)
	b.view(1200, "dark")
	b.shoot("page-dark-text")

	// Escape stops a text that would take for ever, and keeps what is there.
	b.eval(`document.getElementById("max_tokens").value = "1000000000"; document.getElementById("seed").value = ""; document.getElementById("prompt").focus()`)
	b.press("Enter", 13, 2)
	b.until(shown + `.length > 20`)
	b.press("Escape", 27, 0)
	b.until(`document.getElementById("status").textContent === "Stopped."`)
	if n := b.eval(shown + `.length`).(float64); n < 20 {
		t.Errorf("%v characters are left of the stopped text", n)
	}
	b.shoot("page-dark-stopped")
	eventually(t, "the server has stopped too", func() bool { return h.figure("quire_num_requests_running") == 0 })

	// A mistake is said.
	b.eval(`document.getElementById("prompt").value = "Ω"; document.getElementById("prompt").focus()`)
	b.press("Enter", 13, 2)
	b.until(`document.getElementById("status").textContent.includes("U+03A9")`)
	b.view(390, "light")
	if b.eval(`document.documentElement.scrollWidth <= 390`) != true {
		t.Errorf("at 390 pixels the page is %v wide", b.eval(`document.documentElement.scrollWidth`))
	}
	b.shoot("page-phone-error")
	b.eval(`document.getElementById("prompt").value = "the light"; document.getElementById("max_tokens").value = "200"`)
	b.eval(`document.getElementById("prompt").focus(); scrollTo({ top: 0, behavior: "instant" })`)
	const below = `document.getElementById("output").getBoundingClientRect().top > innerHeight - 100`
	if b.eval(below) != true {
		t.Error("a phone has the text on the screen without scrolling: this tests nothing")
	}
	b.press("Enter", 13, 2)
	b.until(`!(` + below + `)`) // the page goes to the text
	b.until(`document.getElementById("status").textContent.startsWith("Written in")`)
	b.shoot("page-phone-text")
	b.view(390, "dark")
	b.shoot("page-phone-dark")
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, line := range b.console {
		if !strings.Contains(line, "400 (Bad Request)") { // the mistake
			t.Errorf("the browser says %s", line)
		}
	}
}
