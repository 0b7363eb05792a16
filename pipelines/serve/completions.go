package serve

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/quire-ml/quire/model/decode"
	"github.com/quire-ml/quire/model/sample"
	"github.com/quire-ml/quire/pipelines/serve/completion"
	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/transforms/vocab"
)

// complete answers POST /v1/completions.
func (s *Server) complete(w http.ResponseWriter, r *http.Request) *completion.Error {
	began := time.Now()
	if s.texts.Load() >= int64(s.o.Limits.Rows+s.o.Limits.Queue) {
		return busy()
	}
	var req *completion.Request
	wrong := s.decode(w, r, func(body []byte) (wrong *completion.Error) {
		req, wrong = completion.DecodeRequest(body, s.o.Limits.Limits)
		return wrong
	})
	if wrong != nil {
		return wrong
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.o.Limits.Wall)
	defer cancel()
	give, wrong := s.memory.hold(s.current.Load().bytes(req))
	if wrong != nil {
		return wrong
	}
	defer give()
	a, m, wrong := s.submit(req)
	if wrong != nil {
		return wrong
	}
	defer a.gone.Store(true)
	defer context.AfterFunc(ctx, func() { a.gone.Store(true) })()
	defer s.counts.answered(a, began)
	part := completion.Answer{ID: "cmpl-" + identity(), Object: "text_completion", Created: began.Unix(), Model: m.name, SystemFingerprint: m.SHA256}
	if req.Stream {
		return s.stream(ctx, w, a, req, part)
	}
	select {
	case <-a.done:
	case <-ctx.Done():
		return s.cut(ctx)
	}
	for i, c := range a.choices {
		p, _, _, err := c.take()
		if err != nil {
			return s.failed(ctx, err)
		}
		p.Index = i
		part.Choices = append(part.Choices, p)
	}
	part.Usage = a.usage()
	return s.write(w, http.StatusOK, part)
}

// identity returns a name that no other answer has.
func identity() string {
	var b [12]byte
	_, _ = rand.Read(b[:]) // never fails
	return fmt.Sprintf("%x", b)
}

// bounded refuses at once what comes while as many requests as may be are under way: each
// holds its body, or its answer.
func (s *Server) bounded(h handler) handler {
	return func(w http.ResponseWriter, r *http.Request) *completion.Error {
		if s.ending.Load() {
			return ending()
		}
		s.counts.open.Inc()
		defer s.counts.open.Dec()
		defer s.open.Add(-1)
		if s.open.Add(1) > int64(s.o.Limits.Requests) {
			return busy()
		}
		return h(w, r)
	}
}

// ending is the answer of a server that takes nothing new.
func ending() *completion.Error {
	return &completion.Error{Status: http.StatusServiceUnavailable, Type: "server_error", Code: "shutting_down", Message: "the server ends"}
}

// busy is the answer above the capacity.
func busy() *completion.Error {
	return &completion.Error{Status: http.StatusTooManyRequests, Type: "rate_limit_error", Code: "over_capacity",
		Message: "the server has as many requests or texts as it takes, or has memory for; try again"}
}

// decode reads the body of a request, within its limit, and decodes it.
func (s *Server) decode(w http.ResponseWriter, r *http.Request, of func(body []byte) *completion.Error) *completion.Error {
	if kind, _, _ := mediaType(r); kind != "application/json" {
		return &completion.Error{Status: http.StatusUnsupportedMediaType, Type: completion.InvalidRequest,
			Message: "the body must be JSON, with the header Content-Type: application/json"}
	}
	tooLarge := &completion.Error{Status: http.StatusRequestEntityTooLarge, Type: completion.InvalidRequest,
		Message: fmt.Sprintf("the body is larger than %d bytes", s.o.Limits.BodyBytes)}
	if r.ContentLength > s.o.Limits.BodyBytes {
		return tooLarge
	}
	body, give, err := s.memory.read(w, r, s.o.Limits.BodyBytes)
	defer give()
	switch {
	case errors.Is(err, errFull):
		return busy()
	case errors.As(err, new(*http.MaxBytesError)):
		return tooLarge
	case err != nil:
		return &completion.Error{Status: http.StatusBadRequest, Type: completion.InvalidRequest, Message: "the body cannot be read to its end"}
	}
	s.reading <- struct{}{}
	defer func() { <-s.reading }()
	return of(body)
}

// submit gives a request to the model in use.
func (s *Server) submit(req *completion.Request) (*answer, *model, *completion.Error) {
	if req.Seed == nil {
		var b [8]byte
		_, _ = rand.Read(b[:])
		seed := int64(binary.LittleEndian.Uint32(b[:])) // short enough to be typed, and exact in JavaScript
		req.Seed = &seed
	}
	for {
		m := s.current.Load()
		a, wrong := m.answer(req, s.o.Limits.Limits)
		if wrong != nil {
			return nil, nil, wrong
		}
		k := int64(len(a.choices))
		if s.texts.Add(k) > int64(s.o.Limits.Rows+s.o.Limits.Queue) {
			s.texts.Add(-k)
			return nil, nil, busy()
		}
		s.counts.submitted(a)
		if m.submit(a) {
			s.counts.prompt.Add(float64(a.prompts))
			return a, m, nil
		}
		s.texts.Add(-k) // another model has come into use meanwhile, or none will
		s.counts.waiting.Sub(float64(k))
		if s.current.Load() == m {
			return nil, nil, ending()
		}
	}
}

// named refuses a request for another model.
func (m *model) named(name string) *completion.Error {
	if name == "" || name == m.name || name == m.SHA256 {
		return nil
	}
	return &completion.Error{Status: http.StatusNotFound, Type: completion.InvalidRequest, Param: "model", Code: "model_not_found",
		Message: fmt.Sprintf("the model %q is not served; it is %q, or its sha256 %s", name, m.name, m.SHA256)}
}

// answer makes the choices of a request: n of each prompt, those of the first prompt
// first. Choice j of a prompt has stream j of the seed, whatever other prompts there are.
func (m *model) answer(req *completion.Request, l completion.Limits) (*answer, *completion.Error) {
	if wrong := m.named(req.Model); wrong != nil {
		return nil, wrong
	}
	a := &answer{done: make(chan struct{}), news: make(chan struct{}, 1)}
	chars := 0
	for _, p := range req.Prompts {
		prompt, wrong := m.prompt(p, l.Prompt)
		if wrong != nil {
			return nil, wrong
		}
		a.prompts += len(prompt.IDs)
		if chars += req.N * req.MaxTokens; req.Echo {
			chars += req.N * len(prompt.IDs)
		}
		if chars > l.Answer/req.Weight() {
			return nil, completion.Refuse("max_tokens", "the texts of the answer may have more than %d characters together, the limit of one with logprobs like these",
				l.Answer/req.Weight())
		}
		for j := range req.N {
			c, wrong := m.choice(req, prompt, uint64(j))
			if wrong != nil {
				return nil, wrong
			}
			c.answer = a
			a.choices = append(a.choices, c)
		}
	}
	a.left.Store(int64(len(a.choices)))
	return a, nil
}

// prompt returns a prompt of up to most characters. Characters that the model lacks are
// refused, also where it has [UNK], as generate refuses them.
func (m *model) prompt(p completion.Prompt, most int) (*text.Prompt, *completion.Error) {
	prompt := &text.Prompt{IDs: p.IDs}
	if p.IDs == nil {
		var err error
		if prompt, err = m.Prompt(p.Text, ""); err != nil {
			return nil, completion.Refuse("prompt", "%s", strings.TrimPrefix(err.Error(), "text: "))
		}
	}
	for at, id := range p.IDs {
		if int(id) >= m.Vocab.Size() {
			return nil, completion.Refuse("prompt", "prompt has the id %d at position %d; the model has %d characters", id, at, m.Vocab.Size())
		}
		prompt.Text = m.Vocab.AppendText(prompt.Text, id)
	}
	if len(prompt.IDs) > most {
		return nil, completion.Refuse("prompt", "the prompt has %d characters, at most %d are allowed", len(prompt.IDs), most)
	}
	return prompt, nil
}

// sampling returns what a request asks of the sampler. [UNK] is written only where a
// request has a bias for it.
func (m *model) sampling(req *completion.Request) sample.Options {
	o := sample.Options{Temperature: req.Temperature, TopK: req.TopK, TopP: req.TopP, MinP: req.MinP,
		RepetitionPenalty: req.RepetitionPenalty, Bias: req.LogitBias}
	if _, asked := req.LogitBias[0]; m.Vocab.HasUnknown() && !asked {
		o.Ban = []int32{0}
	}
	return o
}

// choice makes a text of a request, with a stream of its seed.
func (m *model) choice(req *completion.Request, prompt *text.Prompt, stream uint64) (*choice, *completion.Error) {
	for id := range req.LogitBias {
		if int(id) >= m.Vocab.Size() {
			return nil, completion.Refuse("logit_bias", "logit_bias has the id %d; the model has %d characters", id, m.Vocab.Size())
		}
	}
	asked := &text.Request{Prompt: prompt, Length: req.MaxTokens, Sampling: m.sampling(req), Stop: req.Stop, Seed: *req.Seed, Streams: []uint64{stream}}
	sampler, err := sample.New(asked.Sampling, asked.Seed, stream)
	if err != nil {
		return nil, completion.Refuse("", "%v", err)
	}
	bytes := m.Vocab.Unit() == vocab.Byte
	c := &choice{of: m, asked: asked, likely: req.Logprobs, prompt: text.NewEnding(nil, nil, bytes), ending: text.NewEnding(nil, req.Stop, bytes)}
	if !req.Echo {
		c.offset = len(prompt.IDs)
	}
	c.text = decode.Text{Prompt: prompt.IDs, Length: req.MaxTokens, Sampler: sampler, Echo: req.Echo, Emit: c.emit, End: func(err error) { m.finish(c, err) }}
	return c, nil
}

// usage counts what an answer took so far.
func (a *answer) usage() *completion.Usage {
	u := &completion.Usage{PromptTokens: a.prompts}
	for _, c := range a.choices {
		c.mu.Lock()
		u.CompletionTokens += c.drawn
		c.mu.Unlock()
	}
	u.TotalTokens = u.PromptTokens + u.CompletionTokens
	return u
}

// cut is the error of a request whose context has ended.
func (s *Server) cut(ctx context.Context) *completion.Error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return &completion.Error{Status: http.StatusGatewayTimeout, Type: "server_error", Code: "timeout",
			Message: fmt.Sprintf("the answer was not complete after %s, the limit of a request", s.o.Limits.Wall)}
	}
	return &completion.Error{Status: statusGone, Type: "server_error", Message: "the client has gone away"}
}

// statusGone stands for an answer that nobody reads, as in nginx.
const statusGone = 499

// failed is the error of a text that could not be written.
func (s *Server) failed(ctx context.Context, err error) *completion.Error {
	if errors.Is(err, errGone) {
		return s.cut(ctx)
	}
	s.o.Console.Warn("serve: a text could not be written: %v", err)
	return &completion.Error{Status: http.StatusInternalServerError, Type: "server_error", Message: "the text could not be written: " + err.Error()}
}
