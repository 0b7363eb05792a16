package ptx

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"
)

// program is a file with an entry k of three parameters of 8 bytes, and registers.
func program(variables, body string) string {
	return fileHeader + variables + `
.visible .entry k(.param .u64 a, .param .u64 b, .param .u64 c)
{
.reg .pred %p<10>; .reg .b32 %r<20>; .reg .f32 %f<20>; .reg .b64 %rd<20>;
` + body + "\nret;\n}\n"
}

// index puts the thread's number in %r1, its address in a and in b in %rd1 and %rd2.
const index = `
mov.u32 %r1, %tid.x; mov.u32 %r2, %ctaid.x; mov.u32 %r3, %ntid.x;
mad.lo.s32 %r1, %r2, %r3, %r1;
ld.param.u64 %rd1, [a]; ld.param.u64 %rd2, [b];
mul.wide.u32 %rd3, %r1, 4;
add.s64 %rd1, %rd1, %rd3; add.s64 %rd2, %rd2, %rd3;
`

// words allocates memory with words.
func words(t *testing.T, m *Memory, list ...uint32) uint64 {
	t.Helper()
	var b []byte
	for _, x := range list {
		b = binary.LittleEndian.AppendUint32(b, x)
	}
	p := m.Alloc(len(b))
	if err := m.Write(p, b); err != nil {
		t.Fatal(err)
	}
	return p
}

func readWords(t *testing.T, m *Memory, p uint64, n int) []uint32 {
	t.Helper()
	b := make([]byte, 4*n)
	if err := m.Read(p, b); err != nil {
		t.Fatal(err)
	}
	list := make([]uint32, n)
	for i := range list {
		list[i] = binary.LittleEndian.Uint32(b[4*i:])
	}
	return list
}

// TestThreads counts threads and blocks of three axes.
func TestThreads(t *testing.T) {
	m := NewMemory()
	p := m.Alloc(4 * 2 * 3 * 4 * 5 * 2 * 3)
	module, err := Parse(program("", `
mov.u32 %r1, %tid.x; mov.u32 %r2, %ntid.x; mov.u32 %r3, %tid.y; mov.u32 %r4, %ntid.y; mov.u32 %r5, %tid.z; mov.u32 %r6, %ntid.z;
mov.u32 %r7, %ctaid.x; mov.u32 %r8, %nctaid.x; mov.u32 %r9, %ctaid.y; mov.u32 %r10, %nctaid.y; mov.u32 %r11, %ctaid.z;
mad.lo.s32 %r12, %r11, %r10, %r9; mad.lo.s32 %r12, %r12, %r8, %r7; mad.lo.s32 %r12, %r12, %r6, %r5;
mad.lo.s32 %r12, %r12, %r4, %r3; mad.lo.s32 %r12, %r12, %r2, %r1;
ld.param.u64 %rd1, [a]; mul.wide.u32 %rd2, %r12, 4; add.s64 %rd1, %rd1, %rd2;
mul.lo.s32 %r13, %r3, 10; add.s32 %r13, %r13, %r1; mad.lo.s32 %r13, %r5, 100, %r13; mad.lo.s32 %r13, %r7, 1000, %r13;
mad.lo.s32 %r13, %r9, 10000, %r13; mad.lo.s32 %r13, %r11, 100000, %r13;
st.global.u32 [%rd1], %r13;`))
	if err != nil {
		t.Fatal(err)
	}
	params := binary.LittleEndian.AppendUint64(nil, p)
	if err := m.Launch(module.Kernel("k"), [3]uint32{5, 2, 3}, [3]uint32{2, 3, 4}, 0, append(params, make([]byte, 16)...)); err != nil {
		t.Fatal(err)
	}
	got, i := readWords(t, m, p, 720), 0
	for bz := range uint32(3) {
		for by := range uint32(2) {
			for bx := range uint32(5) {
				for z := range uint32(4) {
					for y := range uint32(3) {
						for x := range uint32(2) {
							if want := x + 10*y + 100*z + 1000*bx + 10000*by + 100000*bz; got[i] != want {
								t.Fatalf("thread %d: %d, want %d", i, got[i], want)
							}
							i++
						}
					}
				}
			}
		}
	}
	if n := m.Instructions(); n != 720*27 {
		t.Errorf("%d instructions, want %d", n, 720*27)
	}
}

// TestDivergence has threads that leave a loop after different numbers of turns, with
// branches inside, and meet again.
func TestDivergence(t *testing.T) {
	m := NewMemory()
	zeros := make([]uint32, 128)
	a := words(t, m, zeros...)
	err := launch(m, program(".shared .align 4 .b8 s[256];", index+`
mov.u32 %r4, 0; mov.u32 %r5, %tid.x; and.b32 %r5, %r5, 7; mov.u32 %r6, 0; setp.ne.s32 %p2, %r4, 0;
$loop:
setp.ge.u32 %p1, %r6, %r5;
@%p1 bra $out;
and.b32 %r7, %r6, 1; setp.eq.s32 %p2, %r7, 0;
@!%p2 bra $odd;
add.s32 %r4, %r4, 100;
bra.uni $next;
$odd:
add.s32 %r4, %r4, 1;
$next:
add.s32 %r6, %r6, 1;
bra.uni $loop;
$out:
@%p2 add.s32 %r4, %r4, 1000;
st.global.u32 [%rd1], %r4;`), 2, 64, a, a, 0)
	if err != nil {
		t.Fatal(err)
	}
	// Turns 0, 2, 4 and 6 add 100, the others 1; the last turn decides of the 1000.
	want := []uint32{0, 1100, 101, 1201, 202, 1302, 303, 1403}
	for i, got := range readWords(t, m, a, 128) {
		if got != want[i%8] {
			t.Errorf("thread %d: %d, want %d", i, got, want[i%8])
		}
	}
}

// TestShuffles has the lanes that each mode reads, as the PTX ISA computes them.
func TestShuffles(t *testing.T) {
	for _, c := range []struct {
		operands string // distance and clamp
		mode     string
		want     func(lane uint32) (from uint32, reached bool)
	}{
		{"1, 31", "bfly", func(l uint32) (uint32, bool) { return l ^ 1, true }},
		{"16, 31", "bfly", func(l uint32) (uint32, bool) { return l ^ 16, true }},
		{"5, 31", "idx", func(uint32) (uint32, bool) { return 5, true }},
		{"37, 31", "idx", func(uint32) (uint32, bool) { return 5, true }},
		{"2, 0", "up", func(l uint32) (uint32, bool) {
			if l < 2 {
				return l, false
			}
			return l - 2, true
		}},
		{"2, 31", "down", func(l uint32) (uint32, bool) {
			if l > 29 {
				return l, false
			}
			return l + 2, true
		}},
		// Segments of 8 lanes: the mask 24 is in bits 8 to 12.
		{"3, 6175", "down", func(l uint32) (uint32, bool) {
			if l%8 > 4 {
				return l, false
			}
			return l + 3, true
		}},
		{"1, 6144", "up", func(l uint32) (uint32, bool) {
			if l%8 == 0 {
				return l, false
			}
			return l - 1, true
		}},
		{"2, 6175", "idx", func(l uint32) (uint32, bool) { return l&^7 + 2, true }},
		{"8, 6175", "bfly", func(l uint32) (uint32, bool) {
			if l&8 == 0 { // the partner is in a higher segment
				return l, false
			}
			return l - 8, true
		}},
	} {
		m := NewMemory()
		zeros := make([]uint32, 32)
		a, b := words(t, m, zeros...), words(t, m, zeros...)
		err := launch(m, program("", index+"mov.u32 %r4, %laneid; add.s32 %r4, %r4, 100; mov.u32 %r5, -1;"+
			"shfl.sync."+c.mode+".b32 %r4|%p1, %r4, "+c.operands+", %r5; selp.b32 %r7, 1, 0, %p1;"+
			"st.global.u32 [%rd1], %r4; st.global.u32 [%rd2], %r7;"), 1, 32, a, b, 0)
		if err != nil {
			t.Errorf("%s %s: %v", c.mode, c.operands, err)
			continue
		}
		from, reached := readWords(t, m, a, 32), readWords(t, m, b, 32)
		for l := range uint32(32) {
			if lane, ok := c.want(l); from[l] != 100+lane || (reached[l] == 1) != ok {
				t.Errorf("%s %s: lane %d reads %d (%d), want %d (%v)", c.mode, c.operands, l, from[l]-100, reached[l], lane, ok)
			}
		}
	}
}

// TestHalfWarps shuffles among the halves of a warp, which come one after the other,
// and in a warp that is not full.
func TestHalfWarps(t *testing.T) {
	m := NewMemory()
	zeros := make([]uint32, 40)
	a := words(t, m, zeros...)
	err := launch(m, program("", index+`
mov.u32 %r4, %laneid; setp.lt.u32 %p1, %r4, 16; setp.gt.u32 %p2, %r1, 31;
@%p2 bra $rest;
@%p1 bra $low;
shfl.sync.idx.b32 %r5, %r1, 16, 31, 0xFFFF0000;
$low:
shfl.sync.idx.b32 %r5, %r1, 3, 31, 0xFFFFFFFF;
bra.uni $store;
$rest:
shfl.sync.bfly.b32 %r5, %r1, 1, 31, 0xFF;
$store:
st.global.u32 [%rd1], %r5;`), 1, 40, a, a, 0)
	if err != nil {
		t.Fatal(err)
	}
	want := make([]uint32, 40)
	for i := range want {
		want[i] = 3
		if i >= 32 {
			want[i] = uint32(i ^ 1)
		}
	}
	if got := readWords(t, m, a, 40); !slices.Equal(got, want) {
		t.Errorf("%d, want %d", got, want)
	}
}

// TestAccesses has loads and stores of each width, signed ones, vectors, addresses with
// offsets, generic addresses and constant memory.
func TestAccesses(t *testing.T) {
	for _, c := range []struct {
		body string
		want []uint32 // of b
	}{
		{"ld.global.u8 %r1, [%rd1+3]; st.global.u32 [%rd2], %r1;", []uint32{0x80}},
		{"ld.global.s8 %r1, [%rd1+3]; st.global.u32 [%rd2], %r1;", []uint32{0xFFFFFF80}},
		{"ld.global.u16 %rs1, [%rd1+2]; st.global.u16 [%rd2], %rs1; st.global.u16 [%rd2+2], -2;", []uint32{0xFFFE8001}},
		{"ld.global.s16 %r1, [%rd1+2]; st.global.u32 [%rd2], %r1;", []uint32{0xFFFF8001}},
		{"ld.global.s32 %rd3, [%rd1]; st.global.u64 [%rd2], %rd3;", []uint32{0x80010203, 0xFFFFFFFF}},
		{"ld.global.u32 %rd3, [%rd1]; st.global.u64 [%rd2], %rd3;", []uint32{0x80010203, 0}},
		{"ld.global.s8 %rs1, [%rd1+3]; st.global.u16 [%rd2], %rs1; st.global.u8 [%rd2+2], %rs1; st.global.u8 [%rd2+3], 7;", []uint32{0x0780FF80}},
		{"ld.global.s8 %rs1, [%rd1+3]; mov.u16 %rs2, 5; mov.b32 %r1, {%rs1, %rs2}; st.global.u32 [%rd2], %r1;", []uint32{0x0005FF80}},
		{"mov.u64 %rd3, -1; mov.u32 %r1, 3; mov.b64 %rd3, {%r1, %r1}; st.global.u64 [%rd2], %rd3;", []uint32{3, 3}},
		{"mov.u32 %r1, 3; { .reg .b32 %r1; mov.u32 %r1, 5; } st.global.u32 [%rd2], %r1;", []uint32{3}},
		{"ld.global.b64 %rd3, [%rd1+8]; st.global.u32 [%rd2], %rd3;", []uint32{3}},
		{"add.s64 %rd1, %rd1, 16; ld.global.nc.v2.f32 {%f1, %f2}, [%rd1+-16]; st.global.v2.f32 [%rd2], {%f2, %f1};", []uint32{2, 0x80010203}},
		{"ld.global.v4.u32 {%r1, %r2, %r3, %r4}, [%rd1]; st.global.v4.u32 [%rd2], {%r4, %r3, 9, %r1};", []uint32{4, 3, 9, 0x80010203}},
		{"ld.global.v2.f64 {%fd1, %fd2}, [%rd1]; st.global.v2.f64 [%rd2], {%fd2, %fd1};", []uint32{3, 4, 0x80010203, 2}},
		{"ld.global.v4.u8 {%rs1, %rs2, %rs3, %rs4}, [%rd1]; st.global.v4.u8 [%rd2], {%rs4, %rs3, %rs2, %rs1};", []uint32{0x03020180}},
		{"st.shared.v2.u32 [s+8], {5, 6}; ld.shared.u32 %r1, [s+12]; st.global.u32 [%rd2], %r1;", []uint32{6}},
		{"mov.u32 %r1, s; st.shared.u32 [%r1+4], 8; mov.u64 %rd3, s+4; ld.shared.u32 %r2, [%rd3]; st.global.u32 [%rd2], %r2;", []uint32{8}},
		{"mov.u64 %rd3, s; cvta.shared.u64 %rd3, %rd3; st.u32 [%rd3], 11; cvta.to.shared.u64 %rd4, %rd3; ld.shared.u32 %r1, [%rd4];" +
			"ld.u32 %r2, [%rd3]; add.s32 %r1, %r1, %r2; st.u32 [%rd2], %r1;", []uint32{22}},
		{"mov.u64 %rd3, table; ld.const.u32 %r1, [%rd3+4]; ld.const.u32 %r2, [table]; st.global.v2.u32 [%rd2], {%r1, %r2};", []uint32{0xFFFFFFFF, 3}},
		{"mov.u64 %rd3, table; cvta.const.u64 %rd3, %rd3; ld.u32 %r1, [%rd3+8]; st.global.u32 [%rd2], %r1;", []uint32{0}},
		{"ld.const.f32 %f1, [ones+4]; ld.const.u8 %r1, [bytes+1]; st.global.f32 [%rd2], %f1; st.global.u32 [%rd2+4], %r1;", []uint32{0x40000000, 0xFF}},
	} {
		m := NewMemory()
		a, b := words(t, m, 0x80010203, 2, 3, 4), words(t, m, 0, 0, 0, 0)
		text := program(`.shared .align 8 .b8 s[16];
.const .align 4 .u32 table[3] = {3, 0xFFFFFFFF};
.visible .const .align 4 .f32 ones[2] = {0f3F800000, 0f40000000};
.const .align 1 .b8 bytes[2] = {1, 255};
`, ".reg .b16 %rs<5>; .reg .f64 %fd<3>; ld.param.u64 %rd1, [a]; ld.param.u64 %rd2, [b];"+c.body)
		if err := launch(m, text, 1, 1, a, b, 0); err != nil {
			t.Errorf("%s: %v", c.body, err)
		} else if got := readWords(t, m, b, len(c.want)); !slices.Equal(got, c.want) {
			t.Errorf("%s: %#x, want %#x", c.body, got, c.want)
		}
	}
}

// TestParams has parameters of each size, packed at multiples of their sizes.
func TestParams(t *testing.T) {
	module, err := Parse(fileHeader + `.visible .entry k(.param .u64 out, .param .u8 a, .param .u16 b, .param .f32 c,
	.param .u8 d, .param .f64 e, .param .align 8 .b8 f[12])
.maxntid 32, 2, 1
.minnctapersm 2
{
.reg .b64 %rd<4>; .reg .b32 %r<9>; .reg .f64 %fd<2>;
ld.param.u64 %rd1, [out]; ld.param.s8 %r1, [a]; ld.param.s16 %r2, [b]; ld.param.u32 %r3, [c]; ld.param.u8 %r4, [d]; ld.param.f64 %fd1, [e];
ld.param.u32 %r5, [f+8];
st.global.u32 [%rd1], %r1; st.global.u32 [%rd1+4], %r2; st.global.u32 [%rd1+8], %r3; st.global.u32 [%rd1+12], %r4; st.global.f64 [%rd1+16], %fd1;
st.global.u32 [%rd1+24], %r5;
ret;
}`)
	if err != nil {
		t.Fatal(err)
	}
	k := module.Kernel("k")
	if got, want := k.Params(), []int{8, 1, 2, 4, 1, 8, 12}; !slices.Equal(got, want) {
		t.Errorf("sizes %d, want %d", got, want)
	}
	m := NewMemory()
	p := m.Alloc(28)
	b := binary.LittleEndian.AppendUint64(nil, p)
	b = append(b, 0xFE, 0)
	b = binary.LittleEndian.AppendUint16(b, 0xFFFD)
	b = binary.LittleEndian.AppendUint32(b, 0x3F800000)
	b = append(b, 0xFC, 0, 0, 0, 0, 0, 0, 0)
	b = binary.LittleEndian.AppendUint64(b, 0x4000000000000001)
	b = append(b, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12)
	if err := m.Launch(k, [3]uint32{1, 1, 1}, [3]uint32{1, 1, 1}, 0, b); err != nil {
		t.Fatal(err)
	}
	want := []uint32{0xFFFFFFFE, 0xFFFFFFFD, 0x3F800000, 0xFC, 1, 0x40000000, 0x0C0B0A09}
	if got := readWords(t, m, p, 7); !slices.Equal(got, want) {
		t.Errorf("%#x, want %#x", got, want)
	}
	for _, c := range []struct {
		grid, block [3]uint32
		shared      uint32
		params      []byte
	}{
		{[3]uint32{1, 1, 1}, [3]uint32{65, 1, 1}, 0, b},
		{[3]uint32{1, 1, 1}, [3]uint32{0, 1, 1}, 0, b},
		{[3]uint32{1, 0, 1}, [3]uint32{1, 1, 1}, 0, b},
		{[3]uint32{1, 65536, 1}, [3]uint32{1, 1, 1}, 0, b},
		{[3]uint32{1, 1, 1}, [3]uint32{1, 1, 65}, 0, b},
		{[3]uint32{1, 1, 1}, [3]uint32{1, 1, 1}, 4, b},
		{[3]uint32{1, 1, 1}, [3]uint32{1, 1, 1}, 0, b[:len(b)-1]},
		{[3]uint32{1, 1, 1}, [3]uint32{1, 1, 1}, 0, append(slices.Clone(b), 0)},
	} {
		if err := m.Launch(k, c.grid, c.block, c.shared, c.params); err == nil || !strings.HasPrefix(err.Error(), "ptx: launch k: ") {
			t.Errorf("a grid of %d blocks of %d threads with %d bytes of shared memory and %d of parameters: %v", c.grid, c.block, c.shared, len(c.params), err)
		}
	}
}

// TestDynamic has shared memory of which the launch says the size.
func TestDynamic(t *testing.T) {
	module, err := Parse(program(".extern .shared .align 4 .b8 d[];\n.shared .align 4 .b8 s[49000];", `
mov.u32 %r1, %tid.x; mul.wide.u32 %rd1, %r1, 4; mov.u64 %rd2, d; add.s64 %rd2, %rd2, %rd1; st.shared.u32 [%rd2], %r1;`))
	if err != nil {
		t.Fatal(err)
	}
	for size, ok := range map[uint32]bool{128: true, 127: false, 0: false} {
		if err := NewMemory().Launch(module.Kernel("k"), [3]uint32{2, 1, 1}, [3]uint32{32, 1, 1}, size, make([]byte, 24)); (err == nil) != ok {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
	module, err = Parse(program(".extern .shared .align 4 .b8 d[];\n.shared .align 4 .b8 s[49000];", "st.shared.u32 [d], 1; st.shared.u32 [s], 1;"))
	if err != nil {
		t.Fatal(err)
	}
	for size, ok := range map[uint32]bool{152: true, 153: false} { // 49152 bytes in all
		if err := NewMemory().Launch(module.Kernel("k"), [3]uint32{1, 1, 1}, [3]uint32{1, 1, 1}, size, make([]byte, 24)); (err == nil) != ok {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}
