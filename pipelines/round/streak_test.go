package round

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/pipelines/internal/tiny"
	"github.com/quire-ml/quire/pipelines/notice"
	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/runners/schedule"
	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/runners/workflow"
)

// nights are options of rounds of one stage, which ends with the error of fails.
func nights(fails func() error) Options {
	return quiet(func(*Stages) workflow.Node {
		return workflow.Stage[any, text.CorpusFacts]{Name: "night", Version: 1, Artifact: CorpusArtifact, Live: true,
			Run: func(context.Context, any, *workflow.Task) (out workflow.Product[text.CorpusFacts], _ error) {
				return out, fails()
			}}
	}, Without("prep", "drift", "train", "evaluate", "gate", "promote", "sample"))
}

// wantStreak compares what a command was told, but for failed rounds, since the last call.
func wantStreak(t *testing.T, file string, want ...string) {
	t.Helper()
	data, _ := os.ReadFile(file)
	os.Remove(file)
	var got []string
	for d := json.NewDecoder(strings.NewReader(string(data))); ; {
		var n notice.News
		if d.Decode(&n) != nil {
			break
		}
		if n.Event != notice.Failed {
			got = append(got, strings.TrimSpace(fmt.Sprint(n.Event, " ", n.Slots, " ", n.Since)))
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("told %q, want %q", got, want)
	}
}

// TestStreakOnce: cron jobs tell once of slots without success, and once when one succeeds
// again; a success between two failures is none of either.
func TestStreakOnce(t *testing.T) {
	file := filepath.Join(t.TempDir(), "told")
	c := tiny.Config(t, tiny.Line(), "notify.after_slots=2")
	c.Notify.Command = "cat >> " + file
	var failed error
	now := time.Time{}
	o := nights(func() error { return failed })
	o.Clock = func() time.Time { return now }
	night := func(day int, err error, want ...string) {
		t.Helper()
		failed = err
		slot := time.Date(2025, 11, day, 3, 0, 0, 0, time.UTC)
		now = slot.Add(time.Minute)
		if _, got := RetrainOnce(t.Context(), c, o, slot, false); (got != nil) != (err != nil) {
			t.Fatal(got)
		}
		wantStreak(t, file, want...)
	}
	bad := errors.New("no disk")
	night(1, bad)
	night(2, bad, "no_success 2")
	night(3, bad)
	night(4, nil, "success_again 0")
	night(5, bad)
	night(6, nil)
	night(7, bad)
	night(8, bad, "no_success 2 2025-11-06T03:01:00Z")
	night(10, bad) // and nobody ran the slot of day 9
	if err := os.WriteFile(filepath.Join(c.Workdir, "schedule", "streak.json"), []byte("{"), 0o666); err != nil {
		t.Fatal(err)
	}
	night(11, bad, "no_success 5 2025-11-06T03:01:00Z") // who told is lost
	night(12, nil, "success_again 0 2025-11-06T03:01:00Z")
	c.Notify.AfterSlots = 0
	night(13, bad)
	night(14, bad)
	c.Notify.AfterSlots = 1
	night(15, bad, "no_success 3 2025-11-12T03:01:00Z")
	night(16, nil, "success_again 0 2025-11-12T03:01:00Z")
	night(19, nil) // a missed slot and a success
}

// TestStreakDaemons: of two daemons one tells, also in an outage that ends before the
// slots are told; in an outage that lasts each tells, and again when it is over.
func TestStreakDaemons(t *testing.T) {
	file := filepath.Join(t.TempDir(), "told")
	c := tiny.Config(t, tiny.Line(), "notify.after_slots=3", "schedule.cron=0 * * * *")
	c.Notify.Command = "cat >> " + file
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var failed, broken error
		set := func(where *error, err error) {
			mu.Lock()
			defer mu.Unlock()
			*where = err
		}
		restore := store.InjectFaults(func(_, name string) error {
			mu.Lock()
			defer mu.Unlock()
			if strings.HasPrefix(name, "schedule/") {
				return broken
			}
			return nil
		})
		defer restore()
		o := nights(func() error {
			mu.Lock()
			defer mu.Unlock()
			return failed
		})
		ctx, stop := context.WithCancel(t.Context())
		var both sync.WaitGroup
		for range 2 {
			both.Go(func() {
				if err := Retrain(ctx, c, o); !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
			})
			time.Sleep(7 * time.Second)
		}
		hours := func(n int, want ...string) {
			t.Helper()
			time.Sleep(time.Until(time.Now().Truncate(time.Hour).Add(time.Duration(n)*time.Hour + 30*time.Minute)))
			wantStreak(t, file, want...)
		}
		bad, lost := errors.New("no disk"), fmt.Errorf("no network: %w", store.ErrTransient)
		hours(1)
		set(&failed, bad)
		hours(2)
		hours(1, "no_success 3 2000-01-01T01:00:00Z")
		hours(3)
		set(&failed, nil)
		hours(1, "success_again 0 2000-01-01T01:00:00Z")
		set(&broken, lost)
		hours(2)
		hours(1, "no_success 3 2000-01-01T08:00:00Z", "no_success 3 2000-01-01T08:00:00Z")
		hours(2)
		set(&broken, nil)
		hours(1, "success_again 0 2000-01-01T08:00:00Z", "success_again 0 2000-01-01T08:00:00Z")
		hours(3)
		stop()
		both.Wait()
	})
}

// TestStreakBeside: of many processes that see a streak, or its end, at the same time one
// tells.
func TestStreakBeside(t *testing.T) {
	file := filepath.Join(t.TempDir(), "told")
	c := tiny.Config(t, tiny.Line(), "notify.after_slots=2")
	c.Notify = configs.Notify{Command: "cat >> " + file, AfterSlots: 2}
	look := func(without int, success string) {
		t.Helper()
		var all sync.WaitGroup
		for range 8 {
			s, err := openSlots(t.Context(), c, quiet())
			if err != nil {
				t.Fatal(err)
			}
			defer s.st.Close()
			all.Go(func() {
				for range 3 {
					s.cry.looked(t.Context(), without, schedule.Standing{Known: true, Success: schedule.SlotRecord{Slot: success}})
				}
			})
		}
		all.Wait()
	}
	look(1, "20260101T030000Z")
	wantStreak(t, file)
	look(2, "20260101T030000Z")
	wantStreak(t, file, "no_success 2 2026-01-01T03:00:00Z")
	look(0, "20260104T030000Z")
	wantStreak(t, file, "success_again 0 2026-01-01T03:00:00Z")
	look(0, "20260105T030000Z")
	wantStreak(t, file)
}
