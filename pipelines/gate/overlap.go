package gate

// A spanIndex finds what a long text and some short ones have in common, exactly
// and without keeping the long one: it is the suffix automaton of the short ones.
// The long text is fed to it character by character.
//
// A state stands for some substrings that end at the same places of the short
// texts, those of lengths length(link)+1 … length. So an n-gram has one state,
// and memory is that of at most 2 states a character.
type spanIndex struct {
	states []spanState
	texts  [][]int32
	size   int // characters of all texts
}

type spanState struct {
	length, link int32
	edges        []spanEdge
	seen         [2]uint8 // by stream: bit k is set where the n-gram of grams[k] that ends here was fed
}

type spanEdge struct{ id, to int32 }

// grams are the lengths of the substrings that are looked for.
var grams = [...]int{20, 50}

// Streams of text that can be fed.
const (
	trainStream = iota
	heldStream
)

// newSpanIndex indexes texts of ids, which are 0 or more.
func newSpanIndex(texts [][]int32) *spanIndex {
	x := &spanIndex{states: []spanState{{link: -1}}, texts: texts}
	last := int32(0)
	for i, text := range texts {
		for _, id := range text {
			last = x.extend(last, id)
		}
		x.size += len(text)
		last = x.extend(last, int32(-1-i)) // no substring crosses two texts
	}
	return x
}

// extend appends an id to the text that ends in state last.
func (x *spanIndex) extend(last, id int32) int32 {
	cur := x.add(spanState{length: x.states[last].length + 1, link: 0})
	p := last
	for ; p >= 0 && x.step(p, id) < 0; p = x.states[p].link {
		x.states[p].edges = append(x.states[p].edges, spanEdge{id, cur})
	}
	if p < 0 {
		return cur
	}
	q := x.step(p, id)
	if x.states[q].length == x.states[p].length+1 {
		x.states[cur].link = q
		return cur
	}
	clone := x.add(spanState{length: x.states[p].length + 1, link: x.states[q].link,
		edges: append([]spanEdge(nil), x.states[q].edges...)})
	for ; p >= 0 && x.step(p, id) == q; p = x.states[p].link {
		for i := range x.states[p].edges {
			if x.states[p].edges[i].id == id {
				x.states[p].edges[i].to = clone
			}
		}
	}
	x.states[q].link, x.states[cur].link = clone, clone
	return cur
}

func (x *spanIndex) add(s spanState) int32 {
	x.states = append(x.states, s)
	return int32(len(x.states) - 1)
}

// step returns the state after an id, -1 where there is none.
func (x *spanIndex) step(state, id int32) int32 {
	for _, e := range x.states[state].edges {
		if e.id == id {
			return e.to
		}
	}
	return -1
}

// A spanCursor is how far one stream has come.
type spanCursor struct {
	x       *spanIndex
	stream  int
	state   int32
	length  int // of the longest end of the stream that is in a text
	longest int // of all ends so far
}

// reset begins a new text: no substring crosses it.
func (c *spanCursor) reset() { c.state, c.length = 0, 0 }

// feed appends an id to the stream; one that no text has may be negative.
func (c *spanCursor) feed(id int32) {
	x := c.x
	for {
		if to := x.step(c.state, id); to >= 0 && id >= 0 {
			c.state = to
			c.length++
			break
		}
		if c.state == 0 {
			c.length = 0
			return
		}
		c.state = x.states[c.state].link
		c.length = int(x.states[c.state].length)
	}
	c.longest = max(c.longest, c.length)
	for k, n := range grams {
		if c.length >= n {
			x.states[x.gram(c.state, n)].seen[c.stream] |= 1 << k
		}
	}
}

// gram returns the state of the last n characters of a substring of that state,
// which has n or more.
func (x *spanIndex) gram(state int32, n int) int32 {
	for link := x.states[state].link; int(x.states[link].length) >= n; link = x.states[state].link {
		state = link
	}
	return state
}

// count returns how many n-grams the texts have, n = grams[k], and how many of
// them are in the training text, and in the held-out text alone.
func (x *spanIndex) count(k int) (all, train, held int) {
	n := grams[k]
	for _, text := range x.texts {
		state := int32(0)
		for i, id := range text {
			if state = x.step(state, id); i+1 < n {
				continue
			}
			all++
			switch seen := x.states[x.gram(state, n)].seen; {
			case seen[trainStream]>>k&1 == 1:
				train++
			case seen[heldStream]>>k&1 == 1:
				held++
			}
		}
	}
	return all, train, held
}

// share returns a of n, 0 of none.
func share(a, n int) float64 {
	if n == 0 {
		return 0
	}
	return float64(a) / float64(n)
}
