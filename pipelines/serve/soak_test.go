//go:build soak

package serve_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quire-ml/quire/model/sample"
	"github.com/quire-ml/quire/pipelines/serve"
	"github.com/quire-ml/quire/pipelines/text"
)

// The measurements below mean something on an idle machine alone:
//
//	go test -tags soak -run SoakThroughput -v ./pipelines/serve
//	go test -tags soak -run SoakOverload -v ./pipelines/serve
//	go test -tags soak -run SoakSlow -v ./pipelines/serve

// A thin client costs little beside a server on the same processors: it reads no more of an
// answer than its length.
type thin struct {
	c    net.Conn
	in   *bufio.Reader
	host string
	tail []byte // the last bytes of an answer
}

func newThin(t *testing.T, url string) *thin {
	c := dial(t, url)
	return &thin{c: c, in: bufio.NewReaderSize(c, 1<<14), host: strings.TrimPrefix(url, "http://"), tail: make([]byte, 0, 1<<12)}
}

// post sends a completion and returns the status, and the characters that came.
func (h *thin) post(body string) (code, chars int, err error) {
	_, err = fmt.Fprintf(h.c, "POST /v1/completions HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		h.host, len(body), body)
	if err != nil {
		return 0, 0, err
	}
	resp, err := http.ReadResponse(h.in, nil)
	if err != nil {
		return 0, 0, err
	}
	defer resp.Body.Close()
	h.tail = h.tail[:0]
	for buf := make([]byte, 1<<12); ; {
		n, err := resp.Body.Read(buf)
		if room := cap(h.tail) - len(h.tail); n > room {
			h.tail = append(h.tail[:0], h.tail[min(len(h.tail), n-room):]...)
		}
		h.tail = append(h.tail, buf[:n]...)
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return resp.StatusCode, 0, err
		}
	}
	const usage = `"completion_tokens":`
	if at := bytes.LastIndex(h.tail, []byte(usage)); at >= 0 {
		_, err = fmt.Sscan(string(h.tail[at+len(usage):]), &chars)
	} else if resp.StatusCode == http.StatusOK {
		err = fmt.Errorf("an answer without usage ends in %q", h.tail)
	}
	return resp.StatusCode, chars, err
}

// alone returns the characters a second of n texts that decode writes, without a server.
func alone(t *testing.T, m *text.Model, n, length int) float64 {
	t.Helper()
	var samplers []*sample.Sampler
	for i := range n {
		s, err := sample.New(plain, 1, uint64(i))
		if err != nil {
			t.Fatal(err)
		}
		samplers = append(samplers, s)
	}
	began := time.Now()
	write(t, m, samplers, nil, length, func(int32) {})
	return float64(n*length) / time.Since(began).Seconds()
}

// A load is what clients ask of a server.
type load struct {
	clients, length int
	stream          bool
	lasting         time.Duration
	every           time.Duration // from a client's request to its next, at least
}

// A yield is what came of a load.
type yield struct {
	rate         float64       // characters a second of all
	good, bad    int64         // answers and refusals
	median, most time.Duration // of the refusals
}

// run has the clients ask for texts again and again for a time.
func (l load) run(t *testing.T, url string) (y yield) {
	t.Helper()
	var all sync.WaitGroup
	var mu sync.Mutex
	var chars int
	var waits []time.Duration
	began := time.Now()
	end := began.Add(l.lasting)
	for i := range l.clients {
		all.Go(func() {
			h := newThin(t, url)
			body := fmt.Sprintf(`{"prompt":"the","max_tokens":%d,"seed":%d`, l.length, i)
			if l.stream {
				body += `,"stream":true,"stream_options":{"include_usage":true}`
			}
			next := began.Add(l.every * time.Duration(i) / time.Duration(l.clients))
			for next.Before(end) {
				time.Sleep(time.Until(next))
				asked := time.Now()
				code, c, err := h.post(body + "}")
				if err != nil || code != http.StatusOK && code != http.StatusTooManyRequests {
					t.Errorf("%d, %v", code, err)
					return
				}
				mu.Lock()
				if code == http.StatusOK {
					y.good++
					chars += c
				} else {
					y.bad++
					waits = append(waits, time.Since(asked))
				}
				mu.Unlock()
				if next = next.Add(l.every); next.Before(asked) {
					next = asked
				}
			}
		})
	}
	all.Wait()
	y.rate = float64(chars) / time.Since(began).Seconds() // the last answers count, and so does their time
	if slices.Sort(waits); len(waits) > 0 {
		y.median, y.most = waits[len(waits)/2], waits[len(waits)-1]
	}
	return y
}

// TestSoakThroughput: 64 clients get, in sum, 90 % of what 64 texts get without a server,
// and one client gets 95 % of one text. A machine that does other things too changes its
// speed: the median of pairs counts, each measured within seconds.
func TestSoakThroughput(t *testing.T) {
	for _, hidden := range []int{256, 1024} {
		m := open(t, save(t, kind{hidden: hidden}))
		h := start(t, m, nil)
		for _, c := range []struct {
			clients int
			least   float64
		}{{1, 0.95}, {8, 0}, {64, 0.9}} {
			length := 1 << 21 / hidden / min(c.clients, 4)
			var ratios, direct, served []float64
			for range 7 {
				direct = append(direct, alone(t, m, c.clients, length))
				served = append(served, load{clients: c.clients, length: length, stream: true, lasting: 4 * time.Second}.run(t, h.url).rate)
				ratios = append(ratios, served[len(served)-1]/direct[len(direct)-1])
			}
			slices.Sort(ratios)
			t.Logf("hidden %d, %d clients: %.0f characters a second at best, without a server %.0f; ratios %.3f", hidden, c.clients,
				slices.Max(served), slices.Max(direct), ratios)
			if ratios[len(ratios)/2] < c.least {
				t.Errorf("want %.2f in the median", c.least)
			}
		}
	}
}

// TestSoakOverload: at ten times its capacity a server does 90 % of its best, in the median
// of pairs, and refuses at once.
func TestSoakOverload(t *testing.T) {
	for _, hidden := range []int{256, 1024} {
		h := start(t, open(t, save(t, kind{hidden: hidden})), func(o *serve.Options) { o.Limits.Queue = 64 })
		var ratios []float64
		for range 5 {
			const length, most = 1000, 12 * time.Second
			best := load{clients: 64, length: length, lasting: most}.run(t, h.url)
			tenfold := 10 * best.rate / length // requests a second
			over := load{clients: 1280, length: length, lasting: most, every: time.Duration(1280 / tenfold * float64(time.Second))}.run(t, h.url)
			ratios = append(ratios, over.rate/best.rate)
			t.Logf("hidden %d: 64 clients %.0f characters a second; ten times as many requests %.0f: %d answers, %d refusals of %v in the median, at most %v",
				hidden, best.rate, over.rate, over.good, over.bad, over.median, over.most)
			if over.median > 50*time.Millisecond || over.bad < 5*over.good {
				t.Error("want refusals below 50 ms")
			}
		}
		slices.Sort(ratios)
		if t.Logf("hidden %d: ratios %.3f", hidden, ratios); ratios[2] < 0.9 {
			t.Error("want 90 % of the best")
		}
	}
}

// TestSoakSlow: 500 clients that read a byte a second do not slow 20 others by more than a
// half.
func TestSoakSlow(t *testing.T) {
	h := start(t, open(t, save(t, kind{hidden: 256})), func(o *serve.Options) { o.Limits.Queue = 1000 })
	l := load{clients: 20, length: 500, stream: true, lasting: 20 * time.Second}
	before := l.run(t, h.url).rate
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for range 500 {
		c := dial(t, h.url)
		if err := c.(*net.TCPConn).SetReadBuffer(1 << 12); err != nil {
			t.Fatal(err)
		}
		const body = `{"prompt":"a","stream":true,"max_tokens":2000,"logprobs":5}`
		fmt.Fprintf(c, "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		all.Go(func() {
			tick := time.NewTicker(time.Second)
			defer tick.Stop()
			for ctx.Err() == nil {
				<-tick.C
				_, _ = c.Read(make([]byte, 1))
			}
		})
	}
	l.lasting = 40 * time.Second
	during := l.run(t, h.url).rate
	stop()
	all.Wait()
	t.Logf("20 clients: %.0f characters a second; beside 500 slow readers %.0f", before, during)
	if during < before/2 {
		t.Error("want the half")
	}
}
