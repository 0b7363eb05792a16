package gc

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/quire-ml/quire/configs"
)

// ErrNoPolicy is wrapped by the error of a policy that keeps no round.
var ErrNoPolicy = errors.New("gc: no policy says which rounds stay, and nothing goes without one")

// A Policy says which rounds stay: those that one of its rules keeps. The rules are those
// of restic's forget. Days, weeks and months are those of the calendar, and only those count
// that have a round; weeks begin on Monday. Of each the newest round stays. Where there
// are fewer than a rule keeps, the oldest round stays, too.
type Policy struct {
	Last    int  // newest rounds
	Daily   int  // newest days
	Weekly  int  // newest weeks
	Monthly int  // newest months
	Within  Span // before the newest round; rounds later than the clock are kept, and are not the newest
}

// Of returns the options that a config has.
func Of(c *configs.Config) (Options, error) {
	g := &c.GC
	o := Options{Promotions: g.KeepPromotions, Sweeps: g.Sweeps(), Start: c.Train.From,
		Policy: Policy{Last: g.KeepLast, Daily: g.KeepDaily, Weekly: g.KeepWeekly, Monthly: g.KeepMonthly}}
	s := &o.Policy.Within
	var err error
	if s.Years, s.Months, s.Days, s.Hours, err = g.Within(); err != nil {
		return o, fmt.Errorf("gc: %w", err)
	}
	o.Zone, err = time.LoadLocation(c.Schedule.Timezone)
	return o, err
}

// A Span is a length of time in the calendar.
type Span struct{ Years, Months, Days, Hours int }

// before returns the time that lies a span before t.
func (s Span) before(t time.Time) time.Time {
	return t.AddDate(-s.Years, -s.Months, -s.Days).Add(-time.Duration(s.Hours) * time.Hour)
}

// A Round is what a policy knows of a round.
type Round struct {
	ID    string
	Began time.Time
	Whole bool // its gate has judged a model; the others do not count
}

// Kept returns why rounds stay, by id. A round that is not whole takes no place. It stays
// while it is newer than the newest whole one: it is the trouble of the day, or waits for
// its next attempt.
func (p Policy) Kept(rounds []Round, zone *time.Location, now time.Time) map[string][]string {
	all := slices.Clone(rounds)
	slices.SortFunc(all, func(a, b Round) int { return -cmp.Or(a.Began.Compare(b.Began), cmp.Compare(a.ID, b.ID)) })
	why := map[string][]string{}
	var whole []Round
	for _, r := range all {
		if r.Whole {
			whole = append(whole, r)
		} else if len(whole) == 0 {
			why[r.ID] = append(why[r.ID], "newer than the last round that was judged")
		}
	}
	for i, r := range whole[:min(p.Last, len(whole))] {
		why[r.ID] = append(why[r.ID], fmt.Sprintf("last %d", i+1))
	}
	for _, c := range []struct {
		n    int
		word string
		of   func(t time.Time) int
	}{
		{p.Daily, "daily", func(t time.Time) int { return t.Year()*1000 + t.YearDay() }},
		{p.Weekly, "weekly", func(t time.Time) int { year, week := t.ISOWeek(); return year*100 + week }},
		{p.Monthly, "monthly", func(t time.Time) int { return t.Year()*100 + int(t.Month()) }},
	} {
		n, last := c.n, 0
		for i, r := range whole {
			at := c.of(r.Began.In(zone))
			switch {
			case n == 0:
			case at != last:
				why[r.ID] = append(why[r.ID], c.word)
				n, last = n-1, at
			case i == len(whole)-1:
				why[r.ID] = append(why[r.ID], "oldest "+c.word)
			}
		}
	}
	if p.Within == (Span{}) {
		return why
	}
	past := slices.IndexFunc(whole, func(r Round) bool { return !r.Began.After(now) })
	for i, r := range whole {
		if past < 0 || i < past || r.Began.After(p.Within.before(whole[past].Began.In(zone))) {
			why[r.ID] = append(why[r.ID], "within")
		}
	}
	return why
}
