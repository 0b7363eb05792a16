package round

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/pipelines/gate"
	"github.com/quire-ml/quire/pipelines/notice"
	"github.com/quire-ml/quire/runners/schedule"
	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/runners/workflow"
)

// news returns the news of a round; nil: none. An interrupted round goes on later,
// and the result of a skipped stage was news when the stage ran.
func news(c *configs.Config, r *workflow.Record, failed error) *notice.News {
	var wrong workflow.SelectionError
	if errors.As(failed, &wrong) {
		return nil // a person has just typed the selection
	}
	n := &notice.News{Experiment: c.Name}
	if r != nil {
		n.Round = r.Round
		if e, s, err := EvaluationArtifact.Recorded(r); s != nil && err == nil {
			n.Nats = &e.NatsPerChar
		}
	}
	switch {
	case failed == nil:
		p, s, err := PromotionArtifact.Recorded(r)
		if s == nil || s.Action != workflow.ActionRun || err != nil || p.Checkpoint == "" {
			return nil
		}
		n.Event, n.Checkpoint = notice.Promoted, store.Locate(c.Workdir, p.Checkpoint)
	case errors.Is(failed, gate.ErrRefused):
		_, s, err := DecisionArtifact.Recorded(r)
		if s == nil || s.Action != workflow.ActionRun || err != nil {
			return nil
		}
		n.Event, n.Stage, n.Class, n.Message = notice.Refused, s.Name, refused, failed.Error()
	case class(failed) == workflow.Interrupted || errors.Is(failed, context.Canceled):
		return nil
	default:
		n.Event, n.Message = notice.Failed, failed.Error()
		if r != nil && r.Error != nil {
			n.Stage, n.Class = r.Error.Stage, r.Error.Class
		}
	}
	return n
}

// tell notifies of the news of a round; r is nil where it has no record.
func tell(ctx context.Context, c *configs.Config, o Options, r *workflow.Record, failed error) {
	n := news(c, r, failed)
	if n == nil {
		return
	}
	if n.Message != "" {
		n.Message = o.message(failed)
	}
	send(ctx, c, o, n)
}

// send sends news to whoever the config names.
func send(ctx context.Context, c *configs.Config, o Options, n *notice.News) {
	notice.Sender{Notify: c.Notify, Warn: o.Console.Warn, Told: o.watch().Told}.Send(ctx, n)
}

// A Watch is told what the schedulers and rounds of this process do. Its methods return soon.
type Watch interface {
	Looked(schedule.View)           // a look at the schedule
	Decided(schedule.SlotRecord)    // a record that a scheduler of this process has written
	Began()                         // a round
	Ended(exit string)              // a round: done, refused or another class
	Told(channel string, err error) // somebody, by notify
	Tidies() (done func())          // after a round: gc, which may take hours in a bucket
}

// nobody is the Watch where there is none.
type nobody struct{}

func (nobody) Looked(schedule.View)        {}
func (nobody) Decided(schedule.SlotRecord) {}
func (nobody) Began()                      {}
func (nobody) Ended(string)                {}
func (nobody) Told(string, error)          {}
func (nobody) Tidies() func()              { return func() {} }

func (o Options) watch() Watch {
	if o.Watch == nil {
		return nobody{}
	}
	return o.Watch
}

func (o Options) clock() time.Time {
	if o.Clock == nil {
		return time.Now()
	}
	return o.Clock()
}

const streakFormat = "quire-streak/1"

// A streak is what notify was told of slots without success. All processes of a schedule
// share it, so that one of them tells.
type streak struct {
	Format string    `json:"format"`
	Since  string    `json:"since"` // slot of the last success before; empty: there was none
	When   time.Time `json:"when,omitzero"`
	Slots  int       `json:"slots"` // without success, when that was told
	Over   bool      `json:"over"`  // a slot has succeeded since, and that was told
	At     time.Time `json:"at"`
}

// A crier tells notify of slots without success: once a streak of them, and once when a
// slot succeeds.
type crier struct {
	s       *slots
	settled string // the last success, by its slot, for which there is nothing to tell or do; see looked
	decided bool   // settled holds
	own     *streak
}

// looked tells what there is to tell where so many slots had no success, and the records
// stand so. An error of the workdir, such as an outage, leaves the rest to the next call.
func (k *crier) looked(ctx context.Context, without int, st schedule.Standing) {
	c := k.s.c.Notify
	if c.AfterSlots == 0 || c.Command == "" && c.Webhook == "" || !st.Known {
		return
	}
	silent := without >= c.AfterSlots
	state := fmt.Sprintf("%v since %s", silent, st.Success.Slot)
	if k.decided && k.settled == state {
		return
	}
	now := streak{Format: streakFormat, Since: st.Success.Slot, When: st.Success.When(), Slots: without, At: k.s.o.clock().UTC().Truncate(time.Second)}
	old, generation, err := k.read(ctx)
	switch {
	case silent && old != nil && !old.Over && old.Since == now.Since: // somebody has told it
	case silent:
		first := k.own == nil || k.own.Since != now.Since
		if err == nil {
			err = k.write(ctx, now, generation)
		}
		if errors.Is(err, store.ErrConflict) {
			return // somebody else tells, as the next call will see
		}
		if first { // in an outage too: nobody knows whether another process tells
			k.own = &now
			n := &notice.News{Event: notice.Silent, Slots: without, Since: when(now.When)}
			k.tell(ctx, n)
		}
	case err == nil && old != nil && !old.Over && old.Since != now.Since:
		ended := *old
		ended.Over, ended.At = true, now.At
		if err = k.write(ctx, ended, generation); err == nil {
			k.tell(ctx, &notice.News{Event: notice.Again, Since: when(old.When), Round: st.Success.Round})
		}
		k.own = nil
	case err == nil && k.own != nil && k.own.Since != now.Since: // told in an outage, and not written
		k.tell(ctx, &notice.News{Event: notice.Again, Since: when(k.own.When), Round: st.Success.Round})
		k.own = nil
	}
	if err == nil {
		k.settled, k.decided = state, true
	}
}

// when is a time in news; empty: there is none.
func when(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format(time.RFC3339)
}

func (k *crier) tell(ctx context.Context, n *notice.News) {
	n.Experiment = k.s.c.Name
	send(ctx, k.s.c, k.s.o, n)
}

// read returns what was told last; nil: nothing, or the file is damaged and now deleted.
func (k *crier) read(ctx context.Context) (*streak, string, error) {
	old := &streak{}
	generation, err := k.s.st.ReadSealed(ctx, schedule.StreakName, old, store.Sealed{Format: streakFormat})
	switch {
	case err == nil:
		return old, generation, nil
	case errors.Is(err, store.ErrNotExist):
		return nil, "", nil
	case errors.Is(err, store.ErrDamaged):
		k.s.o.Console.Warn("%v; it is deleted", err)
		return nil, "", k.s.st.Delete(ctx, schedule.StreakName, "")
	}
	return nil, "", err
}

func (k *crier) write(ctx context.Context, now streak, generation string) error {
	data, err := store.MarshalSealed(now)
	if err == nil {
		_, err = k.s.st.Swap(ctx, schedule.StreakName, data, generation)
	}
	return err
}
