package schedule

import (
	"testing"
	"time"

	"github.com/quire-ml/quire/configs"
)

func timetable(t testing.TB, cron, zone string) *Timetable {
	t.Helper()
	next, err := configs.Schedule{Cron: cron}.Times()
	if err != nil {
		t.Fatal(err)
	}
	table, err := NewTimetable(next, zone)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func at(t testing.TB, text string) time.Time {
	t.Helper()
	slot, err := ParseSlot(text)
	if err != nil {
		t.Fatal(err)
	}
	return slot
}

// TestNext goes through the changes of some zones: Berlin's clocks go from 2 to 3
// at 01:00 UTC on 29 March 2026 and from 3 to 2 at 01:00 UTC on 25 October; those
// of Lord Howe by half an hour; São Paulo had no midnight on 4 November 2018.
func TestNext(t *testing.T) {
	for _, c := range []struct {
		cron, zone, after string
		want              []string
	}{
		{"0 3 * * *", "UTC", "2026-11-24T02:59:59Z", []string{"20261124T030000Z", "20261125T030000Z"}},
		{"0 3 * * *", "Europe/Berlin", "2026-03-28T00:00:00Z", []string{"20260328T020000Z", "20260329T010000Z", "20260330T010000Z"}},
		{"30 2 * * *", "Europe/Berlin", "2026-03-28T00:00:00Z", []string{"20260328T013000Z", "20260329T010000Z", "20260330T003000Z"}},
		{"30 2 * * *", "Europe/Berlin", "2026-10-24T00:00:00Z", []string{"20261024T003000Z", "20261025T003000Z", "20261026T013000Z"}},
		{"0 * * * *", "Europe/Berlin", "2026-03-28T23:30:00Z", []string{"20260329T000000Z", "20260329T010000Z", "20260329T020000Z"}},
		{"0 * * * *", "Europe/Berlin", "2026-10-24T23:30:00Z", []string{"20261025T000000Z", "20261025T020000Z", "20261025T030000Z"}},
		{"0,20,40 2 * * *", "Europe/Berlin", "2026-03-28T02:00:00Z", []string{"20260329T010000Z", "20260330T000000Z"}},
		{"15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00:00Z", []string{"20261003T153000Z", "20261004T151500Z"}},
		{"0 0 * * *", "America/Sao_Paulo", "2018-11-03T12:00:00Z", []string{"20181104T030000Z", "20181105T020000Z"}},
		{"0 0 29 2 *", "Asia/Tokyo", "2026-01-01T00:00:00Z", []string{"20280228T150000Z"}},
	} {
		table, slot := timetable(t, c.cron, c.zone), at(t, c.after)
		for _, want := range c.want {
			if slot = table.Next(slot); ID(slot) != want || slot.Location() != time.UTC {
				t.Errorf("%s %s: %s, want %s", c.cron, c.zone, ID(slot), want)
			}
			if !table.Has(slot) || table.Has(slot.Add(time.Second)) || table.Last(slot) != slot || table.Last(slot.Add(time.Minute)) != slot {
				t.Errorf("%s %s: %s is no slot, or a second after it is one, or it is not the last one", c.cron, c.zone, want)
			}
		}
	}
}

// TestNextOnce walks two years minute by minute: as many slots as days, whatever
// the clocks do.
func TestNextOnce(t *testing.T) {
	for _, zone := range []string{"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"} {
		table := timetable(t, "30 2 * * *", zone)
		slot, n := at(t, "2026-01-01T12:00:00Z"), 0
		for end := slot.AddDate(2, 0, 0); ; n++ {
			next := table.Next(slot)
			if gap := next.Sub(slot); n > 0 && (gap < 23*time.Hour || gap > 25*time.Hour) {
				t.Errorf("%s: %v from %s to %s", zone, gap, ID(slot), ID(next))
			}
			if slot = next; slot.After(end) {
				break
			}
		}
		if n != 730 {
			t.Errorf("%s: %d slots in two years, want 730", zone, n)
		}
	}
}

func TestParseSlot(t *testing.T) {
	for text, want := range map[string]string{"20261124T020000Z": "20261124T020000Z", "2026-11-24T03:00:00+01:00": "20261124T020000Z"} {
		if got := ID(at(t, text)); got != want {
			t.Errorf("%s is %s, want %s", text, got, want)
		}
	}
	for _, text := range []string{"", "now", "2026-11-24", "20261124T020000"} {
		if slot, err := ParseSlot(text); err == nil {
			t.Errorf("%q is %v", text, slot)
		}
	}
	if _, err := NewTimetable(nil, "Europe/Atlantis"); err == nil {
		t.Error("there is a time zone Europe/Atlantis")
	}
}
