package round

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/pipelines/gate"
	"github.com/quire-ml/quire/pipelines/gc"
	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/runners/schedule"
	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/runners/workflow"
)

// RetrainResult is what became of a slot.
type RetrainResult struct {
	Slot   string `json:"slot"`
	Status string `json:"status"` // ran or skipped
	Exit   string `json:"exit"`   // of its round, now or before: done, refused or another class; empty: it had none
	Reason string `json:"reason"`
	Round  string `json:"round"`
}

// A SlotError says that the round of a slot has failed; that is its slot's record.
type SlotError struct{ Slot, Reason string }

func (e *SlotError) Error() string { return fmt.Sprintf("round: slot %s: %s", e.Slot, e.Reason) }

// Retrain runs rounds by c.Schedule until ctx ends; see package schedule. The error
// is train.ErrInterrupted where a round was running, which has then saved. Failures
// appear on o.Console, and are notified: of a slot once, of the scheduler when they
// begin. After an error that is o.Final the next slot ends it with that error, and stays
// due for another process.
func Retrain(ctx context.Context, c *configs.Config, o Options) error {
	s, err := openSlots(ctx, c, o)
	if err != nil {
		return err
	}
	defer s.st.Close()
	ctx, end := context.WithCancel(ctx)
	defer end()
	var ended error
	err = s.Run(ctx, func(ctx context.Context, slot time.Time, after string) (schedule.Outcome, error) {
		if s.final != nil {
			ended = fmt.Errorf("round: slot %s is left to another process: this one can train no more: %w", schedule.ID(slot), s.final)
			end()
			return schedule.Outcome{}, ctx.Err()
		}
		out, err := s.round(ctx, slot, after)
		if err != nil {
			err = &explained{err, o.message(err)}
		}
		return out, err
	})
	if ended != nil {
		return ended
	}
	return err
}

// explained is an error with what to do about it.
type explained struct {
	error
	text string
}

func (e *explained) Error() string { return e.text }
func (e *explained) Unwrap() error { return e.error }

// RetrainOnce runs the round of one slot, zero for the last one that came, unless it
// was decided before; again runs it in any case. Where its round failed, now or before,
// the error is a *SlotError, or ErrRefused, and there is a result; where it was
// interrupted, train.ErrInterrupted, and the slot stays due. Other errors are those of
// schedule.Scheduler.Once.
func RetrainOnce(ctx context.Context, c *configs.Config, o Options, slot time.Time, again bool) (*RetrainResult, error) {
	s, err := openSlots(ctx, c, o)
	if err != nil {
		return nil, err
	}
	defer s.st.Close()
	if slot.IsZero() {
		slot = s.Last()
	}
	record, err := s.Once(ctx, slot, again, s.round)
	if err != nil {
		return nil, err
	}
	if standing, err := s.Standing(ctx); err == nil && ctx.Err() == nil { // else the next slot tells
		s.cry.looked(ctx, standing.Without, standing)
	}
	r := s.result(ctx, record)
	switch r.Exit {
	case "", workflow.Done:
		return &r, nil
	case refused:
		return &r, fmt.Errorf("round: slot %s: %w", r.Slot, gate.ErrRefused)
	}
	return &r, &SlotError{r.Slot, r.Reason}
}

// SlotsResult is the schedule of a workdir.
type SlotsResult struct {
	Slots   []SlotSummary `json:"slots"` // those that have a record, the oldest first
	Running string        `json:"running"`
	Holder  string        `json:"holder"` // of the running slot
	Next    string        `json:"next"`   // the next slot by this clock
	Damaged []error       `json:"-"`      // of files that cannot be read
}

// SlotSummary is the record of a slot.
type SlotSummary struct {
	RetrainResult
	At string `json:"at"` // when it was decided, as RFC 3339; empty: by an earlier version
}

// Slots lists the slots of a workdir.
func Slots(ctx context.Context, c *configs.Config, o Options) (*SlotsResult, error) {
	s, err := openSlots(ctx, c, o)
	if err != nil {
		return nil, err
	}
	defer s.st.Close()
	res := &SlotsResult{Slots: []SlotSummary{}}
	v, err := s.Overview(ctx, func(err error) { res.Damaged = append(res.Damaged, err) })
	if err != nil {
		return nil, err
	}
	res.Running, res.Holder = v.Running, v.Holder
	if !v.Next.IsZero() {
		res.Next = schedule.ID(v.Next)
	}
	for i := range v.Slots {
		r := &v.Slots[i]
		sum := SlotSummary{RetrainResult: s.result(ctx, r)}
		if !r.At.IsZero() {
			sum.At = r.At.Format(time.RFC3339)
		}
		res.Slots = append(res.Slots, sum)
	}
	return res, nil
}

// ResetResult is what ResetSlots has changed.
type ResetResult struct {
	Deleted []string `json:"deleted"` // slots that had not come, and were skipped
	Left    string   `json:"left"`    // the slot of a scheduler that has died; empty: none
	Next    string   `json:"next"`    // the slot with which the schedule goes on
}

// ResetSlots lets the schedule of a workdir start over; see schedule.Scheduler.Reset.
func ResetSlots(ctx context.Context, c *configs.Config, o Options) (*ResetResult, error) {
	s, err := openSlots(ctx, c, o)
	if err != nil {
		return nil, err
	}
	defer s.st.Close()
	res := &ResetResult{}
	if res.Deleted, res.Left, err = s.Reset(ctx); err != nil {
		return nil, err
	}
	if res.Deleted == nil {
		res.Deleted = []string{}
	}
	if next := s.table.Next(time.Now()); !next.IsZero() {
		res.Next = schedule.ID(next)
	}
	return res, nil
}

// slots runs the rounds of slots.
type slots struct {
	*schedule.Scheduler
	table *schedule.Timetable
	c     *configs.Config
	o     Options
	st    *store.Store
	final error // of a round, after which this process can make no other
	cry   crier
}

// openSlots returns the slots of c's workdir. Close its store.
func openSlots(ctx context.Context, c *configs.Config, o Options) (*slots, error) {
	next, err := c.Schedule.Times()
	if err != nil {
		return nil, err
	}
	table, err := schedule.NewTimetable(next, c.Schedule.Timezone)
	if err != nil {
		return nil, err
	}
	st, err := text.OpenWorkdir(ctx, c)
	if err != nil {
		return nil, err
	}
	name, err := os.Hostname()
	if err != nil {
		name = "this machine"
	}
	s := &slots{table: table, c: c, o: o, st: st}
	s.Scheduler = schedule.New(st, schedule.Options{Timetable: table, Overlap: c.Schedule.Overlap, CatchUp: c.Schedule.CatchUp,
		Holder: fmt.Sprintf("process %d on %s", os.Getpid(), name), Now: o.Clock, Log: o.Console.Line, Warn: o.Console.Warn,
		Failed: func(err error) { tell(ctx, c, o, nil, err) }, Decided: o.watch().Decided,
		Looked: func(l schedule.View) {
			o.watch().Looked(l)
			s.cry.looked(ctx, l.Without(), l.Standing)
		}})
	s.cry.s = s
	return s, nil
}

// result returns what the record of a slot says.
func (s *slots) result(ctx context.Context, r *schedule.SlotRecord) RetrainResult {
	return RetrainResult{Slot: r.Slot, Status: r.Status, Exit: s.exit(ctx, r), Reason: r.Reason, Round: r.Round}
}

// exit returns how the round of a slot ended; empty: the slot had none.
func (s *slots) exit(ctx context.Context, r *schedule.SlotRecord) string {
	switch {
	case r.Round == "" || r.Exit != "":
		return r.Exit
	case r.At.IsZero(): // of an earlier version, whose slots name only the round
		if old, err := workflow.ReadRecord(ctx, s.st, r.Round); err == nil {
			return old.Exit
		}
	}
	return workflow.Done
}

// Pauses between two rounds of a slot that fail for a passing reason: the least mean,
// and the longest.
const (
	slotPauseMin = time.Second
	slotPauseMax = 5 * time.Minute
)

// round is the schedule.Round of a slot. The id of the round is that of the slot, and
// ID-2, ID-3 and so on for further ones: after an error that may pass, as long as the
// slot's window lasts, and where the slot is run again. A round that has its record is
// done.
func (s *slots) round(ctx context.Context, slot time.Time, after string) (schedule.Outcome, error) {
	n, began, window := 1, time.Now(), s.table.Window(slot)
	if after != "" {
		n = 1 + number(after)
	}
	var r *workflow.Record
	var mine bool // r was made here
	retry := workflow.Retry{Attempts: math.MaxInt, MaxPause: min(window/4, slotPauseMax),
		Pause: max(time.Duration(s.c.Round.PauseSeconds*float64(time.Second)), slotPauseMin),
		Transient: func(err error) bool {
			return r != nil && r.Exit == workflow.Transient && time.Since(began) < window
		},
		Waiting: func(_ int, wait time.Duration, err error) {
			s.o.Console.Warn("slot %s: %s; trying again in %v, until %s", schedule.ID(slot), s.o.message(err), wait.Round(time.Second),
				began.Add(window).Format(time.TimeOnly))
		}}
	var failed error // of the round of r
	_, err := retry.Do(ctx, func() (err error) {
		for {
			r, mine, failed, err = s.one(ctx, nth(schedule.ID(slot), n))
			n++
			if err != nil || mine || r.Exit != workflow.Transient {
				break
			}
		}
		if err != nil {
			r = nil
			return err
		}
		return failed
	})
	switch {
	case r == nil || ctx.Err() != nil && r.Exit == workflow.Transient:
		return schedule.Outcome{}, err
	case mine:
		tell(ctx, s.c, s.o, r, failed)
		if failed == nil {
			s.tidy(ctx, r)
		}
	}
	if failed != nil && s.o.Final != nil && s.o.Final(failed) {
		s.final = failed
	}
	out := schedule.Outcome{Round: r.Round, Reason: outcome(r)}
	if r.Exit != workflow.Done {
		out.Exit = r.Exit
	}
	return out, nil
}

// tidy removes what nothing reaches any more, after a round that has promoted a model. An
// error is a warning: the round is done.
func (s *slots) tidy(ctx context.Context, r *workflow.Record) {
	p, stage, err := PromotionArtifact.Recorded(r)
	if err != nil || stage == nil || stage.Action != workflow.ActionRun || p.Checkpoint == "" || !s.c.GC.Keeps() {
		return
	}
	defer s.o.watch().Tidies()()
	var res *gc.Result
	o, err := gc.Of(s.c)
	if err == nil {
		o.Delete = true
		res, err = gc.Run(ctx, s.st, o)
	}
	var held *store.HeldError
	switch {
	case errors.As(err, &held):
		s.o.Console.Warn("gc: process %d on %s removes already; what is left goes after the next round", held.PID, held.Host)
	case err != nil:
		s.o.Console.Warn("%s; the round is done, and what is left goes after the next one", s.o.message(err))
	default:
		s.o.Console.Line("gc: %v", res)
	}
}

// one reads the record of a round, or makes the round. err means that it has no record.
func (s *slots) one(ctx context.Context, id string) (r *workflow.Record, mine bool, failed, err error) {
	if r, err = workflow.ReadRecord(ctx, s.st, id); !errors.Is(err, store.ErrNotExist) {
		return r, false, nil, err
	}
	o := s.o
	o.ID, o.Console = id, o.Console.With("slot", firstPart(id), "round", id)
	s.o.watch().Began()
	_, made, failed := attempt(ctx, s.c, o, s.st)
	s.o.watch().Ended(exitOf(made, failed))
	o.report(ctx, s.c.Workdir, made)
	r, err = workflow.ReadRecord(context.WithoutCancel(ctx), s.st, id)
	if err != nil && failed != nil {
		err = failed
	}
	return r, true, failed, err
}

// exitOf returns how a round ended, also where it has no record.
func exitOf(r *workflow.Record, failed error) string {
	switch {
	case r != nil:
		return r.Exit
	case class(failed) != "":
		return class(failed)
	case errors.Is(failed, context.Canceled):
		return workflow.Interrupted
	case store.Transient(failed):
		return workflow.Transient
	}
	return workflow.Failed
}

// nth returns the id of the nth round of a slot, from 1.
func nth(slot string, n int) string {
	if n == 1 {
		return slot
	}
	return fmt.Sprintf("%s-%d", slot, n)
}

// firstPart returns the slot of the id of one of its rounds.
func firstPart(id string) string {
	slot, _, _ := strings.Cut(id, "-")
	return slot
}

// number returns n of the id of a slot's nth round.
func number(id string) int {
	_, text, _ := strings.Cut(id, "-")
	if n, err := strconv.Atoi(text); err == nil {
		return n
	}
	return 1
}

// outcome says in words how a round ended; empty: it made a model and promoted it.
func outcome(r *workflow.Record) string {
	switch {
	case r.Exit == refused:
		return r.Error.Message
	case r.Exit != workflow.Done:
		return r.Exit + ": " + r.Error.Message
	}
	for _, name := range []string{"prep", "train"} {
		if s := r.Stage(name); s != nil && s.Attempts > 0 {
			return ""
		}
	}
	return "nothing new in the corpus or the config: nothing was trained"
}
