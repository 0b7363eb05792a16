package promotion

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/quire-ml/quire/runners/store"
)

// promoteAll promotes models by name: "a" by a round, "a!" by hand, "<" is a rollback. It
// returns the records, the oldest first.
func promoteAll(t *testing.T, st *store.Store, models ...string) (list []*Promoted) {
	t.Helper()
	for _, name := range models {
		next := fake(strings.TrimSuffix(name, "!"), ByRound)
		if strings.HasSuffix(name, "!") {
			next.By = ByHand
		}
		if name == "<" {
			now, _, err := arrival(t.Context(), st, list[len(list)-1], "")
			if err != nil {
				t.Fatal(err)
			}
			before, _, err := readRecord(t.Context(), st, now.Previous, "")
			if err != nil {
				t.Fatal(err)
			}
			before, at, err := arrival(t.Context(), st, before, now.Previous)
			if err != nil {
				t.Fatal(err)
			}
			next = fake(before.From, ByRollback)
			next.Restores = at
		}
		list = append(list, swap(t, st, next))
	}
	return list
}

// numbers returns the numbers of entries, ascending.
func numbers(list []Entry) string {
	var n []int64
	for _, e := range list {
		n = append(n, e.Number)
	}
	slices.Sort(n)
	return strings.Trim(fmt.Sprint(n), "[]")
}

func TestLook(t *testing.T) {
	for _, c := range []struct {
		models     string
		n          int
		kept, gone string
	}{
		{"a", 2, "1", ""},
		{"a b c d e", 2, "4 5", "1 2 3"},
		{"a b c d e", 4, "2 3 4 5", "1"},
		{"a b c d e", 9, "1 2 3 4 5", ""},
		{"a b c d <", 2, "2 3 4 5", "1"},         // 5 restores 3; a rollback leads to 2, which 3 replaced
		{"a b c d < <", 2, "1 2 3 5 6", "4"},     // 6 restores 2, and 5 restores 3; a rollback leads to 1
		{"a b c d e f <", 2, "4 5 6 7", "1 2 3"}, // 7 restores 5; then 4
	} {
		st := testStore(t)
		all := promoteAll(t, st, strings.Fields(c.models)...)
		s, err := Look(t.Context(), st, c.n)
		if err != nil {
			t.Fatal(err)
		}
		if kept, gone := numbers(s.Kept), numbers(s.Gone); kept != c.kept || gone != c.gone || len(s.Stray) > 0 {
			t.Errorf("%s, %d stay: %s, gone %s, strays %v; want %s, gone %s", c.models, c.n, kept, gone, s.Stray, c.kept, c.gone)
		}
		if s.Kept[0].Name != mustName(t, all[len(all)-1]) {
			t.Errorf("%s: the first that stays is %s", c.models, s.Kept[0].Name)
		}
	}
	st := testStore(t) // a promotion was killed, or is about to move the pointer
	promoteAll(t, st, "a", "b")
	ahead, behind := fake("c", ByRound), fake("d", ByRound)
	ahead.Format, ahead.Number, behind.Format, behind.Number = format, 3, format, 2
	var names []string
	for _, p := range []Promoted{ahead, behind} {
		name, err := put(t.Context(), st, &p)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	if s, err := Look(t.Context(), st, 2); err != nil || !slices.Equal(s.Ahead, names[:1]) || !slices.Equal(s.Stray, names[1:]) {
		t.Errorf("ahead %v, strays %v, %v; want %v", s.Ahead, s.Stray, err, names)
	}
	if StrayDigest(t.Context(), st, names[0]) != ahead.SHA256 {
		t.Error("the record ahead has another model")
	}
	if s, err := Look(t.Context(), testStore(t), 2); s != nil || err != nil {
		t.Errorf("without a promotion: %v, %v", s, err)
	}
}

func testStore(t *testing.T) *store.Store {
	t.Helper()
	st, err := store.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	return st
}

// remove removes what Look says need not stay, n promotions back.
func remove(t *testing.T, st *store.Store, n int) {
	t.Helper()
	s, err := Look(t.Context(), st, n)
	if err == nil {
		err = s.Cut(t.Context(), st)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range s.Gone {
		if err := st.Delete(t.Context(), e.Name, ""); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range s.Stray {
		if err := st.Delete(t.Context(), name, ""); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCut: after the older part of a history was removed, once and again, the rest reads as
// before, rounds bring no withdrawn model back, and others may come back.
func TestCut(t *testing.T) {
	dir := t.TempDir()
	st, err := store.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	// b was withdrawn by hand, c by a rollback; a came back by a round after it was withdrawn.
	promoteAll(t, st, "a", "b", "x!", "c", "<", "a!", "d", "e")
	withdrawn := func(name string) string {
		t.Helper()
		b, err := FindIncumbent(t.Context(), st, fake(name, ByRound).SHA256, name)
		if err != nil {
			t.Fatal(err)
		}
		return b.Withdrawn
	}
	want := map[string]string{}
	for _, name := range []string{"a", "b", "x", "c", "d", "e", "never"} {
		want[name] = withdrawn(name)
	}
	if !strings.HasPrefix(want["b"], "it was withdrawn by hand, promotion 3") || !strings.HasPrefix(want["c"], "it was withdrawn by rollback, promotion 5") ||
		want["a"] != "" || want["d"] != "" || want["never"] != "" {
		t.Fatalf("withdrawn are %v", want)
	}
	for _, step := range []struct {
		n    int
		more []string
	}{{5, nil}, {2, nil}, {2, []string{"f", "g"}}, {2, []string{"h", "i", "j"}}} {
		for _, name := range step.more {
			swap(t, st, fake(name, ByRound))
		}
		remove(t, st, step.n)
		for name, was := range want {
			if got := withdrawn(name); got != was {
				t.Errorf("with %d promotions, %s is withdrawn: %q, want %q", step.n, name, got, was)
			}
		}
		all, err := History(t.Context(), dir, func(err error) { t.Error(err) })
		if err != nil || len(all) < step.n {
			t.Errorf("the history has %d promotions, %v", len(all), err)
		}
	}
	all, err := History(t.Context(), dir, func(err error) { t.Error(err) })
	if err != nil || len(all) != 2 || all[0].From != "j" || all[1].From != "i" {
		t.Errorf("the history is %+v, %v", all, err)
	}
	now := all[1] // as after a rollback
	if _, _, err := now.before(t.Context(), st); err == nil || !strings.Contains(err.Error(), "the promotions before number 12 were removed") {
		t.Errorf("a rollback beyond what is left: %v", err)
	}
	// A record that is missing after the cut is damage still.
	if err := st.Delete(t.Context(), all[0].Previous, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := History(t.Context(), dir, func(error) {}); err == nil {
		t.Error("a record that nobody removed is missing, and the history says nothing")
	}
	if _, err := Look(t.Context(), st, 2); err == nil {
		t.Error("a record that nobody removed is missing, and Look says nothing")
	}
}
