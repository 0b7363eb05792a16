package promotion

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/runners/store"
)

// TestOpen: what is served is the copy, byte for byte, also by a workdir of another
// spelling. A copy that is gone, damaged or another checkpoint is an error with its name,
// and a promotion of the same model makes it again.
func TestOpen(t *testing.T) {
	dir, paths := variants(t, 2)
	if _, err := Promote(t.Context(), dir, paths[0], "best"); err != nil {
		t.Fatal(err)
	}
	intact, err := os.ReadFile(paths[0])
	if err != nil {
		t.Fatal(err)
	}
	kept := copyOf(t, dir, paths[0])
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	for _, workdir := range []string{dir, link} {
		m, err := Open(t.Context(), workdir)
		if err != nil || m.Path != filepath.Join(workdir, "promoted", filepath.Base(kept)) || m.Bytes != int64(len(intact)) {
			t.Errorf("from %s: %+v, %v", workdir, m, err)
		}
	}
	if data, err := os.ReadFile(kept); err != nil || string(data) != string(intact) {
		t.Errorf("the copy differs from the checkpoint: %v", err)
	}
	other, err := os.ReadFile(paths[1])
	if err != nil {
		t.Fatal(err)
	}
	flipped := append([]byte{}, intact...)
	flipped[len(flipped)/2] ^= 1
	for what, data := range map[string][]byte{"gone": nil, "another checkpoint": other, "damaged": flipped, "cut off": intact[:len(intact)-1]} {
		err := os.Remove(kept)
		if err == nil && data != nil {
			err = os.WriteFile(kept, data, 0o666)
		}
		if err != nil {
			t.Fatal(err)
		}
		var unusable *ModelError
		if _, err := Open(t.Context(), dir); !errors.As(err, &unusable) || unusable.From != paths[0] || unusable.Number != 1 || !strings.Contains(err.Error(), kept) {
			t.Errorf("%s: %v", what, err)
		}
		if res, err := Promote(t.Context(), dir, paths[0], "best"); err != nil || *res != (Result{kept, kept}) {
			t.Errorf("%s, promoted again: %+v, %v", what, res, err)
		}
		if now, err := os.ReadFile(kept); err != nil || string(now) != string(intact) {
			t.Errorf("%s: the copy is not made again: %v", what, err)
		}
	}
	if all := chain(t, dir); len(all) != 1 {
		t.Errorf("there are %d promotions, want 1", len(all))
	}
}

// TestOutage: a model in service that cannot be read for a while is not called unusable,
// and nothing is advised that does not help.
func TestOutage(t *testing.T) {
	dir, paths := variants(t, 1)
	if _, err := Promote(t.Context(), dir, paths[0], "best"); err != nil {
		t.Fatal(err)
	}
	restore := store.InjectFaults(func(op, name string) error {
		if op == "open" && strings.HasSuffix(name, ".safetensors") {
			return store.ErrTransient
		}
		return nil
	})
	defer restore()
	st, err := store.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	_, opened := Open(t.Context(), dir)
	b := Incumbent{Checkpoint: "promoted/" + filepath.Base(copyOf(t, dir, paths[0]))}
	for _, err := range []error{opened, b.Check(t.Context(), st)} {
		if !store.Transient(err) || errors.As(err, new(*ModelError)) {
			t.Errorf("got %v", err)
		}
	}
}

// TestJudged: a model with another digest than the one that was judged is not promoted, and
// leaves no copy. The judged one is.
func TestJudged(t *testing.T) {
	dir, paths := variants(t, 2)
	st, err := store.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	m, err := text.OpenModel(t.Context(), paths[0], "best")
	if err != nil {
		t.Fatal(err)
	}
	other, err := text.OpenModel(t.Context(), paths[1], "best")
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = Install(t.Context(), st, other, Promoted{By: ByRound, SHA256: m.SHA256}, "")
	if !errors.Is(err, store.ErrDamaged) || !strings.Contains(err.Error(), paths[1]+": ") ||
		!strings.Contains(err.Error(), "the model that was judged has "+m.SHA256) {
		t.Errorf("the error is %v", err)
	}
	for _, name := range []string{"promoted.json", "promoted", "promotions"} {
		if _, err := os.Stat(filepath.Join(dir, name)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: %v", name, err)
		}
	}
	now, before, err := Install(t.Context(), st, m, Promoted{By: ByRound, SHA256: m.SHA256}, "")
	if err != nil || before != nil || now.SHA256 != m.SHA256 {
		t.Errorf("the judged model: %+v, %+v, %v", now, before, err)
	}
}

// TestLyingRecord: a record that names the copy, and has another size or set, is not believed.
func TestLyingRecord(t *testing.T) {
	dir, paths := variants(t, 1)
	if _, err := Promote(t.Context(), dir, paths[0], "best"); err != nil {
		t.Fatal(err)
	}
	st, err := store.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	record := chain(t, dir)[0]
	for want, change := range map[string]func(p *Promoted){
		"its record says 7 with": func(p *Promoted) { p.Bytes = 7 },
		"of beef":                func(p *Promoted) { p.Set = "beef" },
	} {
		p := record
		change(&p)
		data, _, err := p.encode()
		if err == nil {
			err = st.Replace(t.Context(), PointerName, data)
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Open(t.Context(), dir); !errors.Is(err, store.ErrDamaged) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want one with %q", err, want)
		}
	}
}

// old writes promoted.json and its history as the program of quire-promoted/1 did.
func old(t *testing.T, st *store.Store, checkpoints ...string) {
	t.Helper()
	previous := ""
	for i, name := range checkpoints {
		p := &Promoted{Format: older, Number: int64(i + 1), Checkpoint: name, By: ByRound, Round: "key", Nats: 1.5, Previous: previous}
		data, record, err := p.encode()
		if err == nil {
			_, err = st.Put(t.Context(), record, data)
		}
		if err == nil {
			err = st.Replace(t.Context(), PointerName, data)
		}
		if err != nil {
			t.Fatal(err)
		}
		previous = record
	}
}

// TestOlder: a workdir of an earlier program opens. Its model in service gets a copy and a
// digest, once; models before it are restored from where they were.
func TestOlder(t *testing.T) {
	dir, paths := variants(t, 3)
	st, err := store.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	names := make([]string, len(paths))
	for i, path := range paths {
		if names[i], err = store.Below(dir, path); err != nil {
			t.Fatal(err)
		}
	}
	old(t, st, names[0], names[1])
	data, err := os.ReadFile(filepath.Join(dir, PointerName))
	if err != nil || strings.Contains(string(data), "sha256\":") || strings.Contains(string(data), "from") {
		t.Fatalf("promoted.json is %s, %v, which no earlier program wrote", data, err)
	}
	if m, err := Open(t.Context(), dir); err != nil || m.Path != paths[1] {
		t.Errorf("before it is adopted: %+v, %v", m, err)
	}
	if b, err := FindIncumbent(t.Context(), st, "", names[1]); err != nil || b.Checkpoint != names[0] || b.SHA256 != "" {
		t.Errorf("the incumbent of the model in service is %+v, %v", b, err)
	}
	for range 2 {
		if err := Adopt(t.Context(), st); err != nil {
			t.Fatal(err)
		}
		if m, err := Open(t.Context(), dir); err != nil || m.Path != copyOf(t, dir, paths[1]) {
			t.Errorf("adopted: %+v, %v", m, err)
		}
		p := chain(t, dir)[0]
		if p.Format != format || p.From != names[1] || p.By != ByRound || p.Round != "key" || p.Nats != 1.5 {
			t.Errorf("the record is %+v", p)
		}
	}
	if _, err := Promote(t.Context(), dir, paths[2], "best"); err != nil {
		t.Fatal(err)
	}
	want := []string{copyOf(t, dir, paths[1]), copyOf(t, dir, paths[0])}
	if err := os.Remove(paths[1]); err != nil { // its copy is enough
		t.Fatal(err)
	}
	for i := range want {
		if res, err := Rollback(t.Context(), dir); err != nil || res.Promoted != want[i] {
			t.Errorf("rollback %d: %+v, %v, want %s", i+1, res, err, want[i])
		}
	}
	if all := chain(t, dir); len(all) != 5 {
		t.Errorf("there are %d promotions, want 5", len(all))
	}
}

// TestOlderGone: where the model of an earlier program is gone, Adopt says so, and another
// model can be promoted.
func TestOlderGone(t *testing.T) {
	dir, paths := variants(t, 1)
	st, err := store.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	old(t, st, "runs/gone/checkpoints/step-00000001.safetensors")
	var gone *text.ModelError
	if err := Adopt(t.Context(), st); !errors.As(err, &gone) || !strings.Contains(err.Error(), "no copy of the model in service can be made") {
		t.Errorf("adopting what is gone: %v", err)
	}
	if res, err := Promote(t.Context(), dir, paths[0], "best"); err != nil || res.Promoted != copyOf(t, dir, paths[0]) {
		t.Errorf("promoting in place of what is gone: %+v, %v", res, err)
	}
}
