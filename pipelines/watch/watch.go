// Package watch follows a training from the files of its run alone, wherever it trains: on
// this machine, on another, in a cluster.
//
//	run.json        the lease: who trains, since when, the last sign of life; the
//	                journal: the checkpoints, and where the training ends
//	metrics.jsonl   the losses, the speed, a sample at each epoch's end
//	diverged.json   that the training diverged
//
// A look changes nothing and takes no lease. It costs two reads of run.json and three
// requests for the metrics, and one more where nobody trains.
package watch

import (
	"context"
	"errors"
	"time"

	"github.com/quire-ml/quire/model/run"
	"github.com/quire-ml/quire/pipelines/report"
	"github.com/quire-ml/quire/runners/store"
)

// A State is how a training is.
type State string

const (
	Training State = "training" // its holder lives
	Ended    State = "ended"    // no step is left
	Stopped  State = "stopped"  // its holder has released the lease before the end
	Expired  State = "expired"  // its holder has ended without a word, or cannot be heard
	Diverged State = "diverged" // it would diverge again
)

// A Look is what the files of a run say at a time. Losses are in nats a character. Times of
// the holder are by its clock.
type Look struct {
	Run            store.Path `json:"run"`
	State          State      `json:"state"`
	Holder         *Holder    `json:"holder"`    // null: nobody has the lease; in state expired, who had it last
	LastSign       *time.Time `json:"last_sign"` // of life: the lease renewed, or a line of the metrics; null: unknown
	Step           int64      `json:"step"`      // of the metrics or the newest checkpoint
	Steps          int64      `json:"steps"`     // 0: unknown, an earlier version has trained
	Epoch          int        `json:"epoch"`
	Epochs         int        `json:"epochs"` // 0: unknown
	TrainNats      *float64   `json:"train_nats"`
	EpochTrainNats *float64   `json:"epoch_train_nats"` // of the last epoch that has ended
	ValidationNats *float64   `json:"validation_nats"`  // likewise
	BestNats       *float64   `json:"best_nats"`        // the lowest validation loss of a checkpoint that is kept
	CharsPerSecond float64    `json:"chars_per_second"` // 0: unknown
	SecondsLeft    *float64   `json:"seconds_left"`     // null: unknown
	Checkpoint     store.Path `json:"checkpoint"`       // the newest; empty: none
	SavedStep      int64      `json:"saved_step"`       // of that checkpoint
	Sample         string     `json:"sample"`           // text that the model wrote at the last epoch's end
	Reason         string     `json:"reason,omitempty"` // for which the training diverged

	generation string
	doubtful   bool          // the lease has expired by the clocks alone, which may differ
	news       []report.Line // ends of epochs since the look before, the last first
}

// A Holder is the process that has, or had, the lease of a run.
type Holder struct {
	Host  string    `json:"host"`
	PID   int       `json:"pid"`
	Since time.Time `json:"since,omitzero"` // an earlier version did not say
	Until time.Time `json:"until"`          // the lease ends, unless it is renewed
}

// A Watcher looks at one run, again and again. It is for one goroutine at a time.
type Watcher struct {
	st      *store.Store
	now     func() time.Time
	seen    string      // generation of run.json
	since   time.Time   // it was seen first, by the monotonic clock
	beaten  bool        // a change of it was seen
	shown   int64       // step of the last epoch's end that a look has seen; -1 before the first look
	Damaged func(error) // is told of metrics that cannot be read, once for each; nil: nobody is
	told    map[string]bool
}

// New returns a Watcher of the run in st.
func New(st *store.Store) *Watcher {
	return &Watcher{st: st, now: time.Now, shown: -1, told: map[string]bool{}}
}

// Take is one look at a run. Whether a lease has expired is decided by the clocks of the
// machines; a Watcher that looks again hears the holder. The error is a *FindError where st
// is no run's folder.
func Take(ctx context.Context, st *store.Store) (*Look, error) { return New(st).Look(ctx) }

// Look looks at the run.
func (w *Watcher) Look(ctx context.Context) (*Look, error) {
	s, err := run.ReadState(ctx, w.st)
	if errors.Is(err, store.ErrNotExist) {
		return nil, &FindError{Name: w.st.URL(), Why: "it is no folder of a run: it has no " + run.JournalName}
	}
	if err != nil {
		return nil, err
	}
	l := &Look{Run: store.Path(w.st.URL()), generation: s.Generation}
	if s.Goal != nil {
		l.Steps, l.Epochs = s.Goal.Steps, s.Goal.Epochs
	}
	if s.Latest.Name != "" {
		l.Checkpoint, l.SavedStep, l.Step, l.ValidationNats = store.Path(w.st.Join(s.Latest.Name)), s.Latest.Step, s.Latest.Step, s.Latest.Loss
	}
	l.BestNats = s.Best.Loss
	w.hear(l, s.Holder)
	if err := w.readMetrics(ctx, l); err != nil {
		return nil, err
	}
	if l.State != Training {
		err = w.why(ctx, l)
	}
	return l, err
}

// hear sets the holder, and whether it lives.
func (w *Watcher) hear(l *Look, h *store.Holding) {
	now := w.now()
	if l.generation != w.seen {
		w.beaten = w.seen != ""
		w.seen, w.since = l.generation, now
	}
	l.State = Stopped
	if h == nil {
		return
	}
	l.Holder = &Holder{Host: h.Host, PID: h.PID, Since: h.Since, Until: h.Until}
	l.LastSign = &h.Renewed
	silent := now.Sub(w.since) > h.Length
	switch {
	case h.Dead || silent:
		l.State = Expired
	case w.beaten || h.Until.After(now):
		l.State = Training
	default:
		l.State, l.doubtful = Expired, true
	}
}

// why sets the state of a run that nobody trains.
func (w *Watcher) why(ctx context.Context, l *Look) error {
	if l.Steps > 0 && l.SavedStep >= l.Steps && l.Checkpoint != "" {
		l.State, l.doubtful = Ended, false
		return nil
	}
	d, err := run.ReadDivergence(ctx, w.st)
	if err != nil || d == nil {
		return err
	}
	l.State, l.doubtful, l.Step, l.Reason = Diverged, false, d.Step, d.Reason
	return nil
}
