package ptx

import "fmt"

// A stamp is a thread's access to a word: the interval between two barriers in which
// it happened, above a bit and the number of the thread in its block. Blocks run one
// after the other and intervals are counted on, so a stamp that is smaller than the
// first of a block is of an earlier block, and one that is smaller than the first of
// a launch is of an earlier launch.
//
// Which accesses race does not depend on the order in which they are executed: of two
// that no barrier orders, the second meets the stamp of the first.
const (
	stampBits = 12
	many      = 1<<11 - 1 // instead of a thread: several of them
	others    = 1 << 11   // of a read: no write of this launch may follow

	byHost = 1 // before all intervals, which count from 1
)

// A cell is what is known of a word: the stamps of its last write and last read,
// 0 for none.
type cell struct{ written, read uint64 }

// A clock tells the first stamps of this launch, this block and this interval.
type clock struct {
	launch, block, interval uint64
	since                   uint64 // a word with an older write is not written
}

// note records an access by the thread with stamp me. It reports whether the access
// may be made.
func (c *cell) note(t *clock, me uint64, write, cached bool) bool {
	switch w := c.written; {
	case w == me && !cached:
	case w >= t.launch && (w < t.block || w >= t.interval || cached):
		return false
	case w < t.since && !write:
		return false
	}
	if write {
		if r := c.read; r != me && r >= t.launch && (r&others != 0 || r < t.block || r >= t.interval) {
			return false
		}
		c.written = me
		return true
	}
	switch r := c.read; {
	case r == me:
	case r < t.launch:
		c.read = me
	case r < t.block:
		c.read = me | others
	case r < t.interval:
		c.read = me | r&others
	case r&many != me&many:
		c.read = r | many
	}
	if cached {
		c.read |= others
	}
	return true
}

// explain says why note refused.
func (b *block) explain(c *cell, t *clock, me uint64, write, cached bool) string {
	w, r := c.written, c.read
	switch {
	case w < t.since && !write:
		return "nobody has written this memory"
	case w >= t.launch && (w < t.block || w >= t.interval && w != me):
		return "race: " + b.accessor(w) + " wrote it, and no barrier is in between"
	case cached:
		return "ld.global.nc of memory that this launch has written"
	case r&others != 0:
		return "race: another block, or ld.global.nc, read it in this launch"
	}
	return "race: " + b.accessor(r) + " read it, and no barrier is in between"
}

// accessor names the thread of a stamp.
func (b *block) accessor(stamp uint64) string {
	who := fmt.Sprintf("thread %d", b.position(uint32(stamp&many)))
	if stamp&many == many {
		who = "more than one thread"
	}
	if stamp < b.global.block {
		who += " of another block"
	}
	return who
}
