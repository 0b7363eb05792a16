package workflow

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/quire-ml/quire/runners/claim"
	"github.com/quire-ml/quire/runners/store"
)

// Action is the decision about a stage.
type Action string

// Actions.
const (
	ActionRun  Action = "run"
	ActionSkip Action = "skip"
)

// pass is one walk over a pipeline, of a round or of a plan.
type pass struct {
	p       *Pipeline
	st      *store.Store
	o       Options
	last    *Record            // the newest record; nil: none
	made    map[string]product // by artifact
	returns int                // to an earlier node so far
	claim   *claim.Claim       // of the keys that are looked at; nil in a plan

	recorded bool              // the round has its record
	later    map[string]string // in a plan: artifacts that are not known yet, and the stages that they wait for
	again    map[string]string // in a plan: artifacts in made that are still to be made again, and their stages
}

// begin checks the options against the pipeline.
func (p *Pipeline) begin(ctx context.Context, st *store.Store, o Options) (*pass, error) {
	if err := p.checkRange(o); err != nil {
		return nil, err
	}
	last, err := Latest(ctx, st, o.damaged)
	if err != nil {
		return nil, err
	}
	return &pass{p: p, st: st, o: o, last: last, made: map[string]product{}, later: map[string]string{}, again: map[string]string{}}, nil
}

// verdict is the decision about a stage, with its reasons.
type verdict struct {
	n           *node
	action      Action
	reasons     []string
	task        *Task             // nil: not all of its inputs are made
	inputs      map[string]string // digests by name, of the inputs that are made
	outcome     *outcome          // nil: none
	old         string            // generation of the outcome
	regenerated bool              // the files are intact, with other generations than the outcome has
	damage      error             // the outcome exists, its files are damaged
}

// decide returns whether a stage runs or is skipped.
func (x *pass) decide(ctx context.Context, n *node) (*verdict, error) {
	v := &verdict{n: n, inputs: map[string]string{}}
	forced := slices.Contains(x.o.Force, n.name)
	if forced {
		v.reasons = append(v.reasons, "forced")
	}
	task := &Task{Stage: n.name, Store: x.st, Forced: forced, Verify: x.o.Verify, inputs: map[string]product{}}
	for _, in := range n.takes() {
		if p, ok := x.made[in]; ok {
			task.inputs[in] = p
		}
	}
	for _, in := range n.inputs {
		if p, ok := x.made[in]; ok {
			v.inputs[in] = p.Digest
		}
	}
	if len(task.inputs) == len(n.takes()) {
		v.task = task
		var err error
		if task.Key, err = n.key(v.inputs); err != nil {
			return nil, err
		}
	}
	if n.live {
		v.action, v.reasons = ActionRun, []string{"it runs in every round"}
		return v, nil
	}
	if v.task != nil {
		if err := x.take(ctx, task.Key); err != nil { // before it is looked at
			return nil, err
		}
		if err := x.recall(ctx, v); err != nil {
			return nil, err
		}
	}
	if v.outcome == nil || v.task == nil {
		v.reasons = append(v.reasons, x.changes(v)...)
	}
	v.action = ActionRun
	if len(v.reasons) == 0 {
		v.action, v.reasons = ActionSkip, []string{x.same(v)}
	}
	return v, nil
}

// recall reads the outcome of the key, and adds the reason why it does not hold.
func (x *pass) recall(ctx context.Context, v *verdict) (err error) {
	n := v.n
	if v.outcome, v.old, err = readOutcome(ctx, x.st, n.name, v.task.Key); err != nil || v.outcome == nil {
		return err
	}
	v.regenerated, err = v.outcome.Product.verify(ctx, x.st, x.o.Verify)
	var gone *missingError
	var damage *DamageError
	switch {
	case errors.As(err, &gone):
		v.reasons = append(v.reasons, gone.Error())
		return nil
	case errors.As(err, &damage):
		v.reasons = append(v.reasons, "damaged: "+damage.Error())
		damage.Stage = n.name
		v.damage = fmt.Errorf("workflow: stage %s: %w; put back an intact copy, or delete it", n.name, damage)
		return nil
	case err != nil:
		return err
	}
	if n.check == nil {
		return nil
	}
	why, err := n.check(ctx, v.task, v.outcome.Product.Value)
	if why != "" {
		v.reasons = append(v.reasons, why)
	}
	return err
}

// same is the reason why a stage is skipped.
func (x *pass) same(v *verdict) string {
	text := "inputs, settings and code are those of an earlier round"
	if old := x.last.Stage(v.n.name); old != nil && old.Key == v.task.Key {
		text = "inputs, settings and code are as before"
	}
	if files := v.outcome.Product.Files; len(files) > 0 {
		text += fmt.Sprintf(", and %s is intact", x.st.Join(files[0].Name))
	}
	return text
}

// changes returns the differences between a stage and its last record.
func (x *pass) changes(v *verdict) []string {
	n, old := v.n, x.last.Stage(v.n.name)
	var reasons []string
	if old != nil && old.Digest != "" {
		if old.Version != n.version {
			reasons = append(reasons, fmt.Sprintf("version of its code: %d → %d", old.Version, n.version))
		}
		reasons = append(reasons, settingChanges(old.Config, n.settings)...)
	}
	for _, in := range n.inputs {
		if by, ok := x.later[in]; ok {
			reasons = append(reasons, x.waiting(in, by))
		} else if old != nil && old.Digest != "" {
			reasons = append(reasons, x.inputChanges(in, old)...)
		}
	}
	if len(reasons) > 0 {
		return reasons
	}
	if old == nil || old.Digest == "" || v.task == nil {
		return []string{"no earlier result"}
	}
	return []string{x.st.Join(OutcomeName(n.name, v.task.Key)) + " is missing"}
}

// waiting is the reason of a stage whose input is not known before the stage by has run.
func (x *pass) waiting(in, by string) string {
	verb := "depends on"
	if slices.ContainsFunc(x.p.nodes, func(n *node) bool { return n.name == by && n.artifact == in }) {
		verb = "comes from"
	}
	return fmt.Sprintf("%s %s %s, which runs", in, verb, by)
}

// settingChanges compares settings key by key.
func settingChanges(old, now map[string]json.RawMessage) []string {
	all := maps.Clone(now)
	maps.Copy(all, old)
	var reasons []string
	for _, key := range slices.Sorted(maps.Keys(all)) {
		if a, b := orNone(old[key]), orNone(now[key]); a != b {
			reasons = append(reasons, fmt.Sprintf("%s: %s → %s", key, a, b))
		}
	}
	return reasons
}

// orNone returns a value on one line: a record holds it on several.
func orNone(value json.RawMessage) string {
	var b bytes.Buffer
	if value == nil || json.Compact(&b, value) != nil {
		return "none"
	}
	return b.String()
}

// inputChanges compares an input with that of the stage's last record.
func (x *pass) inputChanges(in string, old *StageRecord) []string {
	now := x.made[in]
	if old.Inputs[in] == now.Digest {
		return nil
	}
	if old.Inputs[in] == "" {
		return []string{fmt.Sprintf("%s is a new input", in)}
	}
	var list []string
	if before := x.last.maker(in); before != nil && before.Digest == old.Inputs[in] {
		for _, n := range x.p.nodes {
			if n.artifact == in {
				list = n.differ(before.Value, now.Value)
			}
		}
	}
	if len(list) == 0 {
		list = []string{fmt.Sprintf("%.12s → %.12s", old.Inputs[in], now.Digest)}
	}
	for i := range list {
		list[i] = in + ": " + list[i]
	}
	return list
}
