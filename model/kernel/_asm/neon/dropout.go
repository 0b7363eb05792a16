package main

// Constants of SplitMix64, kernel's Hash.
const (
	hashStep = 0x9e3779b97f4a7c15
	hashMul1 = 0xbf58476d1ce4e5b9
	hashMul2 = 0x94d049bb133111eb
)

// dropout emits Mask.Apply: two hashes, made in general registers, since vectors have no
// product of 64 bits, have 16 bits for each of eight values, in their order.
func (f *file) dropout() {
	f.begin("dropout", "is dropout for n values, a multiple of two vectors.", "",
		"n int", "dst, src *float32", "key uint64", "threshold uint32", "scale float32")
	fn := f.fn
	n, dst, src, key, threshold := fn.load("n"), fn.load("dst"), fn.load("src"), fn.load("key"), fn.load("threshold")
	mul1, mul2 := fn.free(), fn.free()
	fn.emit("MOVD $0x%x, R%d", uint64(hashMul1), mul1)
	fn.emit("MOVD $0x%x, R%d", uint64(hashMul2), mul2)
	step, z, shifted := fn.free(), fn.free(), fn.free()
	fn.emit("MOVD $0x%x, R%d", uint64(hashStep), step)
	fn.emit("ADD R%d, R%d, R%d", step, key, key)
	const limit, scale, bits = 31, 30, 0
	fn.word(0x4e020c00|uint32(threshold)<<5|limit, "dup v%d.8h, w%d", limit, threshold)
	fn.emit("FMOVS scale+%d(FP), F%d", fn.params["scale"].at, scale)
	fn.word(0x4e040400|scale<<5|scale, "dup v%d.4s, v%d.s[0]", scale, scale)
	fn.loop(n, 2*vector, func(int) {
		for half := range 2 {
			for i, shift := range []int{30, 27} {
				from := z
				if i == 0 {
					from = key
				}
				fn.emit("LSR $%d, R%d, R%d", shift, from, shifted)
				fn.emit("EOR R%d, R%d, R%d", shifted, from, z)
				fn.emit("MUL R%d, R%d, R%d", []int{mul1, mul2}[i], z, z)
			}
			fn.emit("LSR $31, R%d, R%d", z, shifted)
			fn.emit("EOR R%d, R%d, R%d", shifted, z, z)
			fn.emit("ADD $1, R%d, R%d", key, key)
			if half == 0 {
				fn.word(0x9e670000|uint32(z)<<5|bits, "fmov d%d, x%d", bits, z)
			} else {
				fn.word(0x4e181c00|uint32(z)<<5|bits, "mov v%d.d[1], x%d", bits, z)
			}
		}
		fn.word(0x6e603c00|limit<<16|bits<<5|bits, "cmhs v%d.8h, v%d.8h, v%d.8h", bits, bits, limit)
		fn.word(0x0f10a400|bits<<5|1, "sshll v1.4s, v%d.4h, #0", bits)
		fn.word(0x4f10a400|bits<<5|2, "sshll2 v2.4s, v%d.8h, #0", bits)
		fn.pair("ldp", 3, src, 2*vector, true)
		for half := range uint32(2) {
			fn.word(0x6e20dc00|scale<<16|(3+half)<<5|(3+half), "fmul v%d.4s, v%d.4s, v%d.4s", 3+half, 3+half, scale)
			fn.word(0x4e201c00|(1+half)<<16|(3+half)<<5|(3+half), "and v%d.16b, v%d.16b, v%d.16b", 3+half, 3+half, 1+half)
		}
		fn.pair("stp", 3, dst, 2*vector, true)
	})
	f.end()
}
