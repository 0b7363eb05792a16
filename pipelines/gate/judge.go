package gate

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/pipelines/report"
	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/transforms/dataset"
)

// ErrRefused is wrapped by the errors about a model that did not pass the gate, or
// whose judgement failed.
var ErrRefused = errors.New("the gate refused the model")

// A RefusedError is the error about a model that did not pass. It wraps ErrRefused.
type RefusedError struct{ *Result }

func (e *RefusedError) Error() string {
	findings := e.findings()
	if len(findings) == 1 {
		return fmt.Sprintf("%v: %s", ErrRefused, findings[0])
	}
	return fmt.Sprintf("%v:\n  %s", ErrRefused, strings.Join(findings, "\n  "))
}

// findings are the lines of the reason, without the verdict.
func (r *Result) findings() []string {
	lines := strings.Split(r.Reason, "\n")
	for i, line := range lines {
		lines[i] = strings.TrimPrefix(line, "refused: ")
	}
	return lines
}

// Unwrap returns ErrRefused.
func (e *RefusedError) Unwrap() error { return ErrRefused }

// Failed returns the first of these checks that the model did not pass; nil: it passed
// them.
func (r *Result) Failed(names ...string) *Check {
	i := slices.IndexFunc(r.Checks, func(k Check) bool { return !k.Passed && slices.Contains(names, k.Name) })
	if i < 0 {
		return nil
	}
	return &r.Checks[i]
}

// Options are the inputs of Judge beside the limits.
type Options struct {
	Set       string       // directory of the set that the candidate was trained on
	Corpus    *text.Corpus // the text of the set; nil: no samples are written
	Promoted  string       // the checkpoint to be better than; empty: none
	Withdrawn string       // why the candidate must not come back, after a rollback; empty: it may

	TrainNats *float64 // the loss to judge by where the set has no validation part; nil: it is measured
	Console   *report.Console
}

// Result is the gate's decision with every figure that it rests on. Losses are
// in nats a character.
type Result struct {
	Passed      bool       `json:"passed"`
	Reason      string     `json:"reason"` // a line for each finding
	Nats        *float64   `json:"nats"`   // nil: not a finite number, or not measured
	UnigramNats float64    `json:"unigram_nats"`
	Candidate   store.Path `json:"candidate"`
	SHA256      string     `json:"sha256,omitempty"`  // of the candidate's file: a promotion of another file is refused
	Against     store.Path `json:"against,omitempty"` // the promoted model
	Checks      []Check    `json:"checks"`

	// Drift says how much the held-out part is unlike the training part; nil: there is
	// no held-out part. Repeated is the share of its passages that the training part has
	// too. Neither refuses a model.
	Drift    *dataset.Drift `json:"drift,omitempty"`
	Repeated float64        `json:"repeated,omitempty"`
}

// Check is one figure, its limit and the verdict.
type Check struct {
	Name   string   `json:"name"`
	Passed bool     `json:"passed"`
	Value  *float64 `json:"value"` // nil: there is none, or it is not finite
	Limit  *float64 `json:"limit"`
	Text   string   `json:"text"`

	Formula float64 `json:"formula,omitempty"` // of a check of copies: share of the n-grams that do not count
}

// Judge decides whether the checkpoint at path may be promoted: a file, or the
// directory of a run, whose best one is judged.
//
// A judgement that fails refuses the model: the error wraps ErrRefused and the
// cause, and there is no result to keep. An error that may pass (store.Transient) says
// nothing of the model, and is returned as it is. When ctx is cancelled, the error is
// that of ctx.
func Judge(ctx context.Context, limits configs.Gate, path string, o Options) (*Result, error) {
	c := &candidate{limits: limits, o: o, res: &Result{Candidate: store.Path(path)}}
	err := c.examine(ctx, path)
	switch {
	case err != nil && (ctx.Err() != nil || store.Transient(err)):
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("gate: %w, because it could not run: %w", ErrRefused, err)
	}
	c.decide()
	for line := range strings.SplitSeq(c.res.Reason, "\n") {
		o.Console.Line("gate: %s", line)
	}
	return c.res, nil
}

// A candidate is a model before the gate, with the evidence about it.
type candidate struct {
	limits configs.Gate
	o      Options
	res    *Result

	model *text.Model
	set   *dataset.Set

	// By know; nil without a held-out part.
	passages *text.HeldSketch
	compared bool           // the passages Alone are those that the training part does not have
	ancestry *text.Ancestry // nil: it has no ancestors

	// By measure, in nats a character.
	nats     float64   // on the held-out part, or on the training part in a set without one
	judged   float64   // the loss that the check loss compares
	judgedOn string    // its text: validation or training
	trained  *measured // on some of the training part; nil in a set without a held-out part
	duel     *duel     // nil: nothing is promoted

	// By sample.
	fromSet       bool      // the corpus has changed: its text is read from the set
	written, held [][]int32 // samples, and texts of the held-out part for comparison
	ours, theirs  overlap   // of each of these with the corpus
}

// examine gathers the evidence and makes the checks.
func (c *candidate) examine(ctx context.Context, path string) (err error) {
	if c.model, err = text.OpenModel(ctx, path, "best"); err != nil {
		return err
	}
	c.res.Candidate, c.res.SHA256 = store.Path(c.model.Path), c.model.SHA256
	set, done, err := text.OpenSet(ctx, c.o.Set)
	if err != nil {
		return err
	}
	defer done()
	c.set, c.res.UnigramNats = set, set.Manifest().Entropy.UnigramNats
	c.check(originChecks)
	if c.refused() {
		return nil // its losses and samples would mean nothing
	}
	if err := c.know(ctx); err != nil {
		return err
	}
	if c.suspect() {
		if err := c.compareParts(ctx); err != nil {
			return err
		}
		if c.suspect() {
			c.check(ancestryChecks)
			return nil
		}
	}
	if err := c.measure(ctx); err != nil {
		return err
	}
	samples := c.res.Nats != nil && c.limits.Samples > 0 && c.o.Corpus != nil
	if samples {
		if err := c.sample(ctx); err != nil {
			return err
		}
	}
	if err := c.compareParts(ctx); err != nil { // where the samples' reading was not enough
		return err
	}
	c.check(ancestryChecks)
	c.check(lossChecks)
	if samples {
		c.check(sampleChecks)
	}
	return nil
}

// check makes checks, and keeps the findings of those that apply.
func (c *candidate) check(checks []check) {
	for _, k := range checks {
		if found := k.find(c); found != nil {
			found.Name = k.name
			c.res.Checks = append(c.res.Checks, *found)
		}
	}
}

func (c *candidate) refused() bool {
	return slices.ContainsFunc(c.res.Checks, func(k Check) bool { return !k.Passed })
}

// decide sums the findings up: those that refuse the candidate, or the losses that it
// passed with.
func (c *candidate) decide() {
	var failed, losses []string
	for _, k := range c.res.Checks {
		if !k.Passed {
			failed = append(failed, "refused: "+k.Text)
		}
		if k.Name == "loss" || k.Name == "promoted" {
			losses = append(losses, "passed: "+k.Text)
		}
	}
	if c.res.Passed = len(failed) == 0; !c.res.Passed {
		losses = failed
	}
	c.res.Reason = strings.Join(losses, "\n")
}

// Finite returns x, or nil where x is NaN or infinite, which JSON cannot say.
func Finite(x float64) *float64 {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return nil
	}
	return &x
}
