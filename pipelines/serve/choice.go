package serve

import (
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/quire-ml/quire/model/decode"
	"github.com/quire-ml/quire/pipelines/serve/completion"
	"github.com/quire-ml/quire/transforms/vocab"
)

// answer is one request under way: its choices, and the signals between the goroutine that
// writes them, a loop's, and the one that sends them, the handler's.
type answer struct {
	choices []*choice
	prompts int           // characters of the prompts
	gone    atomic.Bool   // nobody waits for it
	left    atomic.Int64  // choices that have not ended
	done    chan struct{} // closed when all choices have ended
	asleep  atomic.Bool   // the handler waits for news
	news    chan struct{} // of room 1
	first   atomic.Int64  // time of the first drawn character, in Unix nanoseconds
}

// tell wakes the handler, if it waits for news.
func (a *answer) tell() {
	if a.asleep.CompareAndSwap(true, false) {
		select {
		case a.news <- struct{}{}:
		default:
		}
	}
}

// end counts a choice that has ended.
func (a *answer) end() {
	if a.left.Add(-1) == 0 {
		close(a.done)
	}
	a.tell()
}

// choice is one text of an answer. Its loop writes it, under mu; the handler takes what
// has come.
type choice struct {
	answer *answer
	of     *model
	text   decode.Text
	stops  []*stop
	likely int // characters listed beside each; -1: no log-probabilities

	mu     sync.Mutex
	held   []byte  // the end of the text that may become a stop string, or is a part of a character
	kept   []token // those of held
	out    []byte  // what the handler has not taken
	tokens []token // those of out
	offset int     // tokens before those of out
	drawn  int
	ended  bool
	finish string // why it ended
	failed error
}

// token is a character with its log-probability.
type token struct {
	id      int32
	size    int      // bytes of its text that are held
	logProb *float64 // nil: nothing predicts it
	likely  []decode.Likely
}

// emit is called by the loop with each character. It reports false at the end of the text.
func (c *choice) emit(ch decode.Char) (more bool) {
	t := token{id: ch.ID}
	if c.likely >= 0 && ch.Logits != nil {
		p := c.of.probs.Of(ch.Logits, ch.ID)
		t.logProb = &p
		if c.likely > 0 {
			t.likely = c.of.probs.Top(ch.Logits, c.likely)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	before := len(c.held)
	c.held = c.of.Vocab.AppendText(c.held, ch.ID)
	if t.size = len(c.held) - before; c.likely >= 0 {
		c.kept = append(c.kept, t)
	}
	hold := 0
	if !ch.Prompt {
		if c.drawn++; c.drawn == 1 {
			c.answer.first.CompareAndSwap(0, time.Now().UnixNano())
		}
		var stopped bool
		if hold, stopped = c.stop(before); stopped {
			c.held = c.held[:len(c.held)-hold]
			c.release(len(c.held))
			c.held, c.kept, c.finish = nil, nil, completion.FinishStop
			return false
		}
	}
	if c.of.Vocab.Unit() == vocab.Byte {
		hold = max(hold, begun(c.held))
	}
	c.release(len(c.held) - hold)
	c.answer.tell()
	return true
}

// stop passes the bytes of held from a place on to the stop strings. It returns how many
// bytes at the end of held may become one, or are the one that has come and what follows.
func (c *choice) stop(from int) (hold int, stopped bool) {
	for i := from; i < len(c.held); i++ {
		hold = 0
		for _, s := range c.stops {
			if s.next(c.held[i]) {
				stopped = true
				hold = max(hold, len(s.text)+len(c.held)-1-i)
			} else if !stopped {
				hold = max(hold, s.at)
			}
		}
		if stopped {
			return hold, true
		}
	}
	return hold, false
}

// release gives the handler the first n bytes of held, and their tokens.
func (c *choice) release(n int) {
	c.out = append(c.out, c.held[:n]...)
	c.held = append(c.held[:0], c.held[n:]...)
	done := 0
	for ; done < len(c.kept) && n > 0; done++ {
		if size := c.kept[done].size; size > n {
			c.kept[done].size -= n
			break
		}
		n -= c.kept[done].size
	}
	c.tokens = append(c.tokens, c.kept[:done]...)
	c.kept = append(c.kept[:0], c.kept[done:]...)
}

// begun returns how many bytes at the end of a text begin a character that is not whole.
func begun(text []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(text); n++ {
		if rest := text[len(text)-n:]; utf8.RuneStart(rest[0]) {
			if utf8.FullRune(rest) {
				return 0
			}
			return n
		}
	}
	return 0
}

// stop is a stop string with the place in it up to which the text has come (Knuth, Morris
// and Pratt).
type stop struct {
	text []byte
	back []int // back[i] is the length of the longest end of text[:i+1] that text begins with
	at   int   // bytes of text with which the text so far ends
}

func newStop(text string) *stop {
	s := &stop{text: []byte(text), back: make([]int, len(text))}
	for i := 1; i < len(text); i++ {
		s.next(text[i])
		s.back[i] = s.at
	}
	s.at = 0
	return s
}

// next takes the next byte of a text, and reports whether the text now ends with s.
func (s *stop) next(b byte) bool {
	for s.at > 0 && (s.at == len(s.text) || s.text[s.at] != b) {
		s.at = s.back[s.at-1]
	}
	if s.text[s.at] == b {
		s.at++
	}
	return s.at == len(s.text)
}

// end is called by the loop once, after the last character. err says why the text failed.
func (c *choice) end(err error) {
	c.mu.Lock()
	c.release(len(c.held))
	c.ended, c.failed = true, err
	if err == nil && c.finish == "" {
		c.finish = completion.FinishLength
	}
	c.mu.Unlock()
	c.of.counts.ended(c)
	c.answer.end()
}

// take returns what has come since the last call, whether that is anything, and whether the
// text has ended. At its end it has the reason.
func (c *choice) take() (p completion.Choice, news, ended bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failed != nil {
		return p, false, true, c.failed
	}
	p.Text = string(c.out)
	if news = len(c.out) > 0; c.likely >= 0 {
		p.Logprobs = c.logprobs()
	}
	c.offset += len(c.tokens)
	c.out, c.tokens = c.out[:0], nil
	if c.ended {
		p.FinishReason = &c.finish
	}
	return p, news, c.ended, nil
}

// logprobs returns the tokens of out as the API lists them.
func (c *choice) logprobs() *completion.Logprobs {
	l := &completion.Logprobs{Tokens: []string{}, TokenLogprobs: []*float64{}, TextOffset: []int{}}
	for i, t := range c.tokens {
		l.Tokens = append(l.Tokens, c.of.token(t.id))
		l.TokenLogprobs = append(l.TokenLogprobs, finite(t.logProb))
		l.TextOffset = append(l.TextOffset, c.offset+i)
		if c.likely == 0 {
			continue
		}
		var top map[string]float64
		if t.logProb != nil {
			top = map[string]float64{c.of.token(t.id): *finite(t.logProb)}
			for _, other := range t.likely {
				top[c.of.token(other.ID)] = *finite(&other.LogProb)
			}
		}
		l.TopLogprobs = append(l.TopLogprobs, top)
	}
	return l
}

// finite replaces -Inf, which JSON lacks, by the number that stands for it in vLLM.
func finite(p *float64) *float64 {
	if p == nil || !math.IsInf(*p, -1) {
		return p
	}
	none := -9999.0
	return &none
}

// token returns a character as the API writes it: itself, or bytes:\xff for a byte that is
// no character.
func (m *model) token(id int32) string {
	s := string(m.Vocab.AppendText(nil, id))
	if m.Vocab.Unit() == vocab.Byte && s[0] >= utf8.RuneSelf {
		return fmt.Sprintf("bytes:\\x%02x", s[0])
	}
	return s
}
