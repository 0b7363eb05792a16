package store

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestSealedShowsEveryByte damages a sealed file in every way that one byte can.
func TestSealedShowsEveryByte(t *testing.T) {
	type pointer struct {
		Name string  `json:"name"`
		Step int64   `json:"step"`
		Loss float64 `json:"loss"`
		Note string  `json:"note"`
	}
	want := pointer{Name: "checkpoints/step-1", Step: 172, Loss: 1.71, Note: "<é>\u2028 \n"}
	data, err := MarshalSealed(want)
	if err != nil {
		t.Fatal(err)
	}
	var got pointer
	if err := UnmarshalSealed("p.json", data, &got); err != nil || got != want {
		t.Fatalf("%+v, %v, want %+v", got, err, want)
	}
	damaged := func(what string, bad []byte) {
		t.Helper()
		err := UnmarshalSealed("dir/p.json", bad, new(pointer))
		if !errors.Is(err, ErrDamaged) || !strings.HasPrefix(err.Error(), "store: dir/p.json: byte") || !strings.Contains(err.Error(), "want") {
			t.Fatalf("%s: %v", what, err)
		}
	}
	for i := range data {
		for bit := range 8 {
			bad := bytes.Clone(data)
			bad[i] ^= 1 << bit
			damaged(fmt.Sprintf("byte %d, bit %d", i, bit), bad)
		}
		damaged(fmt.Sprintf("cut at %d", i), data[:i])
		damaged(fmt.Sprintf("without byte %d", i), append(bytes.Clone(data[:i]), data[i+1:]...))
		damaged(fmt.Sprintf("a space at %d", i), append(append(bytes.Clone(data[:i]), ' '), data[i:]...))
	}
	damaged("a line more", append(bytes.Clone(data), '\n'))
}

func TestSealedForm(t *testing.T) {
	data, err := MarshalSealed(map[string]any{"step": 1, "new": true})
	if err != nil {
		t.Fatal(err)
	}
	err = UnmarshalSealed("p.json", data, &struct{ Step int }{})
	if err == nil || errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), `"new"`) {
		t.Errorf("unknown key: %v", err)
	}
	for _, v := range []any{nil, 1, "text", []int{1}, struct{}{}, map[string]int{"Digest": 1}, func() {}} {
		if data, err := MarshalSealed(v); err == nil {
			t.Errorf("%T is sealed: %s", v, data)
		}
	}
}

func FuzzUnmarshalSealed(f *testing.F) {
	for _, v := range []any{map[string]int{"a": 1}, map[string]any{"a": map[string]int{"digest": 1}}} {
		data, err := MarshalSealed(v)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		v := map[string]any{}
		if err := UnmarshalSealed("f", data, &v); err != nil {
			return
		}
		again, err := MarshalSealed(v)
		if err != nil {
			t.Skip(err) // keys that MarshalSealed would refuse
		}
		w := map[string]any{}
		if err := UnmarshalSealed("f", again, &w); err != nil {
			t.Fatal(errors.Join(err, fmt.Errorf("%s", again)))
		}
	})
}

// TestReadSealed reads an object that is whole, absent, damaged, of an older format
// that is read too, of another format, of another form, and under a name that is not its own.
func TestReadSealed(t *testing.T) {
	type note struct {
		Format string `json:"format"`
		Slot   string `json:"slot"`
	}
	ctx := t.Context()
	st, err := Open(ctx, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	put := func(name string, v any) []byte {
		data, err := MarshalSealed(v)
		if err == nil {
			_, err = st.Put(ctx, name, data)
		}
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	data := put("whole", note{"note/1", "a"})
	older := put("older", note{"note/0", "a"})
	put("newer", map[string]any{"format": "note/2", "slots": []string{"a"}})
	put("number", map[string]any{"format": 1})
	put("none", map[string]any{"slots": 1})
	put("form", map[string]any{"format": "note/1", "slots": 1})
	put("other", note{"note/1", "b"})
	if _, err := st.Put(ctx, "damaged", data[1:]); err != nil {
		t.Fatal(err)
	}
	if _, err := st.Put(ctx, "sparse", nil); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(st.Join("sparse"), 200e9); err != nil {
		t.Skipf("this file system has no sparse files of 200 GB: %v", err)
	}
	info, err := st.Stat(ctx, "whole")
	if err != nil {
		t.Fatal(err)
	}
	var n note
	if _, err := st.ReadSealed(ctx, "older", &n, Sealed{Format: "note/1", Older: "note/0"}); err != nil || n != (note{"note/0", "a"}) {
		t.Errorf("%s is read as %+v, %v", older, n, err)
	}
	for _, c := range []struct{ name, alternative, want string }{
		{"older", "", `store: ` + st.Join("older") + `: format is "note/0", want "note/1"; put back an intact copy`},
		{"whole", "", ""},
		{"absent", "", "no such object"},
		{"damaged", "", "a byte of one or the other is damaged; put back an intact copy"},
		{"damaged", "delete it", "a byte of one or the other is damaged; put back an intact copy, or delete it"},
		{"sparse", "", "store: " + st.Join("sparse") + ": it has 200000000000 bytes, want at most 67108864: these are not the bytes that were written; put back an intact copy"},
		{"sparse", "delete it", "; put back an intact copy, or delete it"},
		{"newer", "", `store: ` + st.Join("newer") + `: format is "note/2", want "note/1"; put back an intact copy`},
		{"number", "", `format is 1, want "note/1"; put back an intact copy`},
		{"none", "", `format is missing, want "note/1"; put back an intact copy`},
		{"form", "", `intact, but not of the expected form: json: unknown field "slots"; put back an intact copy`},
		{"other", "", `store: ` + st.Join("other") + `: slot is "b", want "a"; put back an intact copy`},
	} {
		var n note
		generation, err := st.ReadSealed(ctx, c.name, &n, Sealed{Format: "note/1", Else: c.alternative, Check: func() error {
			if n.Slot != "a" {
				return fmt.Errorf("slot is %q, want %q", n.Slot, "a")
			}
			return nil
		}})
		switch {
		case c.want == "" && (err != nil || generation != info.Generation || n != note{"note/1", "a"}):
			t.Errorf("%s: %+v of generation %s, %v", c.name, n, generation, err)
		case c.want != "" && (err == nil || generation != "" || !strings.HasSuffix(err.Error(), c.want)):
			t.Errorf("%s: generation %q, error %v, want one that ends with %q", c.name, generation, err, c.want)
		case errors.Is(err, ErrDamaged) != (c.name == "damaged" || c.name == "sparse"), errors.Is(err, ErrNotExist) != (c.name == "absent"):
			t.Errorf("%s: class of %v", c.name, err)
		}
	}
}
