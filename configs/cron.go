package configs

import (
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // for machines without a database of time zones

	cron "github.com/netresearch/go-cron"
)

// cronParser reads the expressions of crontab(5): five fields, or @daily and the
// like. Where both days are given, either the day of the month or the day of the
// week has to match.
var cronParser = cron.MustNewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor | cron.DowOrDom)

// Times returns a function from a time to the next one at which the schedule's
// cron expression holds. Both are on a calendar without time zones (in UTC). The
// result is the zero time if there is none within some years.
func (s Schedule) Times() (next func(time.Time) time.Time, err error) {
	if strings.Contains(s.Cron, "=") {
		return nil, fmt.Errorf("configs: schedule.cron: %q has a time zone; use schedule.timezone", s.Cron)
	}
	times, err := cronParser.Parse(s.Cron)
	if err != nil {
		return nil, fmt.Errorf("configs: schedule.cron: %w", err)
	}
	if _, ok := times.(*cron.SpecSchedule); !ok {
		return nil, fmt.Errorf("configs: schedule.cron: %q counts from the moment of reading; use fields", s.Cron)
	}
	if times.Next(time.Unix(0, 0).UTC()).IsZero() {
		return nil, fmt.Errorf("configs: schedule.cron: %q is a date that never comes", s.Cron)
	}
	return times.Next, nil
}

func isCron(s string) bool {
	_, err := Schedule{Cron: s}.Times()
	return err == nil
}

// isZone reports whether s is a time zone that is the same on every machine.
func isZone(s string) bool {
	_, err := time.LoadLocation(s)
	return err == nil && s != "" && s != "Local"
}
