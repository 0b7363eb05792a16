package schedule

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quire-ml/quire/runners/store"
)

// TestResetKeeps: Reset deletes the skips of slots that have not come, and no other
// record.
func TestResetKeeps(t *testing.T) {
	dir := memory(t)
	synctest.Test(t, func(t *testing.T) {
		s := nightly(t, dir, "a", "skip")
		until(at(t, "20000105T030000Z"))
		for slot, status := range map[string]string{
			"20000103T030000Z": Skipped, "20000104T030000Z": Ran, "20000105T030000Z": Skipped, "20000106T030000Z": Skipped, "20000107T030000Z": Ran,
		} {
			if _, err := s.writeRecord(t.Context(), at(t, slot), SlotRecord{Status: status}, false); err != nil {
				t.Fatal(err)
			}
		}
		putLater(t, s, "20000108T030000Z", Ran)
		deleted, left, err := s.Reset(t.Context())
		if err != nil || left != "" || !slices.Equal(deleted, []string{"20000106T030000Z"}) {
			t.Errorf("deleted %v, left %q, %v", deleted, left, err)
		}
		for slot, there := range map[string]bool{
			"20000103T030000Z": true, "20000104T030000Z": true, "20000105T030000Z": true, "20000106T030000Z": false, "20000107T030000Z": true,
		} {
			if _, _, err := readRecord(t.Context(), s.st, at(t, slot)); (err == nil) != there || !there && !errors.Is(err, store.ErrNotExist) {
				t.Errorf("%s: %v, want a record: %v", slot, err, there)
			}
		}
	})
}

// TestWriteRecord: a slot that ran never becomes one that was skipped, and has the round
// that ran first, unless it runs again.
func TestWriteRecord(t *testing.T) {
	dir := memory(t)
	slot := at(t, "20000101T030000Z")
	s := nightly(t, dir, "a", "skip")
	for i, step := range []struct {
		write SlotRecord
		again bool
		want  string // status and round of the record after it
	}{
		{SlotRecord{Status: Skipped}, false, Skipped},
		{SlotRecord{Status: Skipped, Reason: "another"}, false, Skipped},
		{SlotRecord{Status: Ran, Round: "one"}, false, Ran + "one"},
		{SlotRecord{Status: Skipped}, false, Ran + "one"},
		{SlotRecord{Status: Skipped}, true, Ran + "one"},
		{SlotRecord{Status: Ran, Round: "two"}, false, Ran + "one"},
		{SlotRecord{Status: Ran, Round: "two"}, true, Ran + "two"},
	} {
		got, err := s.writeRecord(t.Context(), slot, step.write, step.again)
		if err != nil || got.Status+got.Round != step.want || got.Reason != "" {
			t.Errorf("write %d returns %+v, %v, want %s", i+1, got, err, step.want)
		}
		if r, _, err := readRecord(t.Context(), s.st, slot); err != nil || r.Status+r.Round != step.want {
			t.Errorf("after write %d: %+v, %v, want %s", i+1, r, err, step.want)
		}
	}
}

// TestRecordOfAnother: the record of one slot under the name of another is refused.
func TestRecordOfAnother(t *testing.T) {
	s := nightly(t, memory(t), "a", "skip")
	first, second := at(t, "20000101T030000Z"), at(t, "20000102T030000Z")
	if _, err := s.writeRecord(t.Context(), first, SlotRecord{Status: Ran}, false); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(s.st.Join(recordName(first)), s.st.Join(recordName(second))); err != nil {
		t.Fatal(err)
	}
	if r, _, err := readRecord(t.Context(), s.st, second); err == nil || !strings.Contains(err.Error(), `slot is "20000101T030000Z", want "20000102T030000Z"`) {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestVoid: the clocks of two machines may differ by grace; a skip by one that is further
// ahead does not count.
func TestVoid(t *testing.T) {
	now := at(t, "20000101T030000Z")
	for _, test := range []struct {
		status string
		at     time.Time
		want   bool
	}{
		{Skipped, now, false}, {Skipped, now.Add(5 * time.Minute), false}, {Skipped, now.Add(5*time.Minute + time.Second), true},
		{Ran, now.Add(24 * time.Hour), false}, {Skipped, time.Time{}, false},
	} {
		if got := (&SlotRecord{Status: test.status, At: test.at}).void(now); got != test.want {
			t.Errorf("%s at %v is void: %v", test.status, test.at, got)
		}
	}
}
