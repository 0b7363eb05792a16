package watch

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/quire-ml/quire/pipelines/report"
	"github.com/quire-ml/quire/runners/store"
)

// Times between two looks: at first and while something changes, and at most. A look at a
// bucket is five requests: 30 a minute, and 5 where nothing changes.
const (
	folderEvery = 2 * time.Second
	bucketEvery = 10 * time.Second
	slower      = 6
)

// Options are options of Follow.
type Options struct {
	Console *report.Console
	Every   time.Duration // between two looks while something changes; 0: 2 s in a folder, 10 s in a bucket
	Idle    time.Duration // for which a run is followed that nobody trains any more, as another machine may take it over
}

// A NobodyError says that nobody trains a run whose training has not ended.
type NobodyError struct{ Look *Look }

func (e *NobodyError) Error() string {
	return fmt.Sprintf("watch: %s: %s", e.Look.Run, e.Look.nobody())
}

// Follow shows the progress of a run until its training ends, and returns the last look. The
// error is a *NobodyError where nobody trains the run: at the first look, for longer than
// o.Idle, or because it diverged. A network that is away is waited for.
func Follow(ctx context.Context, st *store.Store, o Options) (*Look, error) {
	every := o.Every
	if _, local := st.Local(); every == 0 && local {
		every = folderEvery
	} else if every == 0 {
		every = bucketEvery
	}
	f := &follower{Watcher: New(st), o: o}
	f.Damaged = func(err error) { o.Console.Warn("watch: %v", err) }
	defer f.close()
	for pause := every; ; {
		l, done, err := f.look(ctx)
		if done {
			return l, err
		}
		if pause = min(pause*3/2, slower*every); f.changed {
			pause = every
		}
		if err := store.Wait(ctx, pause); err != nil {
			return f.last, err
		}
	}
}

// A follower shows looks.
type follower struct {
	*Watcher
	o       Options
	last    *Look // nil before the first
	changed bool  // since the look before
	bar     *report.Progress
	away    string    // the last error of a network that was told
	idle    time.Time // nobody trains since; zero: somebody does
	trained bool      // a look has seen somebody train
}

// look looks once, shows what is new, and reports whether that was the last look.
func (f *follower) look(ctx context.Context) (l *Look, done bool, err error) {
	l, err = f.Look(ctx)
	if err != nil && (f.last == nil || ctx.Err() != nil || !store.Transient(err)) {
		return f.last, true, err
	}
	if err != nil {
		if f.away != err.Error() {
			f.away = err.Error()
			f.o.Console.Warn("watch: %v; looking again", err)
		}
		f.changed = false
		return f.last, false, nil
	}
	f.away = ""
	before := f.last
	f.changed = before == nil || before.State != l.State || before.Step != l.Step || before.Checkpoint != l.Checkpoint || len(l.news) > 0
	f.last = l
	for _, e := range slices.Backward(l.news) {
		f.o.Console.Line("watch: epoch %d: %s", e.Epoch, losses(&e))
		if e.Sample != "" {
			f.o.Console.Line("watch: epoch %d writes:\n  %s", e.Epoch, strings.ReplaceAll(e.Sample, "\n", "\n  "))
		}
	}
	switch {
	case l.State == Ended:
		return l, true, nil
	case l.State == Diverged:
		return l, true, &NobodyError{l}
	case l.State == Training || l.doubtful:
		f.show(before, l)
		return l, false, nil
	}
	return l, f.nobody(l), &NobodyError{l}
}

// nobody notes that nobody trains, says so once, and reports whether to wait no longer.
func (f *follower) nobody(l *Look) (done bool) {
	now := f.now()
	if f.idle.IsZero() {
		f.idle = now
		if f.trained && f.o.Idle > 0 {
			f.close()
			f.o.Console.Line("watch: %s; looking for %v whether another goes on", l.nobody(), f.o.Idle)
		}
	}
	return !f.trained || now.Sub(f.idle) >= f.o.Idle
}

// show shows a look at a training.
func (f *follower) show(before, l *Look) {
	switch {
	case l.doubtful && (before == nil || !before.doubtful):
		f.o.Console.Line("watch: %s; looking for %v whether it still lives", l.nobody(), l.Holder.Until.Sub(*l.LastSign))
	case l.State == Training && (before == nil || before.Holder == nil || before.State != Training || *before.Holder.who() != *l.Holder.who()):
		f.o.Console.Line("watch: %s: %s: %s", l.Run, l.Holder.trains(f.now()), l.note(f.now()))
	}
	if l.State != Training {
		return
	}
	f.trained, f.idle = true, time.Time{}
	note := l.note(f.now())
	switch {
	case l.Steps == 0 && f.changed:
		f.o.Console.Line("watch: %s", note)
	case l.Steps > 0 && f.bar == nil:
		f.bar = f.o.Console.Progress("watch", l.Step, l.Steps)
		f.bar.Show(l.Step, note)
	case l.Steps > 0:
		f.bar.Show(l.Step, note)
	}
}

func (f *follower) close() {
	if f.bar != nil {
		f.bar.Done()
		f.bar = nil
	}
}
