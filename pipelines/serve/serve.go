// Package serve answers the completions API with a model.
//
// All requests that run together share one batch, of which every step takes each text one
// character on. A text depends on its prompt, the sampler, the seed and the model alone:
// not on the texts beside it. A request's texts all come from the model that was in use
// when it was accepted; a newer one takes over the requests that come later, while the
// older one finishes its own.
//
// What requests may take is bounded by Limits: memory by their bodies and answers, of one and
// of all together, time by the wall time of each. A request above the capacity is refused at once. A client that goes away
// stops its work within a character, and one that reads slowly holds up nobody: its text is
// written at the batch's pace and waits for it.
//
// No prompt, text or key is ever passed to the console.
package serve

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quire-ml/quire/model/decode"
	"github.com/quire-ml/quire/pipelines/report"
	"github.com/quire-ml/quire/pipelines/serve/completion"
	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/pipelines/web"
	"github.com/quire-ml/quire/runners/store"
)

// Limits bound what clients may take.
type Limits struct {
	completion.Limits
	Rows     int           // texts written side by side
	Queue    int           // texts that wait for a row
	Requests int           // requests with a body that are under way, those too whose client still reads
	Memory   int64         // bytes of their bodies, and of their answers at the longest
	Wall     time.Duration // of a request
	Write    time.Duration // for a client to take a part of an answer
}

// DefaultLimits are for one machine and its users.
func DefaultLimits() Limits {
	return Limits{Limits: completion.Limits{BodyBytes: 1 << 20, Prompt: 1 << 16, MaxTokens: 1 << 14, Choices: 128, Answer: 1 << 19},
		Rows: 64, Queue: 256, Requests: 1024, Memory: 512 << 20, Wall: 10 * time.Minute, Write: 30 * time.Second}
}

// Options say how to serve.
type Options struct {
	Name    string // of the model, in requests and answers
	Limits  Limits
	Console *report.Console
	Keys    Keys     // of clients; none: this machine's programs alone may connect
	Origins []string // of web pages elsewhere that may use the server, such as https://example.org

	// Next returns the model to use instead of the one in use, nil where that stays. An
	// error is told and counted, once as long as it is the same; the model in use stays.
	// Nil: there is never another.
	Next  func(ctx context.Context, now *text.Model) (*text.Model, error)
	Every time.Duration // between two calls of Next
}

// A Server answers requests.
type Server struct {
	o       Options
	guard   guard
	counts  *metrics
	mux     *http.ServeMux
	current atomic.Pointer[model]
	ending  atomic.Bool
	texts   atomic.Int64 // of all models, waiting and running
	open    atomic.Int64 // requests with a body that are under way
	memory  memory
	reading chan struct{} // room to decode bodies, which takes a multiple of their memory
}

// An OpenError says that a server without keys would be reachable from other machines.
type OpenError struct{ Address string }

func (e *OpenError) Error() string {
	return fmt.Sprintf("serve: %s can be reached from other machines, and there is no key that clients must have", e.Address)
}

// New returns a server of a model. An origin or a limit that cannot be is an error.
func New(m *text.Model, o Options) (*Server, error) {
	l := o.Limits
	if min(l.Rows, l.Requests, l.Prompt, l.MaxTokens, l.Choices, l.Answer) < 1 || l.Queue < 0 || min(l.Wall, l.Write) <= 0 || min(l.BodyBytes, l.Memory) < 1 {
		return nil, fmt.Errorf("serve: a limit is none: %+v", l)
	}
	g, err := newGuard(o.Keys, o.Origins)
	if err != nil {
		return nil, err
	}
	s := &Server{o: o, guard: g, counts: newMetrics(), reading: make(chan struct{}, 2)}
	s.counts.texts, s.memory.most = &s.texts, l.Memory
	s.counts.memory(&s.memory)
	next, err := s.ready(m)
	if err != nil {
		return nil, err
	}
	s.use(next)
	s.routes()
	return s, nil
}

// ready makes a model ready for use.
func (s *Server) ready(m *text.Model) (*model, error) {
	if err := m.CheckMemory("serve", decode.Memory(m.Weights.Shape, s.o.Limits.Rows)); err != nil {
		return nil, err
	}
	return newModel(m, s.o.Name, time.Now().Unix(), s.o.Limits.Rows, s.counts), nil
}

// use gives the requests from now on to a model.
func (s *Server) use(next *model) {
	if old := s.current.Swap(next); old != nil {
		old.retire()
	}
	s.counts.using(next)
}

// Texts returns how many texts have been written to their end.
func (s *Server) Texts() int64 { return s.counts.whole.Load() }

// Run answers on a listener until ctx ends. Then it is not ready, takes no more requests,
// answers those under way, and returns nil.
func (s *Server) Run(ctx context.Context, l net.Listener) error {
	defer func() {
		m := s.current.Load()
		m.retire()
		<-m.ended
	}()
	if a, ok := l.Addr().(*net.TCPAddr); ok && !a.IP.IsLoopback() && s.o.Keys.none() {
		return errors.Join(&OpenError{l.Addr().String()}, l.Close())
	}
	m := s.current.Load()
	s.o.Console.Line("serve: http://%s answers with %s, sha256 %s", l.Addr(), m.name, m.SHA256)
	var all sync.WaitGroup
	following, stop := context.WithCancel(ctx)
	all.Go(func() { s.follow(following) })
	defer context.AfterFunc(ctx, func() {
		s.ending.Store(true)
		if n := s.texts.Load(); n > 0 {
			s.o.Console.Line("serve: ends when the texts under way are complete, %d now; a second signal ends it at once", n)
		}
	})()
	err := web.Serve(ctx, l, s, s.o.Limits.Wall+s.o.Limits.Write, s.o.Console.Warn)
	stop()
	all.Wait()
	return err
}

// follow takes every new model into use.
func (s *Server) follow(ctx context.Context) {
	if s.o.Next == nil {
		return
	}
	every := time.NewTicker(s.o.Every)
	defer every.Stop()
	told := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
		err := s.advance(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			told = ""
		case err.Error() != told:
			told = err.Error()
			s.counts.swaps.WithLabelValues(outcome(err)).Inc()
			s.o.Console.Warn("serve: the model in use stays: %v", err)
		}
	}
}

// outcome says in a word why there is no other model: it was refused, or could not be asked
// for.
func outcome(err error) string {
	if !store.Transient(err) && (errors.Is(err, store.ErrDamaged) || errors.As(err, new(*text.ModelError))) {
		return "refused"
	}
	return "unread"
}

// advance takes the next model into use, if there is one.
func (s *Server) advance(ctx context.Context) error {
	now := s.current.Load()
	m, err := s.o.Next(ctx, now.Model)
	if err == nil && m == nil {
		return nil
	}
	var next *model
	if err == nil {
		next, err = s.ready(m)
	}
	if err != nil {
		return err
	}
	s.use(next)
	s.counts.swaps.WithLabelValues("taken").Inc()
	s.o.Console.Line("serve: model %s, in place of %s", next.SHA256, now.SHA256)
	return nil
}
