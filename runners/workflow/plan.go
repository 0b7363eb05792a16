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
	On      string   `json:"on,omitempty"`  // the machine on which it runs; empty: this one
	Key     string   `json:"key,omitempty"` // empty: it depends on an artifact that is still to be made
	Cost    *Cost    `json:"cost"`          // of running it; nil: not known, or nothing
	// Seconds is the expected time, that of an earlier round in proportion to the
	// cost; nil: not known.
	Seconds *float64 `json:"seconds"`
}

// Plan returns the decisions of Run with the same options. It runs live stages
// only, and changes nothing else. A stage that has run with the same key before makes
// the same product again. A stage with an input that is not known yet counts as one
// that runs; where the input comes out as before, Run skips it. Where Run would stop
// with an error that Plan can know, that is Plan's error, beside the decisions until then.
// Judge is asked about the artifacts that stay as they are.
func (p *Pipeline) Plan(ctx context.Context, st *store.Store, o Options) (*Plan, error) {
	x, err := p.begin(ctx, st, o)
	if err != nil {
		return nil, err
	}
	plan := &Plan{}
	for _, n := range p.nodes {
		s, err := x.plan(ctx, n)
		if s != nil {
			plan.Stages = append(plan.Stages, *s)
		}
		if err != nil {
			return plan, err
		}
		if n.name == o.To {
			break
		}
	}
	if o.Judge != nil {
		err = o.Judge(x.staying())
	}
	return plan, err
}

// staying returns the record of the artifacts that the round of a plan leaves as they are.
func (x *pass) staying() *Record {
	r := &Record{}
	for _, n := range x.p.nodes {
		if p, ok := x.made[n.artifact]; ok && x.again[n.artifact] == "" {
			s := StageRecord{Name: n.name, Live: n.live, Artifact: n.artifact}
			s.set(p)
			r.Stages = append(r.Stages, s)
		}
	}
	return r
}

// plan decides about a stage; it returns nil for a live one.
func (x *pass) plan(ctx context.Context, n *node) (*PlanStage, error) {
	v, err := x.decide(ctx, n)
	switch {
	case err != nil:
		return nil, err
	case n.live:
		return nil, x.observe(ctx, v)
	}
	if v.action == ActionRun {
		if err := x.refuse(v); err != nil {
			return nil, err
		}
	}
	s := &PlanStage{Name: n.name, Action: v.action, Reasons: v.reasons, On: n.on}
	if v.task != nil {
		s.Key = v.task.Key
	}
	if v.action == ActionSkip {
		x.made[n.artifact] = v.outcome.Product
		return s, nil
	}
	if again, ok := x.earlier(v); ok {
		x.made[n.artifact], x.again[n.artifact] = again, n.name
	} else {
		x.later[n.artifact] = n.name
	}
	if n.estimate != nil && v.task != nil {
		cost, err := n.estimate(ctx, v.task)
		switch {
		case err == nil:
			s.Cost = &cost
		case x.waits(n, x.again) == "":
			return s, err
		}
	}
	s.Seconds = expected(x.last.Stage(n.name), s.Cost)
	return s, nil
}

// observe runs a live stage, unless it needs what is still to be made.
func (x *pass) observe(ctx context.Context, v *verdict) error {
	n := v.n
	by := x.waits(n, x.later)
	if v.task != nil {
		made, err := n.run(ctx, v.task)
		if err == nil {
			x.made[n.artifact] = made
			return nil
		}
		if by = x.waits(n, x.again); by == "" || ctx.Err() != nil {
			return err
		}
	}
	x.later[n.artifact] = by
	return nil
}

// waits returns the stage that a stage waits for, by the artifacts that it takes; empty:
// none.
func (x *pass) waits(n *node, by map[string]string) string {
	for _, in := range n.takes() {
		if by[in] != "" {
			return by[in]
		}
	}
	return ""
}

// earlier returns the product that a stage has made with the same key before.
func (x *pass) earlier(v *verdict) (p product, ok bool) {
	switch old := x.last.Stage(v.n.name); {
	case v.task == nil:
		return p, false
	case v.outcome != nil:
		return v.outcome.Product, true
	case old != nil && old.Key == v.task.Key && old.Digest != "":
		return product{Name: v.n.artifact, Digest: old.Digest, Value: old.Value}, true
	}
	return p, false
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
