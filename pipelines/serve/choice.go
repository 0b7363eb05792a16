package serve

import (
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/quire-ml/quire/model/decode"
	"github.com/quire-ml/quire/pipelines/receipt"
	"github.com/quire-ml/quire/pipelines/serve/completion"
	"github.com/quire-ml/quire/pipelines/text"
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
	asked  *text.Request // for the receipt
	likely int           // characters listed beside each; -1: no log-probabilities

	mu     sync.Mutex
	prompt *text.Ending // of the prompt, where it is echoed
	ending *text.Ending
	kept   []token // those of what the endings hold back
	out    []byte  // what the handler has not taken
	tokens []token // those of out
	offset int     // tokens before those of out
	drawn  int
	char   []byte // the one that came last
	ended  bool
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
	c.char = c.of.Vocab.AppendText(c.char[:0], ch.ID)
	if t.size = len(c.char); c.likely >= 0 {
		c.kept = append(c.kept, t)
	}
	if ch.Prompt {
		ready, _ := c.prompt.Add(c.char)
		c.release(ready)
		c.answer.tell()
		return true
	}
	if c.drawn++; c.drawn == 1 {
		c.release(c.prompt.Rest())
		c.answer.first.CompareAndSwap(0, time.Now().UnixNano())
	}
	ready, ended := c.ending.Add(c.char)
	if c.release(ready); ended {
		c.kept = nil
	}
	c.answer.tell()
	return !ended
}

// release gives the handler a part of the text, and its tokens.
func (c *choice) release(part []byte) {
	c.out = append(c.out, part...)
	n, done := len(part), 0
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

// end is called by the loop once, after the last character. err says why the text failed. It
// is counted, and no longer waited for, also where there is a fault on the way.
func (c *choice) end(err error) {
	defer c.answer.end()
	defer c.of.counts.ended(c)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended, c.failed = true, errFault
	if err == nil {
		c.release(c.prompt.Rest())
		c.release(c.ending.Rest())
	}
	c.failed = err
}

// errFault stands until the end of a text is whole.
var errFault = errors.New("serve: the program has a fault")

// take returns what has come since the last call, whether that is anything, and whether the
// text has ended. At its end it has the reason and the receipt.
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
		reason := string(c.ending.Finish())
		p.FinishReason = &reason
		if c.text.Length > 0 {
			p.Receipt = receipt.New(c.of.Model, c.asked, []string{string(c.ending.Text())}, []text.Finish{c.ending.Finish()})
		}
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
