package gcstest

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"time"
)

// An Op is a kind of request.
type Op string

// The requests.
const (
	Bucket Op = "bucket" // its metadata
	Attrs  Op = "attrs"
	Read   Op = "read"
	List   Op = "list"
	Delete Op = "delete"
	Upload Op = "upload" // all in one request
	Start  Op = "start"  // of a resumable upload
	Chunk  Op = "chunk"  // of a resumable upload
)

// A Kind is a kind of fault.
type Kind int

// The faults.
const (
	None        Kind = iota
	Unavailable      // 503, without effect
	Lost             // 503, after the effect: the reply is lost
	TooMany          // 429, without effect
	Forbidden        // 403, without effect
	Reset            // the connection is reset: while Fault.At bytes of the request are read, or of a read's reply are sent
	LostReset        // the connection is reset after the effect
	Stall            // nothing, until the client gives up; without effect
	Cut              // the reply's body ends after Fault.At bytes
	Damage           // a bit of a read's bytes, or the checksum in a reply, is wrong
)

// A Fault happens to one request.
type Fault struct {
	Op   Op // which kind of request; "" for any
	Kind Kind
	At   int
}

// Inject lets faults happen, each to the first request of its Op after those of
// the faults before it.
func (s *Server) Inject(faults ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, faults...)
}

// Left returns the injected faults that have not happened yet.
func (s *Server) Left() []Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Fault(nil), s.faults...)
}

// Plan gives a share, from 0 to 1, of the later requests a fault of one of the kinds,
// drawn from seed. Without kinds it draws from all but Forbidden, Stall and Damage.
func (s *Server) Plan(seed uint64, share float64, kinds ...Kind) {
	if len(kinds) == 0 {
		kinds = []Kind{Unavailable, Lost, TooMany, Reset, LostReset, Cut}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seeded, s.share, s.kinds = rand.New(rand.NewPCG(seed, 0)), share, kinds
}

// Rate sets the least time between two writes of an object; that of the service is a
// second. An earlier write is refused with 429. Each write that passes its precondition
// and its checksum asks now for the time, once; now is not called concurrently.
func (s *Server) Rate(d time.Duration, now func() time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rate, s.now = d, now
}

// Limited returns the number of writes that were refused because of the rate.
func (s *Server) Limited() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.limited
}

// tooSoon reports whether a write of the object key exceeds the rate.
func (s *Server) tooSoon(key string) bool {
	if s.rate == 0 {
		return false
	}
	now := s.now()
	if at, ok := s.written[key]; ok && now.Sub(at) < s.rate {
		s.limited++
		return true
	}
	s.written[key] = now
	return false
}

// fault returns the fault of a request.
func (s *Server) fault(op Op) Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, f := range s.faults {
		if f.Op == "" || f.Op == op {
			s.faults = append(s.faults[:i:i], s.faults[i+1:]...)
			return f
		}
	}
	if s.seeded == nil || s.seeded.Float64() >= s.share {
		return Fault{}
	}
	return Fault{Kind: s.kinds[s.seeded.IntN(len(s.kinds))], At: s.seeded.IntN(1000)}
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := parse(r)
	if q.op == "" {
		send(w, refuse(http.StatusNotImplemented, "the stand-in does not know %s %s", r.Method, r.URL))
		return
	}
	f := s.fault(q.op)
	s.mu.Lock()
	s.log = append(s.log, fmt.Sprintf("%s %s/%s fault %d", q.op, q.bucket, q.name, f.Kind))
	s.mu.Unlock()
	switch f.Kind {
	case Unavailable:
		io.Copy(io.Discard, r.Body)
		send(w, refuse(http.StatusServiceUnavailable, "We encountered an internal error. Please try again."))
		return
	case TooMany:
		io.Copy(io.Discard, r.Body)
		send(w, refuse(http.StatusTooManyRequests, "The rate of requests is too high."))
		return
	case Forbidden:
		io.Copy(io.Discard, r.Body)
		send(w, refuse(http.StatusForbidden, "me@example.com does not have storage.objects access to the Google Cloud Storage object."))
		return
	case Stall:
		io.Copy(io.Discard, r.Body)
		select {
		case <-r.Context().Done():
		case <-s.closed:
		}
		return
	case Reset:
		if q.op != Read {
			io.CopyN(io.Discard, r.Body, int64(f.At))
			reset(w, nil, 0)
			return
		}
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client went away: no effect
	}
	q.body = body
	finish(w, q, f, s.serve(q))
}

// finish sends a reply, or the part of it that a fault leaves.
func finish(w http.ResponseWriter, q request, f Fault, r *reply) {
	switch f.Kind {
	case Lost:
		r = refuse(http.StatusServiceUnavailable, "We encountered an internal error. Please try again.")
	case Reset, LostReset:
		n := f.At
		if f.Kind == LostReset {
			n = 0
		}
		reset(w, r, n)
		return
	case Cut:
		if len(r.body) > f.At {
			head(w, r)
			w.Write(r.body[:f.At])
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}
	case Damage:
		r = damage(q, r)
	}
	send(w, r)
}

var crcField = regexp.MustCompile(`"crc32c":"[^"]*"`)

// damage returns r with a wrong bit.
func damage(q request, r *reply) *reply {
	switch {
	case q.op == Read && len(r.body) > 0:
		bad := append([]byte(nil), r.body...)
		bad[len(bad)/2] ^= 0x10
		return &reply{status: r.status, header: r.header, body: bad}
	case q.op == Attrs || q.op == Upload || q.op == Chunk:
		bad := crcField.ReplaceAll(r.body, []byte(`"crc32c":"AAAAAA=="`))
		return &reply{status: r.status, header: r.header, body: bad}
	}
	return r
}

func head(w http.ResponseWriter, r *reply) {
	for key, values := range r.header {
		w.Header()[key] = values
	}
	if r.status != http.StatusNoContent {
		w.Header().Set("Content-Length", strconv.Itoa(len(r.body)))
	}
	w.WriteHeader(r.status)
}

func send(w http.ResponseWriter, r *reply) {
	head(w, r)
	w.Write(r.body)
}

// reset resets the connection after n bytes of a reply; with r nil or n 0 before it.
func reset(w http.ResponseWriter, r *reply, n int) {
	if r != nil && n > 0 {
		head(w, r)
		w.Write(r.body[:min(n, len(r.body))])
		w.(http.Flusher).Flush()
	}
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	conn.(*net.TCPConn).SetLinger(0)
	conn.Close()
}
