package run

import (
	"context"
	"testing"

	"github.com/quire-ml/quire/runners/store"
)

// goalOf reads the goal of a run as a watcher does.
func goalOf(t *testing.T, st *store.Store) Goal {
	t.Helper()
	s, err := ReadState(context.Background(), st)
	if err != nil {
		t.Fatal(err)
	}
	if s.Goal == nil {
		return Goal{}
	}
	return *s.Goal
}

// TestAim: where a training ends outlives commits, the trimming of the journal, the holder and a
// resume, and goes with the checkpoints.
func TestAim(t *testing.T) {
	ctx, st := context.Background(), newStore(t)
	keep := Retention{KeepLast: 1}
	d := acquire(t, st)
	want := Goal{Steps: 9, Epochs: 3}
	if err := d.Aim(ctx, want); err != nil {
		t.Fatal(err)
	}
	for step := int64(1); step <= 3; step++ {
		commit(t, d, keep, step, 1)
	}
	if got := goalOf(t, st); got != want {
		t.Errorf("after three commits the goal is %+v, want %+v", got, want)
	}
	if err := d.Release(ctx); err != nil {
		t.Fatal(err)
	}
	if s, err := ReadState(ctx, st); err != nil || s.Holder != nil || s.Latest.Step != 3 {
		t.Errorf("released: %+v, %v", s, err)
	}
	d = acquire(t, st)
	s, err := ReadState(ctx, st)
	if err != nil || s.Holder == nil || s.Holder.Since.IsZero() || s.Holder.Since.After(s.Holder.Until) {
		t.Fatalf("held: %+v, %v", s, err)
	}
	n, err := d.NewestIntact(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.ResumeFrom(ctx, n, keep); err != nil {
		t.Fatal(err)
	}
	before := s.Generation
	if s, err = ReadState(ctx, st); err != nil {
		t.Fatal(err)
	}
	resumed := s.Generation
	if err := d.Aim(ctx, want); err != nil {
		t.Fatal(err)
	}
	if s, err = ReadState(ctx, st); err != nil || s.Generation != resumed || *s.Goal != want {
		t.Errorf("the same goal again: generation %s, then %s, then %s; %+v, %v", before, resumed, s.Generation, s.Goal, err)
	}
	if err := d.Aim(ctx, Goal{Steps: 12, Epochs: 4}); err != nil {
		t.Fatal(err)
	}
	if got := goalOf(t, st); got.Steps != 12 {
		t.Errorf("the goal is %+v, want 12 steps", got)
	}
	if err := d.Discard(ctx); err != nil {
		t.Fatal(err)
	}
	if err := d.Begin(ctx); err != nil {
		t.Fatal(err)
	}
	if got := goalOf(t, st); got != (Goal{}) {
		t.Errorf("a run that starts from zero has the goal %+v", got)
	}
}
