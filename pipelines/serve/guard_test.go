package serve_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/quire-ml/quire/pipelines/report"
	"github.com/quire-ml/quire/pipelines/serve"
	"github.com/quire-ml/quire/pipelines/web"
)

const (
	key   = "a-key-of-twenty-chars"
	other = "another-key-of-clients"
)

func keys(t testing.TB) serve.Keys {
	t.Helper()
	k, err := serve.ParseKeys([]byte("# of the tests\n\n" + key + "\r\n  " + other + "  \n"))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// routes are all that a server answers.
var routes = []struct{ method, path, body string }{
	{"GET", "/", ""}, {"GET", "/page/page.js", ""}, {"POST", "/v1/completions", `{"prompt":"a"}`}, {"GET", "/v1/models", ""}, {"GET", "/v1/models/tiny", ""},
	{"POST", "/tokenize", `{"prompt":"a"}`}, {"POST", "/detokenize", `{"tokens":[1]}`}, {"GET", "/tokenizer_info", ""},
	{"GET", "/healthz", ""}, {"GET", "/readyz", ""},
	{"GET", "/metrics", ""}, {"GET", "/openapi.json", ""}, {"POST", "/v1/chat/completions", `{}`}, {"GET", "/nothing", ""}, {"DELETE", "/v1/completions", ""},
	{"GET", "/healthz/../metrics", ""}, {"GET", "//healthz", ""},
}

// TestKeys asks every route without a key, with a wrong one and with each right one.
func TestKeys(t *testing.T) {
	h := start(t, open(t, save(t, kind{})), func(o *serve.Options) { o.Keys = keys(t) })
	for _, r := range routes {
		for auth, right := range map[string]bool{"": false, "Bearer ": false, "Bearer wrong": false, "Bearer " + key[:20]: false,
			"Basic " + key: false, "Bearer " + key + " " + other: false,
			"bearer " + key: true, "Bearer " + other: true, "Basic YW55Om" + "EtbG9uZy13cm9uZy1rZXk=": false} {
			headers := []string{"Host: quire.example.org"}
			if auth != "" {
				headers = append(headers, "Authorization: "+auth)
			}
			code, head, data := h.do(r.method, r.path, []byte(r.body), headers...)
			free := r.path == "/healthz"
			if denied := code == http.StatusUnauthorized; denied == (right || free) {
				t.Errorf("%s %s with %q: %d %s", r.method, r.path, auth, code, data)
			} else if denied && (len(head.Values("WWW-Authenticate")) != 2 || !strings.Contains(string(data), "invalid_api_key")) {
				t.Errorf("%s %s: %v %s", r.method, r.path, head, data)
			}
		}
	}
	// A browser sends the key as a password.
	req, err := http.NewRequestWithContext(t.Context(), "GET", h.url+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth("anybody", other)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("the page with the key as password: %d", resp.StatusCode)
	}
}

func TestParseKeys(t *testing.T) {
	for file, words := range map[string]string{
		"": "no key", "# only\n": "no key", "short": "line 1: a key has 5 characters", "\n" + key + "\nkey with spaces in it": "line 3: a key has printable",
		"kéy-with-an-accent-in-it": "line 1: a key has printable", key + "\x00": "printable",
	} {
		if _, err := serve.ParseKeys([]byte(file)); err == nil || !strings.Contains(err.Error(), words) || strings.Contains(err.Error(), "accent") {
			t.Errorf("%q: %v", file, err)
		}
	}
}

// TestHost: without keys, only requests under a name that this machine alone has are
// answered, so that no web page gets in by a name of its own.
func TestHost(t *testing.T) {
	h := start(t, open(t, save(t, kind{})), nil)
	port := h.url[strings.LastIndex(h.url, ":"):]
	for host, ok := range map[string]bool{"localhost": true, "LOCALHOST" + port: true, "127.0.0.1": true, "127.8.9.1" + port: true,
		"[::1]": true, "[::1]" + port: true,
		"evil.example": false, "evil.example" + port: false, "localhost.evil.example": false, "127.0.0.1.evil.example" + port: false,
		"192.168.0.1": false, "0.0.0.0": false} {
		for _, r := range routes {
			code, _, data := h.do(r.method, r.path, []byte(r.body), "Host: "+host)
			if ok == (code == http.StatusForbidden) {
				t.Errorf("%s %s at %s: %d %s", r.method, r.path, host, code, data)
			}
		}
	}
}

// TestOrigin: web pages of other sites get nothing, with a key and without, unless theirs
// is a named origin.
func TestOrigin(t *testing.T) {
	for _, o := range []struct {
		options func(o *serve.Options)
		headers []string
	}{{nil, nil}, {func(o *serve.Options) { o.Keys = keys(t) }, []string{"Authorization: Bearer " + key}}} {
		h := start(t, open(t, save(t, kind{})), func(s *serve.Options) {
			s.Origins = []string{"https://good.example", "http://localhost:3000"}
			if o.options != nil {
				o.options(s)
			}
		})
		own := strings.Replace(h.url, "127.0.0.1", "localhost", 1)
		for origin, ok := range map[string]bool{own: true, "https://good.example": true, "http://localhost:3000": true,
			"https://bad.example": false, "null": false, "": false,
			"http://localhost:9": false, "http://good.example": false, "https://good.example:444": false} {
			for _, r := range routes {
				headers := append([]string{"Host: " + strings.TrimPrefix(own, "http://"), "Origin: " + origin}, o.headers...)
				code, head, data := h.do(r.method, r.path, []byte(r.body), headers...)
				if ok == (code == http.StatusForbidden) {
					t.Errorf("%s %s from %q: %d %s", r.method, r.path, origin, code, data)
				}
				allowed := head.Get("Access-Control-Allow-Origin")
				if want := map[bool]string{true: origin}[ok && origin != own]; allowed != want || head.Get("Vary") != "Origin" && code == 200 &&
					!strings.Contains(r.path, "metrics") {
					t.Errorf("%s %s from %q is allowed for %q, varies by %q", r.method, r.path, origin, allowed, head.Get("Vary"))
				}
			}
		}
		preflight := []string{"Access-Control-Request-Method: POST", "Access-Control-Request-Headers: authorization"}
		code, head, _ := h.do("OPTIONS", "/v1/completions", nil, append(preflight, "Origin: https://good.example")...)
		if code != http.StatusNoContent || !strings.Contains(head.Get("Access-Control-Allow-Headers"), "Authorization") {
			t.Errorf("%d %v", code, head)
		}
		code, head, _ = h.do("OPTIONS", "/v1/completions", nil, append(preflight, "Origin: https://bad.example")...)
		if code != http.StatusForbidden || head.Get("Access-Control-Allow-Headers") != "" {
			t.Errorf("%d %v", code, head)
		}
	}
	h := start(t, open(t, save(t, kind{})), nil)
	c := dial(t, h.url)
	fmt.Fprintf(c, "GET /v1/models HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\nOrigin: https://bad.example\r\n\r\n")
	head := make([]byte, 12)
	if _, err := io.ReadFull(c, head); err != nil || string(head) != "HTTP/1.1 403" {
		t.Errorf("two origins: %q, %v", head, err)
	}
	for _, wrong := range []string{"good.example", "https://good.example/", "*", "ftp://good.example", "https://"} {
		if _, err := serve.New(open(t, save(t, kind{})), serve.Options{Limits: serve.DefaultLimits(), Origins: []string{wrong}}); err == nil {
			t.Errorf("the origin %q is taken", wrong)
		}
	}
}

// TestLoopback: without keys a server does not answer other machines.
func TestLoopback(t *testing.T) {
	for _, with := range []serve.Keys{nil, keys(t)} {
		s, err := serve.New(open(t, save(t, kind{})), serve.Options{Name: "m", Limits: serve.DefaultLimits(), Keys: with,
			Console: report.NewConsole(io.Discard, true)})
		if err != nil {
			t.Fatal(err)
		}
		l, err := web.Listen("0.0.0.0:0")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := withCancel()
		if with != nil {
			cancel() // it would answer
		}
		err = s.Run(ctx, l)
		cancel()
		if refused := err != nil; refused != (with == nil) {
			t.Errorf("with %d keys: %v", len(with), err)
		}
		if _, err := net.Dial("tcp", l.Addr().String()); err == nil {
			t.Error("the port stays open")
		}
	}
}

// TestDescribed: the description has the routes that there are, and no others.
func TestDescribed(t *testing.T) {
	h := start(t, open(t, save(t, kind{})), nil)
	_, _, data := h.do("GET", "/openapi.json", nil)
	var d struct{ Paths map[string]map[string]any }
	if err := json.Unmarshal(data, &d); err != nil {
		t.Fatal(err)
	}
	for path, methods := range d.Paths {
		for method := range methods {
			code, _, data := h.do(strings.ToUpper(method), strings.Replace(path, "{name}", "tiny", 1), []byte(`{}`))
			if code == http.StatusNotFound || code == http.StatusMethodNotAllowed {
				t.Errorf("%s %s is described: %d %s", method, path, code, data)
			}
		}
	}
	for _, r := range routes {
		code, _, _ := h.do(r.method, r.path, []byte(r.body))
		path := strings.Replace(r.path, "/tiny", "/{name}", 1)
		if d.Paths[path][strings.ToLower(r.method)] == nil && code < 300 && strings.Count(path, "/") < 4 && !strings.HasPrefix(path, "//") &&
			!strings.Contains(path, "..") {
			t.Errorf("%s %s is not described", r.method, r.path)
		}
	}
}

// TestHeaders are on every answer.
func TestHeaders(t *testing.T) {
	h := start(t, open(t, save(t, kind{})), nil)
	for _, r := range routes {
		_, head, _ := h.do(r.method, r.path, []byte(r.body))
		if head.Get("X-Content-Type-Options") != "nosniff" || head.Get("Cross-Origin-Resource-Policy") != "same-origin" ||
			head.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: %v", r.path, head)
		}
	}
	if code, head, data := h.do("PUT", "/v1/models", nil); code != 405 || head.Get("Allow") != "GET, HEAD" ||
		!strings.Contains(string(data), "invalid_request_error") {
		t.Errorf("%d %v %s", code, head, data)
	}
	if code, _, data := h.do("HEAD", "/v1/models", nil); code != 200 || len(data) != 0 {
		t.Errorf("%d %s", code, data)
	}
	if code, _, data := h.do("POST", "/v1/completions", []byte(`{"prompt":"a"}`), "Content-Type: text/plain"); code != 415 ||
		!strings.Contains(string(data), "application/json") {
		t.Errorf("%d %s", code, data)
	}
}

// endless is a body of so many bytes, of JSON that has no end.
func endless(n int64) io.Reader {
	return io.MultiReader(strings.NewReader(`{"prompt":"`), io.LimitReader(letterA{}, n))
}

type letterA struct{}

func (letterA) Read(p []byte) (int, error) {
	copy(p, bytes.Repeat([]byte("a"), len(p)))
	return len(p), nil
}

// TestHostile sends what no client sends. Every answer is a 4xx, memory stays bounded, and
// the server goes on.
func TestHostile(t *testing.T) {
	h := start(t, open(t, save(t, kind{})), nil)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	const gib = 1 << 30
	for name, send := range map[string]func(c net.Conn){
		"a body of 1 GiB": func(c net.Conn) {
			fmt.Fprintf(c, "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", gib)
			_, _ = io.Copy(c, endless(gib))
		},
		"a body of 1 GiB in chunks": func(c net.Conn) {
			fmt.Fprintf(c, "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
			for range gib >> 20 {
				if _, err := fmt.Fprintf(c, "%x\r\n%s\r\n", 1<<20, bytes.Repeat([]byte("a"), 1<<20)); err != nil {
					return
				}
			}
		},
		"a header of 10 MiB": func(c net.Conn) {
			fmt.Fprintf(c, "GET /v1/models HTTP/1.1\r\nHost: localhost\r\nX-Long: %s\r\n\r\n", strings.Repeat("x", 10<<20))
		},
		"no HTTP": func(c net.Conn) { fmt.Fprint(c, "\x16\x03\x01 hello\r\n\r\n") },
		"no host": func(c net.Conn) { fmt.Fprint(c, "GET /v1/models HTTP/1.1\r\n\r\n") },
		"two lengths": func(c net.Conn) {
			fmt.Fprint(c, "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n{}")
		},
		"a bad header": func(c net.Conn) { fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: localhost\r\nA\x00b: c\r\n\r\n") },
		"a long path": func(c net.Conn) {
			fmt.Fprintf(c, "GET /%s HTTP/1.1\r\nHost: localhost\r\n\r\n", strings.Repeat("%2e%2e/", 1000))
		},
		"an odd method": func(c net.Conn) { fmt.Fprint(c, "BREW /v1/completions HTTP/1.1\r\nHost: localhost\r\n\r\n") },
	} {
		c := dial(t, h.url)
		go send(c)
		head := make([]byte, 12)
		if _, err := io.ReadFull(c, head); err != nil || !strings.HasPrefix(string(head), "HTTP/1.1 4") {
			t.Errorf("%s: %q, %v", name, head, err)
		}
		c.Close()
	}
	for _, body := range []string{strings.Repeat("[", 1<<19), `{"prompt":` + strings.Repeat(`[[`, 1<<18), `{"prompt":"` + strings.Repeat(`\u0061`, 1<<17) + `"}`,
		`{"prompt":[` + strings.Repeat("1,", 1<<18) + `1]}`, `{"prompt":"a","temperature":NaN}`, `{"prompt":"a","max_tokens":-1}`, `{"prompt":"a","n":2147483648}`,
		"{\"prompt\":\"\xff\xfe\"}", `{"prompt":{"a":1}}`, `{"prompt":"a","stop":{}}`, `{"prompt":"a","seed":"1"}`, `{"prompt":["a",["b"]]}`, `"`, `{`,
		"\x00", `{"prompt":"a","max_tokens":1e309}`} {
		h.refused("/v1/completions", body, http.StatusBadRequest)
		for _, path := range []string{"/tokenize", "/detokenize"} {
			h.refused(path, body, http.StatusBadRequest)
		}
	}
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapSys) - int64(before.HeapSys); grown > 256<<20 {
		t.Errorf("the heap has grown by %d MB", grown>>20)
	}
	h.ask(`{"prompt":"a"}`)
}

// TestSilence: neither prompts nor texts nor keys reach the console, whatever happens.
func TestSilence(t *testing.T) {
	const secret = "zzqxzzqxzzqx"
	var said []string
	h := start(t, open(t, save(t, kind{})), func(o *serve.Options) { o.Keys = keys(t) })
	h.key = key
	h.ask(`{"prompt":"` + secret + `","max_tokens":50}`)
	for _, body := range []string{`{"prompt":"` + secret + `Ω"}`, `{"prompt":"` + secret, `{"` + secret + `":1}`} {
		h.refused("/v1/completions", body, 400)
	}
	h.do("GET", "/"+secret+"?"+secret, nil, "X-A: "+secret)
	h.end()
	<-h.ended
	h.ended <- nil
	close(h.lines.c)
	for line := range h.lines.c {
		said = append(said, line)
	}
	if all := strings.Join(said, ""); strings.Contains(all, secret) || strings.Contains(all, key) {
		t.Error(all)
	}
}

// TestMain keeps a proxy of the environment away from requests to this machine.
func TestMain(m *testing.M) {
	os.Unsetenv("HTTP_PROXY")
	os.Unsetenv("http_proxy")
	os.Exit(m.Run())
}

// deadlines is an answer that notes its deadlines.
type deadlines struct {
	*httptest.ResponseRecorder
	set  int
	last time.Time
}

func (d *deadlines) SetWriteDeadline(at time.Time) error { d.set, d.last = d.set+1, at; return nil }

// TestDeadline: every answer has a deadline of its own, also those that no route gives, for
// a connection that stays open keeps the one of the answer before.
func TestDeadline(t *testing.T) {
	s, err := serve.New(open(t, save(t, kind{})), serve.Options{Name: "tiny", Limits: serve.DefaultLimits(), Origins: []string{"https://good.example"}})
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(r *http.Request){
		"preflight": func(r *http.Request) {
			r.Method = http.MethodOptions
			r.Header.Set("Origin", "https://good.example")
			r.Header.Set("Access-Control-Request-Method", "POST")
		},
		"a redirect": func(r *http.Request) { r.URL.Path = "//healthz" },
		"denied":     func(r *http.Request) { r.Host = "evil.example" },
		"a page":     func(r *http.Request) {},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost/", nil)
		change(r)
		w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
		if s.ServeHTTP(w, r); w.set == 0 {
			t.Errorf("%s: %d without a deadline", name, w.Code)
		}
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost/v1/models", nil)
	w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
	s.ServeHTTP(w, r)
	if left := time.Until(w.last); left > serve.DefaultLimits().Write {
		t.Errorf("a client has %v to take an answer", left)
	}
}
