package serve

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/quire-ml/quire/pipelines/serve/completion"
	"github.com/quire-ml/quire/pipelines/serve/page"
	"github.com/quire-ml/quire/pipelines/web"
)

// handler answers a request, or returns the error that is its answer.
type handler func(http.ResponseWriter, *http.Request) *completion.Error

// routes are what the server answers.
func (s *Server) routes() {
	s.mux = http.NewServeMux()
	s.route("POST", "/v1/completions", s.bounded(s.complete))
	s.route("GET", "/v1/models", s.models)
	s.route("GET", "/v1/models/{name}", s.oneModel)
	s.route("POST", "/tokenize", s.bounded(s.tokenize))
	s.route("POST", "/detokenize", s.bounded(s.detokenize))
	s.route("GET", "/tokenizer_info", s.tokenizerInfo)
	s.route("GET", "/healthz", func(w http.ResponseWriter, _ *http.Request) *completion.Error { return s.write(w, http.StatusOK, ok) })
	s.route("GET", "/readyz", s.readyz)
	s.route("GET", "/metrics", pass(web.Metrics(s.counts.registry)))
	s.route("GET", "/openapi.json", func(w http.ResponseWriter, _ *http.Request) *completion.Error {
		return s.write(w, http.StatusOK, completion.OpenAPI(s.o.Limits.Limits))
	})
	s.route("GET", "/{$}", pass(page.Handler()))
	s.route("GET", "/page/", pass(page.Handler()))
	s.route("", "/v1/chat/", func(http.ResponseWriter, *http.Request) *completion.Error {
		return missing("there is no chat: the model continues text and knows no roles; use /v1/completions")
	})
	s.route("", "/", func(http.ResponseWriter, *http.Request) *completion.Error {
		return missing("there is no such path; /openapi.json describes those that there are")
	})
}

var ok = map[string]string{"status": "ok"}

func missing(message string) *completion.Error {
	return &completion.Error{Status: http.StatusNotFound, Type: completion.InvalidRequest, Code: "not_found", Message: message}
}

func pass(h http.Handler) handler {
	return func(w http.ResponseWriter, r *http.Request) *completion.Error {
		h.ServeHTTP(w, r)
		return nil
	}
}

// route answers a path with h, for one method or all.
func (s *Server) route(method, path string, h handler) {
	methods := []string{method}
	if method == http.MethodGet {
		methods = append(methods, http.MethodHead)
	}
	s.mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
		status := &status{ResponseWriter: w, of: r, code: http.StatusOK}
		defer func() {
			if fault := recover(); fault != nil && fault != http.ErrAbortHandler {
				s.counts.panics.Inc()
				s.o.Console.Warn("serve: %s: the program has a fault: %v\n%s", path, fault, debug.Stack())
				s.refuse(status, &completion.Error{Status: http.StatusInternalServerError, Type: "server_error", Message: "the server has a fault"})
			}
			s.counts.requests.WithLabelValues(path, strconv.Itoa(status.code)).Inc()
		}()
		var wrong *completion.Error
		if method != "" && !slices.Contains(methods, r.Method) {
			w.Header().Set("Allow", strings.Join(methods, ", "))
			wrong = &completion.Error{Status: http.StatusMethodNotAllowed, Type: completion.InvalidRequest,
				Message: fmt.Sprintf("%s is for %s alone", path, strings.Join(methods, " and "))}
		} else {
			wrong = h(status, r)
		}
		if wrong != nil {
			s.refuse(status, wrong)
		}
	})
}

// ServeHTTP answers a request of who may ask.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// The deadline of the answer before stays with the connection.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(s.o.Limits.Wall + s.o.Limits.Write))
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	if s.guard.cors(w, r) {
		return
	}
	r.Body = &watched{r.Body, r.Body == http.NoBody}
	if wrong := s.guard.refuse(r); wrong != nil {
		s.counts.requests.WithLabelValues("denied", strconv.Itoa(wrong.Status)).Inc()
		s.refuse(&status{ResponseWriter: w, of: r}, wrong)
		return
	}
	s.mux.ServeHTTP(w, r)
}

// status remembers the status of an answer.
type status struct {
	http.ResponseWriter
	of   *http.Request
	code int
	sent bool
}

func (s *status) WriteHeader(code int) {
	s.code, s.sent = code, true
	s.ResponseWriter.WriteHeader(code)
}

func (s *status) Write(p []byte) (int, error) {
	s.sent = true
	return s.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController.
func (s *status) Unwrap() http.ResponseWriter { return s.ResponseWriter }

// watched is a request's body.
type watched struct {
	io.ReadCloser
	ended bool // it has been read to its end
}

// Read reads the next bytes of the body.
func (w *watched) Read(p []byte) (int, error) {
	n, err := w.ReadCloser.Read(p)
	w.ended = w.ended || err == io.EOF
	return n, err
}

// late is the time for the rest of a body that is refused: net/http reads it before it answers,
// so that the connection can stay.
const late = 100 * time.Millisecond

// refuse answers with an error, where no answer has begun.
func (s *Server) refuse(w *status, wrong *completion.Error) {
	if w.sent || wrong.Status == statusGone {
		if wrong.Status == statusGone {
			w.code = statusGone
		}
		return
	}
	switch wrong.Status {
	case http.StatusUnauthorized:
		w.Header().Add("WWW-Authenticate", `Bearer realm="quire"`)
		w.Header().Add("WWW-Authenticate", `Basic realm="quire: any name, and the key as the password", charset="UTF-8"`)
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", "1")
	}
	// Behind a body net/http waits for the client to go away: a deadline would end the context of all later requests.
	if body, ok := w.of.Body.(*watched); !ok || !body.ended {
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(late))
	}
	s.write(w, wrong.Status, wrong.Body())
}

// write answers with a value.
func (s *Server) write(w http.ResponseWriter, code int, v any) *completion.Error {
	data, err := encode(v)
	if err != nil {
		panic(err) // every answer is of a type that JSON has
	}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(s.o.Limits.Write))
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(data)+1))
	w.WriteHeader(code)
	if _, err := w.Write(append(data, '\n')); err != nil && !errors.Is(err, http.ErrBodyNotAllowed) {
		return s.unread(err)
	}
	return nil
}

// mediaType returns the media type of a request's body.
func mediaType(r *http.Request) (string, map[string]string, error) {
	return mime.ParseMediaType(r.Header.Get("Content-Type"))
}

// readyz answers whether the server takes requests.
func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) *completion.Error {
	if s.ending.Load() {
		return ending()
	}
	return s.write(w, http.StatusOK, ok)
}

// card is a model as the API lists it, with vLLM's fields.
func (s *Server) card(m *model) map[string]any {
	return map[string]any{"id": m.name, "object": "model", "created": m.created, "owned_by": "quire", "root": m.SHA256, "parent": nil,
		"max_model_len": s.o.Limits.Prompt + s.o.Limits.MaxTokens, "vocabulary": m.Vocab.Size(), "unit": m.Vocab.Unit()}
}

func (s *Server) models(w http.ResponseWriter, _ *http.Request) *completion.Error {
	return s.write(w, http.StatusOK, map[string]any{"object": "list", "data": []any{s.card(s.current.Load())}})
}

func (s *Server) oneModel(w http.ResponseWriter, r *http.Request) *completion.Error {
	m := s.current.Load()
	if wrong := m.named(r.PathValue("name")); wrong != nil {
		return wrong
	}
	return s.write(w, http.StatusOK, s.card(m))
}

// tokenizerInfo answers, in vLLM's words, that the tokenizer has no tokens beside characters.
func (s *Server) tokenizerInfo(w http.ResponseWriter, _ *http.Request) *completion.Error {
	m := s.current.Load()
	return s.write(w, http.StatusOK, map[string]any{"tokenizer_class": "quire", "vocab_size": m.Vocab.Size(), "unit": m.Vocab.Unit(),
		"model_max_length": s.o.Limits.Prompt, "bos_token": nil, "eos_token": nil, "pad_token": nil, "unk_token": nil})
}

// tokenize answers with the ids of a text.
func (s *Server) tokenize(w http.ResponseWriter, r *http.Request) *completion.Error {
	answer := map[string]any{"max_model_len": s.o.Limits.Prompt + s.o.Limits.MaxTokens, "token_strs": nil}
	give := func() {}
	defer func() { give() }()
	wrong := s.decode(w, r, func(body []byte) *completion.Error {
		req, wrong := completion.DecodeTokenize(body)
		if wrong != nil {
			return wrong
		}
		m := s.current.Load()
		if wrong := m.named(req.Model); wrong != nil {
			return wrong
		}
		prompt, wrong := m.prompt(completion.Prompt{Text: *req.Text}, s.o.Limits.Prompt)
		if wrong != nil {
			return wrong
		}
		if give, wrong = s.memory.hold(perToken * int64(len(prompt.IDs))); wrong != nil {
			return wrong
		}
		ids := append([]int32{}, prompt.IDs...)
		answer["count"], answer["tokens"] = len(ids), ids
		if req.Strs {
			strs := []string{}
			for _, id := range ids {
				strs = append(strs, m.token(id))
			}
			answer["token_strs"] = strs
		}
		return nil
	})
	if wrong != nil {
		return wrong
	}
	return s.write(w, http.StatusOK, answer)
}

// detokenize answers with the text of ids.
func (s *Server) detokenize(w http.ResponseWriter, r *http.Request) *completion.Error {
	var text []byte
	give := func() {}
	defer func() { give() }()
	wrong := s.decode(w, r, func(body []byte) *completion.Error {
		req, wrong := completion.DecodeDetokenize(body, s.o.Limits.Limits)
		if wrong != nil {
			return wrong
		}
		m := s.current.Load()
		if wrong := m.named(req.Model); wrong != nil {
			return wrong
		}
		prompt, wrong := m.prompt(completion.Prompt{IDs: req.IDs}, s.o.Limits.Prompt)
		if wrong != nil {
			wrong.Param = "tokens"
			return wrong
		}
		text = prompt.Text
		give, wrong = s.memory.hold(perChar * int64(len(text)))
		return wrong
	})
	if wrong != nil {
		return wrong
	}
	return s.write(w, http.StatusOK, map[string]any{"prompt": string(text)})
}
