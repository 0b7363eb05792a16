package promotion

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/quire-ml/quire/runners/store"
)

// TestSwap promotes once more what was killed before the pointer moved, and what is
// promoted already.
func TestSwap(t *testing.T) {
	dir := t.TempDir()
	st, err := store.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	a, _, err := Swap(t.Context(), st, Promoted{Checkpoint: "a", By: ByRound, Round: "1", Nats: 1.5})
	if err != nil || a.Number != 1 || a.Previous != "" {
		t.Fatalf("%+v, %v", a, err)
	}
	data, name, err := (&Promoted{Format: format, Number: 2, Checkpoint: "b", By: ByRound, Previous: mustName(t, a)}).encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := st.Put(t.Context(), name, data); err != nil { // as far as a killed round came
		t.Fatal(err)
	}
	b, before, err := Swap(t.Context(), st, Promoted{Checkpoint: "b", By: ByRound})
	if err != nil || *before != *a || mustName(t, b) != name {
		t.Errorf("%+v after %+v, %v", b, before, err)
	}
	again, before, err := Swap(t.Context(), st, Promoted{Checkpoint: "b", By: ByRound, Round: "other"})
	if err != nil || *again != *b || *before != *b {
		t.Errorf("again %+v after %+v, %v", again, before, err)
	}
	list, err := st.List(t.Context(), "promotions/")
	if err != nil || len(list) != 2 {
		t.Errorf("records are %v, %v, want 2", list, err)
	}
}

func mustName(t *testing.T, p *Promoted) string {
	t.Helper()
	_, name, err := p.encode()
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// chain fails unless the records of a workdir, the last one first, are numbered to 1
// and each names the one before it. It returns the records.
func chain(t *testing.T, dir string) []Promoted {
	t.Helper()
	all, err := History(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range all {
		previous := ""
		if i+1 < len(all) {
			previous = mustName(t, &all[i+1])
		}
		if p.Number != int64(len(all)-i) || p.Previous != previous {
			t.Errorf("record %d of %d is number %d after %q, want after %q", len(all)-i, len(all), p.Number, p.Previous, previous)
		}
	}
	return all
}

// opened returns the store of a temporary workdir.
func opened(t *testing.T) (dir string, st *store.Store) {
	t.Helper()
	dir = t.TempDir()
	st, err := store.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	return dir, st
}

// promoted makes models, named so, the promoted one in turn.
func promoted(t *testing.T, st *store.Store, by string, names ...string) (last *Promoted) {
	t.Helper()
	for _, name := range names {
		now, _, err := Swap(t.Context(), st, Promoted{Checkpoint: name, By: by, At: "now"})
		if err != nil {
			t.Fatal(err)
		}
		last = now
	}
	return last
}

// TestHistory has the records of a workdir without promotions, with some, and with
// only promoted.json left of them: the next promotion puts its record back.
func TestHistory(t *testing.T) {
	dir, st := opened(t)
	all, err := History(t.Context(), dir)
	if data, _ := json.Marshal(all); err != nil || string(data) != "[]" {
		t.Errorf("no history is %s, %v", data, err)
	}
	first := promoted(t, st, ByRound, "a")
	if err := st.Delete(t.Context(), mustName(t, first), ""); err != nil {
		t.Fatal(err)
	}
	promoted(t, st, ByRound, "b")
	if all := chain(t, dir); len(all) != 2 || all[0].Checkpoint != "b" || all[1] != *first {
		t.Errorf("history is %+v", all)
	}
	if err := st.Delete(t.Context(), mustName(t, first), ""); err != nil {
		t.Fatal(err)
	}
	if all, err := History(t.Context(), dir); !errors.Is(err, store.ErrNotExist) || len(all) != 1 || !strings.Contains(fmt.Sprint(err), mustName(t, first)) {
		t.Errorf("a history without its first record: %+v, %v", all, err)
	}
}

// TestDamage: no function believes a promoted.json or a record with a changed byte,
// and none writes then.
func TestDamage(t *testing.T) {
	dir, st := opened(t)
	promoted(t, st, ByRound, "a", "b")
	first := chain(t, dir)[1]
	for _, test := range []struct{ name, remedy string }{{pointerName, "or delete it and run a round"}, {mustName(t, &first), "put back an intact copy"}} {
		path := filepath.Join(dir, filepath.FromSlash(test.name))
		intact, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		damaged := []byte(strings.Replace(string(intact), `"by": "round"`, `"by": "hound"`, 1))
		if err := os.WriteFile(path, damaged, 0o666); err != nil {
			t.Fatal(err)
		}
		var errs []error
		_, err = History(t.Context(), dir)
		errs = append(errs, err)
		_, err = Rollback(t.Context(), dir)
		errs = append(errs, err)
		_, err = FindIncumbent(t.Context(), st, "b")
		errs = append(errs, err)
		_, err = FindIncumbent(t.Context(), st, "c")
		errs = append(errs, err)
		if test.name == pointerName {
			_, err = Path(t.Context(), dir)
			errs = append(errs, err)
			_, _, err = Swap(t.Context(), st, Promoted{Checkpoint: "c", By: ByRound})
			errs = append(errs, err)
		}
		for i, err := range errs {
			if !errors.Is(err, store.ErrDamaged) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), test.remedy) {
				t.Errorf("%s, call %d: %v", test.name, i, err)
			}
		}
		if err := os.WriteFile(path, intact, 0o666); err != nil {
			t.Fatal(err)
		}
		if now, _, err := Read(t.Context(), st); err != nil || now.Checkpoint != "b" {
			t.Errorf("%s: afterwards %+v, %v", test.name, now, err)
		}
	}
	other, err := store.MarshalSealed(map[string]string{"format": "quire-promoted/2"})
	if err != nil {
		t.Fatal(err)
	}
	if err := st.Replace(t.Context(), pointerName, other); err != nil {
		t.Fatal(err)
	}
	if _, err := Path(t.Context(), dir); err == nil || !strings.Contains(err.Error(), `"quire-promoted/2", want "quire-promoted/1"`) {
		t.Errorf("another format: %v", err)
	}
}
