package serve

import (
	"errors"
	"io"
	"net/http"
	"sync/atomic"

	"github.com/quire-ml/quire/pipelines/serve/completion"
)

// memory is what all requests under way may take together: their bodies, and what their
// answers take at most, until the clients have read them. It is taken before it is used, so
// that requests are refused at once, and none has to end in the middle.
type memory struct {
	most int64
	held atomic.Int64
}

// take takes bytes, if they are there.
func (m *memory) take(n int64) bool {
	for {
		held := m.held.Load()
		if n > m.most-held {
			return false
		}
		if m.held.CompareAndSwap(held, held+n) {
			return true
		}
	}
}

func (m *memory) give(n int64) { m.held.Add(-n) }

// hold takes bytes until give is called, which is there with an error too. The error is that of a server without room, or of a
// request that has none on any day.
func (m *memory) hold(n int64) (give func(), _ *completion.Error) {
	none := func() {}
	if n > m.most {
		return none, completion.Refuse("", "the answer may take %d bytes of memory, and the server has %d for all requests; ask for fewer characters", n, m.most)
	}
	if !m.take(n) {
		return none, busy()
	}
	return func() { m.give(n) }, nil
}

// errFull says that there is no room for the rest of a body.
var errFull = errors.New("serve: no room for a body")

// body is a request's body, of which the memory is taken as it comes: not what a client says
// that it will send.
type body struct {
	from io.Reader
	of   *memory
	held int64
}

// copies is the memory that io.ReadAll takes for a byte.
const copies = 2

func (b *body) Read(p []byte) (int, error) {
	n, err := b.from.Read(p)
	if !b.of.take(int64(n) * copies) {
		return 0, errFull
	}
	b.held += int64(n) * copies
	return n, err
}

// read returns a body up to its limit, and what gives its memory back.
func (m *memory) read(w http.ResponseWriter, r *http.Request, most int64) (data []byte, give func(), err error) {
	b := &body{from: http.MaxBytesReader(w, r.Body, most), of: m}
	data, err = io.ReadAll(b)
	return data, func() { m.give(b.held) }, err
}

// The memory that a text takes, roughly, in bytes.
const (
	perText    = 1 << 10
	perID      = 32 // of the vocabulary, in a sampler
	perStop    = 10 // of a byte of a stop string
	perPrompt  = 8  // of a character
	perChar    = 24 // as it was written, as it waits, and in JSON
	perLogprob = 256
	perLikely  = 96 // of a character beside another
	perToken   = 64 // of a character in a list of ids and characters
)

// bytes is the memory that the answer to a request takes at most, roughly.
func (m *model) bytes(req *completion.Request) int64 {
	// In floating point, because absurd limits must not overflow.
	char := perChar + 0.0
	if req.Logprobs >= 0 {
		char += perLogprob + perLikely*float64(req.Logprobs)
	}
	text := perText + perID*float64(m.Vocab.Size())
	for _, s := range req.Stop {
		text += perStop * float64(len(s))
	}
	var sum float64
	for _, p := range req.Prompts {
		prompt, chars := float64(len(p.Text)+len(p.IDs)), float64(req.MaxTokens)
		if req.Echo {
			chars += prompt
		}
		sum += perPrompt*prompt + float64(req.N)*(text+char*chars)
	}
	return int64(min(sum, 1<<62))
}
