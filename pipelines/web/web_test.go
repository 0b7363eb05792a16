package web_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/quire-ml/quire/pipelines/web"
)

func TestListen(t *testing.T) {
	l, err := web.Listen(":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if a := l.Addr().(*net.TCPAddr); !a.IP.IsLoopback() || a.Port == 0 {
		t.Errorf("without a host it listens on %v", a)
	}
	all, err := web.Listen("0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer all.Close()
	if a := all.Addr().(*net.TCPAddr); !a.IP.IsUnspecified() {
		t.Errorf("all addresses are %v", a)
	}
	for address, want := range map[string]string{
		l.Addr().String():        "another process listens there",
		"9090":                   "an address is HOST:PORT, or :PORT for this machine alone",
		"":                       "an address is HOST:PORT, or :PORT for this machine alone",
		"127.0.0.1:":             "an address is HOST:PORT, or :PORT for this machine alone",
		":70000":                 "its port is no number from 0 to 65535",
		":-1":                    "its port is no number from 0 to 65535",
		":nosuchport":            "its port is no number from 0 to 65535",
		"192.0.2.1:0":            "this machine does not have the address 192.0.2.1",
		"no-such-host.invalid:0": "the host no-such-host.invalid is not known here",
	} {
		_, err := web.Listen(address)
		var wrong *web.AddressError
		if !errors.As(err, &wrong) || wrong.Why != want {
			t.Errorf("%q: %v, want %q", address, err, want)
		}
	}
}

// serve serves h and returns its address, what ends it, and where its end and warnings come.
func serve(t *testing.T, h http.Handler, grace time.Duration) (url string, end func(), ended chan error, warned chan string) {
	t.Helper()
	l, err := web.Listen(":0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(t.Context())
	ended, warned = make(chan error, 1), make(chan string, 9)
	go func() {
		ended <- web.Serve(ctx, l, h, grace, func(format string, args ...any) { warned <- fmt.Sprintf(format, args...) })
	}()
	return "http://" + l.Addr().String(), end, ended, warned
}

// TestMetrics: a scrape has the process's metrics and ours, in the form that Prometheus parses.
func TestMetrics(t *testing.T) {
	r := web.NewRegistry()
	mine := prometheus.NewCounter(prometheus.CounterOpts{Name: "quire_tests_total", Help: "Tests."})
	r.MustRegister(mine)
	mine.Add(3)
	url, end, ended, _ := serve(t, web.Metrics(r), time.Minute)
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	got, err := parser.TextToMetricFamilies(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if m := got["quire_tests_total"]; m == nil || m.GetType() != dto.MetricType_COUNTER || m.GetMetric()[0].GetCounter().GetValue() != 3 {
		t.Errorf("ours is %v", m)
	}
	for _, name := range []string{"go_goroutines", "process_start_time_seconds"} {
		if got[name] == nil {
			t.Errorf("there is no %s", name)
		}
	}
	end()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := http.Get(url); err == nil {
		t.Error("it answers after its end")
	}
}

// TestServe: an answer that is being written is waited for at the end, within the grace; a
// panic of a handler is one line.
func TestServe(t *testing.T) {
	began, finish := make(chan bool), make(chan bool)
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/panic" {
			panic("by a test")
		}
		began <- true
		select {
		case <-finish:
		case <-r.Context().Done():
		}
		io.WriteString(w, "whole")
	})
	url, end, ended, warned := serve(t, h, time.Minute)
	if _, err := http.Get(url + "/panic"); err == nil {
		t.Error("a panic has an answer")
	}
	if line := <-warned; strings.Contains(line, "\n") || !strings.HasPrefix(line, "web: http: panic serving") || !strings.HasSuffix(line, ": by a test") {
		t.Errorf("a panic is the lines %q", line)
	}
	answer := make(chan string, 1)
	get := func() {
		resp, err := http.Get(url)
		if err != nil {
			answer <- err.Error()
			return
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			answer <- err.Error()
			return
		}
		answer <- string(text)
	}
	go get()
	<-began
	end()
	finish <- true
	if text := <-answer; text != "whole" {
		t.Errorf("the answer at the end is %q", text)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}

	url, end, ended, _ = serve(t, h, time.Millisecond)
	go get()
	<-began
	end()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if text := <-answer; text == "whole" {
		t.Error("an answer that does not end holds up the end")
	}
}

// TestLocal: on loopback, requests under a foreign name are refused; elsewhere there are none.
func TestLocal(t *testing.T) {
	ok := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") })
	for address, foreign := range map[string]int{"127.0.0.1:0": http.StatusForbidden, "[::1]:0": http.StatusForbidden, "0.0.0.0:0": http.StatusOK} {
		l, err := web.Listen(address)
		if err != nil {
			t.Logf("%s: %v", address, err) // a machine without IPv6
			continue
		}
		l.Close()
		for host, want := range map[string]int{"localhost": http.StatusOK, "LocalHost:80": http.StatusOK, "127.1.2.3:9": http.StatusOK, "[::1]": http.StatusOK, "[::1]:9": http.StatusOK,
			"": foreign, "evil.example": foreign, "evil.example:80": foreign, "127.0.0.1.evil.example": foreign, "10.0.0.1": foreign} {
			r, w := httptest.NewRequest("GET", "/metrics", nil), httptest.NewRecorder()
			r.Host = host
			if web.Local(l, ok).ServeHTTP(w, r); w.Code != want {
				t.Errorf("%s asked as %q: %d, want %d", address, host, w.Code, want)
			}
		}
	}
}

// TestSlowRequest: who does not send a header, or a body, is let go, and a long header refused.
func TestSlowRequest(t *testing.T) {
	for name, c := range map[string]struct {
		header, read time.Duration
		sent, want   string
	}{
		"a header":      {time.Millisecond, time.Hour, "GET / HTTP/1.1\r\nHost: x\r\n", ""},
		"a body":        {time.Hour, 50 * time.Millisecond, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n1", "HTTP/1.1 400"},
		"a long header": {time.Hour, time.Hour, "GET / HTTP/1.1\r\nHost: x\r\nA: " + strings.Repeat("a", 32<<10) + "\r\n", "HTTP/1.1 431"},
	} {
		restore := web.SetTimes(c.header, c.read)
		url, end, ended, _ := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, err := io.ReadAll(r.Body); err != nil {
				w.WriteHeader(http.StatusBadRequest)
			}
		}), time.Minute)
		conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
			t.Fatal(err)
		}
		io.WriteString(conn, c.sent)
		answer, err := io.ReadAll(conn)
		if !strings.HasPrefix(string(answer), c.want) || c.want == "" && len(answer) > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: %q, %v", name, answer, err)
		}
		conn.Close()
		end()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		restore()
	}
}

// TestServeClosed: a listener that fails is an error.
func TestServeClosed(t *testing.T) {
	l, err := web.Listen(":0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if err := web.Serve(t.Context(), l, http.NotFoundHandler(), 0, t.Logf); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the error is %v", err)
	}
}
