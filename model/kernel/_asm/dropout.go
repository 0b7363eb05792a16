package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Constants of SplitMix64, kernel's Hash.
const (
	hashStep = 0x9e3779b97f4a7c15
	hashMul1 = 0xbf58476d1ce4e5b9
	hashMul2 = 0x94d049bb133111eb
)

// hashConstants lays out the constants of dropout, a full vector each. AVX2
// multiplies 64 bits by halves.
func (x *isa) hashConstants() {
	global := GLOBL("hash"+x.name, 8|16) // RODATA, NOPTR
	at := 0
	add := func(name string, value func(lane int) uint64) {
		x.table[name] = global.Offset(at)
		for i := 0; i < x.lanes/2; i++ {
			DATA(at, U64(value(i)))
			at += 8
		}
	}
	all := func(v uint64) func(int) uint64 { return func(int) uint64 { return v } }
	add("hashFirst", func(lane int) uint64 { return hashStep + uint64(lane) })
	add("hashNext", all(uint64(x.lanes/2)))
	add("hashMul1", all(hashMul1))
	add("hashMul2", all(hashMul2))
	if x.lanes == 8 {
		add("hashMul1Upper", all(hashMul1>>32))
		add("hashMul2Upper", all(hashMul2>>32))
	}
}

// dropout emits Mask.Apply: a vector of hashes has 16 bits for each value of two
// vectors, in their order.
func (x *isa) dropout() {
	TEXT("dropout"+x.name, noSplit, "func(n int, dst, src *float32, key uint64, threshold uint32, scale float32)")
	Doc("dropout" + x.name + " is dropout for n values, a multiple of two vectors.")
	p := pointers("dst", "src")
	count, low := x.vec(), XMM()
	VMOVQ(Load(Param("key"), GP64()), low)
	VPBROADCASTQ(low, count)
	VPADDQ(x.table["hashFirst"], count, count)
	threshold := x.vec()
	VMOVD(Load(Param("threshold"), GP32()), low)
	VPBROADCASTW(low, threshold)
	scale := x.vec()
	VBROADCASTSS(Load(Param("scale"), XMM()), scale)
	x.loopBy(Load(Param("n"), GP64()), 2*x.bytes(), func(off reg.GPVirtual) {
		z := x.hash(count)
		VPADDQ(x.table["hashNext"], count, count)
		at := func(name string, i int) Mem { return Mem{Base: p[name], Index: off, Scale: 1, Disp: i * x.bytes()} }
		if x.lanes == 16 {
			const notLess = 5 // of VPCMPUW
			keep, upper := K(), K()
			VPCMPUW(U8(notLess), threshold, z, keep)
			KSHIFTRD(U8(16), keep, upper)
			for i, k := range []Op{keep, upper} {
				y := x.vec()
				VMULPS_Z(at("src", i), scale, k, y)
				VMOVUPS(y, at("dst", i))
			}
			return
		}
		keep := x.vec()
		VPMAXUW(threshold, z, keep)
		VPCMPEQW(z, keep, keep)
		upper := XMM()
		VEXTRACTI128(U8(1), keep, upper)
		for i, half := range []Op{keep.AsX(), upper} {
			mask := x.vec()
			VPMOVSXWD(half, mask)
			VMOVUPS(x.and(mask, x.mul(at("src", i), scale)), at("dst", i))
		}
	})
}

// hash returns kernel's Hash of each 64 bits of count, less its first addition.
func (x *isa) hash(count reg.VecVirtual) reg.VecVirtual {
	z := x.shiftXor(count, 30)
	z = x.shiftXor(x.mul64(z, "hashMul1"), 27)
	return x.shiftXor(x.mul64(z, "hashMul2"), 31)
}

// shiftXor returns a ^ a>>n by 64 bits.
func (x *isa) shiftXor(a reg.VecVirtual, n uint8) reg.VecVirtual {
	v := x.vec()
	VPSRLQ(U8(n), a, v)
	if x.lanes == 16 {
		VPXORQ(a, v, v)
	} else {
		VPXOR(a, v, v)
	}
	return v
}

// mul64 returns the lower 64 bits of the products with a constant.
func (x *isa) mul64(a reg.VecVirtual, name string) reg.VecVirtual {
	v := x.vec()
	if x.lanes == 16 {
		VPMULLQ(x.table[name], a, v)
		return v
	}
	upper, cross := x.vec(), x.vec()
	VPSRLQ(U8(32), a, upper)
	VPMULUDQ(x.table[name], upper, upper)
	VPMULUDQ(x.table[name+"Upper"], a, cross)
	VPADDQ(cross, upper, upper)
	VPSLLQ(U8(32), upper, upper)
	VPMULUDQ(x.table[name], a, v)
	VPADDQ(upper, v, v)
	return v
}
