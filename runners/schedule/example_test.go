package schedule_test

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/quire-ml/quire/runners/schedule"
	"github.com/quire-ml/quire/runners/store"
)

// Once runs the round of a slot; asked again, it says that the slot has run.
func ExampleScheduler_Once() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()
	st, err := store.Open(ctx, dir) // or gs://bucket/prefix
	if err != nil {
		fmt.Println(err)
		return
	}
	nightly := func(after time.Time) time.Time { // 3 o'clock
		next := time.Date(after.Year(), after.Month(), after.Day(), 3, 0, 0, 0, time.UTC)
		if !next.After(after) {
			next = next.AddDate(0, 0, 1)
		}
		return next
	}
	table, err := schedule.NewTimetable(nightly, "Europe/Berlin")
	if err != nil {
		fmt.Println(err)
		return
	}
	s := schedule.New(st, schedule.Options{Timetable: table, Overlap: "skip", CatchUp: "latest", Holder: "the cron job"})
	round := func(ctx context.Context, slot time.Time, _ string) (schedule.Outcome, error) {
		fmt.Println("a round runs for", schedule.ID(slot))
		return schedule.Outcome{Round: "round-1"}, nil
	}
	slot := table.Next(time.Date(2025, 11, 24, 0, 0, 0, 0, time.UTC))
	for range 2 {
		record, err := s.Once(ctx, slot, false, round)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%s: %s, %s %q\n", record.Slot, record.Status, record.Round, record.Reason)
	}
	// Output:
	// a round runs for 20251124T020000Z
	// 20251124T020000Z: ran, round-1 ""
	// 20251124T020000Z: skipped, round-1 "it ran before"
}
