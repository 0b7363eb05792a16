package workflow

import (
	"context"

	"github.com/quire-ml/quire/runners/store"
)

// Plan is what a round would do.
type Plan struct {
	Stages []PlanStage `json:"stages"`
}

// PlanStage is what a round would do at a stage.
type PlanStage struct {
	Name    string   `json:"name"`
	Action  Action   `json:"action"`
	Reasons []string `json:"reasons"`
	Key     string   `json:"key,omitempty"` // empty: it depends on what is not made yet
	Cost    *Cost    `json:"cost"`          // of running it; nil: not known, or nothing
	// Seconds are those that it may take, from an earlier round's at the same
	// cost; nil: not known.
	Seconds *float64 `json:"seconds"`
}

// Plan says what Run would do with the same options, and changes nothing but
// what live stages keep for themselves. A stage whose input is still to be made
// counts as one that runs; if the input comes out as before, Run skips it.
func (p *Pipeline) Plan(ctx context.Context, st *store.Store, o Options) (*Plan, error) {
	x, err := p.begin(ctx, st, o)
	if err != nil {
		return nil, err
	}
	plan := &Plan{}
	for _, n := range p.nodes {
		s, err := x.plan(ctx, n)
		if err != nil {
			return nil, err
		}
		if s != nil {
			plan.Stages = append(plan.Stages, *s)
		}
		if n.name == o.To {
			break
		}
	}
	return plan, nil
}

// plan looks at a stage; it returns nil for a live one.
func (x *pass) plan(ctx context.Context, n *node) (*PlanStage, error) {
	v, err := x.look(ctx, n)
	switch {
	case err != nil:
		return nil, err
	case n.live && v.w == nil:
		x.later[n.output] = n.name
		return nil, nil
	case n.live:
		x.made[n.output], err = n.run(ctx, v.w)
		return nil, err
	}
	s := &PlanStage{Name: n.name, Action: v.action, Reasons: v.reasons}
	if v.w != nil {
		s.Key = v.w.Key
	}
	if v.action == ActionSkip {
		x.made[n.output] = v.outcome.Output
		return s, nil
	}
	x.later[n.output] = n.name
	if n.estimate != nil && v.w != nil {
		cost, err := n.estimate(ctx, v.w)
		if err != nil {
			return nil, err
		}
		s.Cost = &cost
	}
	s.Seconds = expected(x.last.Stage(n.name), s.Cost)
	return s, nil
}

// expected is the time that a stage takes if it goes as fast as it did.
func expected(before *StageRecord, cost *Cost) *float64 {
	if before == nil || before.Digest == "" {
		return nil
	}
	seconds := before.Seconds
	if cost != nil {
		switch did := before.Cost; {
		case cost.Steps > 0 && did.Steps > did.Done:
			seconds *= float64(cost.Steps-cost.Done) / float64(did.Steps-did.Done)
		case cost.Bytes > 0 && did.Bytes > 0:
			seconds *= float64(cost.Bytes) / float64(did.Bytes)
		}
	}
	return &seconds
}
