package configs

import (
	"strings"
	"testing"
	"time"
)

func TestTimes(t *testing.T) {
	after := time.Date(2026, 2, 27, 12, 30, 0, 0, time.UTC) // a Friday
	for expression, want := range map[string]string{
		"0 3 * * *":    "2026-02-28T03:00:00Z",
		"*/20 * * * *": "2026-02-27T12:40:00Z",
		"30 12 * * *":  "2026-02-28T12:30:00Z",
		"0 0 29 2 *":   "2028-02-29T00:00:00Z",
		"0 9 1 * MON":  "2026-03-01T09:00:00Z", // the first of a month, or a Monday
		"@daily":       "2026-02-28T00:00:00Z",
		"@weekly":      "2026-03-01T00:00:00Z",
	} {
		next, err := Schedule{Cron: expression}.Times()
		if err != nil {
			t.Errorf("%s: %v", expression, err)
			continue
		}
		if got := next(after).Format(time.RFC3339); got != want {
			t.Errorf("%s: %s, want %s", expression, got, want)
		}
	}
}

func TestSchedule(t *testing.T) {
	for _, set := range []string{"schedule.cron=0 3 * *", "schedule.cron=0 3 * * * *", "schedule.cron=60 3 * * *", "schedule.cron=0 0 30 2 *",
		"schedule.cron=@every 1h", "schedule.cron=TZ=UTC 0 3 * * *", "schedule.cron=CRON_TZ=UTC 0 3 * * *", "schedule.cron=", "schedule.cron=@reboot",
		"schedule.timezone=", "schedule.timezone=Local", "schedule.timezone=Europe/Atlantis", "schedule.overlap=buffer_all", "schedule.catch_up=all"} {
		if r, err := Load(Options{Set: []string{set}}); err == nil {
			t.Errorf("--set %s gives %+v", set, r.Config.Schedule)
		}
	}
	r, err := Load(Options{Set: []string{"schedule.cron=30 2 * * 1-5", "schedule.timezone=Europe/Berlin", "schedule.overlap=buffer_one",
		"schedule.catch_up=none"}})
	if want := (Schedule{"30 2 * * 1-5", "Europe/Berlin", "buffer_one", "none", ""}); err != nil || r.Config.Schedule != want {
		t.Errorf("got %+v, %v, want %+v", r, err, want)
	}
}

// TestCronReasons: the reason for which an expression or a zone cannot be read reaches
// the user, beside the rule.
func TestCronReasons(t *testing.T) {
	for setting, want := range map[string]string{
		"schedule.cron=61 * * * *":       `is "61 * * * *": end of range (61) above maximum (59): "61"; it must be a cron expression of 5 fields`,
		"schedule.cron=* * *":            `is "* * *": expected exactly 5 fields, found 3: [* * *]; it must be a cron`,
		"schedule.cron=0 3 31 2 *":       `is "0 3 31 2 *": it is a date that never comes; it must be a cron`,
		"schedule.cron=TZ=UTC 0 3 * * *": `: it has a time zone; use schedule.timezone; it must`,
		"schedule.cron=@every 5m":        `: it counts from the moment of reading; use fields; it must`,
		"schedule.timezone=Mars/North":   `is "Mars/North": unknown time zone Mars/North; it must be the name of a time zone`,
		"schedule.timezone=Local":        `is "Local": it is another zone on another machine; it must be the name of a time zone`,
	} {
		if _, err := Load(Options{Set: []string{setting}}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", setting, err, want)
		}
	}
}
