package export

import (
	"context"

	"github.com/quire-ml/quire/pipelines/gate"
	"github.com/quire-ml/quire/pipelines/round"
	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/runners/workflow"
)

// A past is what the rounds of a workdir know of a model.
type past struct {
	round    string       // the oldest that judged it; empty: none did
	decision *gate.Result // of that round
	sources  []round.Ancestor
}

// find looks for the oldest round that judged the model's file, and for the sources of its
// set, which any round that has the set knows.
func find(ctx context.Context, m *text.Model, o Options) (p past, err error) {
	if o.Workdir == "" {
		return p, nil
	}
	st, err := store.Open(ctx, o.Workdir)
	if err != nil {
		return p, err
	}
	defer st.Close()
	records, err := workflow.Records(ctx, st, o.Damaged)
	if err != nil {
		return p, err
	}
	with := "" // the oldest round with the set
	for _, r := range records {
		decision, s, err := round.DecisionArtifact.Recorded(r)
		if err == nil && s != nil && decision.SHA256 != "" && decision.SHA256 == m.SHA256 {
			p.round, p.decision = r.Round, &decision
			break
		}
		set, s, err := round.SetArtifact.Recorded(r)
		if err == nil && s != nil && with == "" && set.ManifestSHA256 == m.Set {
			with = r.Round
		}
	}
	if p.round != "" {
		with = p.round
	}
	if with == "" {
		return p, nil
	}
	shown, err := round.Show(ctx, o.Workdir, with)
	if err != nil {
		return p, err
	}
	for _, err := range shown.Damaged {
		o.Damaged(err)
	}
	for _, a := range shown.Lineage {
		if a.What == "source" {
			p.sources = append(p.sources, a)
		}
	}
	return p, nil
}
