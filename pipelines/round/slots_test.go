package round

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quire-ml/quire/pipelines/gate"
	"github.com/quire-ml/quire/pipelines/internal/tiny"
	"github.com/quire-ml/quire/pipelines/stages"
	"github.com/quire-ml/quire/runners/schedule"
	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/runners/workflow"
)

// TestSlots runs a slot with each outcome of its round.
func TestSlots(t *testing.T) {
	c := tiny.Config(t, tiny.Line(), learned...)
	night := func(day int) time.Time { return time.Date(2025, 11, day, 3, 0, 0, 0, time.UTC) }
	again, round := false, ""
	slot := func(day int, failed error, status, exit, reason string) {
		t.Helper()
		id := fmt.Sprintf("202511%02dT030000Z", day)
		r, err := RetrainOnce(t.Context(), c, quiet(), night(day), again)
		var slot *SlotError
		if errors.As(failed, &slot) && (!errors.As(err, &slot) || slot.Slot != id || slot.Reason != r.Reason) || failed == nil && err != nil ||
			errors.Is(failed, gate.ErrRefused) != errors.Is(err, gate.ErrRefused) {
			t.Errorf("slot %d: %v, want %v", day, err, failed)
		}
		if r == nil || r.Slot != id || r.Round != id+round || r.Status != status || r.Exit != exit || !strings.HasPrefix(r.Reason, reason) ||
			reason == "" && r.Reason != "" {
			t.Errorf("slot %d: %+v, want %s %s: %q", day, r, status, exit, reason)
		}
	}
	slot(1, nil, "ran", "done", "")
	slot(2, nil, "ran", "done", "nothing new in the corpus or the config: nothing was trained")
	slot(1, nil, "skipped", "done", "it ran before")
	good := *c
	c.Train.Epochs = 0
	slot(3, gate.ErrRefused, "ran", "refused", "round: the gate refused the model:")
	slot(3, gate.ErrRefused, "skipped", "refused", "it ran before: round: the gate refused the model:")
	*c = good
	c.Generate.Prompt = "ß"
	slot(4, &SlotError{}, "ran", "user", "user: ")
	slot(4, &SlotError{}, "skipped", "user", "it ran before: user: ")
	*c = good
	again, round = true, "-2"
	slot(4, nil, "ran", "done", "nothing new")
	round = "-3"
	slot(4, nil, "ran", "done", "nothing new")
	again = false
	slot(4, nil, "skipped", "done", "it ran before: nothing new")
	round = ""
	slot(3, gate.ErrRefused, "skipped", "refused", "it ran before: round: the gate refused the model:")
	stopped, stop := context.WithCancel(t.Context())
	stop()
	if r, err := RetrainOnce(stopped, c, quiet(), night(5), false); r != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %+v, %v", r, err)
	}
	slot(5, nil, "ran", "done", "nothing new")
	var no *schedule.NoSlotError
	if _, err := RetrainOnce(t.Context(), c, quiet(), night(6).Add(time.Second), false); !errors.As(err, &no) {
		t.Errorf("a time between slots: %v", err)
	}
	if r, err := RetrainOnce(t.Context(), c, quiet(), time.Time{}, false); err != nil || r.Status != "ran" {
		t.Errorf("the last slot: %+v, %v", r, err)
	}
}

// TestFinal: after an error that is final the next slot is left to another process, which
// runs it.
func TestFinal(t *testing.T) {
	c := tiny.Config(t, tiny.Line())
	c.Schedule.Cron = "* * * * *"
	lost := errors.New("the GPU is lost")
	failing := func(err error) Options {
		return quiet(func(*Stages) workflow.Node {
			return workflow.Stage[any, stages.PrepResult]{Name: "fail", Version: 1, Artifact: SetArtifact,
				Run: func(context.Context, any, *workflow.Task) (out workflow.Product[stages.PrepResult], _ error) {
					return out, err
				}}
		}, Without("corpus", "drift", "train", "evaluate", "gate", "promote", "sample"))
	}
	exit := func(t *testing.T, minute int) string {
		t.Helper()
		r, err := RetrainOnce(t.Context(), c, failing(nil), time.Date(2000, 1, 1, 0, minute, 0, 0, time.UTC), false)
		if r == nil {
			t.Fatal(err)
		}
		return r.Status + " " + r.Exit
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		time.AfterFunc(10*time.Minute, stop)
		o := failing(lost)
		o.Final = func(err error) bool { return errors.Is(err, lost) }
		if err := Retrain(ctx, c, o); !errors.Is(err, lost) || !strings.HasPrefix(err.Error(), "round: slot 20000101T000200Z is left to another process: ") {
			t.Errorf("%v", err)
		}
		if passed := time.Since(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)); passed > 3*time.Minute {
			t.Errorf("it ended after %v", passed)
		}
		if first, second := exit(t, 1), exit(t, 2); first != "skipped failed" || second != "ran done" {
			t.Errorf("the slots of its time: %s; %s", first, second)
		}
	})
}

// TestOverlap runs the scheduler on the clock of a bubble. The first round takes 90
// seconds, so that the slot of the second minute comes during it.
func TestOverlap(t *testing.T) {
	for overlap, want := range map[string][]string{"skip": {"ran", "skipped", "ran"}, "buffer_one": {"ran", "ran", "ran"}} {
		t.Run(overlap, func(t *testing.T) {
			c := tiny.Config(t, tiny.Line())
			c.Schedule.Overlap, c.Schedule.Cron = overlap, "* * * * *"
			synctest.Test(t, func(t *testing.T) {
				ctx, stop := context.WithCancel(t.Context())
				long := func(*Stages) workflow.Node {
					return workflow.Stage[any, stages.PrepResult]{Name: "long", Version: 1, Artifact: SetArtifact,
						Run: func(context.Context, any, *workflow.Task) (out workflow.Product[stages.PrepResult], err error) {
							time.Sleep(90 * time.Second)
							return out, nil
						}}
				}
				o := quiet(long, Without("corpus", "drift", "train", "evaluate", "gate", "promote", "sample"))
				time.AfterFunc(210*time.Second, stop) // after three slots
				if err := Retrain(ctx, c, o); !errors.Is(err, context.Canceled) {
					t.Fatal(err)
				}
				st, err := store.Open(t.Context(), c.Workdir)
				if err != nil {
					t.Fatal(err)
				}
				defer st.Close()
				var got []string
				for n := range 3 {
					var r schedule.SlotRecord
					name := "schedule/slots/" + schedule.ID(time.Date(2000, 1, 1, 0, 1+n, 0, 0, time.UTC)) + ".json"
					if _, err := st.ReadSealed(t.Context(), name, &r, store.Sealed{}); err != nil {
						t.Fatal(err)
					}
					got = append(got, r.Status)
					if r.Status == "skipped" && r.Reason != "overlap: a round ran from 2000-01-01T00:01:00Z to 2000-01-01T00:02:30Z" {
						t.Errorf("slot %s was skipped: %s", r.Slot, r.Reason)
					}
				}
				if !slices.Equal(got, want) {
					t.Errorf("the slots %v, want %v", got, want)
				}
			})
		})
	}
}
