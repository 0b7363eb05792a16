package ptx

import (
	"strings"
	"testing"
)

// TestRefusals has texts that Parse does not take, with the line and the cause, and
// twins that it takes.
func TestRefusals(t *testing.T) {
	for _, c := range []struct{ body, twin, cause string }{
		{"ex2.approx.f32 %f1, %f2;", "mov.f32 %f1, %f2;", ".approx"},
		{"div.approx.f32 %f1, %f2, %f3;", "div.rn.f32 %f1, %f2, %f3;", ".approx"},
		{"sqrt.approx.f32 %f1, %f2;", "sqrt.rn.f32 %f1, %f2;", ".approx"},
		{"rsqrt.approx.f32 %f1, %f2;", "", ".approx"},
		{"add.rn.ftz.f32 %f1, %f2, %f3;", "add.rn.f32 %f1, %f2, %f3;", ".ftz"},
		{"setp.lt.ftz.f32 %p1, %f2, %f3;", "setp.lt.f32 %p1, %f2, %f3;", ".ftz"},
		{"add.f32 %f1, %f2, %f3;", "", "not .rn"},
		{"sub.f32 %f1, %f2, %f3;", "sub.rn.f32 %f1, %f2, %f3;", "not .rn"},
		{"mul.f32 %f1, %f2, %f3;", "mul.rn.f32 %f1, %f2, %f3;", "not .rn"},
		{"mul.f64 %fd1, %fd2, %fd3;", "mul.rn.f64 %fd1, %fd2, %fd3;", "not .rn"},
		{"add.rz.f32 %f1, %f2, %f3;", "", "not .rn"},
		{"fma.rm.f64 %fd1, %fd2, %fd3, %fd1;", "fma.rn.f64 %fd1, %fd2, %fd3, %fd1;", "not .rn"},
		{"div.full.f32 %f1, %f2, %f3;", "", "not .rn"},
		{"atom.global.add.u32 %r1, [%rd1], %r2;", "st.global.u32 [%rd1], %r2;", "atomic"},
		{"atom.shared.cas.b32 %r1, [%rd1], %r2, %r3;", "", "atomic"},
		{"red.global.add.f32 [%rd1], %f2;", "", "atomic"},
		{"ld.local.u32 %r1, [%rd1];", "ld.global.u32 %r1, [%rd1];", "local memory"},
		{"st.local.u32 [%rd1], %r1;", "", "local memory"},
		{".local .align 4 .b8 depot[8];", ".shared .align 4 .b8 depot[8];", "local memory"},
		{"cvta.local.u64 %rd1, %rd2;", "cvta.global.u64 %rd1, %rd2;", "local memory"},
		{"ld.volatile.global.u32 %r1, [%rd1];", "", "unknown instruction"},
		{"vote.sync.any.pred %p1, %p2, -1;", "", "unknown instruction"},
		{"call f;", "", "unknown instruction"},
		{"membar.gl;", "", "unknown instruction"},
		{"bar.sync 1;", "bar.sync 0;", "unknown instruction"},
		{"bar.sync 0, 32;", "", "unknown instruction"},
		{"brx.idx %r1, $t;", "", "unknown instruction"},
		{"fma.f32 %f1, %f2, %f3, %f4;", "", "not .rn"},
		{"cvt.f32.f64 %f1, %fd1;", "cvt.rn.f32.f64 %f1, %fd1;", "unknown instruction"},
		{"cvt.rn.sat.f32.f64 %f1, %fd1;", "", "unknown instruction"},
		{"cvt.sat.s8.s32 %r1, %r2;", "cvt.s8.s32 %r1, %r2;", "unknown instruction"},
		{"cvt.s32.f32 %r1, %f2;", "cvt.rzi.s32.f32 %r1, %f2;", "unknown instruction"},
		{"setp.lo.s32 %p1, %r1, %r2;", "setp.lo.u32 %p1, %r1, %r2;", "unknown instruction"},
		{"setp.lt.b32 %p1, %r1, %r2;", "setp.ne.b32 %p1, %r1, %r2;", "unknown instruction"},
		{"setp.ltu.s32 %p1, %r1, %r2;", "setp.ltu.f32 %p1, %f1, %f2;", "unknown instruction"},
		{"setp.nan.u32 %p1, %r1, %r2;", "setp.nan.f32 %p1, %f1, %f2;", "unknown instruction"},
		{"setp.lt.s32 %r1, %r1, %r2;", "setp.lt.s32 %p1, %r1, %r2;", "has 32 bits, want 1"},
		{"@%r1 ret;", "@%p1 ret;", "has 32 bits, want 1"},
		{"add.s32 %r1, %r2;", "add.s32 %r1, %r2, 0;", "2 operands"},
		{"add.s32 %r1, %r2, %r3, %r4;", "add.s32 %r1, %r2, %r3;", "4 operands"},
		{"mov.u32 %r1;", "mov.u32 %r1, 0;", "1 operand"},
		{"ret 1;", "ret;", "unknown instruction"},
		{"add.s32 %r99, %r1, %r2;", "add.s32 %r9, %r1, %r2;", "not a declared register"},
		{"add.s32 %r1, %r99, %r2;", "", "%r99"},
		{"add.s32 %r1, %r2, 0x;", "add.s32 %r1, %r2, 0x1F;", "0x"},
		{"mov.u32 %r1, %clock;", "mov.u32 %r1, %laneid;", "%clock"},
		{"mov.u32 %r1, %warpid;", "mov.u32 %r1, %nctaid.z;", "%warpid"},
		{"{ .reg .b32 %inner; } mov.u32 %inner, 0;", "{ .reg .b32 %inner; mov.u32 %inner, 0; }", "%inner"},
		{"bra $nowhere;", "bra $here; $here:", "no label $nowhere"},
		{"$here: $here:", "$here:", "second label"},
		{"ld.global.u64 %r1, [%rd1];", "ld.global.u64 %rd2, [%rd1];", "has 32 bits"},
		{"ld.global.v4.f64 {%fd1, %fd2, %fd3, %fd4}, [%rd1];", "ld.global.v2.f64 {%fd1, %fd2}, [%rd1];", "4 elements of 8 bytes"},
		{"ld.global.v2.f32 {%f1, %f2, %f3}, [%rd1];", "", "3 elements"},
		{"ld.global.f16 %r1, [%rd1];", "ld.global.b16 %r1, [%rd1];", "unknown instruction"},
		{"ld.shared.nc.f32 %f1, [%rd1];", "ld.global.nc.f32 %f1, [%rd1];", "unknown instruction"},
		{"st.const.f32 [%rd1], %f1;", "st.f32 [%rd1], %f1;", "unknown instruction"},
		{"ld.global.f32 %f1, %rd1;", "ld.global.f32 %f1, [%rd1];", "address"},
		{"ld.global.f32 %f1, [nothing];", "", "nothing"},
		{"ld.global.f32 %f1, [%rd1+x];", "ld.global.f32 %f1, [%rd1+8];", "x"},
		{"ld.param.u64 %rd1, [z];", "ld.param.u64 %rd1, [c];", "no parameter z"},
		{"ld.param.u64 %rd1, [a+4];", "ld.param.u32 %r1, [a+4];", "8 bytes at byte 4"},
		{"ld.param.u32 %r1, [a+2];", "ld.param.u16 %r1, [a+2];", "4 bytes at byte 2"},
		{"shfl.bfly.b32 %r1, %r2, 1, 31;", "shfl.sync.bfly.b32 %r1, %r2, 1, 31, -1;", "unknown instruction"},
		{"mov.b64 %rd1, {%r1, %r2, %r3};", "mov.b64 %rd1, {%r1, %r2};", "%rd1"},
		{".reg .f16 %h<3>;", ".reg .f32 %h<3>;", "unknown directive"},
		{".loc 1 2 3;", ".pragma \"nounroll\";", "unknown directive"},
		{"; ;", "", "unknown instruction"},
	} {
		text := func(body string) string { return program("", ".reg .f64 %fd<9>;\nmov.u32 %r1, 0;\n"+body) }
		_, err := Parse(text(c.body))
		if err == nil {
			t.Errorf("%s is taken", c.body)
			continue
		}
		position, cause, _ := strings.Cut(err.Error(), "`: ")
		if !strings.HasPrefix(position, "ptx: kernel k, line 10 `") || !strings.Contains(cause, c.cause) {
			t.Errorf("%s: %v, want kernel k, line 10 and %q", c.body, err, c.cause)
		}
		if c.twin == "" {
			continue
		}
		if _, err := Parse(text(c.twin)); err != nil {
			t.Errorf("%s: %v", c.twin, err)
		}
	}
}

// TestFileRefusals has files that Parse does not take.
func TestFileRefusals(t *testing.T) {
	const entry = ".visible .entry k() { ret; }\n"
	for _, c := range []struct{ text, cause string }{
		{".version 8.0\n", "line 1 `.version 8.0`: only 7.0"},
		{"/* two\nlines */ // and\n.version 8.0\n", "line 3 `.version 8.0`: only 7.0"},
		{".version 7.0\n.target sm_90\n", "line 2 `.target sm_90`: only sm_70"},
		{".version 7.0\n.address_size 32\n", "only 64"},
		{fileHeader + ".func f() { ret; }\n", "no functions"},
		{fileHeader + ".visible .func (.param .b32 r) f() { ret; }\n", "no functions"},
		{fileHeader + ".global .align 4 .b8 x[4];\n" + entry, ".global memory"},
		{fileHeader + ".local .align 4 .b8 x[4];\n" + entry, "local memory"},
		{fileHeader + ".const .align 4 .b8 x[1] = {1, 2};\n" + entry, "2 values for 1 byte"},
		{fileHeader + ".const .align 4 .u32 x[1] = {y};\n" + entry, "\"y\""},
		{fileHeader + ".shared .align 3 .b8 x[4];\n" + entry, "aligned to 3"},
		{fileHeader + ".file 1 \"x\";\n" + entry, "unknown statement"},
		{fileHeader + entry + entry, "line 5: a second one"},
		{fileHeader + ".visible .entry k() { ret;", "closing brace"},
		{fileHeader + ".visible .entry k(.param .v4 .f32 x) { ret; }", "parameter"},
		{fileHeader + ".visible .entry k() .reqntid 32 { ret; }", "directive reqntid"},
		{fileHeader + ";" + entry, "unknown statement"},
	} {
		if _, err := Parse(c.text); err == nil || !strings.Contains(err.Error(), c.cause) {
			t.Errorf("%q: %v, want %q", c.text, err, c.cause)
		}
	}
	m, err := Parse("/* a comment\n */ " + fileHeader + "// another ; {\n" + entry)
	if err != nil {
		t.Fatal(err)
	}
	if m.Kernel("k") == nil || m.Kernel("l") != nil || m.Kernel("k").Name() != "k" {
		t.Error("the kernels of a file are others than its entries")
	}
}

// FuzzParse parses texts that may be anything: each is a module or an error of this package.
func FuzzParse(f *testing.F) {
	f.Add(program(".const .align 4 .b8 x[2] = {1, 2};\n.shared .align 4 .b8 s[4];", index+"@!%p1 st.global.v2.u32 [%rd1+4], {%r1, 3};"))
	f.Add(program("", "{ .reg .b32 %t; mov.b64 {%t, %r1}, %rd1; } $l: setp.lt.and.s32 %p1|%p2, %r1, 0, !%p3; bra $l; /* c"))
	f.Add(program("", "setp.00.. ,,,0;"))
	f.Add(fileHeader + ".visible .entry k(.param .align 8 .b8 x[12])\n.maxntid 32, 1, 1\n{ ld.param.u32 %r1, [x+8]; shfl.sync.up.b32 %r1|%p1, %r1, 1, 0, -1; }")
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := Parse(text); err != nil && !strings.HasPrefix(err.Error(), "ptx: ") {
			t.Errorf("%v", err)
		}
	})
}
