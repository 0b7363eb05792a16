package gate

// An index finds the substrings that a long text and some short ones have in
// common, exactly and without keeping the long text: it is the suffix automaton of
// the short ones. The long text is fed to it character by character.
//
// A state stands for some substrings that end at the same places of the short
// texts, those of lengths length(link)+1 … length. So an n-gram has one state, and
// there are at most 2 states a character of the short texts.
type index struct {
	states  []state
	texts   [][]int32
	longest [streams]int // common substring so far
}

type state struct {
	length, link int32
	edges        []edge
	seen         [streams]uint8 // bit k is set where the n-gram of grams[k] that ends here was fed
}

type edge struct{ id, to int32 }

// grams are the lengths of the substrings that are counted.
var grams = [...]int{gram20: 20, gram50: 50}

const (
	gram20 = iota
	gram50
)

// Streams of text that can be fed.
const (
	trainStream = iota
	heldStream
	streams // their number
)

// newIndex indexes texts of ids, which are 0 or more.
func newIndex(texts [][]int32) *index {
	x := &index{states: []state{{link: -1}}, texts: texts}
	last := int32(0)
	for i, text := range texts {
		for _, id := range text {
			last = x.extend(last, id)
		}
		last = x.extend(last, int32(-1-i)) // no substring crosses two texts
	}
	return x
}

// extend appends an id to the text that ends in state last, and returns the state
// in which the longer text ends.
func (x *index) extend(last, id int32) int32 {
	cur := x.add(state{length: x.states[last].length + 1, link: 0})
	p := last
	for ; p >= 0 && x.step(p, id) < 0; p = x.states[p].link {
		x.states[p].edges = append(x.states[p].edges, edge{id, cur})
	}
	if p < 0 {
		return cur
	}
	q := x.step(p, id)
	if x.states[q].length == x.states[p].length+1 {
		x.states[cur].link = q
		return cur
	}
	clone := x.add(state{length: x.states[p].length + 1, link: x.states[q].link,
		edges: append([]edge(nil), x.states[q].edges...)})
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

func (x *index) add(s state) int32 {
	x.states = append(x.states, s)
	return int32(len(x.states) - 1)
}

// step returns the state after an id, -1 where there is none.
func (x *index) step(state, id int32) int32 {
	for _, e := range x.states[state].edges {
		if e.id == id {
			return e.to
		}
	}
	return -1
}

// A cursor is a place in one stream.
type cursor struct {
	x      *index
	stream int
	state  int32
	length int // of the longest substring of a text that ends here
}

// reset begins another text of the stream: no substring crosses two.
func (c *cursor) reset() { c.state, c.length = 0, 0 }

// feed appends an id to the stream. An id that no text has may be negative.
func (c *cursor) feed(id int32) {
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
	x.longest[c.stream] = max(x.longest[c.stream], c.length)
	for k, n := range grams {
		if c.length >= n {
			x.states[x.gram(c.state, n)].seen[c.stream] |= 1 << k
		}
	}
}

// gram returns the state of the last n characters of a substring of that state,
// which has n or more.
func (x *index) gram(state int32, n int) int32 {
	for link := x.states[state].link; int(x.states[link].length) >= n; link = x.states[state].link {
		state = link
	}
	return state
}

// count returns the number of n-grams of the texts, n = grams[k]; of those that the
// training text has; and of those that the held-out text alone has.
func (x *index) count(k int) (all, train, held int) {
	n := grams[k]
	for _, text := range x.texts {
		at := int32(0)
		for i, id := range text {
			if at = x.step(at, id); i+1 < n {
				continue
			}
			all++
			switch seen := x.states[x.gram(at, n)].seen; {
			case seen[trainStream]>>k&1 == 1:
				train++
			case seen[heldStream]>>k&1 == 1:
				held++
			}
		}
	}
	return all, train, held
}

// An overlap is the text that some texts have in common with a corpus.
type overlap struct {
	longest int                 // substring that the training text has, in characters
	copied  [len(grams)]float64 // share of the n-grams that the training text has
	leaked  [len(grams)]float64 // share of the n-grams that the held-out text alone has
}

// overlap sums up the texts that were fed.
func (x *index) overlap() overlap {
	o := overlap{longest: x.longest[trainStream]}
	for k := range grams {
		all, train, held := x.count(k)
		o.copied[k], o.leaked[k] = share(train, all), share(held, all)
	}
	return o
}

// share returns a of n, 0 of none.
func share(a, n int) float64 {
	if n == 0 {
		return 0
	}
	return float64(a) / float64(n)
}
