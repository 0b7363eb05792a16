package serve_test

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quire-ml/quire/pipelines/internal/tiny"
)

// browser is a headless Chromium, driven by its DevTools protocol over a pipe.
type browser struct {
	t       *testing.T
	w       *os.File
	session string
	mu      sync.Mutex
	id      int
	waiting map[int]chan message
	console []string // errors of the page and of its policy
}

// message is a message of the protocol, of either direction.
type message struct {
	ID      int             `json:"id,omitempty"`
	Session string          `json:"sessionId,omitempty"`
	Method  string          `json:"method,omitempty"`
	Params  any             `json:"params,omitempty"`
	Result  json.RawMessage `json:"result,omitempty"`
	Error   json.RawMessage `json:"error,omitempty"`
}

// newBrowser starts Chromium with one page, or skips where there is none.
func newBrowser(t *testing.T) *browser {
	t.Helper()
	words := append(tiny.Chromium(t), "--remote-debugging-pipe", "about:blank")
	in, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(words[0], words[1:]...)
	c.ExtraFiles = []*os.File{in, out} // 3 and 4 of the child
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	in.Close()
	out.Close()
	b := &browser{t: t, w: w, waiting: map[int]chan message{}}
	read := make(chan bool)
	go func() { defer close(read); b.read(r) }()
	t.Cleanup(func() {
		b.call("Browser.close", nil)
		w.Close()
		_ = c.Wait()
		<-read
		r.Close()
	})
	var target struct{ TargetID string }
	b.must(b.call("Target.createTarget", map[string]any{"url": "about:blank"}), &target)
	var attached struct{ SessionID string }
	b.must(b.call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}), &attached)
	b.session = attached.SessionID
	for _, domain := range []string{"Page", "Runtime", "Log"} {
		b.call(domain+".enable", nil)
	}
	return b
}

// read takes what the browser says: answers, and errors of the page.
func (b *browser) read(r *os.File) {
	in := bufio.NewReaderSize(r, 1<<20)
	for {
		data, err := in.ReadBytes(0)
		if err != nil {
			return
		}
		var m message
		if json.Unmarshal(data[:len(data)-1], &m) != nil {
			continue
		}
		b.mu.Lock()
		if m.Method == "Runtime.exceptionThrown" || m.Method == "Log.entryAdded" {
			b.console = append(b.console, string(data))
		}
		if c := b.waiting[m.ID]; m.ID > 0 && c != nil {
			delete(b.waiting, m.ID)
			c <- m
		}
		b.mu.Unlock()
	}
}

// call calls a method of the protocol and returns its result.
func (b *browser) call(method string, params any) json.RawMessage {
	b.t.Helper()
	b.mu.Lock()
	b.id++
	m := message{ID: b.id, Session: b.session, Method: method, Params: params}
	if strings.HasPrefix(method, "Target.") || strings.HasPrefix(method, "Browser.") {
		m.Session = ""
	}
	answer := make(chan message, 1)
	b.waiting[m.ID] = answer
	b.mu.Unlock()
	data, err := json.Marshal(m)
	if err == nil {
		_, err = b.w.Write(append(data, 0))
	}
	if err != nil {
		b.t.Fatalf("%s: %v", method, err)
	}
	select {
	case m = <-answer:
	case <-time.After(2 * time.Minute):
		b.t.Fatalf("%s: no answer", method)
	}
	if m.Error != nil {
		b.t.Fatalf("%s: %s", method, m.Error)
	}
	return m.Result
}

func (b *browser) must(data json.RawMessage, v any) {
	b.t.Helper()
	if err := json.Unmarshal(data, v); err != nil {
		b.t.Fatal(err)
	}
}

// eval returns the value of an expression of JavaScript in the page.
func (b *browser) eval(expression string) any {
	b.t.Helper()
	var r struct {
		Result           struct{ Value any }
		ExceptionDetails json.RawMessage
	}
	b.must(b.call("Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true, "awaitPromise": true}), &r)
	if r.ExceptionDetails != nil {
		b.t.Fatalf("%s: %s", expression, r.ExceptionDetails)
	}
	return r.Result.Value
}

// until waits for an expression to be true.
func (b *browser) until(expression string) {
	b.t.Helper()
	eventually(b.t, expression, func() bool { return b.eval(expression) == true })
}

// press types a key with the modifiers of the protocol: 2 is Ctrl.
func (b *browser) press(key string, code, modifiers int) {
	b.t.Helper()
	for _, kind := range []string{"keyDown", "keyUp"} {
		b.call("Input.dispatchKeyEvent", map[string]any{"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code, "modifiers": modifiers})
	}
}

// click clicks into the middle of an element.
func (b *browser) click(id string) {
	b.t.Helper()
	b.eval(fmt.Sprintf(`document.getElementById(%q).scrollIntoView({block: "center", behavior: "instant"})`, id))
	var box []any
	box, _ = b.eval(fmt.Sprintf(`(() => {
		const r = document.getElementById(%q).getBoundingClientRect();
		return [r.x + r.width / 2, r.y + r.height / 2];
	})()`, id)).([]any)
	for _, kind := range []string{"mousePressed", "mouseReleased"} {
		b.call("Input.dispatchMouseEvent", map[string]any{"type": kind, "x": box[0], "y": box[1], "button": "left", "clickCount": 1})
	}
}

// write types text into what has the focus.
func (b *browser) write(text string) {
	b.t.Helper()
	b.call("Input.insertText", map[string]any{"text": text})
}

// shoot saves a picture of the whole page in the folder that SERVE_TEST_SCREENSHOTS names.
func (b *browser) shoot(name string) {
	b.t.Helper()
	dir := os.Getenv("SERVE_TEST_SCREENSHOTS")
	if dir == "" {
		return
	}
	var shot struct{ Data string }
	b.must(b.call("Page.captureScreenshot", map[string]any{"captureBeyondViewport": true}), &shot)
	data, err := base64.StdEncoding.DecodeString(shot.Data)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name+".png"), data, 0o666)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// view sets the width of the window and the theme.
func (b *browser) view(width int, theme string) {
	b.t.Helper()
	b.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500})
	b.call("Emulation.setEmulatedMedia", map[string]any{"features": []any{map[string]any{"name": "prefers-color-scheme", "value": theme}}})
}
