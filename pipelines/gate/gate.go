// Package gate decides whether a model is fit for service.
package gate

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/pipelines/report"
	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/transforms/dataset"
)

// ErrRefused is returned when the gate did not let a model pass, or could not run.
var ErrRefused = errors.New("the gate refused the model")

// Options are the inputs of Gate beside the limits.
type Options struct {
	Set       string       // directory of the set that the candidate was trained on
	Corpus    *text.Corpus // what the set was made of; nil: samples are not compared with texts
	Promoted  string       // the checkpoint to be better than; empty: none
	Withdrawn string       // why the candidate must not come back, after a rollback; empty: it may

	TrainNats *float64 // the loss to judge by where the set has no validation part; nil: it is measured
	Console   *report.Console
}

// Result is the gate's decision with every figure that it rests on. Losses are
// in nats a character.
type Result struct {
	Passed      bool       `json:"passed"`
	Reason      string     `json:"reason"`
	Nats        *float64   `json:"nats"` // nil: not a finite number
	UnigramNats float64    `json:"unigram_nats"`
	Candidate   store.Path `json:"candidate"`
	Against     store.Path `json:"against,omitempty"` // the promoted model
	Checks      []Check    `json:"checks"`
}

// Check is one figure, its limit and the verdict.
type Check struct {
	Name   string   `json:"name"`
	Passed bool     `json:"passed"`
	Value  *float64 `json:"value"` // nil: there is none, or it is not finite
	Limit  *float64 `json:"limit"`
	Text   string   `json:"text"`
}

// Judge decides whether a candidate may be promoted. It must pass all of these:
//
//	weights     every weight is a finite number
//	set         it was trained on the set that it is measured on
//	vocabulary  its characters are those of the set
//	loss        on the held-out part, below the unigram entropy
//	promoted    on the same held-out part, below the promoted model by gate.margin
//	gap         the held-out part is not much better known than the training part
//	utf8        its samples are text
//	loop        they repeat themselves hardly more than the held-out part does
//	coverage    they use the characters of the held-out part
//	span        their longest span that is in the training text is short
//	copied      few of their 50-grams, and not too many of their 20-grams, are in it
//	leaked      hardly any of their 20-grams are in the held-out part alone
//
// Samples go on from the training and from the held-out part. What the latter has in common with the
// training text is allowed to samples too: a corpus that repeats itself makes
// models that do.
//
// A gate that cannot run refuses: the error wraps ErrRefused and the cause, and
// there is no result to keep. When ctx is cancelled, the error is that of ctx.
func Judge(ctx context.Context, c configs.Gate, candidate string, o Options) (*Result, error) {
	g := &gate{c: c, o: o, res: &Result{Candidate: store.Path(candidate)}}
	err := g.run(ctx, candidate)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("gate: %w, because it could not run: %w", ErrRefused, err)
	}
	g.decide()
	o.Console.Line("gate: %s", g.res.Reason)
	return g.res, nil
}

// gate is one call of Gate.
type gate struct {
	c   configs.Gate
	o   Options
	res *Result
}

func (g *gate) run(ctx context.Context, candidate string) error {
	m, err := text.OpenModel(ctx, candidate, "best")
	if err != nil {
		return err
	}
	g.res.Candidate = store.Path(m.Path)
	set, done, err := text.OpenSet(ctx, g.o.Set)
	if err != nil {
		return err
	}
	defer done()
	g.res.UnigramNats = set.Manifest().Entropy.UnigramNats
	g.origin(m, set)
	if g.refused() {
		return nil // its losses and samples would mean nothing
	}
	if err := g.losses(ctx, m, set); err != nil {
		return err
	}
	if g.res.Nats == nil || g.c.Samples == 0 || g.o.Corpus == nil {
		return nil
	}
	return g.samples(ctx, m, set)
}

// origin checks what the candidate is.
func (g *gate) origin(m *text.Model, set *dataset.Set) {
	bad := 0
	for _, w := range m.Weights.Flat {
		if w-w != 0 { // NaN or infinite
			bad++
		}
	}
	g.below("weights", float64(bad), 0, fmt.Sprintf("%d of %d weights are not finite numbers", bad, len(m.Weights.Flat)))
	g.holds("set", m.Set == set.SHA256(), fmt.Sprintf("it was trained on the set %.12s, and is measured on %.12s", m.Set, set.SHA256()))
	g.holds("vocabulary", m.Vocab.Same(set.Vocab()), fmt.Sprintf("it has %d characters of unit %s, the set %d of unit %s", m.Vocab.Size(), m.Vocab.Unit(), set.Vocab().Size(), set.Vocab().Unit()))
	if g.o.Withdrawn != "" {
		g.holds("withdrawn", false, g.o.Withdrawn)
	}
}

// holds adds a check without a figure.
func (g *gate) holds(name string, ok bool, text string) {
	g.res.Checks = append(g.res.Checks, Check{Name: name, Passed: ok, Text: text})
}

// below adds a check that value is at most limit; NaN is not.
func (g *gate) below(name string, value, limit float64, text string) {
	g.figure(name, value <= limit, value, limit, text)
}

func (g *gate) figure(name string, ok bool, value, limit float64, text string) {
	g.res.Checks = append(g.res.Checks, Check{Name: name, Passed: ok, Value: Finite(value), Limit: Finite(limit), Text: text})
}

// Finite returns a number that JSON has, nil for another.
func Finite(x float64) *float64 {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return nil
	}
	return &x
}

func (g *gate) refused() bool {
	for _, c := range g.res.Checks {
		if !c.Passed {
			return true
		}
	}
	return false
}

// decide sums the checks up.
func (g *gate) decide() {
	var failed []string
	for _, c := range g.res.Checks {
		if !c.Passed {
			failed = append(failed, c.Text)
		}
	}
	g.res.Passed = len(failed) == 0
	if !g.res.Passed {
		g.res.Reason = "refused: " + strings.Join(failed, "; ")
		return
	}
	g.res.Reason = "passed"
	for _, c := range g.res.Checks {
		if c.Name == "loss" || c.Name == "promoted" {
			g.res.Reason += map[bool]string{true: ": ", false: "; "}[g.res.Reason == "passed"] + c.Text
		}
	}
}
