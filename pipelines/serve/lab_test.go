package serve_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/quire-ml/quire/model/rnn"
	"github.com/quire-ml/quire/pipelines/internal/tiny"
	"github.com/quire-ml/quire/pipelines/report"
	"github.com/quire-ml/quire/pipelines/serve"
	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/pipelines/web"
	"github.com/quire-ml/quire/transforms/vocab"
)

const letters = "abcdefghijklmnopqrstuvwxyz .,\n!é"

// kind says what a test's model is.
type kind struct {
	unit    vocab.Unit
	chars   string
	seed    int64
	hidden  int
	unknown bool // it has [UNK]
	nfc     bool
}

// save writes the checkpoint of an untrained GRU and returns its path.
func save(t testing.TB, k kind) string {
	t.Helper()
	if k.unit == "" {
		k.unit = vocab.Rune
	}
	if k.chars == "" {
		k.chars = letters
	}
	if k.hidden == 0 {
		k.hidden = 24
	}
	if k.unit == vocab.Byte {
		k.chars = ""
		for b := range 256 {
			k.chars += string([]byte{byte(b)})
		}
	}
	m := tiny.Model{Shape: rnn.Shape{Embedding: 8, Hidden: k.hidden}, Vocab: tiny.Vocab(t, k.unit, k.chars, k.unknown), Weigh: tiny.Drawn(k.seed, 3)}
	if k.nfc {
		m.Normalize = "nfc"
	}
	return m.Save(t, t.TempDir())
}

var open = tiny.Open

// site is a running server.
type site struct {
	t     testing.TB
	url   string
	model *text.Model
	key   string
	end   func()     // what SIGTERM does
	ended chan error // what Run returned
	lines *lines
}

// lines is what the server said.
type lines struct{ c chan string }

func (l *lines) Write(p []byte) (int, error) {
	select {
	case l.c <- string(p):
	default:
	}
	return len(p), nil
}

// start serves a model until the test ends.
func start(t testing.TB, m *text.Model, change func(o *serve.Options)) *site {
	t.Helper()
	said := &lines{make(chan string, 1000)}
	o := serve.Options{Name: "tiny", Limits: serve.DefaultLimits(), Console: report.NewConsole(said, false)}
	if change != nil {
		change(&o)
	}
	s, err := serve.New(m, o)
	if err != nil {
		t.Fatal(err)
	}
	l, err := web.Listen(":0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	h := &site{t: t, url: "http://" + l.Addr().String(), model: m, end: cancel, ended: make(chan error, 1), lines: said}
	go func() { h.ended <- s.Run(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-h.ended:
			if err != nil {
				t.Errorf("the server ended with %v", err)
			}
			h.ended <- nil
		case <-time.After(time.Minute):
			t.Error("the server does not end")
		}
	})
	return h
}

// do sends a request with headers as "Name: value".
func (h *site) do(method, path string, body []byte, headers ...string) (int, http.Header, []byte) {
	h.t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, h.url+path, bytes.NewReader(body))
	if err != nil {
		h.t.Fatal(err)
	}
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/json")
	}
	if h.key != "" {
		req.Header.Set("Authorization", "Bearer "+h.key)
	}
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		if name == "Host" {
			req.Host = value
		}
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, data
}

// reply is an answer, and an event of a stream.
type reply struct {
	ID                string
	Object            string
	Created           int64
	Model             string
	SystemFingerprint string `json:"system_fingerprint"`
	Choices           []struct {
		Index        int
		Text         string
		FinishReason *string `json:"finish_reason"`
		Logprobs     *struct {
			Tokens        []string
			TokenLogprobs []*float64            `json:"token_logprobs"`
			TopLogprobs   []map[string]*float64 `json:"top_logprobs"`
			TextOffset    []int                 `json:"text_offset"`
		}
		Receipt json.RawMessage
	}
	Usage *struct {
		Prompt     int `json:"prompt_tokens"`
		Completion int `json:"completion_tokens"`
		Total      int `json:"total_tokens"`
	}
	Error *struct {
		Message, Type string
		Param, Code   *string
	}
}

// ask posts a completion that must succeed.
func (h *site) ask(body string) *reply {
	h.t.Helper()
	code, _, data := h.do("POST", "/v1/completions", []byte(body))
	r := &reply{}
	if err := json.Unmarshal(data, r); err != nil || code != http.StatusOK {
		h.t.Fatalf("%.200s: %d %s, %v", body, code, data, err)
	}
	return r
}

// refused posts what must be refused, and returns the error.
func (h *site) refused(path, body string, code int) *reply {
	h.t.Helper()
	got, _, data := h.do("POST", path, []byte(body))
	r := &reply{}
	if err := json.Unmarshal(data, r); err != nil || got != code || r.Error == nil || r.Error.Message == "" || r.Error.Type == "" {
		h.t.Fatalf("%.200s: %d %.300s, %v; want %d", body, got, data, err, code)
	}
	return r
}

// events posts a streamed completion and returns its events, and whether [DONE] came last.
func (h *site) events(body string) (all []*reply, raw string, done bool) {
	h.t.Helper()
	code, head, data := h.do("POST", "/v1/completions", []byte(body))
	if code != http.StatusOK || head.Get("Content-Type") != "text/event-stream" {
		h.t.Fatalf("%.200s: %d %v %.300s", body, code, head, data)
	}
	for part := range strings.SplitSeq(strings.TrimSuffix(string(data), "\n\n"), "\n\n") {
		event, ok := strings.CutPrefix(part, "data: ")
		switch {
		case done:
			h.t.Fatalf("%q comes behind [DONE]", part)
		case event == "[DONE]":
			done = true
		case strings.HasPrefix(part, ": "):
		case !ok:
			h.t.Fatalf("%q is no event", part)
		default:
			r := &reply{}
			if err := json.Unmarshal([]byte(event), r); err != nil {
				h.t.Fatalf("%q: %v", event, err)
			}
			all = append(all, r)
		}
	}
	return all, string(data), done
}

// joined returns the text of a choice of a stream.
func joined(all []*reply, index int) (text string) {
	for _, r := range all {
		for _, c := range r.Choices {
			if c.Index == index {
				text += c.Text
			}
		}
	}
	return text
}

func dial(t testing.TB, url string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func withCancel() (context.Context, context.CancelFunc) {
	return context.WithCancel(context.Background())
}
