package schedule

import (
	"testing"
	"time"
)

// TestBounds holds the bounds of a round's time, of grace, and of a slot's window.
func TestBounds(t *testing.T) {
	slot := at(t, "20000101T030000Z")
	for after, want := range map[time.Duration]bool{-time.Second: false, 0: true, time.Hour: true, time.Hour + time.Second: false} {
		st := state{Began: slot, Ended: slot.Add(time.Hour)}
		if got := st.overlaps(slot.Add(after)); got != want {
			t.Errorf("a slot %v after the beginning of an hour's round overlaps it: %v", after, got)
		}
	}
	for late, runs := range map[time.Duration]bool{0: true, 5 * time.Minute: true, 5*time.Minute + time.Second: false} {
		s := New(nil, Options{Overlap: "skip", CatchUp: "none"})
		if run, upTo := s.choose([]time.Time{slot}, state{}, slot.Add(late)); !run.IsZero() != runs || !upTo.Equal(slot) {
			t.Errorf("noticed %v late: runs %v, up to %v", late, run, upTo)
		}
	}
	for cron, want := range map[string]time.Duration{"0 3 * * *": time.Hour, "0 * * * *": 30 * time.Minute, "*/20 * * * *": 10 * time.Minute} {
		if got := timetable(t, cron, "UTC").Window(slot); got != want {
			t.Errorf("%s: the window is %v, want %v", cron, got, want)
		}
	}
}
