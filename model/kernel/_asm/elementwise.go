package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// exp emits kernel.Exp. nonPositive says that a is at most 0, below the upper
// bound, whose check is then left out.
func (x *isa) exp(a reg.VecVirtual, nonPositive bool) reg.VecVirtual {
	c := a
	if !nonPositive {
		c = x.vec()
		VMINPS(a, x.load(x.table["expMax"]), c) // NaN stays NaN: the second source wins
	}
	t := x.copy(c)
	shift := x.load(x.table["roundShift"])
	VFMADD132PS(x.table["log2E"], shift, t)
	n := x.sub(t, shift)
	r := x.fnma(n, x.table["ln2Hi"], c)
	VFNMADD231PS(x.table["ln2Lo"], n, r)
	p := x.load(x.table["exp4"])
	for _, k := range []string{"exp3", "exp2", "exp1", "exp0"} {
		x.horner(p, r, k)
	}
	VFMADD213PS(r, x.mul(r, r), p)
	VADDPS(x.table["one"], p, p)
	VPSLLD(U8(23), t, t)
	VPADDD(x.table["oneBits"], t, t)
	VMULPS(t, p, p)
	x.zeroBelow(p, a, x.table["expMin"])
	return p
}

// sigmoid emits kernel.Sigmoid.
func (x *isa) sigmoid(a reg.VecVirtual) reg.VecVirtual {
	e := x.exp(x.or(x.table["sign"], a), true)
	one := x.load(x.table["one"])
	zero := x.vec()
	if x.lanes == 16 {
		VPXORD(zero, zero, zero)
	} else {
		VPXOR(zero, zero, zero)
	}
	num := x.choose(a, zero, e, one)
	return x.div(num, x.add(e, one))
}

// tanh emits kernel.Tanh.
func (x *isa) tanh(a reg.VecVirtual) reg.VecVirtual {
	size := x.and(x.table["magnitude"], a)
	u := x.mul(a, a)
	p := x.load(x.table["tanh4"])
	for _, k := range []string{"tanh3", "tanh2", "tanh1", "tanh0"} {
		x.horner(p, u, k)
	}
	VFMADD213PS(a, x.mul(u, a), p)
	e := x.exp(x.mul(x.table["minusTwo"], size), true)
	one := x.load(x.table["one"])
	big := x.div(x.sub(one, e), x.add(e, one))
	big = x.or(x.and(x.table["sign"], a), big)
	return x.choose(size, x.table["tanhSplit"], p, big)
}

// complement returns 1 - a.
func (x *isa) complement(a Op) reg.VecVirtual { return x.sub(x.load(x.table["one"]), a) }

// squareRest returns 1 - a², rounded once.
func (x *isa) squareRest(a Op) reg.VecVirtual { return x.fnma(a, a, x.load(x.table["one"])) }

// slope returns s·(1-s), the derivative of σ where it is s.
func (x *isa) slope(s Op) reg.VecVirtual { return x.mul(s, x.complement(s)) }

func (x *isa) gruForward() {
	TEXT("gruForward"+x.name, noSplit, "func(n int, xr, xz, xn, r, z, an, nn, h, out *float32)")
	Doc("gruForward" + x.name + " is gruForward for n values, a multiple of the vector's width.")
	p := pointers("xr", "xz", "xn", "r", "z", "an", "nn", "h", "out")
	x.loop(Load(Param("n"), GP64()), func(off reg.GPVirtual) {
		r := x.sigmoid(x.add(at(p["r"], off), x.load(at(p["xr"], off))))
		VMOVUPS(r, at(p["r"], off))
		n := x.tanh(x.fma(r, at(p["an"], off), x.load(at(p["xn"], off))))
		VMOVUPS(n, at(p["nn"], off))
		z := x.sigmoid(x.add(at(p["z"], off), x.load(at(p["xz"], off))))
		VMOVUPS(z, at(p["z"], off))
		n = x.load(at(p["nn"], off))
		VMOVUPS(x.fma(z, x.sub(x.load(at(p["h"], off)), n), n), at(p["out"], off))
	})
}

func (x *isa) gruBackward() {
	TEXT("gruBackward"+x.name, noSplit, "func(n int, r, z, an, nn, h, dout, dh *float32)")
	Doc("gruBackward" + x.name + " is gruBackward for n values, a multiple of the vector's width.")
	p := pointers("r", "z", "an", "nn", "h", "dout", "dh")
	x.loop(Load(Param("n"), GP64()), func(off reg.GPVirtual) {
		d := x.add(at(p["dout"], off), x.load(at(p["dh"], off)))
		r, z, n := x.load(at(p["r"], off)), x.load(at(p["z"], off)), x.load(at(p["nn"], off))
		dxn := x.mul(x.mul(d, x.complement(z)), x.squareRest(n))
		VMOVUPS(dxn, at(p["nn"], off))
		dr := x.mul(x.mul(dxn, x.load(at(p["an"], off))), x.slope(r))
		VMOVUPS(x.mul(dxn, r), at(p["an"], off))
		VMOVUPS(dr, at(p["r"], off))
		dz := x.mul(x.mul(d, x.sub(x.load(at(p["h"], off)), n)), x.slope(z))
		VMOVUPS(x.mul(d, z), at(p["dh"], off))
		VMOVUPS(dz, at(p["z"], off))
	})
}

func (x *isa) lstmForward() {
	TEXT("lstmForward"+x.name, noSplit, "func(n int, xi, xf, xg, xo, ai, af, ag, ao, c, cOut, out *float32)")
	Doc("lstmForward" + x.name + " is lstmForward for n values, a multiple of the vector's width.")
	p := pointers("xi", "xf", "xg", "xo", "ai", "af", "ag", "ao")
	// Eleven pointers and an offset are too many registers with the frame's.
	n := Load(Param("n"), GP64())
	c, cOut, out := Load(Param("c"), GP64()).(reg.GPVirtual), Load(Param("cOut"), GP64()).(reg.GPVirtual), Load(Param("out"), GP64()).(reg.GPVirtual)
	x.loop(n, func(off reg.GPVirtual) {
		i := x.sigmoid(x.add(at(p["ai"], off), x.load(at(p["xi"], off))))
		VMOVUPS(i, at(p["ai"], off))
		f := x.sigmoid(x.add(at(p["af"], off), x.load(at(p["xf"], off))))
		VMOVUPS(f, at(p["af"], off))
		g := x.tanh(x.add(at(p["ag"], off), x.load(at(p["xg"], off))))
		VMOVUPS(g, at(p["ag"], off))
		cell := x.fma(x.load(at(p["af"], off)), at(c, off), x.mul(g, x.load(at(p["ai"], off))))
		VMOVUPS(cell, at(cOut, off))
		o := x.sigmoid(x.add(at(p["ao"], off), x.load(at(p["xo"], off))))
		VMOVUPS(o, at(p["ao"], off))
		VMOVUPS(x.mul(x.load(at(p["ao"], off)), x.tanh(x.load(at(cOut, off)))), at(out, off))
	})
}

func (x *isa) lstmBackward() {
	TEXT("lstmBackward"+x.name, noSplit, "func(n int, ai, af, ag, ao, c, cOut, dout, dh, dc *float32)")
	Doc("lstmBackward" + x.name + " is lstmBackward for n values, a multiple of the vector's width.")
	p := pointers("ai", "af", "ag", "ao", "c", "cOut", "dout", "dh", "dc")
	x.loop(Load(Param("n"), GP64()), func(off reg.GPVirtual) {
		h := x.add(at(p["dout"], off), x.load(at(p["dh"], off)))
		tc := x.tanh(x.load(at(p["cOut"], off)))
		o := x.load(at(p["ao"], off))
		d := x.fma(x.mul(h, o), x.squareRest(tc), x.load(at(p["dc"], off)))
		VMOVUPS(x.mul(x.mul(h, tc), x.slope(o)), at(p["ao"], off))
		i, f, g := x.load(at(p["ai"], off)), x.load(at(p["af"], off)), x.load(at(p["ag"], off))
		di := x.mul(x.mul(d, g), x.slope(i))
		dg := x.mul(x.mul(d, i), x.squareRest(g))
		VMOVUPS(di, at(p["ai"], off))
		VMOVUPS(dg, at(p["ag"], off))
		VMOVUPS(x.mul(x.mul(d, x.load(at(p["c"], off))), x.slope(f)), at(p["af"], off))
		VMOVUPS(x.mul(d, f), at(p["dc"], off))
	})
}

func (x *isa) greatest() {
	TEXT("greatest"+x.name, noSplit, "func(n int, src *float32, acc *[16]float32)")
	Doc("greatest" + x.name + " raises acc[i%16] to src[i] for n values, a multiple of 16.")
	p := pointers("src", "acc")
	x.sixteen(p["acc"], func(off reg.GPVirtual, i int, acc reg.VecVirtual) {
		VMAXPS(Mem{Base: p["src"], Index: off, Scale: 1, Disp: i * x.bytes()}, acc, acc)
	})
}

func (x *isa) expSum() {
	TEXT("expSum"+x.name, noSplit, "func(n int, dst, src *float32, acc *[16]float32, m float32)")
	Doc("expSum" + x.name + " is expSum for n values, a multiple of 16, whose lanes it adds to acc.")
	p := pointers("dst", "src", "acc")
	m := x.vec()
	VBROADCASTSS(Load(Param("m"), XMM()), m)
	x.sixteen(p["acc"], func(off reg.GPVirtual, i int, acc reg.VecVirtual) {
		e := x.exp(x.sub(x.load(Mem{Base: p["src"], Index: off, Scale: 1, Disp: i * x.bytes()}), m), false)
		VMOVUPS(e, Mem{Base: p["dst"], Index: off, Scale: 1, Disp: i * x.bytes()})
		VADDPS(e, acc, acc)
	})
}

// sixteen emits body for each vector of parameter n, with the vector among those of 16
// lanes and its accumulator. The accumulators come from memory at acc, and go back there.
func (x *isa) sixteen(acc reg.GPVirtual, body func(off reg.GPVirtual, i int, acc reg.VecVirtual)) {
	all := make([]reg.VecVirtual, 64/x.bytes())
	for i := range all {
		all[i] = x.load(Mem{Base: acc, Disp: i * x.bytes()})
	}
	x.loopThen(Load(Param("n"), GP64()), 64, func(off reg.GPVirtual) {
		for i, a := range all {
			body(off, i, a)
		}
	}, func() {
		for i, a := range all {
			VMOVUPS(a, Mem{Base: acc, Disp: i * x.bytes()})
		}
	})
}

func (x *isa) scaleBy() {
	TEXT("scaleBy"+x.name, noSplit, "func(n int, dst *float32, k float32)")
	Doc("scaleBy" + x.name + " is scaleBy for n values, a multiple of the vector's width.")
	p := pointers("dst")
	k := x.vec()
	VBROADCASTSS(Load(Param("k"), XMM()), k)
	x.loop(Load(Param("n"), GP64()), func(off reg.GPVirtual) {
		VMOVUPS(x.mul(at(p["dst"], off), k), at(p["dst"], off))
	})
}

func (x *isa) addTo() {
	TEXT("addTo"+x.name, noSplit, "func(n int, dst, src *float32)")
	Doc("addTo" + x.name + " is addTo for n values, a multiple of the vector's width.")
	p := pointers("dst", "src")
	x.loop(Load(Param("n"), GP64()), func(off reg.GPVirtual) {
		VMOVUPS(x.add(at(p["src"], off), x.load(at(p["dst"], off))), at(p["dst"], off))
	})
}

func (x *isa) adam() {
	TEXT("adam"+x.name, noSplit, "func(n int, p, m, v, grad *float32, rates *[6]float32)")
	Doc("adam" + x.name + " is adam for n values, a multiple of the vector's width.")
	p := pointers("p", "m", "v", "grad", "rates")
	var c [6]reg.VecVirtual
	for i := range c {
		c[i] = x.spread(Mem{Base: p["rates"], Disp: 4 * i})
	}
	scale, rate, beta1, beta2, epsilon, keep := c[0], c[1], c[2], c[3], c[4], c[5]
	x.loop(Load(Param("n"), GP64()), func(off reg.GPVirtual) {
		g := x.mul(scale, x.load(at(p["grad"], off)))
		m := x.load(at(p["m"], off))
		m = x.fma(beta1, x.sub(g, m), m)
		VMOVUPS(m, at(p["m"], off))
		v := x.load(at(p["v"], off))
		gap := x.copy(g)
		VFMSUB213PS(v, g, gap)
		v = x.fma(beta2, gap, v)
		VMOVUPS(v, at(p["v"], off))
		root := x.vec()
		VSQRTPS(v, root)
		move := x.div(x.mul(rate, m), x.add(root, epsilon))
		VMOVUPS(x.sub(x.mul(keep, x.load(at(p["p"], off))), move), at(p["p"], off))
	})
}

func (x *isa) sumSquares() {
	TEXT("sumSquares"+x.name, noSplit, "func(n int, src *float32) float64")
	Doc("sumSquares" + x.name + " is sumSquares for n values, a multiple of 16.")
	n := Load(Param("n"), GP64())
	src := Load(Param("src"), GP64()).(reg.GPVirtual)
	half := x.bytes() / 2 // of float32 that make a vector of float64
	acc := make([]reg.VecVirtual, 64/half)
	for i := range acc {
		acc[i] = x.vec()
		if x.lanes == 16 {
			VPXORD(acc[i], acc[i], acc[i])
		} else {
			VPXOR(acc[i], acc[i], acc[i])
		}
	}
	x.loopThen(n, 64, func(off reg.GPVirtual) {
		for i := range acc {
			v := x.vec()
			VCVTPS2PD(Mem{Base: src, Index: off, Scale: 1, Disp: i * half}, v)
			VFMADD231PD(v, v, acc[i])
		}
	}, func() { Store(x.pairs(acc), ReturnIndex(0)) })
}

// pairs returns the sum of 16 float64: those half the lanes apart are added first.
func (x *isa) pairs(acc []reg.VecVirtual) reg.Register {
	for len(acc) > 1 {
		for i := range acc[:len(acc)/2] {
			VADDPD(acc[i+len(acc)/2], acc[i], acc[i])
		}
		acc = acc[:len(acc)/2]
	}
	sum := acc[0]
	if x.lanes == 16 {
		upper := YMM()
		VEXTRACTF64X4(U8(1), sum, upper)
		VADDPD(upper, sum.AsY(), sum.AsY())
	}
	upper := XMM()
	VEXTRACTF128(U8(1), sum.AsY(), upper)
	VADDPD(upper, sum.AsX(), sum.AsX())
	VUNPCKHPD(sum.AsX(), sum.AsX(), upper)
	VADDSD(upper, sum.AsX(), sum.AsX())
	return sum.AsX()
}
