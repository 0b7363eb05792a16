package ptx

import (
	"encoding/binary"
	"errors"
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

// TestFaults has kernels of which each does one thing that it may not do, and twins
// that differ in that alone. They run with 2 blocks of 64 threads; a and b are 128
// words.
func TestFaults(t *testing.T) {
	const shared = ".shared .align 4 .b8 s[256];\n"
	// The thread writes its word of s; %rd4 is its address.
	const store = `
mov.u32 %r4, %tid.x; mov.u64 %rd5, s; mul.wide.u32 %rd4, %r4, 4; add.s64 %rd4, %rd5, %rd4;
st.shared.u32 [%rd4], %r4; bar.sync 0;
`
	for _, c := range []struct {
		name, variables, body, twin string
		line                        string // the instruction at fault; of a race it may be either
		cause                       string
	}{
		{"shared race", shared, store + "st.shared.u32 [%rd4], %r1; ld.shared.u32 %r5, [s+4];", store + "st.shared.u32 [%rd4], %r1; bar.sync 0; ld.shared.u32 %r5, [s+4];",
			"", "no barrier is in between"},
		{"global race in a block", "", index + "xor.b32 %r4, %r1, 1; ld.param.u64 %rd4, [a]; mul.wide.u32 %rd5, %r4, 4; add.s64 %rd4, %rd4, %rd5;" +
			"st.global.u32 [%rd1], %r1; ld.global.u32 %r5, [%rd4];",
			index + "xor.b32 %r4, %r1, 1; ld.param.u64 %rd4, [a]; mul.wide.u32 %rd5, %r4, 4; add.s64 %rd4, %rd4, %rd5;" +
				"st.global.u32 [%rd1], %r1; bar.sync 0; ld.global.u32 %r5, [%rd4];",
			"", "no barrier is in between"},
	} {
		run := func(body string) error {
			m := NewMemory()
			list := make([]uint32, 128)
			return launch(m, program(c.variables, body), 2, 64, words(t, m, list...), words(t, m, list...), 0)
		}
		var f *Fault
		if err := run(c.body); !errors.As(err, &f) {
			t.Errorf("%s: %v, want a fault", c.name, err)
		} else if c.line != "" && f.Text != c.line || !strings.Contains(f.Cause, c.cause) {
			t.Errorf("%s: %v, want `%s` and %q", c.name, err, c.line, c.cause)
		}
		if err := run(c.twin); err != nil {
			t.Errorf("%s, the twin: %v", c.name, err)
		}
	}
}
