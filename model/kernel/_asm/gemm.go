package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

const (
	line  = 64   // bytes of a cache line
	ahead = 2048 // bytes of b between those multiplied and those asked for
)

// tile emits the product of r rows with a panel of two vectors' columns: 2·r
// accumulators stay in registers while k goes up. Addresses of three rows share
// a pointer: base, base + ars, base + 2·ars.
//
// With pairs of bfloat16, k counts pairs and a word of a or b is a pair.
func (x *isa) tile(r int, name string, accumulate func(b, a, acc reg.VecPhysical)) {
	name = fmt.Sprintf("%s%d%s", name, r, x.name)
	TEXT(name, noSplit, "func(k int, a *float32, ars, acs int, b, init *float32, irs int, c *float32, crs int)")
	Doc(fmt.Sprintf("%s is tile for r = %d; strides are bytes.", name, r))
	acc := func(i, j int) reg.VecPhysical { return x.phys(2*i + j) }
	b0, b1, spread := x.phys(2*r), x.phys(2*r+1), x.phys(2*r+2)
	w := x.bytes()

	init := Load(Param("init"), GP64()).(reg.GPVirtual)
	irs := Load(Param("irs"), GP64())
	for i := 0; i < r; i++ {
		VMOVUPS(Mem{Base: init}, acc(i, 0))
		VMOVUPS(Mem{Base: init, Disp: w}, acc(i, 1))
		if i < r-1 {
			ADDQ(irs, init)
		}
	}
	next := Load(Param("c"), GP64()).(reg.GPVirtual)
	rows := Load(Param("crs"), GP64())
	for i := 0; i < r; i++ {
		for at := 2 * w; at < 4*w; at += line {
			PREFETCHT0(Mem{Base: next, Disp: at})
		}
		if i < r-1 {
			ADDQ(rows, next)
		}
	}
	ars := Load(Param("ars"), GP64())
	acs := Load(Param("acs"), GP64())
	bases := []reg.GPVirtual{Load(Param("a"), GP64()).(reg.GPVirtual)}
	for i := 3; i < r; i += 3 {
		p := GP64()
		LEAQ(Mem{Base: bases[len(bases)-1], Index: ars, Scale: 2}, p)
		ADDQ(ars, p)
		bases = append(bases, p)
	}
	row := func(i int) Mem {
		m := Mem{Base: bases[i/3]}
		if i%3 > 0 {
			m.Index, m.Scale = ars, uint8(i%3)
		}
		return m
	}
	b := Load(Param("b"), GP64()).(reg.GPVirtual)
	k := Load(Param("k"), GP64())
	Label("loop")
	VMOVUPS(Mem{Base: b}, b0)
	VMOVUPS(Mem{Base: b, Disp: w}, b1)
	for at := 0; at < 2*w; at += line {
		PREFETCHT0(Mem{Base: b, Disp: ahead + at})
	}
	ADDQ(U32(uint32(2*w)), b)
	for i := 0; i < r; i++ {
		VBROADCASTSS(row(i), spread)
		accumulate(b0, spread, acc(i, 0))
		accumulate(b1, spread, acc(i, 1))
	}
	for _, p := range bases {
		ADDQ(acs, p)
	}
	DECQ(k)
	JNE(LabelRef("loop"))

	c := Load(Param("c"), GP64()).(reg.GPVirtual)
	crs := Load(Param("crs"), GP64())
	for i := 0; i < r; i++ {
		VMOVUPS(acc(i, 0), Mem{Base: c})
		VMOVUPS(acc(i, 1), Mem{Base: c, Disp: w})
		if i < r-1 {
			ADDQ(crs, c)
		}
	}
	VZEROUPPER()
	RET()
}

// copyRows emits a copy of up to 32 columns of rows that lie apart.
func (x *isa) copyRows() {
	TEXT("copyRows"+x.name, noSplit, "func(n int, dst *float32, dstRow int, src *float32, srcRow int, masks uint64)")
	Doc("copyRows" + x.name + " copies the columns that masks has bits for, at most 32, of n rows; dstRow and srcRow are bytes.")
	n := Load(Param("n"), GP64())
	dst := Load(Param("dst"), GP64()).(reg.GPVirtual)
	dstRow := Load(Param("dstRow"), GP64())
	src := Load(Param("src"), GP64()).(reg.GPVirtual)
	srcRow := Load(Param("srcRow"), GP64())
	masks := Load(Param("masks"), GP64())
	k := [2]reg.OpmaskVirtual{K(), K()}
	KMOVQ(masks, k[0])
	SHRQ(U8(16), masks)
	KMOVQ(masks, k[1])
	TESTQ(masks, masks)
	JE(LabelRef("narrow"))
	Label("wide")
	for i := range k {
		v := x.vec()
		VMOVUPS_Z(Mem{Base: src, Disp: 64 * i}, k[i], v)
		VMOVUPS(v, k[i], Mem{Base: dst, Disp: 64 * i})
	}
	ADDQ(srcRow, src)
	ADDQ(dstRow, dst)
	DECQ(n)
	JNE(LabelRef("wide"))
	VZEROUPPER()
	RET()
	Label("narrow")
	v := x.vec()
	VMOVUPS_Z(Mem{Base: src}, k[0], v)
	VMOVUPS(v, k[0], Mem{Base: dst})
	ADDQ(srcRow, src)
	ADDQ(dstRow, dst)
	DECQ(n)
	JNE(LabelRef("narrow"))
	VZEROUPPER()
	RET()
}

// peak emits a loop of independent accumulations without memory.
func (x *isa) peak(name, operations string, accumulate func(b, a, acc reg.VecPhysical)) {
	const chains = 12
	TEXT(name+x.name, noSplit, "func(n int)")
	Doc(fmt.Sprintf("%s%s does n times %d vectors' %s.", name, x.name, chains, operations))
	n := Load(Param("n"), GP64())
	for i := 0; i < chains+2; i++ {
		VPXOR(x.phys(i).AsY(), x.phys(i).AsY(), x.phys(i).AsY())
	}
	Label("loop")
	for i := 0; i < chains; i++ {
		accumulate(x.phys(chains), x.phys(chains+1), x.phys(i))
	}
	DECQ(n)
	JNE(LabelRef("loop"))
	VZEROUPPER()
	RET()
}
