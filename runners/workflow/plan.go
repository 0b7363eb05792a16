package workflow

import (
	"context"

	"github.com/quire-ml/quire/runners/store"
)

// Plan is the decisions of a round that is not run.
type Plan struct {
	Stages []PlanStage `json:"stages"`
}

// PlanStage is the decision about one stage.
type PlanStage struct {
	Name    string   `json:"name"`
	Action  Action   `json:"action"`
	Reasons []string `json:"reasons"`
	Key     string   `json:"key,omitempty"` // empty: it depends on an artifact that is still to be made
	Cost    *Cost    `json:"cost"`          // of running it; nil: not known, or nothing
	// Seconds is the expected time, that of an earlier round in proportion to the
	// cost; nil: not known.
	Seconds *float64 `json:"seconds"`
}

// Plan returns the decisions of Run with the same options. It runs live stages
// only, and changes nothing else. A stage with an input that is still to be made
// counts as one that runs; where the input comes out as before, Run skips it.
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

// plan decides about a stage; it returns nil for a live one.
func (x *pass) plan(ctx context.Context, n *node) (*PlanStage, error) {
	v, err := x.decide(ctx, n)
	switch {
	case err != nil:
		return nil, err
	case n.live && v.task == nil:
		x.later[n.artifact] = n.name
		return nil, nil
	case n.live:
		x.made[n.artifact], err = n.run(ctx, v.task)
		return nil, err
	}
	s := &PlanStage{Name: n.name, Action: v.action, Reasons: v.reasons}
	if v.task != nil {
		s.Key = v.task.Key
	}
	if v.action == ActionSkip {
		x.made[n.artifact] = v.outcome.Product
		return s, nil
	}
	x.later[n.artifact] = n.name
	if n.estimate != nil && v.task != nil {
		cost, err := n.estimate(ctx, v.task)
		if err != nil {
			return nil, err
		}
		s.Cost = &cost
	}
	s.Seconds = expected(x.last.Stage(n.name), s.Cost)
	return s, nil
}

// expected is the time of a stage at the speed of its last record, in seconds.
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
