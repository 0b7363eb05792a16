package promotion

import (
	"crypto/sha256"
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
	first := fake("a", ByRound)
	first.Round, first.Nats = "1", 1.5
	a, _, err := Swap(t.Context(), st, first, "")
	if err != nil || a.Number != 1 || a.Previous != "" {
		t.Fatalf("%+v, %v", a, err)
	}
	_, seen, err := Read(t.Context(), st)
	if err != nil {
		t.Fatal(err)
	}
	next := fake("b", ByRound)
	killed := next
	killed.Format, killed.Number, killed.Previous = format, 2, mustName(t, a)
	data, name, err := killed.encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := st.Put(t.Context(), name, data); err != nil { // as far as a killed round came
		t.Fatal(err)
	}
	b, before, err := Swap(t.Context(), st, next, seen)
	if err != nil || *before != *a || mustName(t, b) != name {
		t.Errorf("%+v after %+v, %v", b, before, err)
	}
	next.Round, next.From = "other", "another path of the same model"
	again, before, err := Swap(t.Context(), st, next, seen)
	if err != nil || *again != *b || *before != *b {
		t.Errorf("again %+v after %+v, %v", again, before, err)
	}
	for _, old := range []string{seen, ""} { // generations before b
		if _, _, err := Swap(t.Context(), st, fake("c", ByRound), old); !errors.Is(err, store.ErrConflict) ||
			!strings.Contains(err.Error(), "promotion 2, by round, came between") {
			t.Errorf("a swap on the generation %q: %v", old, err)
		}
	}
	if now, _, err := Read(t.Context(), st); err != nil || *now != *b {
		t.Errorf("after conflicts the record is %+v, %v, want %+v", now, err, b)
	}
	list, err := st.List(t.Context(), "promotions/")
	if err != nil || len(list) != 2 {
		t.Errorf("records are %v, %v, want 2", list, err)
	}
	if err := st.Delete(t.Context(), PointerName, ""); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Swap(t.Context(), st, fake("c", ByRound), seen); !errors.Is(err, store.ErrConflict) ||
		!strings.Contains(err.Error(), "it was deleted meanwhile") {
		t.Errorf("a swap on what was deleted: %v", err)
	}
}

// fake is a record of a model of which there is no file.
func fake(name, by string) Promoted {
	sum := fmt.Sprintf("%x", sha256.Sum256([]byte(name)))
	return Promoted{Checkpoint: "promoted/" + sum + ".safetensors", Bytes: 1, SHA256: sum, From: name, By: by, At: "now"}
}

// swap makes a fake model the promoted one.
func swap(t *testing.T, st *store.Store, next Promoted) *Promoted {
	t.Helper()
	_, seen, err := Read(t.Context(), st)
	if err != nil && !errors.Is(err, store.ErrNotExist) {
		t.Fatal(err)
	}
	now, _, err := Swap(t.Context(), st, next, seen)
	if err != nil {
		t.Fatal(err)
	}
	return now
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
	all, err := History(t.Context(), dir, func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range all {
		if _, err := os.Stat(filepath.Join(dir, mustName(t, &p))); err != nil {
			t.Errorf("record %d is not in the history: %v", p.Number, err)
		}
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
		last = swap(t, st, fake(name, by))
	}
	return last
}

// TestHistory has the records of a workdir without promotions, with some, and with
// only promoted.json left of them: the next promotion puts its record back.
func TestHistory(t *testing.T) {
	dir, st := opened(t)
	all, err := History(t.Context(), dir, func(err error) { t.Error(err) })
	if data, _ := json.Marshal(all); err != nil || string(data) != "[]" {
		t.Errorf("no history is %s, %v", data, err)
	}
	first := promoted(t, st, ByRound, "a")
	if err := st.Delete(t.Context(), mustName(t, first), ""); err != nil {
		t.Fatal(err)
	}
	promoted(t, st, ByRound, "b")
	if all := chain(t, dir); len(all) != 2 || all[0].From != "b" || all[1] != *first {
		t.Errorf("history is %+v", all)
	}
	if err := st.Delete(t.Context(), mustName(t, first), ""); err != nil {
		t.Fatal(err)
	}
	if all, err := History(t.Context(), dir, func(err error) { t.Error(err) }); !errors.Is(err, store.ErrNotExist) || len(all) != 1 ||
		!strings.Contains(fmt.Sprint(err), mustName(t, first)) {
		t.Errorf("a history without its first record: %+v, %v", all, err)
	}
}

// TestHistoryGoesOn: a damaged record in the middle of the history is told of, and the
// older ones follow.
func TestHistoryGoesOn(t *testing.T) {
	dir, st := opened(t)
	promoted(t, st, ByRound, "a", "b", "c")
	all := chain(t, dir)
	path := st.Join(mustName(t, &all[1]))
	if err := os.WriteFile(path, []byte("{"), 0o666); err != nil {
		t.Fatal(err)
	}
	var damage []error
	rest, err := History(t.Context(), dir, func(err error) { damage = append(damage, err) })
	if err != nil || len(rest) != 2 || rest[0] != all[0] || rest[1] != all[2] || len(damage) != 1 || !strings.Contains(damage[0].Error(), path) {
		t.Errorf("the history is %+v, %v; damage %v", rest, err, damage)
	}
}

// TestDamage: no function believes a promoted.json or a record with a changed byte,
// and none writes then.
func TestDamage(t *testing.T) {
	dir, st := opened(t)
	promoted(t, st, ByRound, "a", "b")
	first := chain(t, dir)[1]
	for _, test := range []struct{ name, remedy string }{{PointerName, "or delete it and run a round"}, {mustName(t, &first), "put back an intact copy"}} {
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
		_, err = History(t.Context(), dir, func(damage error) { errs = append(errs, damage) }) // which goes on
		if test.name == PointerName {
			errs = append(errs, err)
		}
		_, err = Rollback(t.Context(), dir)
		errs = append(errs, err)
		_, err = FindIncumbent(t.Context(), st, fake("b", "").SHA256, "")
		errs = append(errs, err)
		_, err = FindIncumbent(t.Context(), st, "", "c")
		errs = append(errs, err)
		if test.name == PointerName {
			_, err = Open(t.Context(), dir)
			errs = append(errs, err)
			_, _, err = Swap(t.Context(), st, fake("c", ByRound), "")
			errs = append(errs, err)
			err = Adopt(t.Context(), st)
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
		if now, _, err := Read(t.Context(), st); err != nil || now.From != "b" {
			t.Errorf("%s: afterwards %+v, %v", test.name, now, err)
		}
	}
	other, err := store.MarshalSealed(map[string]string{"format": "quire-promoted/3"})
	if err != nil {
		t.Fatal(err)
	}
	if err := st.Replace(t.Context(), PointerName, other); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), dir); err == nil || !strings.Contains(err.Error(), `"quire-promoted/3", want "quire-promoted/2"`) {
		t.Errorf("another format: %v", err)
	}
}

// TestRecords: a record that is intact is refused where it is not the one of its name, or
// names another file than its digest.
func TestRecords(t *testing.T) {
	dir, st := opened(t)
	promoted(t, st, ByRound, "a", "b", "c")
	all := chain(t, dir)
	first, second := filepath.Join(dir, mustName(t, &all[2])), filepath.Join(dir, mustName(t, &all[1]))
	data, err := os.ReadFile(first)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(second, data, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := History(t.Context(), dir, func(err error) { t.Error(err) }); err == nil ||
		!strings.Contains(err.Error(), second+": the record is intact, but another: it is "+mustName(t, &all[2])) {
		t.Errorf("another record in place of the second: %v", err)
	}
	for _, change := range []func(p *Promoted){
		func(p *Promoted) { p.SHA256 = "" },
		func(p *Promoted) { p.Bytes = 0 },
		func(p *Promoted) { p.Checkpoint = all[1].Checkpoint },
	} {
		wrong := all[0]
		change(&wrong)
		data, _, err := wrong.encode()
		if err != nil {
			t.Fatal(err)
		}
		if err := st.Replace(t.Context(), PointerName, data); err != nil {
			t.Fatal(err)
		}
		if _, _, err := Read(t.Context(), st); err == nil || !strings.Contains(err.Error(), "the checkpoint is ") {
			t.Errorf("promoted.json is %s, read with %v", data, err)
		}
	}
}

// TestNoRecord: a promotion whose record cannot be written does not happen.
func TestNoRecord(t *testing.T) {
	_, st := opened(t)
	a := swap(t, st, fake("a", ByRound))
	_, seen, err := Read(t.Context(), st)
	if err != nil {
		t.Fatal(err)
	}
	full := errors.New("no space left")
	for number := 1; number <= 2; number++ { // the record before it, and its own
		failing := st.WithFaults(func(op, name string) error {
			if op == "commit" && strings.HasPrefix(name, fmt.Sprintf("promotions/%08d-", number)) {
				return full
			}
			return nil
		})
		if _, _, err := Swap(t.Context(), failing, fake("b", ByRound), seen); !errors.Is(err, full) {
			t.Errorf("without record %d: %v", number, err)
		}
		if now, _, err := Read(t.Context(), st); err != nil || *now != *a {
			t.Errorf("without record %d, %+v is promoted, %v", number, now, err)
		}
	}
}

// TestDamagedAmong: behind a damaged record, the history does not guess which of two
// records of a number was in service.
func TestDamagedAmong(t *testing.T) {
	dir, st := opened(t)
	swap(t, st, fake("a", ByRound))
	b := swap(t, st, fake("b", ByRound))
	c := swap(t, st, fake("c", ByRound))
	never := fake("never", ByRound)
	never.Format, never.Number = format, 1
	if _, err := put(t.Context(), st, &never); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, mustName(t, b)), []byte("damage"), 0o666); err != nil {
		t.Fatal(err)
	}
	told := 0
	all, err := History(t.Context(), dir, func(error) { told++ })
	if err != nil || told != 1 || len(all) != 1 || all[0] != *c {
		t.Errorf("%+v, %v, %d damaged, want c alone", all, err, told)
	}
}
