package promotion

import (
	"strings"
	"testing"
)

// TestFindIncumbent says what a candidate is compared with: the same before and after
// its promotion.
func TestFindIncumbent(t *testing.T) {
	_, st := opened(t)
	want := func(candidate, checkpoint, withdrawn string) {
		t.Helper()
		b, err := FindIncumbent(t.Context(), st, candidate)
		if err != nil || b.Checkpoint != checkpoint || !strings.Contains(b.Withdrawn, withdrawn) || (withdrawn == "") != (b.Withdrawn == "") {
			t.Errorf("the incumbent of %s is %+v, %v, want %q, %q", candidate, b, err, checkpoint, withdrawn)
		}
	}
	var first *Promoted
	put := func(checkpoint, by string) {
		t.Helper()
		p := Promoted{Checkpoint: checkpoint, By: by, At: "now"}
		if by == ByRollback {
			p.Restores = mustName(t, first)
		}
		now, _, err := Swap(t.Context(), st, p)
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
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
