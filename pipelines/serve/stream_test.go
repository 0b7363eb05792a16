package serve_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/quire-ml/quire/pipelines/report"
	"github.com/quire-ml/quire/pipelines/serve"
	"github.com/quire-ml/quire/pipelines/web"
)

// eventually waits for a condition, for a minute at most.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(time.Minute); !holds(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("after a minute: not %s", what)
		}
	}
}

// figure returns a metric.
func (h *site) figure(name string) float64 {
	h.t.Helper()
	_, _, data := h.do("GET", "/metrics", nil)
	m := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + ` (.*)$`).FindSubmatch(data)
	if m == nil {
		return 0
	}
	x, err := strconv.ParseFloat(string(m[1]), 64)
	if err != nil {
		h.t.Fatal(err)
	}
	return x
}

// long lets requests take as long as they like.
func long(o *serve.Options) {
	o.Limits.MaxTokens, o.Limits.Answer, o.Limits.Memory = 1<<30, 1<<40, 1<<60
}

// TestStream: the parts are the whole, come no faster than they may, and say the end of
// each text once.
func TestStream(t *testing.T) {
	h := start(t, open(t, save(t, kind{})), nil)
	const body = `{"prompt":["so","é"],"n":2,"max_tokens":3000,"seed":5,"logprobs":1,"echo":true`
	whole := h.ask(body + "}")
	began := time.Now()
	all, raw, done := h.events(body + `,"stream":true,"stream_options":{"include_usage":true}}`)
	most := int(time.Since(began)/serve.Pause) + 2
	ends, parts := map[int]int{}, map[int]int{}
	var tokens [4][]string
	for i, r := range all {
		last := i == len(all)-1
		if last != (len(r.Choices) == 0) || last != (r.Usage != nil) || r.ID != all[0].ID || r.SystemFingerprint != h.model.SHA256 {
			t.Errorf("event %d of %d: %+v", i, len(all), r)
		}
		for _, c := range r.Choices {
			parts[c.Index]++
			if c.FinishReason != nil {
				ends[c.Index]++
			}
			for at, token := range c.Logprobs.Tokens {
				if c.Logprobs.TextOffset[at] != len(tokens[c.Index]) {
					t.Fatalf("text %d: character %d has the offset %d", c.Index, len(tokens[c.Index]), c.Logprobs.TextOffset[at])
				}
				tokens[c.Index] = append(tokens[c.Index], token)
			}
		}
	}
	if !done || *all[len(all)-1].Usage != *whole.Usage || strings.Count(raw, `"usage":null`) != len(all)-1 {
		t.Errorf("done %v, usage %+v, want %+v", done, all[len(all)-1].Usage, whole.Usage)
	}
	for i, c := range whole.Choices {
		if joined(all, i) != c.Text || strings.Join(tokens[i], "") != c.Text {
			t.Errorf("text %d is another, streamed", i)
		}
		if ends[i] != 1 || parts[i] < 2 || parts[i] > most {
			t.Errorf("text %d has %d ends and %d parts, at most %d fit the time", i, ends[i], parts[i], most)
		}
	}
	if _, raw, _ := h.events(`{"prompt":"a","stream":true}`); strings.Contains(raw, "usage") {
		t.Error("usage comes without being asked for")
	}
}

// TestFirstCharacterAtOnce: a stream does not wait for a pause, or for its end.
func TestFirstCharacterAtOnce(t *testing.T) {
	h := start(t, open(t, save(t, kind{})), long)
	c, r := h.stream(`{"prompt":"a","stream":true,"max_tokens":1000000000}`)
	defer c.Close()
	first := &reply{}
	if err := json.Unmarshal(event(t, r), first); err != nil || first.Choices[0].Text == "" || first.Choices[0].FinishReason != nil {
		t.Errorf("%+v, %v", first, err)
	}
}

// TestLastPartAtOnce: the end of a text does not wait for a pause.
func TestLastPartAtOnce(t *testing.T) {
	h := start(t, open(t, save(t, kind{})), nil)
	quick := 0
	for range 50 {
		began := time.Now()
		h.events(`{"prompt":"a","stream":true,"max_tokens":20}`)
		if time.Since(began) < serve.Pause {
			quick++
		}
	}
	if quick == 0 {
		t.Error("each of 50 short texts took a pause")
	}
}

// stream begins a streamed completion on a connection of its own.
func (h *site) stream(body string) (net.Conn, *bufio.Reader) {
	h.t.Helper()
	c := dial(h.t, h.url)
	fmt.Fprintf(c, "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	return c, bufio.NewReader(c)
}

// event returns the data of the next event of a stream.
func event(t testing.TB, r *bufio.Reader) []byte {
	t.Helper()
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if data, ok := strings.CutPrefix(line, "data: "); ok {
			return []byte(strings.TrimSpace(data))
		}
	}
}

// TestPing: a stream that waits for a place says that it lives.
func TestPing(t *testing.T) {
	defer serve.SetAlive(time.Millisecond)()
	h := start(t, open(t, save(t, kind{})), func(o *serve.Options) { long(o); o.Limits.Rows = 1 })
	busy, r := h.stream(`{"prompt":"a","stream":true,"max_tokens":1000000000}`)
	event(t, r)
	c, r := h.stream(`{"prompt":"a","stream":true,"max_tokens":3}`)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if line == ": ping\n" {
			break
		}
	}
	busy.Close()
	if got := event(t, r); !strings.Contains(string(got), "text_completion") {
		t.Errorf("%s", got)
	}
	c.Close()
}

// TestWall: a request that takes too long ends with an error, in a stream with one that
// clients know.
func TestWall(t *testing.T) {
	h := start(t, open(t, save(t, kind{})), func(o *serve.Options) { long(o); o.Limits.Wall = 2 * time.Second })
	const body = `{"prompt":"a","max_tokens":1000000000`
	if e := h.refused("/v1/completions", body+"}", http.StatusGatewayTimeout).Error; *e.Code != "timeout" {
		t.Errorf("%+v", e)
	}
	all, _, done := h.events(body + `,"stream":true}`)
	last := all[len(all)-1]
	if !done || last.Error == nil || *last.Error.Code != "timeout" || last.Error.Type != "server_error" || joined(all, 0) == "" {
		t.Errorf("the stream ends with %+v", last)
	}
	eventually(t, "all texts ended", func() bool { return h.figure("quire_num_requests_running") == 0 })
}

// TestGone: a client that goes away stops its work, those beside it go on, and nothing of
// it stays.
func TestGone(t *testing.T) {
	h := start(t, open(t, save(t, kind{})), func(o *serve.Options) { long(o); o.Limits.Rows = 4 })
	h.ask(`{"prompt":"a","max_tokens":1}`)
	http.DefaultClient.CloseIdleConnections()
	base := runtime.NumGoroutine()
	stay, r := h.stream(`{"prompt":"a","stream":true,"max_tokens":1000000000}`)
	event(t, r)
	n := 20
	if soak {
		n = 1000
	}
	for i := range n {
		body := `{"prompt":"a","n":3,"max_tokens":1000000000`
		if i%2 == 0 {
			body += `,"stream":true`
		}
		c, r := h.stream(body + "}")
		if i%2 == 0 {
			event(t, r)
		} else {
			eventually(t, "all written", func() bool { return h.figure("quire_num_requests_running") == 4 })
		}
		c.Close()
		eventually(t, "the client's texts ended", func() bool { return h.figure("quire_num_requests_running") == 1 })
	}
	eventually(t, "all counted as gone", func() bool {
		return h.figure(`quire_http_requests_total{code="499",route="/v1/completions"}`) == float64(n)
	})
	// One that waits for a place ends too.
	first, _ := h.stream(`{"prompt":"a","n":3,"max_tokens":1000000000}`)
	eventually(t, "all written", func() bool { return h.figure("quire_num_requests_running") == 4 })
	second, _ := h.stream(`{"prompt":"a","n":2,"max_tokens":1000000000}`)
	eventually(t, "two waiting", func() bool { return h.figure("quire_num_requests_waiting") == 2 })
	third, _ := h.stream(`{"prompt":"a","max_tokens":1000000000}`)
	eventually(t, "three waiting", func() bool { return h.figure("quire_num_requests_waiting") == 3 })
	third.Close() // behind one that stays
	eventually(t, "two waiting again", func() bool { return h.figure("quire_num_requests_waiting") == 2 })
	second.Close()
	eventually(t, "none waiting", func() bool { return h.figure("quire_num_requests_waiting") == 0 })
	eventually(t, "none open but two", func() bool { return h.figure("quire_num_requests_open") == 2 })
	first.Close()
	eventually(t, "one text left", func() bool {
		return h.figure("quire_num_requests_running") == 1 && h.figure("quire_num_requests_waiting") == 0
	})
	event(t, r)
	stay.Close()
	eventually(t, "goroutines as before", func() bool {
		http.DefaultClient.CloseIdleConnections()
		return h.figure("quire_num_requests_open") == 0 && runtime.NumGoroutine() <= base+3 // a scrape's
	})
}

// TestFull: above the capacity, requests are refused at once, and taken again afterwards.
func TestFull(t *testing.T) {
	h := start(t, open(t, save(t, kind{})), func(o *serve.Options) { long(o); o.Limits.Rows, o.Limits.Queue = 2, 3 })
	var held []net.Conn
	for range 5 {
		c, _ := h.stream(`{"prompt":"a","max_tokens":1000000000}`)
		held = append(held, c)
	}
	eventually(t, "full", func() bool {
		return h.figure("quire_num_requests_running") == 2 && h.figure("quire_num_requests_waiting") == 3
	})
	code, head, data := h.do("POST", "/v1/completions", []byte(`{"prompt":"a"}`))
	if code != http.StatusTooManyRequests || head.Get("Retry-After") != "1" || !strings.Contains(string(data), `"code":"over_capacity"`) {
		t.Errorf("%d %v %s", code, head, data)
	}
	held[0].Close()
	eventually(t, "room for one", func() bool { return h.figure("quire_num_requests_waiting") == 2 })
	h.refused("/v1/completions", `{"prompt":"a","n":2}`, http.StatusTooManyRequests)
	for _, c := range held {
		c.Close()
	}
	eventually(t, "room", func() bool { return h.figure("quire_num_requests_running") == 0 })
	h.ask(`{"prompt":"a","n":5}`)
	h.refused("/v1/completions", `{"prompt":"a","n":6}`, http.StatusTooManyRequests)
}

// TestOpenRequests bounds the requests whose clients still read.
func TestOpenRequests(t *testing.T) {
	h := start(t, open(t, save(t, kind{})), func(o *serve.Options) { long(o); o.Limits.Requests = 2 })
	for range 2 {
		h.stream(`{"prompt":"a","max_tokens":1000000000}`)
	}
	eventually(t, "two open", func() bool { return h.figure("quire_num_requests_open") == 2 })
	h.refused("/v1/completions", `{"prompt":"a"}`, http.StatusTooManyRequests)
	h.refused("/tokenize", `{"prompt":"a"}`, http.StatusTooManyRequests)
	h.refused("/detokenize", `{"tokens":[1]}`, http.StatusTooManyRequests)
	if code, _, _ := h.do("GET", "/readyz", nil); code != 200 {
		t.Errorf("a full server is not ready: %d", code)
	}
}

// TestSlowReader: a client that does not read holds up nobody, and is cut off.
func TestSlowReader(t *testing.T) {
	h := start(t, open(t, save(t, kind{})), func(o *serve.Options) { long(o); o.Limits.Write = time.Second })
	slow := dial(t, h.url)
	if err := slow.(*net.TCPConn).SetReadBuffer(1 << 12); err != nil {
		t.Fatal(err)
	}
	const body = `{"prompt":"a","stream":true,"max_tokens":1000000000,"logprobs":5}`
	fmt.Fprintf(slow, "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	eventually(t, "the slow one is written", func() bool {
		return h.figure("quire_generation_tokens_total")+h.figure("quire_num_requests_running") > 0
	})
	h.ask(`{"prompt":"a","max_tokens":100}`)
	eventually(t, "the slow one cut off", func() bool {
		return h.figure("quire_num_requests_open") == 0 && h.figure("quire_num_requests_running") == 0
	})
	if _, err := io.ReadFull(slow, make([]byte, 12)); err != nil {
		t.Errorf("it was sent nothing: %v", err)
	}
}

// TestWallOfSlowReader: the time of a request ends its work, while its handler still waits
// for the client to read.
func TestWallOfSlowReader(t *testing.T) {
	h := start(t, open(t, save(t, kind{})), func(o *serve.Options) { long(o); o.Limits.Wall, o.Limits.Write = 2*time.Second, time.Minute })
	slow := dial(t, h.url)
	if err := slow.(*net.TCPConn).SetReadBuffer(1 << 12); err != nil {
		t.Fatal(err)
	}
	const body = `{"prompt":"a","stream":true,"max_tokens":1000000000,"logprobs":5}`
	fmt.Fprintf(slow, "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	eventually(t, "it is written", func() bool { return h.figure("quire_num_requests_running") == 1 })
	eventually(t, "its work has ended", func() bool { return h.figure("quire_num_requests_running") == 0 })
	if h.figure("quire_num_requests_open") != 1 {
		t.Skip("the system took all of it: nothing waited")
	}
	slow.Close()
}

// TestNothing: a stream of a text without characters ends at once.
func TestNothing(t *testing.T) {
	defer serve.SetAlive(time.Hour)()
	h := start(t, open(t, save(t, kind{})), func(o *serve.Options) { o.Limits.Wall = 10 * time.Second })
	for _, prompt := range []string{`""`, `"a"`, `["",""]`} {
		all, _, done := h.events(`{"prompt":` + prompt + `,"max_tokens":0,"echo":true,"stream":true}`)
		for _, r := range all {
			if r.Error != nil || !done {
				t.Errorf("%s: %+v", prompt, r.Error)
			}
		}
	}
}

// TestRetired: a model that is retired takes no more requests, no request waits for it, and
// none stays counted.
func TestRetired(t *testing.T) {
	o := serve.Options{Name: "m", Limits: serve.DefaultLimits(), Console: report.NewConsole(io.Discard, true)}
	o.Limits.Rows, o.Limits.Queue = 1, 0
	s, err := serve.New(open(t, save(t, kind{})), o)
	if err != nil {
		t.Fatal(err)
	}
	var r reply
	if code := call(t, s, "/v1/completions", `{"prompt":"a"}`, &r); code != http.StatusOK {
		t.Errorf("%d %+v", code, r)
	}
	s.Retire()
	for range 2 {
		if code := call(t, s, "/v1/completions", `{"prompt":"a"}`, &r); code != http.StatusServiceUnavailable || *r.Error.Code != "shutting_down" {
			t.Errorf("%d %+v", code, r)
		}
	}
	if n := figureOf(t, s, "quire_num_requests_waiting"); n != 0 {
		t.Errorf("%v texts wait for it", n)
	}
}

// TestNotReady: a server that ends says so, and takes nothing new.
func TestNotReady(t *testing.T) {
	s, err := serve.New(open(t, save(t, kind{})), serve.Options{Name: "m", Limits: serve.DefaultLimits(), Console: report.NewConsole(io.Discard, true)})
	if err != nil {
		t.Fatal(err)
	}
	ready := func() int {
		r := httptest.NewRequest("GET", "/readyz", nil)
		r.Host = "localhost"
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		return w.Code
	}
	if code := ready(); code != http.StatusOK {
		t.Errorf("before its end: %d", code)
	}
	l, err := web.Listen(":0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := withCancel()
	cancel()
	if err := s.Run(ctx, l); err != nil {
		t.Error(err)
	}
	if !s.Ended() {
		t.Error("its model still waits for texts")
	}
	eventually(t, "not ready", func() bool { return ready() == http.StatusServiceUnavailable })
	var r reply
	for path, body := range map[string]string{"/v1/completions": `{"prompt":"a"}`, "/tokenize": `{"prompt":"a"}`, "/detokenize": `{"tokens":[1]}`} {
		if code := call(t, s, path, body, &r); code != http.StatusServiceUnavailable {
			t.Errorf("%s at its end: %d", path, code)
		}
	}
}

// TestEnd: at its end the server finishes what it has begun, takes nothing new, and returns
// nil.
func TestEnd(t *testing.T) {
	h := start(t, open(t, save(t, kind{})), long)
	n := 64
	var all sync.WaitGroup
	want := written(t, h.model, "a", 4000, plain, 9, 0)
	for range n {
		c, r := h.stream(`{"prompt":"a","stream":true,"max_tokens":4000,"seed":9}`)
		text := first(t, r)
		all.Go(func() {
			defer c.Close()
			for {
				data := event(t, r)
				if string(data) == "[DONE]" {
					break
				}
				part := &reply{}
				if err := json.Unmarshal(data, part); err != nil || part.Error != nil {
					t.Errorf("%s: %v", data, err)
					return
				}
				text += part.Choices[0].Text
			}
			if text != want {
				t.Error("a text is another at the end")
			}
		})
	}
	h.end()
	eventually(t, "the door closed", func() bool {
		c, err := net.Dial("tcp", strings.TrimPrefix(h.url, "http://"))
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	all.Wait()
	if err := <-h.ended; err != nil {
		t.Error(err)
	}
	h.ended <- nil
}

// first returns the text of the first event of a stream.
func first(t testing.TB, r *bufio.Reader) string {
	t.Helper()
	part := &reply{}
	if err := json.Unmarshal(event(t, r), part); err != nil {
		t.Fatal(err)
	}
	return part.Choices[0].Text
}

// TestMetrics: the figures follow what happens, and have names that Prometheus' users expect.
func TestMetrics(t *testing.T) {
	h := start(t, open(t, save(t, kind{})), nil)
	h.ask(`{"prompt":"abc","n":2,"max_tokens":20,"seed":1}`)
	stopped := h.ask(`{"prompt":["a","b"],"max_tokens":500,"stop":["e"]}`)
	h.refused("/v1/completions", `{}`, 400)
	h.do("GET", "/nothing", nil)
	for name, want := range map[string]float64{
		"quire_prompt_tokens_total":                                     5,
		"quire_generation_tokens_total":                                 float64(40 + stopped.Usage.Completion),
		`quire_request_success_total{finished_reason="length"}`:         2,
		`quire_request_success_total{finished_reason="stop"}`:           2,
		"quire_num_requests_running":                                    0,
		"quire_num_requests_waiting":                                    0,
		"quire_num_requests_open":                                       0,
		"quire_time_to_first_token_seconds_count":                       2,
		"quire_e2e_request_latency_seconds_count":                       2,
		`quire_http_requests_total{code="200",route="/v1/completions"}`: 2,
		`quire_http_requests_total{code="400",route="/v1/completions"}`: 1,
		`quire_http_requests_total{code="404",route="/"}`:               1,
		"quire_faults_total":                                            0,
	} {
		if got := h.figure(name); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	s, err := serve.New(h.model, serve.Options{Name: "m", Limits: serve.DefaultLimits(), Console: report.NewConsole(io.Discard, true)})
	if err != nil {
		t.Fatal(err)
	}
	problems, err := testutil.GatherAndLint(s.Gatherer())
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "quire_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
	if err != nil {
		t.Error(err)
	}
}
