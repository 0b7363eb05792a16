package main

import "fmt"

// vector is the number of bytes of a vector.
const vector = 16

// exp emits kernel.Exp. nonPositive says that a is at most 0, below the upper bound,
// whose check is then left out.
func (f *function) exp(a vec, nonPositive bool) vec {
	c := a
	if !nonPositive {
		c = f.least(a, f.constant("expMax"))
	}
	shift := f.constant("roundShift")
	t := f.fma(c, f.constant("log2E"), shift)
	n := f.sub(t, shift)
	r := f.fnma(n, f.constant("ln2Hi"), c)
	r = f.fnma(n, f.constant("ln2Lo"), r)
	p := f.constant("exp4")
	for _, k := range []string{"exp3", "exp2", "exp1", "exp0"} {
		p = f.fma(p, r, f.constant(k))
	}
	p = f.fma(p, f.mul(r, r), r)
	p = f.plus(p, f.constant("one"))
	p = f.mul(p, f.exponent(t))
	return f.without(p, f.above(f.constant("expMin"), a))
}

// sigmoid emits kernel.Sigmoid.
func (f *function) sigmoid(a vec) vec {
	e := f.exp(f.or(a, f.constant("sign")), true)
	one := f.constant("one")
	num := f.choose(f.negative(a), e, one)
	return f.div(num, f.plus(e, one))
}

// tanh emits kernel.Tanh.
func (f *function) tanh(a vec) vec {
	size := f.magnitude(a)
	u := f.mul(a, a)
	p := f.constant("tanh4")
	for _, k := range []string{"tanh3", "tanh2", "tanh1", "tanh0"} {
		p = f.fma(p, u, f.constant(k))
	}
	p = f.fma(p, f.mul(u, a), a)
	e := f.exp(f.mul(f.constant("minusTwo"), size), true)
	one := f.constant("one")
	big := f.div(f.sub(one, e), f.plus(e, one))
	big = f.or(f.and(a, f.constant("sign")), big)
	return f.choose(f.above(f.constant("tanhSplit"), size), p, big)
}

// complement returns 1 - a.
func (f *function) complement(a vec) vec { return f.sub(f.constant("one"), a) }

// squareRest returns 1 - a², rounded once.
func (f *function) squareRest(a vec) vec { return f.fnma(a, a, f.constant("one")) }

// slope returns s·(1-s), the derivative of σ where it is s.
func (f *function) slope(s vec) vec { return f.mul(s, f.complement(s)) }

// pointers loads parameters.
func (f *function) pointers(names ...string) map[string]int {
	all := map[string]int{}
	for _, n := range names {
		all[n] = f.load(n)
	}
	return all
}

// each emits a function over n values. at reads the vector of a parameter, put writes it.
func (f *file) each(name, kind string, names []string, before func(*function), body func(fn *function, at func(string) vec, put func(vec, string))) {
	list := ""
	for i, n := range names {
		if i > 0 {
			list += ", "
		}
		list += n
	}
	groups := []string{"n int", list + " *float32"}
	if kind != "" {
		groups = append(groups, kind)
	}
	f.begin(name, fmt.Sprintf("is %s for n values, a multiple of the vector's width.", name), "", groups...)
	fn := f.fn
	n, p := fn.load("n"), fn.pointers(names...)
	if before != nil {
		before(fn)
	}
	fn.useTable()
	fn.loop(n, vector, func(off int) {
		body(fn, func(name string) vec { return fn.at(p[name], off) }, func(v vec, name string) { fn.put(v, p[name], off) })
	})
	f.end()
}

func (f *file) gruForward() {
	names := []string{"xr", "xz", "xn", "r", "z", "an", "nn", "h", "out"}
	f.each("gruForward", "", names, nil, func(f *function, at func(string) vec, put func(vec, string)) {
		r := f.sigmoid(f.plus(at("r"), at("xr")))
		put(r, "r")
		n := f.tanh(f.fma(r, at("an"), at("xn")))
		put(n, "nn")
		z := f.sigmoid(f.plus(at("z"), at("xz")))
		put(z, "z")
		put(f.fma(z, f.sub(at("h"), n), n), "out")
	})
}

func (f *file) gruBackward() {
	names := []string{"r", "z", "an", "nn", "h", "dout", "dh"}
	f.each("gruBackward", "", names, nil, func(f *function, at func(string) vec, put func(vec, string)) {
		d := f.plus(at("dout"), at("dh"))
		r, z, n := at("r"), at("z"), at("nn")
		dxn := f.mul(f.mul(d, f.complement(z)), f.squareRest(n))
		put(dxn, "nn")
		dr := f.mul(f.mul(dxn, at("an")), f.slope(r))
		put(f.mul(dxn, r), "an")
		put(dr, "r")
		dz := f.mul(f.mul(d, f.sub(at("h"), n)), f.slope(z))
		put(f.mul(d, z), "dh")
		put(dz, "z")
	})
}

func (f *file) lstmForward() {
	names := []string{"xi", "xf", "xg", "xo", "ai", "af", "ag", "ao", "c", "cOut", "out"}
	f.each("lstmForward", "", names, nil, func(f *function, at func(string) vec, put func(vec, string)) {
		i := f.sigmoid(f.plus(at("ai"), at("xi")))
		put(i, "ai")
		fg := f.sigmoid(f.plus(at("af"), at("xf")))
		put(fg, "af")
		g := f.tanh(f.plus(at("ag"), at("xg")))
		put(g, "ag")
		cell := f.fma(fg, at("c"), f.mul(g, i))
		put(cell, "cOut")
		o := f.sigmoid(f.plus(at("ao"), at("xo")))
		put(o, "ao")
		put(f.mul(o, f.tanh(cell)), "out")
	})
}

func (f *file) lstmBackward() {
	names := []string{"ai", "af", "ag", "ao", "c", "cOut", "dout", "dh", "dc"}
	f.each("lstmBackward", "", names, nil, func(f *function, at func(string) vec, put func(vec, string)) {
		h := f.plus(at("dout"), at("dh"))
		tc := f.tanh(at("cOut"))
		o := at("ao")
		d := f.fma(f.mul(h, o), f.squareRest(tc), at("dc"))
		put(f.mul(f.mul(h, tc), f.slope(o)), "ao")
		i, fg, g := at("ai"), at("af"), at("ag")
		di := f.mul(f.mul(d, g), f.slope(i))
		dg := f.mul(f.mul(d, i), f.squareRest(g))
		put(di, "ai")
		put(dg, "ag")
		put(f.mul(f.mul(d, at("c")), f.slope(fg)), "af")
		put(f.mul(d, fg), "dc")
	})
}

// broadcast returns a vector with a parameter in every lane, for the whole function.
func (f *function) broadcast(name string) vec {
	f.emit("FMOVS %s+%d(FP), F31", name, f.params[name].at)
	first := f.new()
	f.live[first] = 31
	return f.pin(f.spread(first))
}

// sixteen emits body for each 16 of n values, whose four vectors it gets one by one, each
// with its accumulator. The accumulators come from memory at acc, and go back there.
func (f *function) sixteen(n, acc int, body func(acc vec)) {
	var all [4]vec
	for i := range all {
		all[i] = f.pin(f.part(acc, i))
	}
	f.loop(n, 4*vector, func(int) {
		for _, a := range all {
			body(a)
		}
	})
	for i, a := range all {
		f.putPart(a, acc, i)
	}
}

func (f *file) greatest() {
	f.begin("greatest", "raises acc[i%16] to src[i] for n values, a multiple of 16.", "", "n int", "src *float32", "acc *[16]float32")
	fn := f.fn
	n, src, acc := fn.load("n"), fn.load("src"), fn.load("acc")
	fn.sixteen(n, acc, func(acc vec) { fn.three("fmax", 0x4e20f400, acc, acc, fn.read(src), true) })
	f.end()
}

func (f *file) expSum() {
	f.begin("expSum", "is expSum for n values, a multiple of 16, whose lanes it adds to acc.", "",
		"n int", "dst, src *float32", "acc *[16]float32", "m float32")
	fn := f.fn
	n, dst, src, acc := fn.load("n"), fn.load("dst"), fn.load("src"), fn.load("acc")
	m := fn.broadcast("m")
	fn.useTable()
	fn.sixteen(n, acc, func(acc vec) {
		e := fn.exp(fn.sub(fn.read(src), m), false)
		fn.write(e, dst)
		fn.three("fadd", 0x4e20d400, acc, acc, e, true)
	})
	f.end()
}

func (f *file) scaleBy() {
	var k vec
	before := func(f *function) { k = f.broadcast("k") }
	f.each("scaleBy", "k float32", []string{"dst"}, before, func(f *function, at func(string) vec, put func(vec, string)) {
		put(f.mul(at("dst"), k), "dst")
	})
}

func (f *file) addTo() {
	f.each("addTo", "", []string{"dst", "src"}, nil, func(f *function, at func(string) vec, put func(vec, string)) {
		put(f.plus(at("src"), at("dst")), "dst")
	})
}

func (f *file) adam() {
	var c [6]vec
	rates := func(f *function) {
		p := f.load("rates")
		for i := range c {
			c[i] = f.pin(f.add(instruction{text: fmt.Sprintf("ld1r {v%%d.4s}, [x%d], #4", p), word: 0x4ddfc800 | uint32(p)<<5,
				d: f.new(), n: none, m: none}))
		}
	}
	f.each("adam", "rates *[6]float32", []string{"p", "m", "v", "grad"}, rates, func(f *function, at func(string) vec, put func(vec, string)) {
		scale, rate, beta1, beta2, epsilon, keep := c[0], c[1], c[2], c[3], c[4], c[5]
		g := f.mul(scale, at("grad"))
		m := at("m")
		m = f.fma(beta1, f.sub(g, m), m)
		put(m, "m")
		v := at("v")
		v = f.fma(beta2, f.fma(g, g, f.negate(v)), v)
		put(v, "v")
		move := f.div(f.mul(rate, m), f.plus(f.root(v), epsilon))
		put(f.sub(f.mul(keep, at("p")), move), "p")
	})
}
