package serve_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/quire-ml/quire/pipelines/report"
	"github.com/quire-ml/quire/pipelines/serve"
)

// TestFault: a fault of the program in a step ends the texts under way with an error, and
// the server goes on, with room for as many as before.
func TestFault(t *testing.T) {
	m := open(t, save(t, kind{}))
	m.Vocab = open(t, save(t, kind{chars: "ab"})).Vocab // it lacks most of what is drawn: that is the fault
	h := start(t, m, func(o *serve.Options) { o.Limits.Rows, o.Limits.Queue = 3, 0 })
	for range 3 {
		e := h.refused("/v1/completions", `{"prompt":"a","n":3,"max_tokens":200}`, http.StatusInternalServerError).Error
		if e.Type != "server_error" || !strings.Contains(e.Message, "the program has a fault") {
			t.Errorf("%+v", e)
		}
		code, _, data := h.do("POST", "/v1/completions", []byte(`{"prompt":"a","n":2,"stream":true,"max_tokens":200}`))
		if !strings.Contains(string(data), `"message":"the text could not be written: serve: the program has a fault`) || code == http.StatusOK && !strings.HasSuffix(string(data), "data: [DONE]\n\n") {
			t.Errorf("a stream ends with %d %s", code, data)
		}
		if got := h.ask(`{"prompt":["ab","b","bb"],"max_tokens":0,"echo":true}`); got.Choices[0].Text != "ab" || got.Choices[2].Text != "bb" {
			t.Errorf("after a fault: %+v", got)
		}
	}
	if n := h.figure("quire_faults_total"); n != 6 {
		t.Errorf("%v faults are counted", n)
	}
	if n := h.figure(`quire_request_success_total{finished_reason="length"}`); n != 9 || strings.Count(h.metrics(), "\nquire_request_success_total{") != 1 {
		t.Errorf("%v texts came to their end, of\n%s", n, h.metrics())
	}
	eventually(t, "nothing left", func() bool {
		return h.figure("quire_num_requests_running")+h.figure("quire_num_requests_waiting")+h.held() == 0
	})
}

// figureOf returns a metric of a server without a port: the sum of its series.
func figureOf(t testing.TB, s *serve.Server, name string) (sum float64) {
	t.Helper()
	all, err := s.Gatherer().Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range all {
		for _, m := range family.GetMetric() {
			if family.GetName() == name {
				sum += m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

// writer is what a handler writes to: every method may panic.
type writer struct {
	*httptest.ResponseRecorder
	write, deadline func(call int) error
	writes, sets    int
}

func (w *writer) Write(p []byte) (int, error) {
	w.writes++
	if err := w.write(w.writes); err != nil {
		return 0, err
	}
	return w.ResponseRecorder.Write(p)
}

func (w *writer) SetWriteDeadline(time.Time) error {
	w.sets++
	return w.deadline(w.sets)
}

// TestFaultOfHandler: a fault in a handler is counted and told, its answer is an error, or
// ends where it is, and its texts end too; so do those of an answer that cannot be sent.
func TestFaultOfHandler(t *testing.T) {
	said := &lines{make(chan string, 9)}
	o := serve.Options{Name: "m", Limits: serve.DefaultLimits(), Console: report.NewConsole(said, false)}
	long(&o)
	s, err := serve.New(open(t, save(t, kind{})), o)
	if err != nil {
		t.Fatal(err)
	}
	never := func(int) error { return nil }
	panics := func(at int) func(int) error {
		return func(call int) error {
			if call == at {
				panic("by a test")
			}
			return nil
		}
	}
	for _, c := range []struct {
		name            string
		body            string
		write, deadline func(int) error
		code            int
		told            bool
	}{
		{"a stream that cannot be sent", `{"prompt":"a","stream":true,"max_tokens":1000000000}`, func(int) error { return errors.New("by a test") }, never, 200, false},
		{"a fault in a stream", `{"prompt":"a","stream":true,"max_tokens":1000000000}`, panics(2), never, 200, true},
		{"a fault before an answer", `{"prompt":"a"}`, never, panics(2), 500, true}, // the first deadline is that of every answer
		{"a fault in an answer", `{"prompt":"a"}`, panics(1), never, 200, true},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "http://localhost/v1/completions", strings.NewReader(c.body))
		r.Header.Set("Content-Type", "application/json")
		w := &writer{ResponseRecorder: httptest.NewRecorder(), write: c.write, deadline: c.deadline}
		before := figureOf(t, s, "quire_faults_total")
		s.ServeHTTP(w, r)
		if w.Code != c.code || strings.Contains(w.Body.String(), "the server has a fault") != (c.code == 500) {
			t.Errorf("%s: %d %s", c.name, w.Code, w.Body)
		}
		if told := figureOf(t, s, "quire_faults_total") > before; told != c.told {
			t.Errorf("%s: counted %t", c.name, told)
		}
		if c.told {
			if line := <-said.c; !strings.Contains(line, "/v1/completions: the program has a fault: by a test") {
				t.Errorf("%s: it said %q", c.name, line)
			}
		}
		eventually(t, c.name+": its text ended", func() bool {
			return figureOf(t, s, "quire_num_requests_running")+figureOf(t, s, "quire_num_requests_open")+figureOf(t, s, "quire_request_memory_bytes") == 0
		})
	}
}

// readDeadline notes whether an answer set a deadline for what is still to be read.
type readDeadline struct {
	*httptest.ResponseRecorder
	read bool
}

func (d *readDeadline) SetReadDeadline(time.Time) error  { d.read = true; return nil }
func (d *readDeadline) SetWriteDeadline(time.Time) error { return nil }

// TestReadDeadline: only a body that is not read to its end gets a time to come. Behind others
// net/http waits for the client to go away, and a time would end the requests that follow.
func TestReadDeadline(t *testing.T) {
	o := serve.Options{Name: "tiny", Limits: serve.DefaultLimits(), Console: report.NewConsole(io.Discard, true)}
	o.Limits.BodyBytes = 100
	s, err := serve.New(open(t, save(t, kind{})), o)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		method, path, body string
		code               int
		read               bool
	}{
		{"GET", "/nothing", "", 404, false},
		{"POST", "/v1/completions", `{"prompt":"a","unknown":1}`, 400, false},
		{"POST", "/v1/completions", `{"prompt":"` + strings.Repeat("a", 200) + `"}`, 413, true},
		{"POST", "/nothing", "body", 404, true},
		{"POST", "/healthz", "body", 405, true},
	} {
		r := httptest.NewRequest(c.method, c.path, strings.NewReader(c.body))
		if c.body == "" {
			r.Body = http.NoBody
		}
		r.Host, r.ContentLength = "localhost", -1
		r.Header.Set("Content-Type", "application/json")
		w := &readDeadline{ResponseRecorder: httptest.NewRecorder()}
		s.ServeHTTP(w, r)
		if w.Code != c.code || w.read != c.read {
			t.Errorf("%s %s with %q: %d, a deadline: %v, want %d, %v: %s", c.method, c.path, c.body, w.Code, w.read, c.code, c.read, w.Body)
		}
	}
}
