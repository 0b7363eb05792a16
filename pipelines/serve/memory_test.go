package serve_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/quire-ml/quire/pipelines/serve"
)

// post sends the head of a request with a body of so many bytes, and a part of it.
func (h *site) post(path string, size int, part string) net.Conn {
	h.t.Helper()
	c := dial(h.t, h.url)
	fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", path, size, part)
	return c
}

// answers returns the status of the answer on a connection.
func answers(t testing.TB, c net.Conn) string {
	t.Helper()
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(line)[1]
}

func (h *site) held() float64 { return h.figure("quire_request_memory_bytes") }

// TestMemoryOfBodies: bodies that come slowly have a memory in common. It is taken as they
// come, and given back with them.
func TestMemoryOfBodies(t *testing.T) {
	h := start(t, open(t, save(t, kind{})), func(o *serve.Options) { o.Limits.Memory = 100_000 })
	text := strings.Repeat("a", 20_000)
	idle := h.post("/tokenize", 1<<20, "") // what is said to come takes none
	first := h.post("/tokenize", 30_000, `{"prompt":"`+text)
	eventually(t, "the first held", func() bool { return h.held() == 2*(11+20_000) })
	second := h.post("/detokenize", 30_000, `{"prompt":"`+text)
	eventually(t, "the second held", func() bool { return h.held() == 4*(11+20_000) })
	if code := answers(t, h.post("/v1/completions", 30_000, `{"prompt":"`+text)); code != "429" {
		t.Errorf("a body without room: %s", code)
	}
	eventually(t, "the third gone", func() bool { return h.held() == 4*(11+20_000) })
	first.Close()
	second.Close()
	eventually(t, "all given back", func() bool { return h.held() == 0 })
	idle.Close()
	for range 3 {
		h.ask(`{"prompt":"` + text[:9000] + `","max_tokens":1}`)
	}
	eventually(t, "no request open", func() bool { return h.figure("quire_num_requests_open") == 0 })
	if n := h.held(); n != 0 {
		t.Errorf("%v bytes are held for nobody", n)
	}
}

// TestMemoryOfAnswers: an answer holds what it takes at its longest, until it has been read.
func TestMemoryOfAnswers(t *testing.T) {
	const length, most = 1 << 20, 40 << 20
	h := start(t, open(t, save(t, kind{})), func(o *serve.Options) {
		long(o)
		o.Limits.Memory = most
	})
	body := func(more string) string {
		return fmt.Sprintf(`{"prompt":"a","max_tokens":%d,"stream":true%s}`, length, more)
	}
	c, r := h.stream(body(""))
	event(t, r)
	if held := h.held(); held < 24*length || held > 24*length+1e4 {
		t.Errorf("a text of %d characters holds %v bytes", length, held)
	}
	h.refused("/v1/completions", body(""), http.StatusTooManyRequests)
	for _, more := range []string{`,"n":2`, `,"logprobs":0`} {
		if e := h.refused("/v1/completions", body(more), http.StatusBadRequest).Error; !strings.Contains(e.Message, "the server has 41943040 for all requests") {
			t.Errorf("%s: %s", more, e.Message)
		}
	}
	h.ask(`{"prompt":"a"}`) // there is room for it
	c.Close()
	eventually(t, "given back", func() bool { return h.held() == 0 })
	for body, bytes := range map[string]float64{
		`{"prompt":"a","max_tokens":50000,"stream":true,"logprobs":5}`:                   (24 + 256 + 5*96) * 5e4,
		`{"prompt":"a","max_tokens":100000,"stream":true,"n":3}`:                         24 * 3e5,
		`{"prompt":["a","b"],"max_tokens":100000,"stream":true}`:                         24 * 2e5,
		`{"prompt":"` + strings.Repeat("a", 6e4) + `","stream":true,"echo":true,"n":20}`: 24 * 20 * 6e4,
	} {
		c, r := h.stream(body)
		if head, err := r.ReadString('\n'); err != nil || !strings.Contains(head, " 200 ") {
			t.Fatalf("%.60s: %q, %v", body, head, err)
		}
		if held := h.held(); held < bytes || held > bytes*1.1 {
			t.Errorf("%.60s holds %v bytes, want %v", body, held, bytes)
		}
		c.Close()
		eventually(t, "given back", func() bool { return h.held() == 0 })
	}
}

// TestMemoryOfLists: an answer of ids and characters holds memory too.
func TestMemoryOfLists(t *testing.T) {
	h := start(t, open(t, save(t, kind{})), func(o *serve.Options) { o.Limits.Memory = 64 * 1000 })
	text := func(n int) string { return `{"prompt":"` + strings.Repeat("a", n) + `","return_token_strs":true}` }
	if code, _, data := h.do("POST", "/tokenize", []byte(text(900))); code != http.StatusOK {
		t.Errorf("%d %s", code, data)
	}
	h.refused("/tokenize", text(1001), http.StatusBadRequest)
	ids := func(n int) string { return `{"tokens":[` + strings.Repeat("1,", n) + `1]}` }
	if code, _, data := h.do("POST", "/detokenize", []byte(ids(2000))); code != http.StatusOK {
		t.Errorf("%d %s", code, data)
	}
	h.refused("/detokenize", ids(2700), http.StatusBadRequest)
	if n := h.held(); n != 0 {
		t.Errorf("%v bytes are held for nobody", n)
	}
}

// TestFullBeforeBody: a full server refuses before it reads a body.
func TestFullBeforeBody(t *testing.T) {
	h := start(t, open(t, save(t, kind{})), func(o *serve.Options) { long(o); o.Limits.Rows, o.Limits.Queue = 1, 0 })
	_, r := h.stream(`{"prompt":"a","stream":true,"max_tokens":1000000000}`)
	event(t, r)
	if code := answers(t, h.post("/v1/completions", 1000, "")); code != "429" {
		t.Errorf("%s", code)
	}
	if code := answers(t, h.post("/tokenize", 2<<20, "")); code != "413" {
		t.Errorf("a body that is said to be too large: %s", code)
	}
}
