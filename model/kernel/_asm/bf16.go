package main

import (
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// number returns the index of a 512-bit register.
func number(r reg.VecPhysical) int { return int(r.PhysicalIndex()) }

// dotBF16 emits VDPBF16PS b, a, acc: acc += the products of the two pairs in
// each lane of a and b. Avo lacks the instruction: EVEX.512.F3.0F38.W0 52 /r.
func dotBF16(b, a, acc reg.VecPhysical) {
	rm, v, r := number(b), number(a), number(acc)
	not := func(x, bit int) int { return ^x >> bit & 1 }
	for _, x := range []int{
		0x62,
		not(r, 3)<<7 | not(rm, 4)<<6 | not(rm, 3)<<5 | not(r, 4)<<4 | 2,
		(^v&15)<<3 | 1<<2 | 2,
		2<<5 | not(v, 4)<<3,
		0x52,
		3<<6 | r&7<<3 | rm&7,
	} {
		Instruction(&ir.Instruction{Opcode: "BYTE", Operands: []Op{U8(uint8(x))}})
	}
}

// roundBF16 rounds the float32 in v to nearest even in their upper half; NaN
// stays NaN. The lower half is left undefined.
func (x *isa) roundBF16(v reg.VecVirtual) reg.VecVirtual {
	odd, quiet := x.vec(), x.vec()
	VPSRLD(U8(16), v, odd)
	VPANDD(x.table["bit"], odd, odd)
	VPADDD(x.table["half"], odd, odd)
	VPADDD(v, odd, odd)
	nan := K()
	VCMPPS(U8(3), v, v, nan)
	VPORD(x.table["quiet"], v, quiet)
	VPBLENDMD(quiet, odd, nan, odd)
	return odd
}

func (x *isa) toBF16() {
	TEXT("toBF16"+x.name, noSplit, "func(n int, dst *uint16, src *float32)")
	Doc("toBF16" + x.name + " is toBF16 for n values, a multiple of 16.")
	dst := Load(Param("dst"), GP64()).(reg.GPVirtual)
	src := Load(Param("src"), GP64()).(reg.GPVirtual)
	x.loop(Load(Param("n"), GP64()), func(off reg.GPVirtual) {
		v := x.roundBF16(x.load(at(src, off)))
		VPSRLD(U8(16), v, v)
		VPMOVDW(v, Mem{Base: dst})
		ADDQ(U32(32), dst)
	})
}

// pairBF16 emits the arrangement of pairs of rows: two masked vectors each.
func (x *isa) pairBF16() {
	TEXT("pairBF16"+x.name, noSplit, "func(pairs int, dst *float32, dstRow int, src *float32, srcRow int, masks uint64)")
	Doc("pairBF16" + x.name + " is pairBF16 for the columns that masks has bits for, at most 32; dstRow and srcRow are bytes.")
	pairs := Load(Param("pairs"), GP64())
	dst := Load(Param("dst"), GP64()).(reg.GPVirtual)
	dstRow := Load(Param("dstRow"), GP64())
	src := Load(Param("src"), GP64()).(reg.GPVirtual)
	srcRow := Load(Param("srcRow"), GP64())
	masks := Load(Param("masks"), GP64())
	k := [2]reg.OpmaskVirtual{K(), K()}
	KMOVQ(masks, k[0])
	SHRQ(U8(16), masks)
	KMOVQ(masks, k[1])
	Label("loop")
	for i := range k {
		a, b := x.vec(), x.vec()
		VMOVUPS_Z(Mem{Base: src, Disp: 64 * i}, k[i], a)
		VMOVUPS_Z(Mem{Base: src, Index: srcRow, Scale: 1, Disp: 64 * i}, k[i], b)
		lo, hi := x.roundBF16(a), x.roundBF16(b)
		VPSRLD(U8(16), lo, lo)
		VPANDD(x.table["upper"], hi, hi)
		VPORD(lo, hi, hi)
		VMOVDQU32(hi, k[i], Mem{Base: dst, Disp: 64 * i})
	}
	LEAQ(Mem{Base: src, Index: srcRow, Scale: 2}, src)
	ADDQ(dstRow, dst)
	DECQ(pairs)
	JNE(LabelRef("loop"))
	VZEROUPPER()
	RET()
}
