package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/quire-ml/quire/model/kernel/_asm/constants"
)

// isa is an instruction set: a vector's width, and the sizes that follow from it.
type isa struct {
	name  string // suffix of function names
	lanes int    // float32 in a vector
	rows  int    // of the largest tile
	table map[string]Mem
}

func (x *isa) vec() reg.VecVirtual {
	if x.lanes == 16 {
		return ZMM()
	}
	return YMM()
}

// phys returns vector register i.
func (x *isa) phys(i int) reg.VecPhysical {
	if x.lanes == 16 {
		return [...]reg.VecPhysical{reg.Z0, reg.Z1, reg.Z2, reg.Z3, reg.Z4, reg.Z5, reg.Z6, reg.Z7, reg.Z8, reg.Z9, reg.Z10,
			reg.Z11, reg.Z12, reg.Z13, reg.Z14, reg.Z15, reg.Z16, reg.Z17, reg.Z18, reg.Z19, reg.Z20, reg.Z21, reg.Z22,
			reg.Z23, reg.Z24, reg.Z25, reg.Z26, reg.Z27, reg.Z28, reg.Z29, reg.Z30, reg.Z31}[i]
	}
	return [...]reg.VecPhysical{reg.Y0, reg.Y1, reg.Y2, reg.Y3, reg.Y4, reg.Y5, reg.Y6, reg.Y7, reg.Y8, reg.Y9, reg.Y10,
		reg.Y11, reg.Y12, reg.Y13, reg.Y14, reg.Y15}[i]
}

func (x *isa) bytes() int { return 4 * x.lanes }

// constants lays out the constants, a full vector each.
func (x *isa) constants() {
	x.table = map[string]Mem{}
	global := GLOBL("constants"+x.name, 8|16) // RODATA, NOPTR
	at := 0
	add := func(name string, bits uint32) {
		x.table[name] = global.Offset(at)
		for i := 0; i < x.lanes; i++ {
			DATA(at, U32(bits))
			at += 4
		}
	}
	constants.Each(add)
	add("magnitude", 1<<31-1)
	if x.lanes == 16 {
		add("bit", 1)
		add("half", 0x7fff)
		add("quiet", 1<<22)
		add("upper", 0xffff0000)
	}
}

// load returns a register with the vector at m.
func (x *isa) load(m Op) reg.VecVirtual {
	v := x.vec()
	VMOVUPS(m, v)
	return v
}

func (x *isa) copy(a Op) reg.VecVirtual {
	v := x.vec()
	VMOVAPS(a, v)
	return v
}

// spread returns a register with the float32 at m in every lane.
func (x *isa) spread(m Op) reg.VecVirtual {
	v := x.vec()
	VBROADCASTSS(m, v)
	return v
}

func (x *isa) add(a, b Op) reg.VecVirtual { v := x.vec(); VADDPS(a, b, v); return v }
func (x *isa) mul(a, b Op) reg.VecVirtual { v := x.vec(); VMULPS(a, b, v); return v }

// sub returns a - b; a is a register.
func (x *isa) sub(a, b Op) reg.VecVirtual { v := x.vec(); VSUBPS(b, a, v); return v }

// div returns a / b; a is a register.
func (x *isa) div(a, b Op) reg.VecVirtual { v := x.vec(); VDIVPS(b, a, v); return v }

// fma returns a·b + c. a and c are registers, b is a register or memory.
func (x *isa) fma(a, b, c Op) reg.VecVirtual {
	v := x.copy(c)
	VFMADD231PS(b, a, v)
	return v
}

// fnma returns c - a·b, of the same kinds of operands.
func (x *isa) fnma(a, b, c Op) reg.VecVirtual {
	v := x.copy(c)
	VFNMADD231PS(b, a, v)
	return v
}

// horner replaces p by p·u + c.
func (x *isa) horner(p reg.VecVirtual, u Op, c string) { VFMADD213PS(x.table[c], u, p) }

// and returns a & b, bit by bit.
func (x *isa) and(a, b Op) reg.VecVirtual {
	v := x.vec()
	if x.lanes == 16 {
		VPANDD(a, b, v)
	} else {
		VPAND(a, b, v)
	}
	return v
}

// or returns a | b, bit by bit.
func (x *isa) or(a, b Op) reg.VecVirtual {
	v := x.vec()
	if x.lanes == 16 {
		VPORD(a, b, v)
	} else {
		VPOR(a, b, v)
	}
	return v
}

// Predicates of VCMPPS.
const (
	lessThan    = 17 // ordered
	notLessThan = 21 // or unordered
)

// choose returns yes where a < b holds, else no; a, yes and no are registers.
func (x *isa) choose(a, b, yes, no Op) reg.VecVirtual {
	v := x.vec()
	if x.lanes == 16 {
		k := K()
		VCMPPS(U8(lessThan), b, a, k)
		VBLENDMPS(yes, no, k, v)
		return v
	}
	m := x.vec()
	VCMPPS(U8(lessThan), b, a, m)
	VBLENDVPS(m, yes, no, v)
	return v
}

// zeroBelow clears the lanes of v where a < b.
func (x *isa) zeroBelow(v reg.VecVirtual, a, b Op) {
	if x.lanes == 16 {
		k := K()
		VCMPPS(U8(notLessThan), b, a, k)
		VMOVAPS_Z(v, k, v)
		return
	}
	m := x.vec()
	VCMPPS(U8(notLessThan), b, a, m)
	VANDPS(v, m, v)
}

// loop emits body for each vector of n elements. off is the vector's offset in
// bytes.
func (x *isa) loop(n reg.Register, body func(off reg.GPVirtual)) { x.loopBy(n, x.bytes(), body) }

// loopBy is loop in steps of the given number of bytes.
func (x *isa) loopBy(n reg.Register, bytes int, body func(off reg.GPVirtual)) {
	x.loopThen(n, bytes, body, func() {})
}

// loopThen is loopBy with what after emits behind the loop.
func (x *isa) loopThen(n reg.Register, bytes int, body func(off reg.GPVirtual), after func()) {
	off := GP64()
	XORQ(off, off)
	SHLQ(U8(2), n)
	JMP(LabelRef("test"))
	Label("loop")
	body(off)
	ADDQ(U32(uint32(bytes)), off)
	Label("test")
	CMPQ(off, n)
	JLT(LabelRef("loop"))
	after()
	VZEROUPPER()
	RET()
}

// at is the memory at a pointer and the offset of a loop.
func at(p reg.GPVirtual, off reg.Register) Mem { return Mem{Base: p, Index: off, Scale: 1} }

// pointers loads the pointer parameters of these names.
func pointers(names ...string) map[string]reg.GPVirtual {
	all := map[string]reg.GPVirtual{}
	for _, n := range names {
		all[n] = Load(Param(n), GP64()).(reg.GPVirtual)
	}
	return all
}
