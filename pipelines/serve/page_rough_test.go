package serve_test

import (
	"strings"
	"testing"
)

// visit opens the page of a server and waits for the name of its model.
func (b *browser) visit(h *site, user string) {
	b.t.Helper()
	b.view(1200, "light")
	b.call("Page.navigate", map[string]any{"url": strings.Replace(h.url, "http://127.0.0.1", "http://"+user+"localhost", 1) + "/"})
	b.until(`document.readyState === "complete" && document.getElementById("digest")?.textContent.length === 16`)
}

// atOnce is a server whose answer of 16,384 characters, in lines of 64, is in the browser before
// the page reads it: how fast the server is does not matter.
const atOnce = `
window.whole = "";
window.fetch = async () => {
	let body = "";
	for (let i = 0; i < 16384; i++) {
		const text = i % 64 === 63 ? "\n" : String.fromCharCode(97 + i % 26);
		whole += text;
		body += "data: " + JSON.stringify({ choices: [{ text, logprobs: { tokens: [text], token_logprobs: [-1] } }] }) + "\n\n";
	}
	return new Response(body + "data: [DONE]\n\n");
};
window.layouts = 0;
const height = Object.getOwnPropertyDescriptor(Element.prototype, "scrollHeight");
Object.defineProperty(Element.prototype, "scrollHeight", { get() { layouts++; return height.get.call(this); } });
window.el = (id) => document.getElementById(id);
true`

// TestPageBusy: a long text does not keep the browser from its user. Stop works while characters
// that have come wait for the page, and there are fewer layouts than characters by far.
func TestPageBusy(t *testing.T) {
	h := start(t, open(t, save(t, kind{})), nil)
	b := newBrowser(t)
	b.visit(h, "")
	b.eval(atOnce)
	b.eval(`new Promise((stopped) => {
		el("form").requestSubmit();
		const look = () => {
			if (el("output").textContent.length > 20 && !el("stopper").disabled) el("stopper").click();
			if (el("status").textContent === "Writing …") setTimeout(look); else stopped();
		};
		setTimeout(look);
	})`)
	if said, n := b.eval(`el("status").textContent`), b.eval(`el("output").textContent.length`).(float64); said != "Stopped." || n < 20 || n > 8192 {
		t.Errorf("%q: %v characters of 16,384 are there when Stop is pressed behind the first", said, n)
	}

	b.eval(`layouts = 0; whole = ""; el("form").requestSubmit()`)
	b.until(`el("status").textContent.startsWith("Written in")`)
	if b.eval(`el("output").textContent === whole && el("chars").textContent === "16384"`) != true {
		t.Errorf("the page has %.200q", b.eval(`el("output").textContent`))
	}
	if n := b.eval(`layouts`).(float64); n > 1024 {
		t.Errorf("%v layouts for 16,384 characters", n)
	}
	if b.eval(`el("output").scrollTop + el("output").clientHeight > el("output").scrollHeight - 2`) != true {
		t.Error("the end of the text is not in view")
	}
	const copied = `(() => {
		getSelection().selectAllChildren(el("output"));
		const e = new ClipboardEvent("copy", { clipboardData: new DataTransfer(), bubbles: true, cancelable: true });
		el("output").dispatchEvent(e);
		return e.clipboardData.getData("text/plain") === whole;
	})()`
	if b.eval(copied) != true {
		t.Error("a copy of the text is another text")
	}
}
