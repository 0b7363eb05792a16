package serve_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/quire-ml/quire/pipelines/serve"
	"github.com/quire-ml/quire/pipelines/text"
)

// visit opens the page of a server and waits for the name of its model.
func (b *browser) visit(h *site, user string) {
	b.t.Helper()
	b.view(1200, "light")
	b.call("Page.navigate", map[string]any{"url": strings.Replace(h.url, "http://127.0.0.1", "http://"+user+"localhost", 1) + "/"})
	b.until(`document.readyState === "complete" && document.getElementById("digest")?.textContent.length === 16`)
	b.eval(`window.el = (id) => document.getElementById(id); true`)
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

// submit fills in the form, writes, and waits until the page says what it says at the end.
func (b *browser) submit(prompt, seed, chars, says string) {
	b.t.Helper()
	b.eval(fmt.Sprintf(`el("prompt").value = %q; el("seed").value = %q; el("max_tokens").value = %q; el("form").requestSubmit()`, prompt, seed, chars))
	b.says(says)
}

func (b *browser) says(text string) {
	b.t.Helper()
	b.until(fmt.Sprintf(`el("write").disabled === false && el("status").textContent.includes(%q)`, text))
}

// TestPageSays: what the page says beside a text is of that text, also behind an error, a stop
// and another model; and it says what is wrong in words of its own.
func TestPageSays(t *testing.T) {
	first, second := open(t, save(t, kind{seed: 1})), open(t, save(t, kind{seed: 2}))
	next := make(chan *text.Model, 1)
	h := start(t, first, func(o *serve.Options) {
		long(o)
		o.Every = 1
		o.Next = func(ctx context.Context, _ *text.Model) (*text.Model, error) {
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case m := <-next:
				return m, nil
			}
		}
	})
	b := newBrowser(t)
	b.visit(h, "")
	eleven := func(digest string) {
		t.Helper()
		if b.eval(`el("used").textContent === "11" && !el("proof").hidden && !el("figures").hidden && /"seed": 11,/.test(el("receipt").textContent)`) != true {
			t.Errorf("beside the text of seed 11: seed %v, receipt %v", b.eval(`el("used").textContent`), b.eval(`el("receipt").textContent`))
		}
		b.until(fmt.Sprintf(`el("digest").title === %q && el("facts").textContent === "32 characters · "`, digest))
	}
	b.submit("so", "11", "100", "Written in")
	eleven(first.SHA256)
	b.submit("Я", "22", "100", "U+042F")
	b.click("replay")
	b.says("The same text again")
	eleven(first.SHA256)

	b.eval(`el("prompt").value = "so"; el("seed").value = "33"; el("max_tokens").value = "1000000000"; el("form").requestSubmit()`)
	b.until(`el("output").textContent.length > 20`)
	if b.eval(`el("used").textContent === "33" && el("proof").hidden`) != true {
		t.Error("beside the text of seed 33 is another seed or receipt")
	}
	b.click("stopper")
	b.says("Stopped.")
	b.click("replay")
	b.says("The same text again")
	eleven(first.SHA256)

	next <- second
	eventually(t, "the second model writes", func() bool { return h.ask(`{"prompt":"a"}`).SystemFingerprint == second.SHA256 })
	b.click("replay")
	b.says("Another text has come of it")
	eleven(second.SHA256)

	b.submit("so", "9223372036854775808", "100", "Seed has more than 64 bits")
	b.submit("so", "11", "", "Characters is empty")
	b.submit("so", "-0011", "100", "Written in")
	h.end()
	h.ended <- <-h.ended
	b.submit("so", "11", "100", "The server does not answer.")
}

// TestPageKey opens the page with the key in its address.
func TestPageKey(t *testing.T) {
	h := start(t, open(t, save(t, kind{})), func(o *serve.Options) { o.Keys = keys(t) })
	b := newBrowser(t)
	b.visit(h, "any:"+key+"@")
	b.submit("so", "11", "100", "Written in")
}
