package ptx

import (
	"math/bits"
	"strings"
)

// operations has the instructions that compute a register from one, two or three
// values, by their whole names. A function takes values as registers hold them,
// zero-extended; what it returns is cut to the bits of the register.
var operations = func() map[string]any {
	ops := map[string]any{}
	for _, t := range []string{".b16", ".b32", ".b64", ".pred"} {
		ops["and"+t] = func(a, b uint64) uint64 { return a & b }
		ops["or"+t] = func(a, b uint64) uint64 { return a | b }
		ops["xor"+t] = func(a, b uint64) uint64 { return a ^ b }
		ops["not"+t] = func(a uint64) uint64 { return ^a }
	}
	for _, t := range strings.Fields(".b16 .u16 .s16 .b32 .u32 .s32 .f32 .b64 .u64 .s64 .f64") {
		ops["mov"+t] = same
		ops["selp"+t] = func(a, b, p uint64) uint64 {
			if p != 0 {
				return a
			}
			return b
		}
	}
	ops["mov.pred"] = same
	for _, space := range []string{"global", "const"} { // their addresses are generic ones
		ops["cvta."+space+".u64"], ops["cvta.to."+space+".u64"] = same, same
	}
	ops["cvta.shared.u64"] = func(a uint64) uint64 { return a + sharedWindow }
	ops["cvta.to.shared.u64"] = func(a uint64) uint64 { return a - sharedWindow }
	integers[uint16](ops, ".u16")
	integers[uint32](ops, ".u32")
	integers[uint64](ops, ".u64")
	integers[int16](ops, ".s16")
	integers[int32](ops, ".s32")
	integers[int64](ops, ".s64")
	signed[int16](ops, ".s16")
	signed[int32](ops, ".s32")
	signed[int64](ops, ".s64")
	shifts[uint16](ops, "16")
	shifts[uint32](ops, "32")
	shifts[uint64](ops, "64")
	products(ops)
	bitFields(ops)
	conversions(ops)
	floats32(ops)
	floats64(ops)
	return ops
}()

func same(a uint64) uint64 { return a }

type integer interface {
	uint8 | uint16 | uint32 | uint64 | int8 | int16 | int32 | int64
}

// integers adds the arithmetic of a type that wraps around.
func integers[T integer](ops map[string]any, t string) {
	ops["add"+t] = func(a, b uint64) uint64 { return uint64(T(a) + T(b)) }
	ops["sub"+t] = func(a, b uint64) uint64 { return uint64(T(a) - T(b)) }
	ops["mul.lo"+t] = func(a, b uint64) uint64 { return uint64(T(a) * T(b)) }
	ops["mad.lo"+t] = func(a, b, c uint64) uint64 { return uint64(T(a)*T(b) + T(c)) }
	ops["min"+t] = func(a, b uint64) uint64 { return uint64(min(T(a), T(b))) }
	ops["max"+t] = func(a, b uint64) uint64 { return uint64(max(T(a), T(b))) }
	ops["shr"+t] = func(a, b uint64) uint64 { return uint64(T(a) >> uint32(b)) }
	ops["div"+t] = division(func(a, b uint64) (uint64, bool) {
		if T(b) == 0 {
			return 0, false
		}
		return uint64(T(a) / T(b)), true
	})
	ops["rem"+t] = division(func(a, b uint64) (uint64, bool) {
		if T(b) == 0 {
			return 0, false
		}
		return uint64(T(a) % T(b)), true
	})
}

// signed adds what only signed types have.
func signed[T int16 | int32 | int64](ops map[string]any, t string) {
	ops["neg"+t] = func(a uint64) uint64 { return uint64(-T(a)) }
	ops["abs"+t] = func(a uint64) uint64 { return uint64(max(T(a), -T(a))) }
}

// shifts adds shifts of bits; a distance of the width or more leaves nothing.
func shifts[T uint16 | uint32 | uint64](ops map[string]any, width string) {
	ops["shl.b"+width] = func(a, b uint64) uint64 { return uint64(T(a) << uint32(b)) }
	ops["shr.b"+width] = func(a, b uint64) uint64 { return uint64(T(a) >> uint32(b)) }
}

// A division is an operation that reports whether it has a result.
type division func(a, b uint64) (uint64, bool)

func (f division) step(to register, a, b int) step {
	mask := to.mask()
	return func(w *warp, active []uint8) *Fault {
		for _, l := range active {
			x, ok := f(w.frame[a][l], w.frame[b][l])
			if !ok {
				return w.fault(l, "division by zero")
			}
			w.frame[to.slot][l] = x & mask
		}
		return nil
	}
}

// products adds the products that are wider than their factors.
func products(ops map[string]any) {
	wide := func(name string, f func(a, b uint64) uint64) {
		ops["mul.wide"+name] = f
		ops["mad.wide"+name] = func(a, b, c uint64) uint64 { return f(a, b) + c }
	}
	wide(".u16", func(a, b uint64) uint64 { return uint64(uint16(a)) * uint64(uint16(b)) })
	wide(".s16", func(a, b uint64) uint64 { return uint64(int64(int16(a)) * int64(int16(b))) })
	wide(".u32", func(a, b uint64) uint64 { return uint64(uint32(a)) * uint64(uint32(b)) })
	wide(".s32", func(a, b uint64) uint64 { return uint64(int64(int32(a)) * int64(int32(b))) })
	high := func(name string, f func(a, b uint64) uint64) {
		ops["mul.hi"+name] = f
		ops["mad.hi"+name] = func(a, b, c uint64) uint64 { return f(a, b) + c }
	}
	high(".u16", func(a, b uint64) uint64 { return uint64(uint16(a)) * uint64(uint16(b)) >> 16 })
	high(".s16", func(a, b uint64) uint64 { return uint64(int64(int16(a)) * int64(int16(b)) >> 16) })
	high(".u32", func(a, b uint64) uint64 { return uint64(uint32(a)) * uint64(uint32(b)) >> 32 })
	high(".s32", func(a, b uint64) uint64 { return uint64(int64(int32(a)) * int64(int32(b)) >> 32) })
	high(".u64", func(a, b uint64) uint64 { hi, _ := bits.Mul64(a, b); return hi })
	high(".s64", func(a, b uint64) uint64 {
		hi, _ := bits.Mul64(a, b)
		// The sign bit of a factor counts -2^64 instead of 2^64 times the other.
		return hi - uint64(int64(a)>>63)&b - uint64(int64(b)>>63)&a
	})
}

// bitFields adds what looks at single bits and bytes.
func bitFields(ops map[string]any) {
	ops["popc.b32"] = func(a uint64) uint64 { return uint64(bits.OnesCount32(uint32(a))) }
	ops["popc.b64"] = func(a uint64) uint64 { return uint64(bits.OnesCount64(a)) }
	ops["clz.b32"] = func(a uint64) uint64 { return uint64(bits.LeadingZeros32(uint32(a))) }
	ops["clz.b64"] = func(a uint64) uint64 { return uint64(bits.LeadingZeros64(a)) }
	ops["brev.b32"] = func(a uint64) uint64 { return uint64(bits.Reverse32(uint32(a))) }
	ops["brev.b64"] = func(a uint64) uint64 { return bits.Reverse64(a) }
	ops["shf.l.wrap.b32"] = func(a, b, n uint64) uint64 { return (b<<32 | uint64(uint32(a))) << (n & 31) >> 32 }
	ops["shf.r.wrap.b32"] = func(a, b, n uint64) uint64 { return (b<<32 | uint64(uint32(a))) >> (n & 31) }
	ops["shf.l.clamp.b32"] = func(a, b, n uint64) uint64 { return (b<<32 | uint64(uint32(a))) << min(uint32(n), 32) >> 32 }
	ops["shf.r.clamp.b32"] = func(a, b, n uint64) uint64 { return (b<<32 | uint64(uint32(a))) >> min(uint32(n), 32) }
	for t, width := range map[string]uint64{"32": 32, "64": 64} {
		ops["bfe.u"+t] = func(a, position, length uint64) uint64 {
			return a << (64 - width) >> (64 - width) >> (position & 255) & (1<<(length&255) - 1)
		}
		ops["bfe.s"+t] = func(a, position, length uint64) uint64 {
			position, length = position&255, length&255
			if length == 0 {
				return 0
			}
			// The field ends at the highest bit of a at the latest; its own highest bit is its sign.
			end := min(position+length, width)
			if position >= end {
				position = end - 1
			}
			return uint64(int64(a<<(64-end)) >> (64 - end + position))
		}
		ops["bfi.b"+t] = func(a, b, position, length uint64) uint64 {
			field := (uint64(1)<<(length&255) - 1) << (position & 255)
			return b&^field | a<<(position&255)&field
		}
	}
	ops["prmt.b32"] = func(a, b, selector uint64) (d uint64) {
		all := b<<32 | uint64(uint32(a))
		for i := range 4 {
			s := selector >> (4 * i) & 15
			x := all >> (8 * (s & 7)) & 0xFF
			if s&8 != 0 { // its sign in all bits
				x = uint64(int8(x)>>7) & 0xFF
			}
			d |= x << (8 * i)
		}
		return d
	}
}

// extend has, by type, the functions that read a value of that type from the lowest
// bits and extend it to 64.
var extend = map[string]func(a uint64) uint64{
	"u8": to64[uint8], "u16": to64[uint16], "u32": to64[uint32], "u64": to64[uint64],
	"s8": to64[int8], "s16": to64[int16], "s32": to64[int32], "s64": to64[int64],
}

func to64[T integer](a uint64) uint64 { return uint64(T(a)) }
