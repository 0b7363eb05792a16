package gc_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quire-ml/quire/pipelines/gc"
)

// rounds returns judged rounds with times such as "2019-09-01 11:00:00", which are their ids.
func rounds(t *testing.T, zone *time.Location, times ...string) []gc.Round {
	t.Helper()
	var list []gc.Round
	for _, id := range times {
		at, err := time.ParseInLocation(time.DateTime, strings.TrimSuffix(id, " failed"), zone)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, gc.Round{ID: id, Began: at, Whole: !strings.HasSuffix(id, " failed")})
	}
	return list
}

// kept returns the ids of the rounds that stay, the oldest first.
func kept(p gc.Policy, list []gc.Round, zone *time.Location, now time.Time) []string {
	why := p.Kept(list, zone, now)
	ids := []string{}
	for _, r := range list {
		if len(why[r.ID]) > 0 {
			ids = append(ids, r.ID)
		}
	}
	slices.Sort(ids)
	return ids
}

// sundays are the twelve snapshots of the first example in restic's documentation of forget.
var sundays = []string{"2019-09-01 11:00:00", "2019-09-08 11:00:00", "2019-09-15 11:00:00", "2019-09-22 11:00:00", "2019-09-29 11:00:00",
	"2019-10-06 11:00:00", "2019-10-13 11:00:00", "2019-10-20 11:00:00", "2019-10-27 11:00:00", "2019-11-03 11:00:00", "2019-11-10 11:00:00",
	"2019-11-17 11:00:00"}

// TestPolicy has the rules of restic's forget, as its documentation states them.
func TestPolicy(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2019, 11, 20, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name   string
		policy gc.Policy
		zone   *time.Location
		times  []string
		want   []string
	}{
		{"daily 4 of Sundays: the last four Sundays", gc.Policy{Daily: 4}, time.UTC, sundays, sundays[8:]},
		{"last", gc.Policy{Last: 2}, time.UTC, sundays, sundays[10:]},
		{"more than there are", gc.Policy{Last: 20}, time.UTC, sundays, sundays},
		{"of a day the newest", gc.Policy{Daily: 2}, time.UTC,
			[]string{"2019-11-01 01:00:00", "2019-11-02 01:00:00", "2019-11-02 23:00:00", "2019-11-04 05:00:00", "2019-11-04 06:00:00"},
			[]string{"2019-11-02 23:00:00", "2019-11-04 06:00:00"}},
		{"weeks from Monday to Sunday", gc.Policy{Weekly: 2}, time.UTC, // 2019-11-10 is a Sunday
			[]string{"2019-11-03 10:00:00", "2019-11-04 10:00:00", "2019-11-10 23:59:59", "2019-11-11 00:00:00", "2019-11-12 00:00:00"},
			[]string{"2019-11-10 23:59:59", "2019-11-12 00:00:00"}},
		{"months", gc.Policy{Monthly: 2}, time.UTC, sundays, []string{"2019-10-27 11:00:00", "2019-11-17 11:00:00"}},
		{"the oldest stays where a rule has room", gc.Policy{Monthly: 5}, time.UTC, sundays,
			[]string{"2019-09-01 11:00:00", "2019-09-29 11:00:00", "2019-10-27 11:00:00", "2019-11-17 11:00:00"}},
		{"a rule that is met suffices", gc.Policy{Last: 1, Monthly: 2}, time.UTC, sundays, []string{"2019-10-27 11:00:00", "2019-11-17 11:00:00"}},
		{"within, counted from the newest", gc.Policy{Within: gc.Span{Days: 14}}, time.UTC, sundays, sundays[10:]},
		{"within, a moment more", gc.Policy{Within: gc.Span{Days: 14, Hours: 1}}, time.UTC, sundays, sundays[9:]},
		{"within months", gc.Policy{Within: gc.Span{Months: 1}}, time.UTC, sundays, sundays[7:]},
		{"later than the clock: it stays, and is not the newest", gc.Policy{Within: gc.Span{Days: 8}}, time.UTC,
			append(slices.Clone(sundays), "2031-01-01 00:00:00"), append(slices.Clone(sundays[10:]), "2031-01-01 00:00:00")},
		{"days of the time zone", gc.Policy{Daily: 1}, berlin, []string{"2019-11-04 00:30:00", "2019-11-03 23:30:00"}, []string{"2019-11-04 00:30:00"}},
		{"the day on which clocks go back", gc.Policy{Daily: 2}, berlin,
			[]string{"2019-10-26 12:00:00", "2019-10-27 00:10:00", "2019-10-27 23:50:00"}, []string{"2019-10-26 12:00:00", "2019-10-27 23:50:00"}},
		{"the week of the new year", gc.Policy{Weekly: 1}, time.UTC, []string{"2018-12-31 01:00:00", "2019-01-02 01:00:00"}, []string{"2019-01-02 01:00:00"}},
		{"failed rounds take no place", gc.Policy{Last: 1}, time.UTC,
			[]string{"2019-11-01 00:00:00", "2019-11-02 00:00:00 failed", "2019-11-03 00:00:00", "2019-11-04 00:00:00 failed", "2019-11-05 00:00:00 failed"},
			[]string{"2019-11-03 00:00:00", "2019-11-04 00:00:00 failed", "2019-11-05 00:00:00 failed"}},
		{"failed rounds alone", gc.Policy{Daily: 1}, time.UTC, []string{"2019-11-04 00:00:00 failed", "2019-11-05 00:00:00 failed"},
			[]string{"2019-11-04 00:00:00 failed", "2019-11-05 00:00:00 failed"}},
		{"no rounds", gc.Policy{Last: 3, Daily: 3}, time.UTC, nil, []string{}},
	} {
		if got := kept(c.policy, rounds(t, c.zone, c.times...), c.zone, now); !slices.Equal(got, c.want) {
			t.Errorf("%s:\n%s\nwant\n%s", c.name, strings.Join(got, "\n"), strings.Join(c.want, "\n"))
		}
	}
}

// TestPolicyCentury has the second example of restic's documentation: one snapshot a day,
// for 100 years, without the yearly rule: 7 daily, 4 more weekly and 11 or 12 more monthly ones.
func TestPolicyCentury(t *testing.T) {
	end := time.Date(2026, 11, 26, 3, 0, 0, 0, time.UTC) // a Thursday
	var list []gc.Round
	for i := range 36_500 {
		at := end.AddDate(0, 0, -i)
		list = append(list, gc.Round{ID: at.Format(time.DateOnly), Began: at, Whole: true})
	}
	want := strings.Fields(`2025-12-31 2026-01-31 2026-02-28 2026-03-31 2026-04-30 2026-05-31 2026-06-30 2026-07-31 2026-08-31 2026-09-30 2026-10-31
		2026-11-01 2026-11-08 2026-11-15 2026-11-20 2026-11-21 2026-11-22 2026-11-23 2026-11-24 2026-11-25 2026-11-26`)
	if got := kept(gc.Policy{Daily: 7, Weekly: 5, Monthly: 12}, list, time.UTC, end); !slices.Equal(got, want) {
		t.Errorf("%v\nwant\n%v", got, want)
	}
}

// TestPolicyTwice: what a policy keeps, it keeps again; and it keeps the newest judged round.
func TestPolicyTwice(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	now := time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC)
	for i := range 3000 {
		var list []gc.Round
		at := now.AddDate(-1, 0, 0)
		for n := range r.IntN(40) {
			at = at.Add(time.Duration(r.IntN(1+r.IntN(2000))) * time.Hour)
			list = append(list, gc.Round{ID: fmt.Sprintf("%02d", n), Began: at, Whole: r.IntN(4) > 0})
		}
		p := gc.Policy{Last: r.IntN(4), Daily: r.IntN(5), Weekly: r.IntN(5), Monthly: r.IntN(4), Within: gc.Span{Days: r.IntN(20), Hours: r.IntN(2)}}
		if p == (gc.Policy{}) {
			continue
		}
		once := kept(p, list, time.UTC, now)
		left := slices.DeleteFunc(slices.Clone(list), func(r gc.Round) bool { return !slices.Contains(once, r.ID) })
		if twice := kept(p, left, time.UTC, now); !slices.Equal(once, twice) {
			t.Fatalf("case %d, %+v: keeps %v, and of these %v", i, p, once, twice)
		}
		for _, d := range slices.Backward(list) {
			if d.Whole {
				if !slices.Contains(once, d.ID) {
					t.Fatalf("case %d, %+v: the newest judged round %s goes", i, p, d.ID)
				}
				break
			}
		}
	}
}
