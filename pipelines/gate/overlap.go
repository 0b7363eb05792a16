package gate

import (
	"math"
	"slices"
)

// An index finds the substrings that a long text and some short ones have in
// common, exactly and without keeping the long text: it is the suffix automaton of
// the short ones. The long text is fed to it character by character.
//
// A state stands for some substrings that end at the same places of the short
// texts, those of lengths length(link)+1 … length. So an n-gram has one state, and
// there are at most 2 states a character of the short texts.
type index struct {
	states   []state
	root     []int32 // what step returns for the first state, by id; nil while the index is made
	texts    [][]int32
	overlaps bool // the long text repeats itself by the way in which it is cut: nothing is a formula
}

type state struct {
	length, link int32
	edges        []edge
	fed          [streams][len(grams)]uint8 // how often the n-gram that ends here was fed; 255: or more
	trained      int32                      // length of the longest substring of this state that the training text has
}

type edge struct{ id, to int32 }

// grams are the lengths of the substrings that are counted.
var grams = [...]int{gram20: 20, gram50: 50}

const (
	gram20 = iota
	gram50
)

// formulaTimes is how often the training text has an n-gram that is a formula of it.
const formulaTimes = 8

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
	x.spread()
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

// spread makes the table of the first state: of all states it has the most edges, one for
// each character of the texts, and most steps start there.
func (x *index) spread() {
	size := int32(0)
	for _, e := range x.states[0].edges {
		size = max(size, e.id+1)
	}
	root := slices.Repeat([]int32{-1}, int(size))
	for _, e := range x.states[0].edges {
		if e.id >= 0 {
			root[e.id] = e.to
		}
	}
	x.root = root
}

// step returns the state after an id, -1 where there is none.
func (x *index) step(state, id int32) int32 {
	if state == 0 && x.root != nil && id >= 0 {
		if int(id) < len(x.root) {
			return x.root[id]
		}
		return -1
	}
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

// add appends characters to the stream. continues is false where they do not follow those
// before.
func (c *cursor) add(continues bool, ids []int32) {
	if !continues {
		c.reset()
	}
	for _, id := range ids {
		c.feed(id)
	}
}

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
	if c.stream == trainStream {
		x.states[c.state].trained = max(x.states[c.state].trained, int32(c.length))
	}
	for k, n := range grams {
		if c.length < n {
			continue
		}
		if fed := &x.states[x.gram(c.state, n)].fed[c.stream][k]; *fed < math.MaxUint8 {
			*fed++
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

// A kind is what an n-gram of a text is.
type kind int

const (
	novel   kind = iota // neither part of the corpus has it
	copied              // the training text has it
	leaked              // the held-out text alone has it
	formula             // the training text has it, as has the held-out text elsewhere, or formulaTimes places
)

// kind returns the kind of the n-gram that ends in a state, n = grams[k]. own is how
// often the held-out text has it by its place: 1 for the n-grams of a held-out text, 0
// for those of samples.
func (x *index) kind(state int32, k, own int) kind {
	fed := &x.states[x.gram(state, grams[k])].fed
	switch train, held := int(fed[trainStream][k]), int(fed[heldStream][k]); {
	case train > 0 && !x.overlaps && (held > own || train >= formulaTimes):
		return formula
	case train > 0:
		return copied
	case held > 0:
		return leaked
	}
	return novel
}

// visit calls f for every character of the texts: its place in its text, from 0, and
// the state in which the text up to it ends.
func (x *index) visit(f func(i int, state int32)) {
	for _, text := range x.texts {
		at := int32(0)
		for i, id := range text {
			at = x.step(at, id)
			f(i, at)
		}
	}
}

// count returns the number of n-grams of the texts, n = grams[k], and of those of each
// kind.
func (x *index) count(k, own int) (all int, of [formula + 1]int) {
	x.visit(func(i int, state int32) {
		if i+1 >= grams[k] {
			all++
			of[x.kind(state, k, own)]++
		}
	})
	return all, of
}

// span returns the number of characters of the longest span of a text that the training
// text has, and in which there is no formula of 50 characters.
func (x *index) span(own int) (longest int) {
	order := make([]int32, len(x.states))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(a, b int32) int { return int(x.states[b].length - x.states[a].length) })
	for _, i := range order { // the training text has the ends of what it has
		if s := &x.states[i]; s.trained > 0 && s.link >= 0 {
			x.states[s.link].trained = max(x.states[s.link].trained, min(s.trained, x.states[s.link].length))
		}
	}
	from := 0 // of the text: the place after the last formula
	x.visit(func(i int, state int32) {
		if i == 0 {
			from = 0
		}
		if i+1 >= grams[gram50] && x.kind(state, gram50, own) == formula {
			from = i + 1
		}
		for x.states[state].trained == 0 && state > 0 {
			state = x.states[state].link
		}
		longest = max(longest, min(int(x.states[state].trained), i+1-from))
	})
	return longest
}

// An overlap is the text that some texts have in common with a corpus.
type overlap struct {
	longest int                 // span that the training text has, formulas aside, in characters
	copied  [len(grams)]float64 // share of the n-grams that are copied
	formula [len(grams)]float64 // share of the n-grams that are formulas
	leaked  [len(grams)]float64 // share of the n-grams that are leaked
}

// overlap sums up the texts that were fed; own as in kind.
func (x *index) overlap(own int) overlap {
	o := overlap{longest: x.span(own)}
	for k := range grams {
		all, of := x.count(k, own)
		o.copied[k], o.formula[k], o.leaked[k] = share(of[copied], all), share(of[formula], all), share(of[leaked], all)
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
