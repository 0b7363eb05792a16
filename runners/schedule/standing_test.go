package schedule

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quire-ml/quire/runners/store"
)

// A seer is a scheduler that runs, and the last look of it.
type seer struct {
	*Scheduler
	mu    sync.Mutex
	look  View
	jumps []time.Duration
	wrote []string
}

// sees lets a scheduler of a folder run with a round until the bubble ends.
func sees(t *testing.T, dir, holder string, round Round, clock func() time.Time) *seer {
	t.Helper()
	s := &seer{Scheduler: nightly(t, dir, holder, "skip")}
	if clock != nil {
		s.o.Now = clock
	}
	s.o.Looked = func(l View) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.look = l
		if l.Jump != 0 {
			s.jumps = append(s.jumps, l.Jump)
		}
	}
	s.o.Decided = func(r SlotRecord) { s.wrote = append(s.wrote, r.Slot[6:8]+r.Status) }
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan bool)
	go func() {
		_ = s.Run(ctx, round)
		close(ended)
	}()
	t.Cleanup(func() {
		stop()
		<-ended
	})
	return s
}

// want compares the last look: days of the last slot and of the last success, slots without
// success of them due, and whether there was an error.
func (s *seer) want(t *testing.T, last, success string, without, due int, failing bool) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	day := func(r SlotRecord) string { return strings.TrimSuffix(strings.TrimPrefix(r.Slot, "200001"), "T030000Z") }
	l := s.look
	if st := l.Standing; day(st.Last) != last || day(st.Success) != success || l.Without() != without || l.Due != due || (l.Err != nil) != failing {
		t.Errorf("at %v the last slot is %s, the last success %s, %d without, %d due, %v, want %s, %s, %d, %d", l.At, day(st.Last), day(st.Success),
			l.Without(), l.Due, l.Err, last, success, without, due)
	}
	if want := s.o.Timetable.Next(l.At); !l.Next.Equal(want) {
		t.Errorf("the next slot is %v, want %v", l.Next, want)
	}
}

func (s *seer) last() View {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.look
}

func noon(day int) { until(time.Date(2000, 1, day, 12, 0, 0, 0, time.UTC)) }

// TestStanding: a scheduler knows how its schedule stands: of its own slots, of those that
// another one runs, skips or runs again, after its start and in an outage.
func TestStanding(t *testing.T) {
	dir := memory(t)
	synctest.Test(t, func(t *testing.T) {
		exits := map[string]string{"02": "failed", "03": "refused", "04": "failed", "08": "failed"}
		round := func(ctx context.Context, slot time.Time, after string) (Outcome, error) {
			exit := exits[ID(slot)[6:8]]
			if after != "" {
				exit = ""
			}
			return Outcome{Round: "r" + after, Exit: exit}, store.Wait(ctx, time.Minute)
		}
		a := sees(t, dir, "a", round, nil)
		noon(1)
		a.want(t, "01", "01", 0, 0, false)
		noon(2)
		a.want(t, "02", "01", 1, 0, false)
		b := sees(t, dir, "b", round, nil) // reads what there is
		noon(3)
		a.want(t, "03", "01", 2, 0, false)
		b.want(t, "03", "01", 2, 0, false)
		noon(4)
		b.want(t, "04", "01", 3, 0, false)

		// Another process runs the slot again, and later one that no scheduler can see.
		c := nightly(t, dir, "c", "skip")
		if r, err := c.Once(t.Context(), at(t, "20000104T030000Z"), true, round); err != nil || r.Exit != "" {
			t.Fatal(r, err)
		}
		time.Sleep(2 * time.Minute)
		a.want(t, "04", "04", 0, 0, false)
		b.want(t, "04", "04", 0, 0, false)
		if r, err := c.writeRecord(t.Context(), at(t, "20000105T030000Z"), SlotRecord{Status: Skipped, Reason: "missed: by hand"}, false); err != nil {
			t.Fatal(r, err)
		}
		noon(5)
		a.want(t, "05", "04", 1, 0, false)
		if r, err := c.writeRecord(t.Context(), at(t, "20000106T030000Z"), SlotRecord{Status: Skipped, Reason: "overlap: by hand"}, false); err != nil {
			t.Fatal(r, err)
		}
		noon(6)
		a.want(t, "06", "04", 1, 0, false)
		noon(7)
		a.want(t, "07", "07", 0, 0, false)
		noon(8)
		standing, err := c.Standing(t.Context())
		if err != nil || standing.Without != 1 || standing.Success.Slot != "20000107T030000Z" || standing.Last.Exit != "failed" ||
			!standing.Success.When().Equal(at(t, "20000107T030100Z")) {
			t.Errorf("read at once it is %+v, %v", standing, err)
		}
		if len(a.wrote)+len(b.wrote) != 6 { // days 1 to 4, 7 and 8
			t.Errorf("they have decided %q and %q", a.wrote, b.wrote)
		}
	})
}

// TestStandingOutage: slots that come while the store cannot be read are due, and a record
// that is damaged is counted once.
func TestStandingOutage(t *testing.T) {
	dir := memory(t)
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var lost bool
		restore := store.InjectFaults(func(string, string) error {
			mu.Lock()
			defer mu.Unlock()
			if lost {
				return fmt.Errorf("no network: %w", store.ErrTransient)
			}
			return nil
		})
		defer restore()
		set := func(x bool) {
			mu.Lock()
			defer mu.Unlock()
			lost = x
		}
		a := sees(t, dir, "a", lasting(0), nil)
		noon(1)
		set(true)
		noon(2)
		a.want(t, "01", "01", 1, 1, true)
		noon(3)
		a.want(t, "01", "01", 2, 2, true)
		if l := a.last(); !l.Since.Equal(at(t, "20000102T030000Z")) || !errors.Is(l.Err, store.ErrTransient) {
			t.Errorf("since %v, %v", l.Since, l.Err)
		}
		set(false)
		time.Sleep(2 * time.Minute)
		a.want(t, "03", "03", 0, 0, false) // the last one ran, the other was missed

		if err := os.WriteFile(filepath.Join(dir, recordName(at(t, "20000104T030000Z"))), []byte("{"), 0o666); err != nil {
			t.Fatal(err)
		}
		noon(4)
		a.want(t, "03", "03", 0, 0, false)
		noon(6)
		a.want(t, "06", "06", 0, 0, false)
		if n := a.last().Standing.Damaged; n != 1 {
			t.Errorf("%d damaged records are counted", n)
		}
		if err := os.WriteFile(filepath.Join(dir, recordName(at(t, "20000106T030000Z"))), []byte("{"), 0o666); err != nil {
			t.Fatal(err)
		}
		b := nightly(t, dir, "b", "skip")
		for range 2 { // back over day 6 to the success before
			if s, err := b.Standing(t.Context()); err != nil || s.Damaged != 1 || s.Without != 0 || s.Success.Slot != "20000105T030000Z" {
				t.Errorf("%+v, %v", s, err)
			}
		}
	})
}

// TestJump: each jump of a clock is seen once, in its size; a clock that is adjusted is none.
func TestJump(t *testing.T) {
	dir := memory(t)
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var offset time.Duration
		a := sees(t, dir, "a", lasting(2*time.Hour), func() time.Time {
			mu.Lock()
			defer mu.Unlock()
			return time.Now().Add(offset)
		})
		set := func(d time.Duration) {
			mu.Lock()
			offset = d
			mu.Unlock()
			time.Sleep(3 * time.Minute)
		}
		noon(1)
		set(30 * time.Second)
		set(time.Hour)
		until(at(t, "20000102T023000Z"))
		set(10 * time.Minute) // while a round runs, which began at half past two
		noon(2)
		set(-5 * 365 * 24 * time.Hour)
		until(at(t, "20000102T150000Z")) // the round of that year's slot has ended
		set(0)
		year := 5 * 365 * 24 * time.Hour
		want := []time.Duration{time.Hour - 30*time.Second, 10*time.Minute - time.Hour, -year - 10*time.Minute, year}
		a.mu.Lock()
		defer a.mu.Unlock()
		if fmt.Sprint(a.jumps) != fmt.Sprint(want) {
			t.Errorf("the jumps are %v, want %v", a.jumps, want)
		}
	})
}

// TestDue: in an outage the slots are due that have come since the last one that was decided
// or ran, whatever a clock that was ahead has seen.
func TestDue(t *testing.T) {
	s, lost := nightly(t, memory(t), "a", "skip"), errors.New("no network")
	var now time.Time
	var seen View
	s.o.Now, s.o.Looked = func() time.Time { return now }, func(v View) { seen = v }
	first, second := at(t, "20000101T030000Z"), at(t, "20000102T030000Z")
	for name, c := range map[string]struct {
		running *running
		clear   time.Time
		now     time.Time
		due     int
	}{
		"the slot that runs":           {&running{Slot: second}, time.Time{}, second.Add(time.Hour), 0},
		"one after it":                 {&running{Slot: second}, time.Time{}, second.Add(25 * time.Hour), 1},
		"two that nobody runs":         {nil, time.Time{}, second.Add(25 * time.Hour), 2},
		"one, the other has a record":  {nil, second, second.Add(25 * time.Hour), 1},
		"two, after a clock was ahead": {nil, second.AddDate(5, 0, 0), second.Add(25 * time.Hour), 2},
	} {
		s.f = follower{standing: Standing{Known: true}, state: state{Format: stateFormat, Decided: first, Running: c.running}, clear: c.clear}
		now = c.now
		if s.look(t.Context(), lost); seen.Due != c.due || seen.Without() != c.due {
			t.Errorf("%s: %d are due, want %d", name, seen.Due, c.due)
		}
	}
}
