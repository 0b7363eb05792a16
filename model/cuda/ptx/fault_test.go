package ptx

import (
	"errors"
	"strings"
	"testing"
)

// own puts the address of a word of s for each thread of a block in %rd4, and writes it.
const own = `
mov.u32 %r4, %tid.x; mov.u64 %rd5, s; mul.wide.u32 %rd4, %r4, 4; add.s64 %rd4, %rd5, %rd4;
st.shared.u32 [%rd4], %r4; bar.sync 0;
`

// neighbour puts the address of another thread's word of a in %rd6: that of the thread
// with which it shares all bits of its number but one.
func neighbour(bit string) string {
	return "xor.b32 %r6, %r1, " + bit + "; ld.param.u64 %rd6, [a]; mul.wide.u32 %rd7, %r6, 4; add.s64 %rd6, %rd6, %rd7;"
}

// TestFaults has kernels of which each does one thing that it may not do, and twins
// that differ in that alone. They run with 2 blocks of 64 threads; a and b are 128
// words of zeros, c is memory that was freed.
func TestFaults(t *testing.T) {
	// %p9 is the first thread of a block, %p1 that of the first block and %p2 of the second; %rd6 is a.
	const first = index + "mov.u32 %r4, %tid.x; setp.eq.s32 %p9, %r4, 0; setp.eq.s32 %p1, %r1, 0; setp.eq.s32 %p2, %r1, 64; ld.param.u64 %rd6, [a];"
	// %p9 is the sixth thread of a block, %p1 that of the first block.
	const one = "mov.u32 %r8, %ctaid.x; setp.eq.s32 %p8, %r8, 0; mov.u32 %r9, %tid.x; setp.eq.s32 %p9, %r9, 5; and.pred %p1, %p8, %p9;"
	for _, c := range []struct {
		name, body, twin string
		cause            string
	}{
		{"shared: a read before a write of another thread",
			own + "ld.shared.u32 %r5, [s+4]; st.shared.u32 [%rd4], %r5;",
			own + "ld.shared.u32 %r5, [s+4]; bar.sync 0; st.shared.u32 [%rd4], %r5;", "race"},
		{"shared: a write before a read of another warp",
			own + "st.shared.u32 [%rd4], 1; xor.b32 %r5, %r4, 32; mul.wide.u32 %rd6, %r5, 4; add.s64 %rd6, %rd5, %rd6; ld.shared.u32 %r5, [%rd6];",
			own + "st.shared.u32 [%rd4], 1; bar.sync 0; xor.b32 %r5, %r4, 32; mul.wide.u32 %rd6, %r5, 4; add.s64 %rd6, %rd5, %rd6;" +
				"ld.shared.u32 %r5, [%rd6];", "race"},
		{"shared: two writes", own + "st.shared.u32 [s+8], %r4;", own + "setp.eq.s32 %p1, %r4, 5; @%p1 st.shared.u32 [s+8], %r4;", "race"},
		{"shared: two writes of one value by lanes of a warp", "st.shared.u32 [s], 7;", "mov.u32 %r1, %tid.x; setp.eq.s32 %p1, %r1, 9;" +
			"@%p1 st.shared.u32 [s], 7;", "race"},
		{"global: a word of a neighbour in the warp", index + neighbour("1") + "st.global.u32 [%rd1], %r1; ld.global.u32 %r5, [%rd6];",
			index + neighbour("1") + "st.global.u32 [%rd1], %r1; bar.sync 0; ld.global.u32 %r5, [%rd6];", "race"},
		{"global: a vector over words of neighbours", index + neighbour("0") + "and.b64 %rd6, %rd6, -16;" +
			"ld.global.v4.u32 {%r10, %r11, %r12, %r13}, [%rd6]; st.global.u32 [%rd1], %r1;",
			index + neighbour("0") + "and.b64 %rd6, %rd6, -16; ld.global.v4.u32 {%r10, %r11, %r12, %r13}, [%rd6]; bar.sync 0; st.global.u32 [%rd1], %r1;", "race"},
		{"global: two blocks write", index + "and.b32 %r4, %r1, 63; ld.param.u64 %rd6, [a]; mul.wide.u32 %rd7, %r4, 4;" +
			"add.s64 %rd6, %rd6, %rd7; st.global.u32 [%rd6], %r4;",
			index + "st.global.u32 [%rd1], %r1;", "race"},
		{"global: a block reads what another has written", index + neighbour("64") + "st.global.u32 [%rd1], %r1; bar.sync 0; ld.global.u32 %r5, [%rd6];",
			index + neighbour("32") + "st.global.u32 [%rd1], %r1; bar.sync 0; ld.global.u32 %r5, [%rd6];", "race"},
		{"global: a block reads what another has written and then read", index + neighbour("64") + "st.global.u32 [%rd1], %r1;" +
			"bar.sync 0; ld.global.u32 %r5, [%rd1]; ld.global.u32 %r5, [%rd6];",
			index + "st.global.u32 [%rd1], %r1; bar.sync 0; ld.global.u32 %r5, [%rd1];", "race"},
		{"global: a block writes what another has read", index + neighbour("64") + "ld.global.u32 %r5, [%rd6]; bar.sync 0; st.global.u32 [%rd1], %r1;",
			index + neighbour("32") + "ld.global.u32 %r5, [%rd6]; bar.sync 0; st.global.u32 [%rd1], %r1;", "race"},
		{"global: a block reads and writes what another has read", index + "ld.param.u64 %rd6, [a]; ld.global.u32 %r5, [%rd6];" +
			"setp.eq.s32 %p1, %r1, 64; @%p1 st.global.u32 [%rd6], 1;",
			index + "ld.param.u64 %rd6, [a]; ld.global.u32 %r5, [%rd6]; setp.eq.s32 %p1, %r1, 64; @%p1 st.global.u32 [%rd2], 1;", "race"},
		{"global: read as constant and written", index + "ld.global.nc.u32 %r5, [%rd1]; bar.sync 0; st.global.u32 [%rd1], %r5;",
			index + "ld.global.u32 %r5, [%rd1]; bar.sync 0; st.global.u32 [%rd1], %r5;", "race"},
		{"global: written and read as constant", index + "st.global.u32 [%rd1], %r1; ld.global.nc.u32 %r5, [%rd1];",
			index + "st.global.u32 [%rd1], %r1; ld.global.nc.u32 %r5, [%rd2];", "ld.global.nc"},

		{"global: written, and read as constant behind a barrier", index + "st.global.u32 [%rd1], %r1; bar.sync 0; ld.global.nc.u32 %r5, [%rd1];",
			index + "st.global.u32 [%rd1], %r1; bar.sync 0; ld.global.u32 %r5, [%rd1];", "ld.global.nc"},
		{"global: a block only reads, the next only writes", first + "@%p1 ld.global.u32 %r5, [%rd6]; @%p2 st.global.u32 [%rd6], 1;",
			first + "@%p1 ld.global.u32 %r5, [%rd6]; @%p2 st.global.u32 [%rd6+4], 1;", "race: thread [0 0 0] of another block read it"},
		{"global: one thread of two blocks reads, that of the second writes", first + "@%p9 ld.global.u32 %r5, [%rd6]; @%p2 st.global.u32 [%rd6], 1;",
			first + "@%p2 ld.global.u32 %r5, [%rd6]; @%p2 st.global.u32 [%rd6], 1;", "race: another block"},
		{"global: one thread of two blocks reads, that of the second reads again and writes",
			first + "@%p9 ld.global.u32 %r5, [%rd6]; bar.sync 0; @%p9 ld.global.u32 %r5, [%rd6]; @%p2 st.global.u32 [%rd6], 1;",
			first + "@%p2 ld.global.u32 %r5, [%rd6]; bar.sync 0; @%p2 ld.global.u32 %r5, [%rd6]; @%p2 st.global.u32 [%rd6], 1;", "race: another block"},
		{"shared: two threads read, the one of them writes", own + "setp.lt.u32 %p1, %r4, 2; setp.lt.u32 %p2, %r4, 1;" +
			"@%p1 ld.shared.u32 %r5, [s]; @%p2 st.shared.u32 [s], 1;",
			own + "setp.lt.u32 %p1, %r4, 1; setp.lt.u32 %p2, %r4, 1; @%p1 ld.shared.u32 %r5, [s]; @%p2 st.shared.u32 [s], 1;", "race"},
		{"shared: two threads read, the other of them writes", own + "setp.lt.u32 %p1, %r4, 2; setp.eq.u32 %p2, %r4, 1;" +
			"@%p1 ld.shared.u32 %r5, [s]; @%p2 st.shared.u32 [s], 1;",
			own + "setp.eq.u32 %p1, %r4, 1; setp.eq.u32 %p2, %r4, 1; @%p1 ld.shared.u32 %r5, [s]; @%p2 st.shared.u32 [s], 1;", "race"},

		{"the word behind an allocation", index + "ld.global.u32 %r5, [%rd1+4];", index + "ld.global.u32 %r5, [%rd1];",
			"4 bytes at byte 512 of an allocation of 512"},
		{"a vector over the end", index + "ld.param.u64 %rd6, [a]; ld.global.v4.u32 {%r10, %r11, %r12, %r13}, [%rd6+512];",
			index + "ld.param.u64 %rd6, [a]; ld.global.v4.u32 {%r10, %r11, %r12, %r13}, [%rd6+496];", "16 bytes at byte 512"},
		{"the word before an allocation", index + "st.global.u32 [%rd1+-4], %r1;", index + "st.global.u32 [%rd1], %r1;", "4 bytes at byte -4 of"},
		{"far before an allocation", index + "ld.global.u32 %r5, [%rd1+-1048576];", index + "ld.global.u32 %r5, [%rd1];", "4 bytes at byte -10"},
		{"an index with 32 bits too few", index + "ld.global.u32 %r5, [%rd1+4294967296];", index + "ld.global.u32 %r5, [%rd1+0];", "at byte 4294967"},
		{"no pointer", index + "mov.u64 %rd6, 0; ld.global.u32 %r5, [%rd6];", index + "mov.u64 %rd6, %rd1; ld.global.u32 %r5, [%rd6];", "nothing is at"},
		{"a number that is no pointer", index + "cvt.u32.u64 %r6, %rd1; cvt.u64.u32 %rd6, %r6; ld.global.u32 %r5, [%rd6];", "", "nothing is at"},
		{"freed memory", "ld.param.u64 %rd6, [c]; ld.global.u32 %r5, [%rd6];", "ld.param.u64 %rd6, [a]; ld.global.u32 %r5, [%rd6];", "was freed"},
		{"not aligned", index + "ld.param.u64 %rd6, [a]; ld.global.u32 %r5, [%rd6+2];", index + "ld.param.u64 %rd6, [a];" +
			"ld.global.u16 %r5, [%rd6+2];", "not a multiple of 4"},
		{"one thread that is not aligned", index + "setp.eq.s32 %p1, %r1, 21; selp.u64 %rd6, 2, 0, %p1; add.s64 %rd6, %rd1, %rd6; ld.global.u32 %r5, [%rd6];",
			index + "setp.eq.s32 %p1, %r1, 21; selp.u64 %rd6, 4, 0, %p1; add.s64 %rd6, %rd1, %rd6; ld.global.u32 %r5, [%rd6];", "not a multiple of 4"},
		{"a vector that is not aligned", index + "ld.param.u64 %rd6, [a]; ld.global.v4.u32 {%r10, %r11, %r12, %r13}, [%rd6+8];",
			index + "ld.param.u64 %rd6, [a]; ld.global.v2.u32 {%r10, %r11}, [%rd6+8];", "not a multiple of 16"},
		{"a vector of memory that is aligned to words alone", one + "@%p1 st.shared.v2.u32 [s], {1, 2};",
			one + "@%p1 st.shared.v2.u32 [wide], {1, 2};", "not a multiple of 8"},
		{"the end of a shared variable", own + "ld.shared.u32 %r5, [%rd4+4];", own + "ld.shared.u32 %r5, [%rd4];", "at byte 256 of s of 256"},
		{"before a shared variable", one + "@%p1 st.shared.u32 [wide+-4], 1;", one + "@%p1 st.shared.u32 [wide+4], 1;", "at byte -4 of wide of 8"},
		{"the end of a constant", "ld.const.u32 %r5, [table+8];", "ld.const.u32 %r5, [table+4];", "at byte 8 of table of 8"},
		{"a constant that is none", "ld.param.u64 %rd6, [a]; ld.const.u32 %r5, [%rd6];", "ld.param.u64 %rd6, [a]; ld.u32 %r5, [%rd6];", "not in constant memory"},
		{"a write to a constant", one + "mov.u64 %rd6, table; @%p1 st.global.u32 [%rd6], 1;", one + "ld.param.u64 %rd6, [a];" +
			"@%p1 st.global.u32 [%rd6], 1;", "nothing is at"},
		{"shared memory as device memory", one + "mov.u64 %rd6, s; @%p1 st.global.u32 [%rd6], 1;", one + "mov.u64 %rd6, s;" +
			"@%p1 st.shared.u32 [%rd6], 1;", "nothing is at"},
		{"shared memory that nobody has written", one + "@%p1 ld.shared.u32 %r5, [s+20];", one + "@%p1 st.shared.u32 [s+20], 1;" +
			"@%p1 ld.shared.u32 %r5, [s+20];", "nobody has written"},
		{"shared memory that an earlier block has written", one + "@%p1 st.shared.u32 [s+20], 1; and.pred %p2, %p9, %p9; @%p2 ld.shared.u32 %r5, [s+20];",
			one + "@%p9 st.shared.u32 [s+20], 1; @%p9 ld.shared.u32 %r5, [s+20];", "nobody has written"},
		{"shared memory that an earlier block has written, by a generic address",
			one + "mov.u64 %rd6, s; cvta.shared.u64 %rd6, %rd6; @%p1 st.u32 [%rd6], 1; and.pred %p2, %p9, %p9; @%p2 ld.u32 %r5, [%rd6];",
			one + "mov.u64 %rd6, s; cvta.shared.u64 %rd6, %rd6; @%p9 st.u32 [%rd6], 1; @%p9 ld.u32 %r5, [%rd6];", "nobody has written"},

		{"a barrier in a branch", index + "setp.lt.u32 %p1, %r1, 7; @%p1 bra $skip; bar.sync 0; $skip: bar.sync 0;",
			index + "setp.lt.u32 %p1, %r1, 7; @%p1 bra $skip; add.s32 %r1, %r1, 1; $skip: bar.sync 0;", "barrier"},
		{"barriers in both branches", index + "and.b32 %r4, %r1, 32; setp.eq.s32 %p1, %r4, 0; @%p1 bra $other; bar.sync 0;" +
			"bra.uni $end; $other: bar.sync 0; $end: ret;",
			index + "and.b32 %r4, %r1, 32; setp.eq.s32 %p1, %r4, 0; @%p1 ret; bar.sync 0;", "barrier"},
		{"a shuffle that a lane does not reach", index + "mov.u32 %r4, %laneid; setp.eq.s32 %p1, %r4, 3; @%p1 bra $end;" +
			"shfl.sync.bfly.b32 %r5, %r1, 16, 31, -1; $end: bar.sync 0;",
			index + "mov.u32 %r4, %laneid; setp.eq.s32 %p1, %r4, 3; @%p1 bra $end; shfl.sync.idx.b32 %r5, %r1, 4, 31, 0xFFFFFFF7; $end: bar.sync 0;", "lane 3"},
		{"a shuffle from a lane that has exited", index + "mov.u32 %r4, %laneid; setp.eq.s32 %p1, %r4, 31; @%p1 exit; shfl.sync.bfly.b32 %r5, %r1, 1, 31, -1;",
			index + "mov.u32 %r4, %laneid; setp.eq.s32 %p1, %r4, 31; @%p1 exit; shfl.sync.idx.b32 %r5, %r1, 0, 31, -1;", "lane 31"},
		{"a shuffle of a lane that its mask lacks", index + "shfl.sync.idx.b32 %r5, %r1, 1, 31, 2;",
			index + "mov.u32 %r4, %laneid; setp.eq.s32 %p1, %r4, 1; @%p1 shfl.sync.idx.b32 %r5, %r1, 1, 31, 2;", "not in its mask"},
		{"a shuffle from a lane that the mask lacks", index + "mov.u32 %r4, %laneid; setp.eq.s32 %p1, %r4, 1;" +
			"@%p1 shfl.sync.idx.b32 %r5, %r1, 2, 31, 2;", "", "lane 2"},
		{"a shuffle from a lane that is there with another mask", index + "mov.u32 %r4, %laneid; mov.u32 %r5, 1; shl.b32 %r5, %r5, %r4;" +
			"setp.eq.s32 %p1, %r4, 1; selp.b32 %r4, 2, %r4, %p1; shfl.sync.idx.b32 %r6, %r1, %r4, 31, %r5;",
			index + "mov.u32 %r4, %laneid; mov.u32 %r5, 1; shl.b32 %r5, %r5, %r4; shfl.sync.idx.b32 %r6, %r1, %r4, 31, %r5;", "reads lane 2"},
		{"a shuffle with masks that differ", index + "mov.u32 %r4, %laneid; setp.eq.s32 %p1, %r4, 1; selp.b32 %r5, 3, -1, %p1;" +
			"shfl.sync.idx.b32 %r6, %r1, 1, 31, %r5;",
			index + "mov.u32 %r5, -1; shfl.sync.idx.b32 %r6, %r1, 1, 31, %r5;", "is not there"},
		{"a shuffle that does not order memory", own + "st.shared.u32 [%rd4], 1; shfl.sync.bfly.b32 %r5, %r4, 1, 31, -1; ld.shared.u32 %r5, [s+4];",
			own + "st.shared.u32 [%rd4], 1; bar.sync 0; ld.shared.u32 %r5, [s+4];", "race"},

		{"division by zero", index + "div.u32 %r5, 7, %r1;", index + "add.s32 %r1, %r1, 1; div.u32 %r5, 7, %r1;", "division by zero"},
		{"trap", index + "setp.eq.s32 %p1, %r1, 77; @%p1 trap;", index + "setp.eq.s32 %p1, %r1, 128; @%p1 trap;", "trap"},
	} {
		run := func(body string) error {
			m := NewMemory()
			zeros := make([]uint32, 128)
			freed := words(t, m, zeros...)
			if err := m.Free(freed); err != nil {
				t.Fatal(err)
			}
			text := program(".shared .align 4 .b8 s[256];\n.shared .align 8 .b8 wide[8];\n.const .align 4 .u32 table[2] = {1, 2};\n", body)
			return launch(m, text, 2, 64, words(t, m, zeros...), words(t, m, zeros...), freed)
		}
		var f *Fault
		if err := run(c.body); !errors.As(err, &f) {
			t.Errorf("%s: %v, want a fault", c.name, err)
		} else if !strings.Contains(f.Cause, c.cause) {
			t.Errorf("%s: %v, want %q", c.name, err, c.cause)
		}
		if c.twin == "" {
			continue
		}
		if err := run(c.twin); err != nil {
			t.Errorf("%s, the twin: %v", c.name, err)
		}
	}
}

// TestFaultPosition looks at every part of a fault.
func TestFaultPosition(t *testing.T) {
	m := NewMemory()
	err := launch(m, program("", index+"setp.eq.s32 %p1, %r1, 70;\n@%p1\tst.global.u32 [%rd1+4],   0;"), 2, 64, m.Alloc(4*71), m.Alloc(512), 0)
	want := "ptx: kernel k, line 15 `@%p1 st.global.u32 [%rd1+4], 0`, block [1 0 0], thread [6 0 0]: " +
		"global memory: 4 bytes at byte 284 of an allocation of 284"
	if err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	var f *Fault
	if !errors.As(err, &f) || f.Kernel != "k" || f.Line != 15 || f.Block != [3]uint32{1, 0, 0} || f.Thread != [3]uint32{6, 0, 0} {
		t.Errorf("%+v", f)
	}
}

// TestLaunchesAreOrdered reads in a launch what an earlier one has written, and writes
// what it has read.
func TestLaunchesAreOrdered(t *testing.T) {
	m := NewMemory()
	zeros := make([]uint32, 128)
	a, b := words(t, m, zeros...), words(t, m, zeros...)
	for range 3 {
		for _, body := range []string{
			index + "ld.global.nc.u32 %r5, [%rd1]; add.s32 %r5, %r5, 1; st.global.u32 [%rd2], %r5;",
			index + neighbour("64") + "ld.global.u32 %r5, [%rd2]; st.global.u32 [%rd6], %r5;",
		} {
			if err := launch(m, program("", body), 2, 64, a, b, 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	// The words of a and the neighbours' are 3 steps on.
	for i, x := range readWords(t, m, a, 128) {
		if x != 3 {
			t.Fatalf("word %d: %d, want 3", i, x)
		}
	}
}

// TestSeed finds that the seed, and nothing else, decides which of many threads that
// fault is the first.
func TestSeed(t *testing.T) {
	first := func(seed uint64) [3]uint32 {
		m := NewMemory()
		m.Seed = seed
		var f *Fault
		if err := launch(m, program("", "trap;"), 1, 256, 0, 0, 0); !errors.As(err, &f) {
			t.Fatal(err)
		}
		return f.Thread
	}
	seen := map[[3]uint32]bool{}
	for seed := range uint64(20) {
		thread := first(seed)
		if again := first(seed); again != thread {
			t.Errorf("seed %d: thread %d, then %d", seed, thread, again)
		}
		seen[thread] = true
	}
	if len(seen) < 10 {
		t.Errorf("20 seeds begin with only %d threads", len(seen))
	}
}
