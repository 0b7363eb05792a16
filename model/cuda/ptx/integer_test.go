package ptx

import "testing"

// TestIntegerForms has results by hand, from the text of the PTX ISA.
func TestIntegerForms(t *testing.T) {
	checkRows(t, []row{
		{"add.s16 %rs0, %rs1, %rs2", []uint64{0x7FFF, 1}, 0x8000},
		{"add.u16 %rs0, %rs1, %rs2", []uint64{0xFFFF, 2}, 1},
		{"add.s32 %r0, %r1, %r2", []uint64{0x7FFFFFFF, 1}, 0x80000000},
		{"add.u32 %r0, %r1, %r2", []uint64{0xFFFFFFFF, 2}, 1},
		{"add.s32 %r0, %r1, -1", []uint64{1}, 0},
		{"add.s32 %r0, %r1, -1", []uint64{0}, 0xFFFFFFFF},
		{"add.s64 %rd0, %rd1, %rd2", []uint64{0xFFFFFFFFFFFFFFFF, 2}, 1},
		{"add.u64 %rd0, %rd1, 0xFFFFFFFFFFFFFFFF", []uint64{3}, 2},
		{"sub.s16 %rs0, %rs1, %rs2", []uint64{0, 1}, 0xFFFF},
		{"sub.s32 %r0, %r1, %r2", []uint64{0, 1}, 0xFFFFFFFF},
		{"sub.s64 %rd0, %rd1, %rd2", []uint64{5, 7}, 0xFFFFFFFFFFFFFFFE},
		{"mul.lo.s16 %rs0, %rs1, %rs2", []uint64{0x101, 0x101}, 0x201},
		{"mul.lo.s32 %r0, %r1, %r2", []uint64{0x10001, 0x10001}, 0x20001},
		{"mul.lo.s64 %rd0, %rd1, %rd2", []uint64{0x100000001, 0x100000001}, 0x200000001},
		{"mul.wide.s16 %r0, %rs1, %rs2", []uint64{0xFFFF, 3}, 0xFFFFFFFD},
		{"mul.wide.u16 %r0, %rs1, %rs2", []uint64{0xFFFF, 3}, 0x2FFFD},
		{"mul.wide.s32 %rd0, %r1, %r2", []uint64{0xFFFFFFFF, 3}, 0xFFFFFFFFFFFFFFFD},
		{"mul.wide.s32 %rd0, %r1, 4", []uint64{0x80000000}, 0xFFFFFFFE00000000},
		{"mul.wide.u32 %rd0, %r1, %r2", []uint64{0xFFFFFFFF, 3}, 0x2FFFFFFFD},
		{"mul.hi.u16 %rs0, %rs1, %rs2", []uint64{0xFFFF, 0xFFFF}, 0xFFFE},
		{"mul.hi.s16 %rs0, %rs1, %rs2", []uint64{0xFFFF, 1}, 0xFFFF},
		{"mul.hi.s16 %rs0, %rs1, %rs2", []uint64{0x4000, 4}, 1},
		{"mul.hi.s32 %r0, %r1, %r2", []uint64{2, 0xFFFFFFFF}, 0xFFFFFFFF},
		{"mul.hi.u32 %r0, %r1, %r2", []uint64{0xFFFFFFFF, 0xFFFFFFFF}, 0xFFFFFFFE},
		{"mul.hi.s32 %r0, %r1, %r2", []uint64{0xFFFFFFFF, 1}, 0xFFFFFFFF},
		{"mul.hi.u64 %rd0, %rd1, %rd2", []uint64{0xFFFFFFFFFFFFFFFF, 0xFFFFFFFFFFFFFFFF}, 0xFFFFFFFFFFFFFFFE},
		{"mul.hi.s64 %rd0, %rd1, %rd2", []uint64{0xFFFFFFFFFFFFFFFF, 0xFFFFFFFFFFFFFFFF}, 0},
		{"mul.hi.s64 %rd0, %rd1, %rd2", []uint64{0xFFFFFFFFFFFFFFFF, 1}, 0xFFFFFFFFFFFFFFFF},
		{"mul.hi.s64 %rd0, %rd1, %rd2", []uint64{3, 0x8000000000000000}, 0xFFFFFFFFFFFFFFFE},
		{"mad.lo.s32 %r0, %r1, %r2, %r3", []uint64{0xFFFFFFFF, 5, 7}, 2},
		{"mad.lo.s64 %rd0, %rd1, %rd2, %rd3", []uint64{1 << 63, 2, 7}, 7},
		{"mad.wide.s32 %rd0, %r1, %r2, %rd3", []uint64{0xFFFFFFFF, 5, 7}, 2},
		{"mad.wide.u32 %rd0, %r1, %r2, %rd3", []uint64{0xFFFFFFFF, 2, 1}, 0x1FFFFFFFF},
		{"mad.hi.s32 %r0, %r1, %r2, %r3", []uint64{0x80000000, 4, 1}, 0xFFFFFFFF},
		{"div.s32 %r0, %r1, %r2", []uint64{0xFFFFFFF9, 2}, 0xFFFFFFFD}, // -7 / 2 = -3
		{"div.u32 %r0, %r1, %r2", []uint64{0xFFFFFFF9, 2}, 0x7FFFFFFC},
		{"div.s64 %rd0, %rd1, %rd2", []uint64{7, 0xFFFFFFFFFFFFFFFE}, 0xFFFFFFFFFFFFFFFD},
		{"rem.s32 %r0, %r1, %r2", []uint64{0xFFFFFFF9, 2}, 0xFFFFFFFF},
		{"rem.u32 %r0, %r1, %r2", []uint64{0xFFFFFFF9, 2}, 1},
		{"rem.u64 %rd0, %rd1, %rd2", []uint64{1 << 63, 10}, 8},
		{"min.s32 %r0, %r1, %r2", []uint64{0xFFFFFFFF, 1}, 0xFFFFFFFF},
		{"min.u32 %r0, %r1, %r2", []uint64{0xFFFFFFFF, 1}, 1},
		{"max.s32 %r0, %r1, %r2", []uint64{0xFFFFFFFF, 1}, 1},
		{"max.u32 %r0, %r1, %r2", []uint64{0xFFFFFFFF, 1}, 0xFFFFFFFF},
		{"max.s64 %rd0, %rd1, %rd2", []uint64{1 << 63, 1}, 1},
		{"min.s16 %rs0, %rs1, %rs2", []uint64{0x8000, 1}, 0x8000},
		{"neg.s32 %r0, %r1", []uint64{1}, 0xFFFFFFFF},
		{"neg.s64 %rd0, %rd1", []uint64{1}, 0xFFFFFFFFFFFFFFFF},
		{"neg.s16 %rs0, %rs1", []uint64{0x8000}, 0x8000},
		{"abs.s32 %r0, %r1", []uint64{0xFFFFFFFB}, 5},
		{"abs.s32 %r0, %r1", []uint64{0x80000000}, 0x80000000},
		{"abs.s64 %rd0, %rd1", []uint64{0xFFFFFFFFFFFFFFFB}, 5},
		{"mov.u32 %r0, %r1", []uint64{0xFFFFFFFF}, 0xFFFFFFFF},
		{"mov.b64 %rd0, %fd1", []uint64{0x3FF0000000000000}, 0x3FF0000000000000},
		{"mov.b32 %r0, %f1", []uint64{0x3F800000}, 0x3F800000},
		{"mov.u16 %rs0, %rs1", []uint64{0xFFFF}, 0xFFFF},
		{"mov.pred %p0, %p1", []uint64{1}, 1},
		{"selp.b32 %r0, %r1, %r2, %p3", []uint64{5, 6, 1}, 5},
		{"selp.s32 %r0, %r1, %r2, %p3", []uint64{5, 6, 0}, 6},
		{"selp.u64 %rd0, 1, 0, %p1", []uint64{1}, 1},
		{"selp.b64 %rd0, %rd1, -1, %p2", []uint64{1, 0}, 0xFFFFFFFFFFFFFFFF},
		{"selp.u16 %rs0, 1, -1, %p1", []uint64{0}, 0xFFFF},
	})
}

// TestBitForms has shifts by the width and more, and fields that leave their word.
func TestBitForms(t *testing.T) {
	checkRows(t, []row{
		{"and.b32 %r0, %r1, -16", []uint64{0x12345678}, 0x12345670},
		{"and.b64 %rd0, %rd1, %rd2", []uint64{0xFF00FF00FF00FF00, 0x0FF00FF00FF00FF0}, 0x0F000F000F000F00},
		{"or.b16 %rs0, %rs1, %rs2", []uint64{0x1200, 0x34}, 0x1234},
		{"xor.b32 %r0, %r1, %r2", []uint64{0xFFFFFFFF, 0x0F0F0F0F}, 0xF0F0F0F0},
		{"not.b32 %r0, %r1", []uint64{0x0F}, 0xFFFFFFF0},
		{"not.b64 %rd0, %rd1", []uint64{0}, 0xFFFFFFFFFFFFFFFF},
		{"not.pred %p0, %p1", []uint64{1}, 0},
		{"not.pred %p0, %p1", []uint64{0}, 1},
		{"and.pred %p0, %p1, %p2", []uint64{1, 0}, 0},
		{"or.pred %p0, %p1, %p2", []uint64{1, 0}, 1},
		{"xor.pred %p0, %p1, %p2", []uint64{1, 1}, 0},
		{"shl.b16 %rs0, %rs1, %r2", []uint64{0xFFFF, 15}, 0x8000},
		{"shl.b16 %rs0, %rs1, %r2", []uint64{0xFFFF, 16}, 0},
		{"shl.b32 %r0, %r1, %r2", []uint64{1, 31}, 0x80000000},
		{"shl.b32 %r0, %r1, %r2", []uint64{1, 32}, 0},
		{"shl.b32 %r0, %r1, %r2", []uint64{1, 0x80000001}, 0},
		{"shl.b64 %rd0, %rd1, %r2", []uint64{1, 63}, 1 << 63},
		{"shl.b64 %rd0, %rd1, %r2", []uint64{1, 64}, 0},
		{"shr.s16 %rs0, %rs1, %r2", []uint64{0x8000, 4}, 0xF800},
		{"shr.s32 %r0, %r1, %r2", []uint64{0x80000000, 4}, 0xF8000000},
		{"shr.s32 %r0, %r1, %r2", []uint64{0x80000000, 33}, 0xFFFFFFFF},
		{"shr.s32 %r0, %r1, %r2", []uint64{0x7FFFFFFF, 32}, 0},
		{"shr.s64 %rd0, %rd1, %r2", []uint64{1 << 63, 200}, 0xFFFFFFFFFFFFFFFF},
		{"shr.u32 %r0, %r1, %r2", []uint64{0x80000000, 31}, 1},
		{"shr.u32 %r0, %r1, %r2", []uint64{0x80000000, 32}, 0},
		{"shr.b32 %r0, %r1, %r2", []uint64{0x80000000, 4}, 0x08000000},
		{"shr.u64 %rd0, %rd1, %r2", []uint64{1 << 63, 63}, 1},
		{"shr.u16 %rs0, %rs1, 3", []uint64{0x8000}, 0x1000},
		{"popc.b32 %r0, %r1", []uint64{0xF00F0001}, 9},
		{"popc.b64 %r0, %rd1", []uint64{0xFFFFFFFFFFFFFFFF}, 64},
		{"clz.b32 %r0, %r1", []uint64{0}, 32},
		{"clz.b32 %r0, %r1", []uint64{0x00010000}, 15},
		{"clz.b64 %r0, %rd1", []uint64{1}, 63},
		{"brev.b32 %r0, %r1", []uint64{0x00000003}, 0xC0000000},
		{"brev.b64 %rd0, %rd1", []uint64{1}, 1 << 63},
		{"shf.l.wrap.b32 %r0, %r1, %r2, %r3", []uint64{0x80000001, 0x00000002, 1}, 0x00000005},
		{"shf.l.wrap.b32 %r0, %r1, %r2, %r3", []uint64{0x80000001, 0x00000002, 33}, 0x00000005},
		{"shf.l.wrap.b32 %r0, %r1, %r2, %r3", []uint64{7, 9, 32}, 9},
		{"shf.l.clamp.b32 %r0, %r1, %r2, %r3", []uint64{7, 9, 33}, 7},
		{"shf.r.wrap.b32 %r0, %r1, %r2, %r3", []uint64{0x80000001, 0x00000003, 1}, 0xC0000000},
		{"shf.r.wrap.b32 %r0, %r1, %r2, %r3", []uint64{7, 9, 32}, 7},
		{"shf.r.clamp.b32 %r0, %r1, %r2, %r3", []uint64{7, 9, 40}, 9},
		{"bfe.u32 %r0, %r1, %r2, %r3", []uint64{0x12345678, 8, 12}, 0x456},
		{"bfe.u32 %r0, %r1, %r2, %r3", []uint64{0xF0000000, 28, 8}, 0xF},
		{"bfe.u32 %r0, %r1, %r2, %r3", []uint64{0xFFFFFFFF, 32, 4}, 0},
		{"bfe.u32 %r0, %r1, 0, 32", []uint64{0xFFFFFFFF}, 0xFFFFFFFF},
		{"bfe.u32 %r0, %r1, 4, 0", []uint64{0xFFFFFFFF}, 0},
		{"bfe.s32 %r0, %r1, %r2, %r3", []uint64{0x00000F00, 8, 4}, 0xFFFFFFFF},
		{"bfe.s32 %r0, %r1, %r2, %r3", []uint64{0x00000700, 8, 4}, 7},
		{"bfe.s32 %r0, %r1, %r2, %r3", []uint64{0x80000000, 28, 8}, 0xFFFFFFF8},
		{"bfe.s32 %r0, %r1, %r2, %r3", []uint64{0x80000000, 40, 2}, 0xFFFFFFFF},
		{"bfe.s32 %r0, %r1, 3, 0", []uint64{0xFFFFFFFF}, 0},
		{"bfe.u64 %rd0, %rd1, %r2, %r3", []uint64{0x123456789ABCDEF0, 36, 16}, 0x4567},
		{"bfe.s64 %rd0, %rd1, 60, 4", []uint64{0x8000000000000000}, 0xFFFFFFFFFFFFFFF8},
		{"bfi.b32 %r0, %r1, %r2, %r3, %r4", []uint64{0xAB, 0x11111111, 8, 8}, 0x1111AB11},
		{"bfi.b32 %r0, %r1, %r2, %r3, %r4", []uint64{0xFF, 0, 28, 8}, 0xF0000000},
		{"bfi.b32 %r0, %r1, %r2, 4, 0", []uint64{0xFF, 5}, 5},
		{"bfi.b64 %rd0, %rd1, %rd2, 60, 4", []uint64{0x9, 1}, 0x9000000000000001},
		{"prmt.b32 %r0, %r1, %r2, %r3", []uint64{0x33221100, 0x77665544, 0x3210}, 0x33221100},
		{"prmt.b32 %r0, %r1, %r2, %r3", []uint64{0x33221100, 0x77665544, 0x0475}, 0x00447755},
		{"prmt.b32 %r0, %r1, %r2, %r3", []uint64{0x80FF7F00, 0, 0xBA98}, 0xFFFF0000},
	})
}

// TestIntegerConversions has cvt between integers: what is cut, and what is extended by
// the sign of the type that is read.
func TestIntegerConversions(t *testing.T) {
	checkRows(t, []row{
		{"cvt.s64.s32 %rd0, %r1", []uint64{0x80000000}, 0xFFFFFFFF80000000},
		{"cvt.u64.u32 %rd0, %r1", []uint64{0x80000000}, 0x80000000},
		{"cvt.s64.s16 %rd0, %rs1", []uint64{0x8000}, 0xFFFFFFFFFFFF8000},
		{"cvt.u64.u16 %rd0, %rs1", []uint64{0x8000}, 0x8000},
		{"cvt.u32.u64 %r0, %rd1", []uint64{0x123456789}, 0x23456789},
		{"cvt.u16.u32 %rs0, %r1", []uint64{0x12345678}, 0x5678},
		{"cvt.s32.s8 %r0, %r1", []uint64{0x180}, 0xFFFFFF80},
		{"cvt.s16.s8 %rs0, %rs1", []uint64{0x80}, 0xFF80},
		{"cvt.u32.u8 %r0, %r1", []uint64{0x1FF}, 0xFF},
		{"cvt.s8.s32 %rs0, %r1", []uint64{0x12345680}, 0xFF80},
		{"cvt.u8.u32 %rs0, %r1", []uint64{0x12345680}, 0x80},
		{"cvt.u64.s32 %rd0, %r1", []uint64{0xFFFFFFFF}, 0xFFFFFFFFFFFFFFFF},
	})
}

// TestComparisons has every relation of integers and floats, with what is not a number.
func TestComparisons(t *testing.T) {
	const one, two, nan = 0x3F800000, 0x40000000, 0x7FC00000
	holds := func(form string, a, b, want uint64) row { return row{form, []uint64{a, b}, want} }
	var rows []row
	// The results of less, equal, greater and, of floats, of a side that is not a number.
	for relation, want := range map[string][4]uint64{
		"eq": {0, 1, 0, 0}, "ne": {1, 0, 1, 0}, "lt": {1, 0, 0, 0}, "le": {1, 1, 0, 0}, "gt": {0, 0, 1, 0}, "ge": {0, 1, 1, 0},
		"equ": {0, 1, 0, 1}, "neu": {1, 0, 1, 1}, "ltu": {1, 0, 0, 1}, "leu": {1, 1, 0, 1}, "gtu": {0, 0, 1, 1}, "geu": {0, 1, 1, 1},
		"num": {1, 1, 1, 0}, "nan": {0, 0, 0, 1},
	} {
		form := "setp." + relation + ".f32 %p0, %f1, %f2"
		rows = append(rows, holds(form, one, two, want[0]), holds(form, one, one, want[1]), holds(form, two, one, want[2]),
			holds(form, nan, one, want[3]), holds(form, one, nan, want[3]), holds(form, 0, 0x80000000, want[1]))
		form = "setp." + relation + ".f64 %p0, %fd1, %fd2"
		rows = append(rows, holds(form, one<<32, two<<32, want[0]), holds(form, one<<32, one<<32, want[1]),
			holds(form, two<<32, one<<32, want[2]), holds(form, 0x7FF8000000000000, 0, want[3]))
		if len(relation) == 2 {
			for t, values := range map[string][2]uint64{"s16 %p0, %rs1, %rs2": {0xFFFF, 1}, "s32 %p0, %r1, %r2": {0xFFFFFFFF, 1},
				"s64 %p0, %rd1, %rd2": {1 << 63, 1}, "u16 %p0, %rs1, %rs2": {1, 0xFFFF}, "u32 %p0, %r1, %r2": {1, 0xFFFFFFFF},
				"u64 %p0, %rd1, %rd2": {1, 1 << 63}} {
				form, a, b := "setp."+relation+"."+t, values[0], values[1]
				rows = append(rows, holds(form, a, b, want[0]), holds(form, a, a, want[1]), holds(form, b, a, want[2]))
			}
		}
	}
	rows = append(rows,
		holds("setp.lo.u32 %p0, %r1, %r2", 1, 0xFFFFFFFF, 1), holds("setp.ls.u32 %p0, %r1, %r2", 2, 2, 1),
		holds("setp.hi.u32 %p0, %r1, %r2", 0xFFFFFFFF, 1, 1), holds("setp.hs.u64 %p0, %rd1, %rd2", 1, 2, 0),
		holds("setp.eq.b32 %p0, %r1, %r2", 5, 5, 1), holds("setp.ne.b64 %p0, %rd1, %rd2", 5, 5, 0),
		row{"setp.lt.and.s32 %p0, %r1, %r2, %p3", []uint64{1, 2, 1}, 1},
		row{"setp.lt.and.s32 %p0, %r1, %r2, %p3", []uint64{1, 2, 0}, 0},
		row{"setp.lt.and.s32 %p0, %r1, %r2, !%p3", []uint64{1, 2, 0}, 1},
		row{"setp.lt.or.s32 %p0, %r1, %r2, %p3", []uint64{2, 1, 1}, 1},
		row{"setp.lt.xor.s32 %p0, %r1, %r2, %p3", []uint64{1, 2, 1}, 0})
	checkRows(t, rows)
	for _, c := range []struct {
		form string
		from []uint64
		want [2]uint64
	}{
		{"setp.lt.s32 %p0|%p1, %r2, %r3", []uint64{1, 2}, [2]uint64{1, 0}},
		{"setp.lt.f32 %p0|%p1, %f2, %f3", []uint64{nan, one}, [2]uint64{0, 1}},
		{"setp.lt.and.s32 %p0|%p1, %r2, %r3, %p4", []uint64{1, 2, 0}, [2]uint64{0, 0}},
		{"setp.lt.or.s32 %p0|%p1, %r2, %r3, %p4", []uint64{1, 2, 1}, [2]uint64{1, 1}},
	} {
		if got := runForm(t, c.form, 2, c.from...); got[0] != c.want[0] || got[1] != c.want[1] {
			t.Errorf("%s of %#x: %d, want %d", c.form, c.from, got, c.want)
		}
	}
}

// TestPack takes registers apart and puts them together.
func TestPack(t *testing.T) {
	checkRows(t, []row{
		{"mov.b64 %rd0, {%r1, %r2}", []uint64{0x11111111, 0x22222222}, 0x2222222211111111},
		{"mov.b32 %r0, {%rs1, %rs2}", []uint64{0x1111, 0x2222}, 0x22221111},
		{"mov.b64 %fd0, {%r1, %r2}", []uint64{0, 0x3FF00000}, 0x3FF0000000000000},
	})
	if got := runForm(t, "mov.b64 {%r0, %r1}, %rd2", 2, 0x2222222211111111); got[0] != 0x11111111 || got[1] != 0x22222222 {
		t.Errorf("halves: %#x", got)
	}
	if got := runForm(t, "mov.b32 {%rs0, %rs1}, %r2", 2, 0x22221111); got[0] != 0x1111 || got[1] != 0x2222 {
		t.Errorf("halves: %#x", got)
	}
	if got := runForm(t, "{ .reg .b32 %low; mov.b64 {%low, %r0}, %rd1; }", 1, 0x2222222211111111); got[0] != 0x22222222 {
		t.Errorf("in a scope: %#x", got)
	}
}
