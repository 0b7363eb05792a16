package main

import (
	"fmt"
	"slices"
)

// A vec is a vector register that has no number yet.
type vec int

// none stands for an operand that an instruction lacks.
const none vec = -1

// An instruction has a word without the numbers of its vector registers.
type instruction struct {
	text    string // with %d for each of them, in the order d, n, m
	word    uint32
	d, n, m vec
	inPlace bool // reads d too
	store   bool // reads d alone
	move    bool // d becomes a copy of n
}

// A function is one that is being written.
type function struct {
	*file
	name   string
	params map[string]param
	frame  int
	gp     int // general registers that are taken

	vecs   int
	code   []instruction // of straight-line code whose vectors have no numbers yet
	pinned []vec         // those that stay for the whole function
	live   map[vec]int   // the number of a vector register, while it is in use
}

func (f *function) emit(format string, args ...any) {
	fmt.Fprintf(&f.text, "\t"+format+"\n", args...)
}

func (f *function) label(name string) { fmt.Fprintf(&f.text, "%s:\n", name) }

// word emits an instruction that Go's assembler does not know.
func (f *function) word(w uint32, format string, args ...any) {
	fmt.Fprintf(&f.text, "\tWORD $0x%08x // %s\n", w, fmt.Sprintf(format, args...))
}

// free returns a general register. R16 and above have uses of their own in Go, R15 is
// table.
func (f *function) free() int {
	if f.gp == table {
		panic("neon: " + f.name + " needs more than 15 general registers")
	}
	f.gp++
	return f.gp - 1
}

// load returns a general register with a parameter.
func (f *function) load(name string) int {
	p, ok := f.params[name]
	if !ok {
		panic("neon: " + f.name + " has no parameter " + name)
	}
	r, move := f.free(), "MOVD"
	if p.kind == "uint32" {
		move = "MOVWU"
	}
	f.emit("%s %s+%d(FP), R%d", move, p.name, p.at, r)
	return r
}

// new returns a vector register.
func (f *function) new() vec {
	f.vecs++
	return vec(f.vecs - 1)
}

// pin keeps v for the whole function: a loop reads it.
func (f *function) pin(v vec) vec {
	f.pinned = append(f.pinned, v)
	return v
}

func (f *function) add(i instruction) vec {
	f.code = append(f.code, i)
	return i.d
}

// flush gives the vector registers of the code so far their numbers, and emits it. A
// number is free again after the last use, except that of a pinned one.
func (f *function) flush() {
	last := map[vec]int{}
	for at, i := range f.code {
		for _, v := range []vec{i.d, i.n, i.m} {
			last[v] = at
		}
	}
	for at, i := range f.code {
		dies := func(v vec) bool { return last[v] == at && !slices.Contains(f.pinned, v) }
		n, m := f.live[i.n], f.live[i.m]
		if i.move && dies(i.n) {
			delete(f.live, i.n)
			f.live[i.d] = n
			continue
		}
		for _, v := range []vec{i.n, i.m} {
			if v != none && dies(v) {
				delete(f.live, v)
			}
		}
		if !i.inPlace && !i.store {
			if _, ok := f.live[i.d]; !ok {
				f.live[i.d] = f.number()
			}
		}
		d := f.live[i.d]
		numbers, w := []any{d}, i.word|uint32(d)
		if i.n != none {
			numbers, w = append(numbers, n), w|uint32(n)<<5
		}
		if i.move { // orr with twice the same operand
			numbers, w = append(numbers, n), w|uint32(n)<<16
		}
		if i.m != none {
			numbers, w = append(numbers, m), w|uint32(m)<<16
		}
		f.word(w, i.text, numbers...)
		if dies(i.d) {
			delete(f.live, i.d)
		}
	}
	f.code = nil
}

// number returns the number of a vector register that is not in use.
func (f *function) number() int {
	taken := map[int]bool{}
	for _, n := range f.live {
		taken[n] = true
	}
	for n := range 32 {
		if !taken[n] {
			return n
		}
	}
	panic("neon: " + f.name + " needs more than 32 vector registers")
}

// loop emits body for each vector of n elements. off is the general register of the
// vector's offset in bytes, which goes up by step.
func (f *function) loop(n, step int, body func(off int)) {
	off := f.free()
	f.flush()
	f.emit("LSL $2, R%d, R%d", n, n)
	f.emit("MOVD $0, R%d", off)
	f.emit("CBZ R%d, done", n)
	f.label("loop")
	body(off)
	f.flush()
	f.emit("ADD $%d, R%d, R%d", step, off, off)
	f.emit("CMP R%d, R%d", n, off)
	f.emit("BLT loop")
	f.label("done")
}
