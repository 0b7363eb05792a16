package serve

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/quire-ml/quire/pipelines/serve/completion"
)

// pause is the time between two parts of a stream, at least, beside so many texts: each part
// costs the texts time, so there are 1,000 parts a second at most.
func pause(texts int64) time.Duration {
	return max(20, time.Duration(texts)) * time.Millisecond
}

// alive is the time after which a stream without news says that it lives. Tests shorten it.
var alive = 15 * time.Second

// stream sends an answer part by part, as server-sent events. Its head is sent with the
// first event.
func (s *Server) stream(ctx context.Context, w http.ResponseWriter, a *answer, req *completion.Request, part completion.Answer) *completion.Error {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // nginx passes events on at once
	if req.IncludeUsage {
		part.Usage = (*completion.Usage)(nil)
	}
	e := &events{w: w, deadline: s.o.Limits.Write}
	ping := time.NewTicker(alive)
	defer ping.Stop()
	for ended := make([]bool, len(a.choices)); ; {
		a.asleep.Store(true)
		left, wrong := s.parts(ctx, e, a, ended, part)
		if wrong == nil && left > 0 {
			wrong = s.rest(ctx, e, a, ping.C)
		}
		switch {
		case wrong != nil:
			return e.fail(wrong)
		case left == 0:
			if req.IncludeUsage {
				part.Choices, part.Usage = []completion.Choice{}, a.usage()
				e.send(part)
			}
			e.data([]byte("[DONE]"))
			return s.unread(e.flush())
		}
	}
}

// parts sends what has come of each choice, and returns how many have not ended.
func (s *Server) parts(ctx context.Context, e *events, a *answer, ended []bool, part completion.Answer) (left int, _ *completion.Error) {
	for i, c := range a.choices {
		if ended[i] {
			continue
		}
		p, news, end, err := c.take()
		if err != nil {
			return 0, s.failed(ctx, err)
		}
		p.Index = i
		if ended[i] = end; news || end {
			part.Choices = []completion.Choice{p}
			e.send(part)
		}
		if !end {
			left++
		}
	}
	return left, nil
}

// rest sends the events so far and waits until there are more: after a pause, where there
// were some and the answer goes on, else until there is news.
func (s *Server) rest(ctx context.Context, e *events, a *answer, ping <-chan time.Time) *completion.Error {
	news := (<-chan struct{})(a.news)
	var later <-chan time.Time
	var done <-chan struct{}
	if e.buffer.Len() > 0 {
		if err := e.flush(); err != nil {
			return s.unread(err)
		}
		news, later, done = nil, time.After(pause(min(s.texts.Load(), int64(s.o.Limits.Rows)))), a.done
	}
	select {
	case <-news:
	case <-later:
	case <-done:
	case <-ping:
		e.buffer.WriteString(": ping\n\n")
	case <-ctx.Done():
		return s.cut(ctx)
	}
	return nil
}

// unread is the error of a client that has not taken a part of its answer.
func (s *Server) unread(err error) *completion.Error {
	if err == nil {
		return nil
	}
	return &completion.Error{Status: statusGone, Type: "server_error", Message: "the client does not read its answer"}
}

// events writes server-sent events.
type events struct {
	w        http.ResponseWriter
	deadline time.Duration // for a client to take what is flushed
	buffer   bytes.Buffer
	begun    bool
}

// data adds an event.
func (e *events) data(data []byte) {
	e.buffer.WriteString("data: ")
	e.buffer.Write(data)
	e.buffer.WriteString("\n\n")
}

// send adds an event with a value.
func (e *events) send(v any) {
	data, err := encode(v)
	if err != nil {
		panic(err) // every part is of a type that JSON has
	}
	e.data(data)
}

// flush sends what was added.
func (e *events) flush() error {
	c := http.NewResponseController(e.w)
	_ = c.SetWriteDeadline(time.Now().Add(e.deadline)) // a test's recorder has none
	e.begun = true
	_, err := e.w.Write(e.buffer.Bytes())
	e.buffer.Reset()
	if err == nil {
		err = c.Flush()
	}
	return err
}

// fail returns an error that can still be the answer, or sends it as the last event of a
// stream that has begun.
func (e *events) fail(wrong *completion.Error) *completion.Error {
	if !e.begun || wrong.Status == statusGone {
		return wrong
	}
	e.send(wrong.Body())
	e.data([]byte("[DONE]"))
	_ = e.flush() // the stream ends anyway
	return &completion.Error{Status: statusSent, Message: wrong.Message}
}

// statusSent stands for an error that the client was told in the middle of a stream.
const statusSent = -1

// encode returns the JSON of a value, with <, > and & as they are.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}
