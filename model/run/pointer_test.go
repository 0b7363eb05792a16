package run

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

	"github.com/quire-ml/quire/model/checkpoint"
	"github.com/quire-ml/quire/runners/store"
)

func testPointer() checkpoint.Pointer {
	loss := 1.25
	return checkpoint.Pointer{Format: checkpoint.PointerFormat, Name: "checkpoints/step-00000172.safetensors", Bytes: 1000,
		SHA256: strings.Repeat("ab", 32), Step: 172, Loss: &loss}
}

func TestPointer(t *testing.T) {
	ctx := context.Background()
	st := newStore(t)
	for _, which := range []string{Latest, Best} {
		p := pointer{which: which}
		if err := p.read(ctx, st); !errors.Is(err, fs.ErrNotExist) || p.generation != "" {
			t.Fatalf("before any: %q, %v", p.generation, err)
		}
		first := testPointer()
		if err := p.swap(ctx, st, first); err != nil {
			t.Fatal(err)
		}
		got := pointer{which: which}
		if err := got.read(ctx, st); err != nil || got.generation == "" || !reflect.DeepEqual(got.Pointer, first) {
			t.Fatalf("%+v, %v", got, err)
		}
		next := first
		next.Step, next.Name, next.Loss = 344, checkpoint.Path(344), nil
		if err := p.swap(ctx, st, next); !errors.Is(err, store.ErrConflict) {
			t.Errorf("a second first one: %v, want a conflict", err)
		}
		if err := got.swap(ctx, st, next); err != nil {
			t.Fatal(err)
		}
		if err := got.swap(ctx, st, first); !errors.Is(err, store.ErrConflict) {
			t.Errorf("from an old generation: %v, want a conflict", err)
		}
		if err := got.read(ctx, st); err != nil || !reflect.DeepEqual(got.Pointer, next) {
			t.Errorf("%+v, %v", got, err)
		}
	}
	if text, err := os.ReadFile(st.Join("latest.json")); err != nil || !strings.HasPrefix(string(text), goldenPointer) {
		t.Errorf("latest.json is %s, %v", text, err)
	}
}

// TestMove: a pointer that names the checkpoint already is not written. A pointer
// that another process has moved is a conflict, unless it names the checkpoint.
func TestMove(t *testing.T) {
	ctx, st := context.Background(), newStore(t)
	one, two := testPointer(), testPointer()
	two.Step, two.Name = 344, checkpoint.Path(344)
	mine, other := pointer{which: Latest}, pointer{which: Latest}
	if err := mine.move(ctx, st, one); err != nil || mine.generation == "" {
		t.Fatalf("%+v, %v", mine, err)
	}
	generation := mine.generation
	if err := mine.move(ctx, st, one); err != nil || mine.generation != generation {
		t.Errorf("to its place: %+v, %v", mine, err)
	}
	if err := other.move(ctx, st, one); err != nil || other.generation != generation {
		t.Errorf("to where another has moved it: %+v, %v", other, err)
	}
	if err := other.move(ctx, st, two); err != nil {
		t.Fatal(err)
	}
	if err := mine.move(ctx, st, withLoss(one, 1)); !errors.Is(err, store.ErrConflict) || !mine.is(two) {
		t.Errorf("from an old generation: %+v, %v, want a conflict", mine, err)
	}
	if err := mine.move(ctx, st, one); err != nil || !mine.is(one) {
		t.Errorf("from the newest generation: %+v, %v", mine, err)
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
	st := newStore(t)
	nan := math.NaN()
	for want, change := range map[string]func(p *checkpoint.Pointer){
		`format is "", want "quire-pointer/1"`: func(p *checkpoint.Pointer) { p.Format = "" },
		`step is -1`:                           func(p *checkpoint.Pointer) { p.Step = -1 },
		`name is "checkpoints/../x", want "checkpoints/step-00000172.safetensors" for step 172`: func(p *checkpoint.Pointer) { p.Name = "checkpoints/../x" },
		`bytes is 0`:  func(p *checkpoint.Pointer) { p.Bytes = 0 },
		`sha256 is "`: func(p *checkpoint.Pointer) { p.SHA256 = strings.Repeat("AB", 32) },
		`NaN`:         func(p *checkpoint.Pointer) { p.Loss = &nan },
	} {
		p := testPointer()
		change(&p)
		if err := (&pointer{which: Latest}).swap(ctx, st, p); err == nil || !strings.Contains(err.Error(), want) ||
			!strings.Contains(err.Error(), st.Join("latest.json")) {
			t.Errorf("swap: %v, want %s", err, want)
		}
		data, err := store.MarshalSealed(p)
		if err != nil {
			continue // NaN
		}
		if err := os.WriteFile(st.Join("best.json"), data, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := (&pointer{which: Best}).read(ctx, st); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), st.Join("best.json")) {
			t.Errorf("read: %v, want %s", err, want)
		}
	}
	if _, err := Find(ctx, st, "worst"); err == nil || !strings.Contains(err.Error(), `"worst" names no pointer; want latest or best`) {
		t.Errorf("pointer worst: %v", err)
	}
}

// TestDamagedPointer flips every byte of latest.json, cuts it to every length
// and makes it longer.
func TestDamagedPointer(t *testing.T) {
	ctx := context.Background()
	st := newStore(t)
	committed(t, st, Retention{}, 172)
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
		_, err1 := Find(ctx, st, Latest)
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

// TestIs: a pointer to another file under the same name, or with another loss, is another.
func TestIs(t *testing.T) {
	p, loss := pointer{Pointer: testPointer()}, 9.0
	if !p.is(testPointer()) {
		t.Error("it is not itself")
	}
	for what, change := range map[string]func(q *checkpoint.Pointer){
		"name":    func(q *checkpoint.Pointer) { q.Name = checkpoint.Path(9) },
		"sha256":  func(q *checkpoint.Pointer) { q.SHA256 = strings.Repeat("0", 64) },
		"loss":    func(q *checkpoint.Pointer) { q.Loss = &loss },
		"no loss": func(q *checkpoint.Pointer) { q.Loss = nil },
	} {
		q := testPointer()
		if change(&q); p.is(q) {
			t.Errorf("another %s: it is the same", what)
		}
	}
}

// TestWorse: an equal loss does not move a pointer; no pointer and an unknown loss are worse
// than any.
func TestWorse(t *testing.T) {
	at := func(loss float64) checkpoint.Pointer { return checkpoint.Pointer{Loss: &loss} }
	for _, c := range []struct {
		p    pointer
		loss float64
		want bool
	}{
		{pointer{}, 3, true}, {pointer{generation: "1"}, 3, true}, {pointer{generation: "1", Pointer: at(2)}, 3, false},
		{pointer{generation: "1", Pointer: at(2)}, 2, false}, {pointer{generation: "1", Pointer: at(2)}, 1.5, true},
	} {
		if got := c.p.worse(at(c.loss)); got != c.want {
			t.Errorf("%+v and %g: %v, want %v", c.p, c.loss, got, c.want)
		}
	}
}
