package main

import "fmt"

// three is an instruction of the form op vd.4s, vn.4s, vm.4s.
func (f *function) three(op string, word uint32, d, n, m vec, inPlace bool) vec {
	return f.add(instruction{text: op + " v%d.4s, v%d.4s, v%d.4s", word: word, d: d, n: n, m: m, inPlace: inPlace})
}

func (f *function) plus(a, b vec) vec { return f.three("fadd", 0x4e20d400, f.new(), a, b, false) }

func (f *function) sub(a, b vec) vec { return f.three("fsub", 0x4ea0d400, f.new(), a, b, false) }

func (f *function) mul(a, b vec) vec { return f.three("fmul", 0x6e20dc00, f.new(), a, b, false) }

func (f *function) div(a, b vec) vec { return f.three("fdiv", 0x6e20fc00, f.new(), a, b, false) }

// least returns the smaller of a and b, and NaN where one is.
func (f *function) least(a, b vec) vec { return f.three("fmin", 0x4ea0f400, f.new(), a, b, false) }

// above returns a mask of the lanes where a > b.
func (f *function) above(a, b vec) vec { return f.three("fcmgt", 0x6ea0e400, f.new(), a, b, false) }

// fma returns a·b + c, rounded once.
func (f *function) fma(a, b, c vec) vec {
	return f.three("fmla", 0x4e20cc00, f.copy(c), a, b, true)
}

// fnma returns c - a·b, rounded once.
func (f *function) fnma(a, b, c vec) vec {
	return f.three("fmls", 0x4ea0cc00, f.copy(c), a, b, true)
}

func (f *function) two(op string, word uint32, a vec) vec {
	return f.add(instruction{text: op + " v%d.4s, v%d.4s", word: word, d: f.new(), n: a, m: none})
}

func (f *function) magnitude(a vec) vec { return f.two("fabs", 0x4ea0f800, a) }

func (f *function) negate(a vec) vec { return f.two("fneg", 0x6ea0f800, a) }

func (f *function) root(a vec) vec { return f.two("fsqrt", 0x6ea1f800, a) }

// negative returns a mask of the lanes where a < 0.
func (f *function) negative(a vec) vec {
	return f.add(instruction{text: "fcmlt v%d.4s, v%d.4s, #0.0", word: 0x4ea0e800, d: f.new(), n: a, m: none})
}

func (f *function) bits(op string, word uint32, d, n, m vec, inPlace bool) vec {
	return f.add(instruction{text: op + " v%d.16b, v%d.16b, v%d.16b", word: word, d: d, n: n, m: m, inPlace: inPlace})
}

func (f *function) and(a, b vec) vec { return f.bits("and", 0x4e201c00, f.new(), a, b, false) }

func (f *function) or(a, b vec) vec { return f.bits("orr", 0x4ea01c00, f.new(), a, b, false) }

// without returns a & ^b, bit by bit.
func (f *function) without(a, b vec) vec { return f.bits("bic", 0x4e601c00, f.new(), a, b, false) }

// choose returns yes where the bits of mask are set, else no.
func (f *function) choose(mask, yes, no vec) vec {
	return f.bits("bsl", 0x6e601c00, f.copy(mask), yes, no, true)
}

func (f *function) copy(a vec) vec {
	return f.add(instruction{text: "orr v%d.16b, v%d.16b, v%d.16b", word: 0x4ea01c00, d: f.new(), n: a, m: none, move: true})
}

// exponent returns the bits of a, shifted left by 23, plus those of 1: 2^n of n in the low
// bits.
func (f *function) exponent(a vec) vec {
	s := f.add(instruction{text: "shl v%d.4s, v%d.4s, #23", word: 0x4f005400 | (32+23)<<16, d: f.new(), n: a, m: none})
	return f.three("add", 0x4ea08400, f.new(), s, f.constant("oneBits"), false)
}

// spread returns a vector with lane 0 of a in every lane.
func (f *function) spread(a vec) vec {
	return f.add(instruction{text: "dup v%d.4s, v%d.s[0]", word: 0x4e040400, d: f.new(), n: a, m: none})
}

// at returns the vector at a pointer and an offset, both in general registers.
func (f *function) at(p, off int) vec {
	return f.add(instruction{text: fmt.Sprintf("ldr q%%d, [x%d, x%d]", p, off), word: 0x3ce06800 | uint32(off)<<16 | uint32(p)<<5,
		d: f.new(), n: none, m: none})
}

// put stores v at a pointer and an offset.
func (f *function) put(v vec, p, off int) {
	f.add(instruction{text: fmt.Sprintf("str q%%d, [x%d, x%d]", p, off), word: 0x3ca06800 | uint32(off)<<16 | uint32(p)<<5,
		d: v, n: none, m: none, store: true})
}

// read returns the vector at a pointer in a general register, which then goes up by one.
func (f *function) read(p int) vec {
	return f.add(instruction{text: fmt.Sprintf("ldr q%%d, [x%d], #16", p), word: 0x3cc10400 | uint32(p)<<5, d: f.new(), n: none, m: none})
}

// write stores v where read reads.
func (f *function) write(v vec, p int) {
	f.add(instruction{text: fmt.Sprintf("str q%%d, [x%d], #16", p), word: 0x3c810400 | uint32(p)<<5, d: v, n: none, m: none, store: true})
}

// part returns vector i of those at a pointer in a general register.
func (f *function) part(p, i int) vec {
	return f.add(instruction{text: fmt.Sprintf("ldr q%%d, [x%d, #%d]", p, vector*i), word: 0x3dc00000 | uint32(i)<<10 | uint32(p)<<5,
		d: f.new(), n: none, m: none})
}

// putPart stores v as vector i of those at a pointer in a general register.
func (f *function) putPart(v vec, p, i int) {
	f.add(instruction{text: fmt.Sprintf("str q%%d, [x%d, #%d]", p, vector*i), word: 0x3d800000 | uint32(i)<<10 | uint32(p)<<5,
		d: v, n: none, m: none, store: true})
}

// table is the general register with the address of the constants.
const table = 15

// useTable loads the address of the constants.
func (f *function) useTable() { f.emit("MOVD $constantsNEON<>(SB), R%d", table) }

// constant returns a register with a constant, from memory: most are the accumulator of a
// fused multiply-add, which needs a copy.
func (f *function) constant(name string) vec {
	at, ok := f.table[name]
	if !ok {
		panic("neon: there is no constant " + name)
	}
	return f.add(instruction{text: fmt.Sprintf("ldr q%%d, [x%d, #%d]", table, at), word: 0x3dc00000 | uint32(at/16)<<10 | table<<5,
		d: f.new(), n: none, m: none})
}
