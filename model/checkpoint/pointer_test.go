package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/quire-ml/quire/runners/store"
)

func testPointer() Pointer {
	loss := 1.25
	return Pointer{Format: pointerFormat, Name: "checkpoints/step-00000172.safetensors", Bytes: 1000, SHA256: strings.Repeat("ab", 32), Step: 172, Loss: &loss}
}

func TestPointer(t *testing.T) {
	ctx := context.Background()
	st := openStore(t, t.TempDir())
	for _, which := range []string{"latest", "best"} {
		if _, g, err := ReadPointer(ctx, st, which); !errors.Is(err, fs.ErrNotExist) || g != "" {
			t.Fatalf("before any: %q, %v", g, err)
		}
		p := testPointer()
		if err := SwapPointer(ctx, st, which, p, ""); err != nil {
			t.Fatal(err)
		}
		got, g, err := ReadPointer(ctx, st, which)
		if err != nil || g == "" || !reflect.DeepEqual(got, p) {
			t.Fatalf("%+v, %q, %v", got, g, err)
		}
		next := p
		next.Step, next.Name, next.Loss = 344, Path(344), nil
		if err := SwapPointer(ctx, st, which, next, ""); !errors.Is(err, store.ErrConflict) {
			t.Errorf("a second first one: %v, want a conflict", err)
		}
		if err := SwapPointer(ctx, st, which, next, g); err != nil {
			t.Fatal(err)
		}
		if err := SwapPointer(ctx, st, which, p, g); !errors.Is(err, store.ErrConflict) {
			t.Errorf("from an old generation: %v, want a conflict", err)
		}
		if got, _, err := ReadPointer(ctx, st, which); err != nil || !reflect.DeepEqual(got, next) {
			t.Errorf("%+v, %v", got, err)
		}
	}
	if text, err := os.ReadFile(st.Join("latest.json")); err != nil || !strings.HasPrefix(string(text), goldenPointer) {
		t.Errorf("latest.json is %s, %v", text, err)
	}
}

const goldenPointer = `{
  "format": "quire-pointer/1",
  "name": "checkpoints/step-00000344.safetensors",
  "bytes": 1000,
  "sha256": "abababababababababababababababababababababababababababababababab",
  "step": 344,
  "loss": null,
  "digest": "`

func TestPointerRefuses(t *testing.T) {
	ctx := context.Background()
	st := openStore(t, t.TempDir())
	nan := math.NaN()
	for want, change := range map[string]func(p *Pointer){
		`format is ""`: func(p *Pointer) { p.Format = "" },
		`step is -1`:   func(p *Pointer) { p.Step = -1 },
		`name is "checkpoints/../x", want "checkpoints/step-00000172.safetensors" for step 172`: func(p *Pointer) { p.Name = "checkpoints/../x" },
		`bytes is 0`:  func(p *Pointer) { p.Bytes = 0 },
		`sha256 is "`: func(p *Pointer) { p.SHA256 = strings.Repeat("AB", 32) },
		`NaN`:         func(p *Pointer) { p.Loss = &nan },
	} {
		p := testPointer()
		change(&p)
		if err := SwapPointer(ctx, st, "latest", p, ""); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), st.Join("latest.json")) {
			t.Errorf("SwapPointer: %v, want %s", err, want)
		}
		data, err := store.MarshalSealed(p)
		if err != nil {
			continue // NaN
		}
		if err := os.WriteFile(st.Join("best.json"), data, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, _, err := ReadPointer(ctx, st, "best"); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), st.Join("best.json")) {
			t.Errorf("ReadPointer: %v, want %s", err, want)
		}
	}
	if _, _, err := ReadPointer(ctx, st, "worst"); err == nil {
		t.Error("there is a pointer worst")
	}
	if err := SwapPointer(ctx, st, "worst", testPointer(), ""); err == nil {
		t.Error("a pointer worst was written")
	}
}

// TestDamagedPointer flips every byte of latest.json, cuts it to every length
// and makes it longer.
func TestDamagedPointer(t *testing.T) {
	ctx := context.Background()
	st, p := save(t, tiny())
	if err := SwapPointer(ctx, st, "latest", p, ""); err != nil {
		t.Fatal(err)
	}
	path := st.Join("latest.json")
	intact, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	check := func(what string, damaged []byte) {
		t.Helper()
		if err := os.WriteFile(path, damaged, 0o644); err != nil {
			t.Fatal(err)
		}
		_, _, err1 := ReadPointer(ctx, st, "latest")
		_, _, err2 := Open(ctx, st.URL(), "best")
		for _, err := range []error{err1, err2} {
			if err == nil || errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "byte") {
				t.Fatalf("%s: %v", what, err)
			}
		}
	}
	for at := range intact {
		for bit := range 8 {
			damaged := append([]byte{}, intact...)
			damaged[at] ^= 1 << bit
			check(fmt.Sprintf("bit %d of byte %d flipped", bit, at), damaged)
		}
		check(fmt.Sprintf("cut to %d bytes", at), intact[:at])
	}
	check("a byte more", append(append([]byte{}, intact...), '\n'))
}
