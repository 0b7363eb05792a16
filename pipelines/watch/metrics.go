package watch

import (
	"context"
	"time"

	"github.com/quire-ml/quire/pipelines/report"
	"github.com/quire-ml/quire/runners/store"
)

const (
	tailBytes = 4 << 20          // most bytes of metrics that a look reads
	rateSpan  = 30 * time.Second // of the lines from which the time left is estimated
)

// A tail is what the last lines of a run's metrics say. Lines come the last one first.
type tail struct {
	held  *Holder // nil: nobody
	after int64   // step after which the ends of epochs are news; -1: none is

	last  *report.Line  // with a training loss
	first *report.Line  // the same, of the same holder, some rateSpan before
	paced bool          // first needs no earlier line
	end   *report.Line  // of an epoch
	news  []report.Line // ends of epochs
	step  int64
	epoch int
}

// visit takes a line and reports whether an earlier one is needed.
func (t *tail) visit(l report.Line) (more bool) {
	t.step, t.epoch = max(t.step, l.Step), max(t.epoch, l.Epoch)
	switch {
	case l.EpochTrain != nil:
		if t.end == nil {
			t.end = &l
		}
		if t.after >= 0 && l.Step > t.after {
			t.news = append(t.news, l)
		}
	case t.last == nil:
		t.last = &l
	case !t.paced:
		t.pace(&l)
	}
	return t.last == nil || t.end == nil || t.after >= 0 && l.Step > t.after || t.held != nil && !t.paced
}

// pace looks for a line that says, beside the last, how fast the holder trains. Times are by
// the clock of the holder, as is that from which it has the lease.
func (t *tail) pace(l *report.Line) {
	if t.held == nil || l.Time == 0 || l.Time > t.last.Time || at(l).Before(t.held.Since) {
		t.paced = true // an earlier holder wrote it
		return
	}
	t.first = l
	t.paced = at(t.last).Sub(at(l)) >= rateSpan
}

// left returns the seconds that so many steps will take; nil: unknown.
func (t *tail) left(steps int64) *float64 {
	if t.first == nil || t.last.Step <= t.first.Step || t.last.Time <= t.first.Time {
		return nil
	}
	s := float64(max(0, steps)) * (t.last.Time - t.first.Time) / float64(t.last.Step-t.first.Step)
	return &s
}

// at returns the time of a line.
func at(l *report.Line) time.Time { return time.UnixMilli(int64(l.Time * 1e3)).UTC() }

// readMetrics sets what the metrics say. Lines that cannot be read are told once, and the
// look goes without.
func (w *Watcher) readMetrics(ctx context.Context, l *Look) error {
	var t *tail
	err := report.Tail(ctx, w.st, tailBytes, func() func(report.Line) bool {
		t = &tail{held: l.Holder, after: w.shown}
		return t.visit
	})
	if err != nil && (ctx.Err() != nil || store.Transient(err)) {
		return err
	}
	if err != nil && w.Damaged != nil && !w.told[err.Error()] {
		w.told[err.Error()] = true
		w.Damaged(err)
	}
	if t == nil {
		t = &tail{}
	}
	l.Step, l.Epoch, l.news = max(l.Step, t.step), t.epoch, t.news
	w.shown = max(w.shown, 0)
	if e := t.end; e != nil {
		l.EpochTrainNats, l.Sample = e.EpochTrain, e.Sample
		if e.Validation != nil {
			l.ValidationNats = e.Validation
		}
		w.shown = max(w.shown, e.Step)
	}
	if t.last == nil {
		return nil
	}
	l.TrainNats = t.last.Train
	if l.Holder == nil {
		return nil
	}
	if t.last.PerSecond != nil {
		l.CharsPerSecond = *t.last.PerSecond
	}
	if written := at(t.last); t.last.Time > 0 && written.After(*l.LastSign) {
		l.LastSign = &written
	}
	if l.Steps > 0 {
		l.SecondsLeft = t.left(l.Steps - l.Step)
	}
	return nil
}
