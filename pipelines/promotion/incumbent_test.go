package promotion

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/quire-ml/quire/runners/store"
)

// TestFindIncumbent says what a candidate is compared with: the same before and after
// its promotion. A candidate is its digest, wherever its file lies.
func TestFindIncumbent(t *testing.T) {
	_, st := opened(t)
	want := func(candidate, incumbent, withdrawn string) {
		t.Helper()
		b, err := FindIncumbent(t.Context(), st, fake(candidate, "").SHA256, "/another/spelling of "+candidate)
		named := Promoted{}
		if incumbent != "" {
			named = fake(incumbent, "")
		}
		if err != nil || b.SHA256 != named.SHA256 || b.Checkpoint != named.Checkpoint || !strings.Contains(b.Withdrawn, withdrawn) ||
			(withdrawn == "") != (b.Withdrawn == "") {
			t.Errorf("the incumbent of %s is %+v, %v, want %q, %q", candidate, b, err, incumbent, withdrawn)
		}
		if _, seen, err := Read(t.Context(), st); b.Generation != seen || err == nil && seen == "" {
			t.Errorf("the incumbent of %s is of the generation %q, promoted.json of %q", candidate, b.Generation, seen)
		}
	}
	var first *Promoted
	put := func(name, by string) {
		t.Helper()
		p := fake(name, by)
		if by == ByRollback {
			p.Restores = mustName(t, first)
		}
		if now := swap(t, st, p); first == nil {
			first = now
		}
	}
	want("a", "", "")
	put("a", ByRound)
	want("a", "", "")
	want("b", "a", "")
	put("b", ByRound)
	want("b", "a", "")
	want("a", "b", "")
	put("a", ByRollback)
	want("b", "a", "withdrawn by rollback, promotion 3, at now")
	want("a", "", "")
	put("c", ByHand)
	want("a", "c", "withdrawn by hand, promotion 4")
	want("b", "c", "withdrawn by rollback")
	put("b", ByHand)
	want("b", "c", "")
	want("a", "b", "withdrawn by hand")
	put("d", ByRound)
	want("b", "d", "") // its last promotion ended by a round, though an earlier one by a rollback
}

// TestIncumbentDigest: a decision depends on the incumbent's digest and on the withdrawal.
// Without an incumbent the digest is that of earlier programs, and of a record of theirs
// without digest.
func TestIncumbentDigest(t *testing.T) {
	a := fake("a", "")
	for _, test := range []struct {
		of   string
		b    Incumbent
		want string // sha256 of the text, by coreutils
	}{
		{`{"checkpoint":"","withdrawn":""}`, Incumbent{Generation: "7"}, "cd1576f6230441681cbe7e89734ffee6f764e3a13090702e72da08fa61ae38d2"},
		{`{"checkpoint":"runs/a/best","withdrawn":""}`, Incumbent{Checkpoint: "runs/a/best", Generation: "8"},
			"0471fd4079926d9e7995816c997205a60889bdfbace358bc8316bfdf5eecc7fd"},
		{`{"checkpoint":"ca978112…","withdrawn":"by hand"}`, Incumbent{Checkpoint: a.Checkpoint, SHA256: a.SHA256, Withdrawn: "by hand"},
			"b78204c24f5e57c40250b7e3ef7246917aec84938d3686998d4030a3863d6a83"},
	} {
		if got, err := test.b.Digest(); err != nil || got != test.want {
			t.Errorf("%s: the digest is %s, %v, want %s", test.of, got, err, test.want)
		}
	}
}

// TestIncumbentRace: a candidate that is promoted while its incumbent is looked for is
// compared with the model that was in service before, at that one's generation.
func TestIncumbentRace(t *testing.T) {
	_, st := opened(t)
	swap(t, st, fake("a", ByRound))
	swap(t, st, fake("b", ByHand))
	_, seen, err := Read(t.Context(), st)
	if err != nil {
		t.Fatal(err)
	}
	reads := 0
	racing := st.WithFaults(func(op, _ string) error {
		if op == "read" {
			if reads++; reads == 2 {
				swap(t, st, fake("a", ByHand))
			}
		}
		return nil
	})
	b, err := FindIncumbent(t.Context(), racing, fake("a", "").SHA256, "")
	if err != nil || reads < 2 || b.SHA256 != fake("b", "").SHA256 || b.Generation != seen || !strings.Contains(b.Withdrawn, "withdrawn by hand, promotion 2") {
		t.Errorf("%+v, %v, want b, of the generation %s", b, err, seen)
	}
}

// TestUnusable: the error about a model in service says from which file it can be promoted
// again, and whether there is one to go back to. About another model it says neither.
func TestUnusable(t *testing.T) {
	dir, paths := variants(t, 3)
	st, err := store.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	promote := func(path string) {
		t.Helper()
		_, err := Promote(t.Context(), dir, path, "best")
		do(err)
	}
	want := func(what, from string, back bool) {
		t.Helper()
		now, _, err := Read(t.Context(), st)
		do(err)
		var e *ModelError
		b := Incumbent{Checkpoint: now.Checkpoint, SHA256: now.SHA256}
		for by, err := range map[string]error{"checked": b.Check(t.Context(), st), "opened": func() error { _, err := Open(t.Context(), dir); return err }()} {
			if !errors.As(err, &e) || e.From != from || e.Back != back || e.Number != now.Number {
				t.Errorf("%s, %s: %+v, want from %q, back %v", what, by, err, from, back)
			}
		}
	}
	if b := (Incumbent{}); b.Check(t.Context(), st) != nil {
		t.Error("no incumbent is no error")
	}
	promote(paths[0])
	if b := (Incumbent{Checkpoint: "promoted/" + filepath.Base(copyOf(t, dir, paths[0]))}); b.Check(t.Context(), st) != nil {
		t.Error("the incumbent can be read")
	}
	do(os.Remove(copyOf(t, dir, paths[0])))
	want("the first", paths[0], false)
	promote(paths[0])
	promote(paths[1])
	do(os.Remove(copyOf(t, dir, paths[1])))
	want("the second", paths[1], true)
	other, err := os.ReadFile(paths[2])
	do(err)
	do(os.WriteFile(paths[1], other, 0o666))
	want("its file is another's", "", true)
	do(os.Remove(paths[1]))
	want("its file is gone", "", true)
	do(os.Remove(copyOf(t, dir, paths[0])))
	want("both are gone", "", false)
	b := Incumbent{Checkpoint: "promoted/" + filepath.Base(copyOf(t, dir, paths[0])), SHA256: fmt.Sprintf("%064x", 1)}
	var e *ModelError
	if err := b.Check(t.Context(), st); err == nil || errors.As(err, &e) {
		t.Errorf("the model before: %v", err)
	}
}
