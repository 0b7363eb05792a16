package ptx

import (
	"encoding/binary"
	"fmt"
	"regexp"
	"strings"
	"testing"
)

const fileHeader = ".version 7.0\n.target sm_70\n.address_size 64\n"

// classes are the registers of the forms by their letters: the type of a load or store,
// and the width in bytes.
var classes = map[string]struct {
	declared string
	bytes    int
}{"rs": {"b16", 2}, "r": {"b32", 4}, "rd": {"b64", 8}, "f": {"f32", 4}, "fd": {"f64", 8}, "p": {"pred", 4}}

var class = regexp.MustCompile(`%(rs|rd|fd|r|f|p)\d+`)

// form is a kernel of one thread that executes an instruction: the registers of from
// are loaded from 8 bytes each, those of to are stored in 8 bytes each.
func form(instruction string, to, from []string) string {
	var text strings.Builder
	text.WriteString(fileHeader + ".visible .entry k(.param .u64 in, .param .u64 out)\n{\n")
	for name, c := range classes {
		fmt.Fprintf(&text, ".reg .%s %%%s<10>;\n", c.declared, name)
	}
	text.WriteString(".reg .b64 %in;\n.reg .b64 %out;\n.reg .b32 %truth;\nld.param.u64 %in, [in];\nld.param.u64 %out, [out];\n")
	for i, r := range from {
		c := classes[class.FindStringSubmatch(r)[1]]
		if c.declared == "pred" {
			fmt.Fprintf(&text, "ld.global.b32 %%truth, [%%in+%d];\nsetp.ne.b32 %s, %%truth, 0;\n", 8*i, r)
			continue
		}
		fmt.Fprintf(&text, "ld.global.%s %s, [%%in+%d];\n", c.declared, r, 8*i)
	}
	if text.WriteString(instruction); instruction[0] != '{' { // no scope
		text.WriteString(";\n")
	}
	for i, r := range to {
		c := classes[class.FindStringSubmatch(r)[1]]
		if c.declared == "pred" {
			fmt.Fprintf(&text, "selp.b32 %%truth, 1, 0, %s;\nst.global.b32 [%%out+%d], %%truth;\n", r, 8*i)
			continue
		}
		fmt.Fprintf(&text, "st.global.%s [%%out+%d], %s;\n", c.declared, 8*i, r)
	}
	text.WriteString("ret;\n}\n")
	return text.String()
}

// runForm executes an instruction whose registers, in order, are n results and then
// the values in from, and returns the results.
func runForm(t *testing.T, instruction string, n int, from ...uint64) []uint64 {
	t.Helper()
	names := class.FindAllString(instruction, -1)
	if len(names) != n+len(from) {
		t.Fatalf("%s: %d registers, want %d and %d", instruction, len(names), n, len(from))
	}
	m := NewMemory()
	in, out := m.Alloc(8*len(from)), m.Alloc(8*n)
	var values []byte
	for _, v := range from {
		values = binary.LittleEndian.AppendUint64(values, v)
	}
	results := make([]byte, 8*n)
	text := form(instruction, names[:n], names[n:])
	for _, err := range []error{m.Write(in, values), m.Write(out, results), launch(m, text, 1, 1, in, out), m.Read(out, results)} {
		if err != nil {
			t.Fatalf("%s: %v", instruction, err)
		}
	}
	var list []uint64
	for i := range n {
		list = append(list, binary.LittleEndian.Uint64(results[8*i:]))
	}
	return list
}

// launch parses a text and runs its kernel k on blocks of threads, with parameters of
// 8 bytes.
func launch(m *Memory, text string, blocks, threads uint32, params ...uint64) error {
	module, err := Parse(text)
	if err != nil {
		return err
	}
	var packed []byte
	for _, p := range params {
		packed = binary.LittleEndian.AppendUint64(packed, p)
	}
	return m.Launch(module.Kernel("k"), [3]uint32{blocks, 1, 1}, [3]uint32{threads, 1, 1}, 0, packed)
}

// A row is an instruction with the values that it reads and what it must make of them.
type row struct {
	form string
	from []uint64
	want uint64
}

func checkRows(t *testing.T, rows []row) {
	t.Helper()
	for _, c := range rows {
		if got := runForm(t, c.form, 1, c.from...); got[0] != c.want {
			t.Errorf("%s of %#x: %#x, want %#x", c.form, c.from, got[0], c.want)
		}
	}
}
