package workflow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/quire-ml/quire/runners/claim"
	"github.com/quire-ml/quire/runners/store"
)

// Options say how a round runs. The zero value runs a whole round, tries each
// stage once, and reports to nobody.
type Options struct {
	// ID names the round; default: its start time. A round with an explicit id
	// always writes a record, unless interrupted or busy.
	ID       string
	Config   any               // the whole config, for the record
	Versions map[string]string // of the program, for the record
	Host     map[string]string // facts of this machine, for the record

	From   string   // the stages before it must be done already; empty: the first
	To     string   // the stages after it are left out; empty: the last
	Force  []string // stages that run although they are done
	Verify bool     // reads all files again, not only those that seem changed

	NoRecord bool // writes outcomes but no record: for a pipeline inside another
	// Claim takes the keys of the stages, and goes on after the round; nil: the round has
	// a claim of its own until its end.
	Claim *claim.Claim

	Attempts int           // of a stage with transient errors; 0 means 1
	Pause    time.Duration // mean wait before the second attempt, see Retry

	Observe func(Event) // nil: nobody
	// Judge decides, when all stages are done, whether the round has failed.
	Judge func(*Record) error
	// Class returns the class of an error that this package does not know; empty:
	// none.
	Class func(error) string
	// Message returns the message of an error in the record; nil: its text.
	Message func(error) string
}

// Event announces what is about to happen to a stage, or warns.
type Event struct {
	Stage string
	Kind  Kind
	Why   []string
}

// Kind is a kind of Event.
type Kind string

// Kinds.
const (
	Skips   Kind = "skips"
	Runs    Kind = "runs"
	Retries Kind = "retries"
	Waits   Kind = "waits"     // for another process, which Why names
	Warns   Kind = "warns"     // of no stage: a file is damaged that the round does not need
	Returns Kind = "goes back" // to an earlier stage, which Why names
)

func (o *Options) damaged(err error) { o.observe("", Warns, err.Error()) }

func (o *Options) observe(stage string, kind Kind, why ...string) {
	if o.Observe != nil {
		o.Observe(Event{stage, kind, why})
	}
}

// SelectionError says that From, To or Force of Options do not fit the pipeline.
type SelectionError struct{ error }

// StaleError is the error of a stage that cannot act on an artifact of a live stage,
// because the world that the live stage observed has changed since. The round goes back
// to the live stage. After maxReturns such errors it ends with the last one.
type StaleError struct {
	Artifact Input
	Err      error
}

func (e *StaleError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *StaleError) Unwrap() error { return e.Err }

// maxReturns bounds how often a round goes back.
const maxReturns = 3

// back returns the index of the node to go back to from a node that failed; -1: none.
func (x *pass) back(n *node, err error) int {
	var stale *StaleError
	if !errors.As(err, &stale) || x.returns >= maxReturns {
		return -1
	}
	i := slices.IndexFunc(x.p.nodes, func(n *node) bool { return n.live && n.artifact == stale.Artifact.artifact() })
	if i >= 0 {
		x.returns++
		x.o.observe(n.name, Returns, "to "+x.p.nodes[i].name, err.Error())
	}
	return i
}

// checkRange refuses unknown stages, and a range without stages.
func (p *Pipeline) checkRange(o Options) error {
	names := p.Stages()
	for _, name := range append([]string{o.From, o.To}, o.Force...) {
		if name != "" && !slices.Contains(names, name) {
			return SelectionError{fmt.Errorf("workflow: unknown stage %q; the stages are %s", name, strings.Join(names, ", "))}
		}
	}
	from, to := max(slices.Index(names, o.From), 0), slices.Index(names, o.To)
	if to < 0 {
		to = len(names) - 1
	}
	if from > to && len(names) > 0 { // a pipeline of live stages alone has no names
		return SelectionError{fmt.Errorf("workflow: stage %s comes after %s: nothing is left to run", o.From, o.To)}
	}
	for _, name := range o.Force {
		if i := slices.Index(names, name); i < from || i > to {
			return SelectionError{fmt.Errorf("workflow: stage %s cannot be forced: it is not among %s", name, strings.Join(names[from:to+1], ", "))}
		}
	}
	return nil
}

// before reports whether a stage comes before From.
func (x *pass) before(n *node) bool {
	names := x.p.Stages()
	return slices.Index(names, n.name) < slices.Index(names, x.o.From)
}

// Run runs a round in st: every stage that is not done, in order. The first error
// ends the round; the next round goes on there. With an error Run returns the
// record of the stages until then, nil where there are none.
//
// Run writes a record of a round that runs a stage or has another result than the
// last round. Else it returns the record of the last round.
func (p *Pipeline) Run(ctx context.Context, st *store.Store, o Options) (*Record, error) {
	x, err := p.begin(ctx, st, o)
	if err != nil {
		return nil, err
	}
	config, err := json.Marshal(o.Config)
	if err != nil {
		return nil, fmt.Errorf("workflow: config: %w", err)
	}
	began := time.Now().UTC()
	r := &Record{Format: RecordFormat, Round: o.ID, Began: began, Config: config, Versions: o.Versions, Host: o.Host}
	if o.ID == "" {
		r.Round = newID(began)
	}
	if x.claim = o.Claim; x.claim == nil {
		x.claim = x.newClaim(r.Round)
		defer func() { x.unclaim(ctx, r) }()
	}
	at, err := x.walk(ctx, r)
	for x.restarts(ctx, err) {
		at, err = x.walk(ctx, r)
	}
	if err == nil && o.Judge != nil {
		err = o.Judge(r)
	}
	r.Exit = Done
	if err != nil {
		r.Exit = o.class(err)
		r.Error = &Failure{Stage: at, Class: r.Exit, Message: err.Error()}
		if o.Message != nil {
			r.Error.Message = o.Message(err)
		}
	}
	return x.close(ctx, r, err)
}

// walk runs or skips the stages in order, and adds their records to r. at is the stage
// that ended it with the error.
func (x *pass) walk(ctx context.Context, r *Record) (at string, err error) {
	r.Stages = nil
	for i := 0; i < len(x.p.nodes); i++ {
		n := x.p.nodes[i]
		if err := ctx.Err(); err != nil {
			return "", err
		}
		s, err := x.do(ctx, n)
		if s != nil {
			r.Stages = append(r.Stages, *s)
		}
		if to := x.back(n, err); to >= 0 {
			r.Stages = r.Stages[:to] // each node before has a record
			i = to - 1
			continue
		}
		if err != nil {
			return n.name, err
		}
		if n.name == x.o.To {
			break
		}
	}
	return "", x.take(ctx) // what was found is there still
}

// close writes the record of a round with news.
func (x *pass) close(ctx context.Context, r *Record, failed error) (*Record, error) {
	if x.o.NoRecord {
		return r, failed
	}
	last := x.last
	if x.o.ID != "" && (r.Exit == Interrupted || r.Exit == Busy) {
		return r, failed // the id is for the round that ends
	}
	news := x.o.ID != "" || r.Error != nil && r.Error.Stage != "" && r.Exit != Interrupted
	for _, s := range r.Stages {
		before := last.Stage(s.Name)
		news = news || s.Attempts > 0 && !s.Live || before == nil || before.Key != s.Key || before.Digest != s.Digest
	}
	if !news {
		if last == nil || failed != nil && last.Exit != r.Exit {
			return nil, failed
		}
		// The last round had the same results; its times and actions are its own.
		r.Round = last.Round
		return r, failed
	}
	r.Ended = time.Now().UTC()
	if err := r.write(context.WithoutCancel(ctx), x.st, x.o.ID != ""); err != nil {
		if failed != nil {
			return r, fmt.Errorf("%w; and the round's record is not written: %v", failed, err)
		}
		return r, err
	}
	x.recorded = true
	if err := r.point(context.WithoutCancel(ctx), x.st); err != nil {
		x.o.damaged(fmt.Errorf("workflow: round %s has its record, and the pointer does not move to it: %w", r.Round, err))
	}
	return r, failed
}

// once is one attempt of do.
func (x *pass) once(ctx context.Context, n *node) (v *verdict, s *StageRecord, err error) {
	if v, err = x.decide(ctx, n); err != nil {
		return nil, nil, err
	}
	s = &StageRecord{Name: n.name, Live: n.live, Action: v.action, Reasons: v.reasons, Key: v.task.Key,
		Version: n.version, Config: n.settings, Inputs: v.inputs, Artifact: n.artifact}
	if v.action == ActionSkip {
		x.o.observe(n.name, Skips, v.reasons...)
		s.set(v.outcome.Product)
		s.Seconds, s.Cost = v.outcome.Seconds, v.outcome.Cost
		x.made[n.artifact] = v.outcome.Product
		if v.regenerated {
			_, err = v.outcome.write(ctx, x.st, v.old)
		}
		return v, s, err
	}
	if err := x.refuse(v); err != nil {
		return v, nil, err
	}
	if !n.live {
		x.o.observe(n.name, Runs, v.reasons...)
		if n.estimate != nil {
			if s.Cost, err = n.estimate(ctx, v.task); err != nil {
				return v, nil, err
			}
		}
	}
	switch err := x.forget(ctx, v); {
	case errors.Is(err, store.ErrConflict): // another process has written the outcome meanwhile
		return x.once(ctx, n)
	case err != nil:
		return v, nil, err
	}
	began := time.Now()
	product, attempts, err := x.attempt(ctx, v)
	s.Seconds, s.Attempts = time.Since(began).Seconds(), attempts
	if err != nil {
		return v, s, err
	}
	if !n.live {
		made := &outcome{Format: outcomeFormat, Stage: n.name, Key: v.task.Key, Version: n.version, Config: n.settings, Inputs: v.inputs,
			Product: product, Seconds: s.Seconds, Cost: s.Cost}
		if made, err = made.write(ctx, x.st, ""); err != nil {
			return v, s, err
		}
		product = made.Product
	}
	s.set(product)
	x.made[n.artifact] = product
	return v, s, nil
}

// forget removes the outcome of a stage that runs although it has one. A stage that is
// killed while it replaces the files of its outcome would else seem damaged.
func (x *pass) forget(ctx context.Context, v *verdict) error {
	if v.outcome == nil {
		return nil
	}
	return x.st.Delete(ctx, OutcomeName(v.n.name, v.task.Key), v.old)
}

// refuse returns why a stage must not run: it comes before From, or it would
// replace a damaged artifact without being forced.
func (x *pass) refuse(v *verdict) error {
	switch {
	case v.n.live:
		return nil
	case x.before(v.n):
		return fmt.Errorf("workflow: the round is to start from %s, but %s must run first: %s", x.o.From, v.n.name, strings.Join(v.reasons, "; "))
	case v.damage != nil && !v.task.Forced:
		return v.damage
	}
	return nil
}
