package configs

import (
	"errors"
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
	if next, err = parseCron(s.Cron); err != nil {
		return nil, fmt.Errorf("configs: schedule.cron: %w", err)
	}
	return next, nil
}

func parseCron(expression string) (next func(time.Time) time.Time, err error) {
	if strings.Contains(expression, "=") {
		return nil, errors.New("it has a time zone; use schedule.timezone")
	}
	times, err := cronParser.Parse(expression)
	if err != nil {
		return nil, err
	}
	if _, ok := times.(*cron.SpecSchedule); !ok {
		return nil, errors.New("it counts from the moment of reading; use fields")
	}
	if times.Next(time.Unix(0, 0).UTC()).IsZero() {
		return nil, errors.New("it is a date that never comes")
	}
	return times.Next, nil
}

// checkCron says why an expression cannot be read.
func checkCron(expression string) error {
	_, err := parseCron(expression)
	return err
}

// checkZone says why a name is no time zone that is the same on every machine.
func checkZone(name string) error {
	if name == "" || name == "Local" {
		return errors.New("it is another zone on another machine")
	}
	_, err := time.LoadLocation(name)
	return err
}
