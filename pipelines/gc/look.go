package gc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/quire-ml/quire/pipelines/promotion"
	"github.com/quire-ml/quire/runners/claim"
	"github.com/quire-ml/quire/runners/schedule"
	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/runners/workflow"
)

// A plan is what a look at a workdir has found: items with reasons stay.
type plan struct {
	*inventory
	now      time.Time
	outcomes map[string]*workflow.Made // by name
	survey   *promotion.Survey         // nil: no model is promoted
	expired  []string                  // claims of users that were interrupted, and are not needed
	caches   []cached
	held     bool // a process works on a run or a set
}

// look decides what stays. It reads claims before records: a user writes its record before
// its claim goes. dropped says that the claims that are not needed are gone: all others
// hold.
func look(ctx context.Context, st *store.Store, o Options, dropped bool) (*plan, error) {
	claims, err := claim.List(ctx, st, o.Now())
	if err != nil {
		return nil, fmt.Errorf("gc: %w", err)
	}
	// A promotion moves promoted.json, a round writes its record, and then the claim goes.
	survey, err := promotion.Look(ctx, st, max(o.Promotions, 2))
	if err != nil {
		return nil, fmt.Errorf("gc: %w", err)
	}
	records, err := readRecords(ctx, st)
	if err != nil {
		return nil, err
	}
	p := &plan{now: o.Now(), survey: survey}
	if p.inventory, err = takeInventory(ctx, st); err != nil {
		return nil, fmt.Errorf("gc: %w", err)
	}
	if p.outcomes, err = readOutcomes(ctx, st, p.inventory); err != nil {
		return nil, err
	}
	p.claims(claims, records, dropped)
	if err := p.promotions(ctx, st); err != nil {
		return nil, err
	}
	if err := p.rounds(ctx, st, o, records); err != nil {
		return nil, err
	}
	p.path(st, o.Start, "trainings start from it")
	if err := p.sweeps(ctx, st, o.Sweeps); err != nil {
		return nil, err
	}
	if err := p.runs(ctx, st); err != nil {
		return nil, err
	}
	p.requests()
	if o.Cache {
		p.caches, err = findCaches(p.now, anyLive(claims))
	}
	return p, err
}

// readRecords reads the records of all rounds.
func readRecords(ctx context.Context, st *store.Store) ([]*workflow.Record, error) {
	var damaged []error
	records, err := workflow.Records(ctx, st, func(err error) { damaged = append(damaged, err) })
	if err == nil {
		err = errors.Join(damaged...)
	}
	if err != nil {
		return nil, fmt.Errorf("gc: what a round reaches is not known, so nothing goes: %w", err)
	}
	return records, nil
}

// readers is the number of outcomes that are read at a time.
const readers = 16

// readOutcomes reads the outcomes of an inventory, by name.
func readOutcomes(ctx context.Context, st *store.Store, inv *inventory) (map[string]*workflow.Made, error) {
	all := map[string]*workflow.Made{}
	var mu sync.Mutex
	var names []string
	for name, it := range inv.items {
		if it.Kind == "outcome" {
			names = append(names, name)
		}
	}
	err := each(ctx, readers, names, func(ctx context.Context, name string) error {
		m, err := workflow.ReadMade(ctx, st, name)
		if errors.Is(err, store.ErrNotExist) { // its round makes it again
			return nil
		}
		if err != nil {
			return fmt.Errorf("gc: %w", err)
		}
		mu.Lock()
		defer mu.Unlock()
		all[name] = m
		return nil
	})
	return all, err
}

// stay adds a reason to an item. It reports whether the item is there.
func (p *plan) stay(name, why string) bool {
	it := p.items[name]
	if it == nil {
		return false
	}
	if !slices.Contains(it.Why, why) {
		it.Why = append(it.Why, why)
	}
	return true
}

// stayKey adds a reason to what a key names.
func (p *plan) stayKey(key, why string) {
	for _, it := range p.keyed[key] {
		p.stay(it.Name, why)
	}
}

// recent is how long the keys of an interrupted user stay in any case.
const recent = 7 * 24 * time.Hour

// claims keeps what users use. An interrupted one is needed for a week, and as long as no
// round that began after it has come to an end.
func (p *plan) claims(claims []claim.Claimed, records []*workflow.Record, dropped bool) {
	for _, c := range claims {
		over := func(r *workflow.Record) bool { return r.Began.After(c.Began) && whole(r) }
		why := "used by an interrupted " + c.What
		if c.Held != nil {
			why = fmt.Sprintf("used by a %s, process %d on %s", c.What, c.Held.PID, c.Held.Host)
		}
		if !dropped && (c.Held == nil || c.Stale) && p.now.Sub(c.Began) > recent && slices.ContainsFunc(records, over) {
			p.expired = append(p.expired, c.Name)
			continue
		}
		p.stay(c.Name, why)
		for _, key := range c.Keys {
			p.stayKey(key, why)
		}
	}
}

func anyLive(claims []claim.Claimed) bool {
	return slices.ContainsFunc(claims, func(c claim.Claimed) bool { return c.Held != nil && !c.Stale })
}

// promotions keeps the models that are and may come into service.
func (p *plan) promotions(ctx context.Context, st *store.Store) error {
	if p.survey == nil {
		for _, it := range p.items {
			if it.Kind == "promotion" || it.Kind == "copy" {
				p.stay(it.Name, "no model is in service, so the history is not known")
			}
		}
		return nil
	}
	for _, e := range p.survey.Kept {
		why := fmt.Sprintf("promotion %d: %s", e.Number, e.Why)
		p.stay(e.Name, why)
		p.stayKey(e.SHA256, why)
		if e.SHA256 == "" { // of an earlier program: the checkpoint of a run
			p.path(st, e.Checkpoint, why)
		}
		p.stayKey(e.Round, why)
		for name, m := range p.outcomes {
			switch {
			case e.Decision != "" && m.Digest == e.Decision && m.Artifact == "decision":
				p.stay(name, why)
			case e.Set != "" && m.Digest == e.Set && m.Artifact == "set":
				p.stayKey(m.Key, why)
			}
		}
	}
	for _, name := range p.survey.Ahead { // a promotion claims its model until its record is in service
		it := p.items[name]
		if it == nil {
			continue
		}
		for _, same := range p.keyed[promotion.StrayDigest(ctx, st, name)] {
			if same.Kind == "copy" && slices.ContainsFunc(same.Why, func(why string) bool { return strings.HasPrefix(why, "used by") }) {
				p.stay(name, same.Why[0])
			}
		}
	}
	return nil
}

// requestAge is how long a request stays in any case.
const requestAge = 24 * time.Hour

// requests keeps what was asked of other machines while a claim stays or a run is held: one
// of them may read its request again. It comes after runs.
func (p *plan) requests() {
	used := false
	for _, it := range p.items {
		used = used || it.Kind == "claim" && len(it.Why) > 0
	}
	for _, it := range p.items {
		switch {
		case it.Kind != "request":
		case used || p.held:
			p.stay(it.Name, "the workdir is in use")
		case p.now.Sub(it.files[0].Changed) <= requestAge:
			p.stay(it.Name, "younger than a day")
		}
	}
}

// whole reports whether the gate of a round has judged a model.
func whole(r *workflow.Record) bool { return r.Exit == workflow.Done || r.Exit == refused }

// refused is the exit of a round whose gate refused.
const refused = "refused"

// rounds keeps the rounds that the policy chooses, and what they reach; and slots.
func (p *plan) rounds(ctx context.Context, st *store.Store, o Options, records []*workflow.Record) error {
	var all []Round
	for _, r := range records {
		all = append(all, Round{r.Round, r.Began, whole(r)})
	}
	why := o.Policy.Kept(all, o.Zone, p.now)
	newest, err := workflow.Latest(ctx, st, func(error) {})
	if err != nil {
		return fmt.Errorf("gc: %w", err)
	}
	running, err := schedule.Running(ctx, st)
	if err != nil {
		return fmt.Errorf("gc: %w", err)
	}
	var oldest time.Time // round that stays
	for _, r := range records {
		reasons := why[r.Round]
		if len(reasons) == 0 && newest != nil && r.Round == newest.Round {
			reasons = []string{"the newest round"}
		}
		if id, _, _ := strings.Cut(r.Round, "-"); running != "" && id == running {
			reasons = append(reasons, "its slot runs")
		}
		if len(reasons) == 0 {
			continue
		}
		if oldest.IsZero() || r.Began.Before(oldest) {
			oldest = r.Began
		}
		for _, reason := range reasons {
			p.stay("rounds/"+r.Round, reason)
		}
		p.reach(st, r)
	}
	return p.slots(ctx, st, running, oldest)
}

// slots keeps the records of the newest slots, and of those with or after a round that stays.
func (p *plan) slots(ctx context.Context, st *store.Store, running string, oldest time.Time) error {
	var names []string
	for name, it := range p.items {
		if it.Kind == "slot" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	slices.Reverse(names)
	for i, name := range names {
		slot, _ := schedule.SlotOf(name)
		switch {
		case i < schedule.Look:
			p.stay(name, fmt.Sprintf("one of the last %d slots", schedule.Look))
		case schedule.ID(slot) == running:
			p.stay(name, "it runs")
		case !oldest.IsZero() && !slot.Before(oldest):
			p.stay(name, "as new as the oldest round that stays")
		default:
			id, err := schedule.RoundOf(ctx, st, slot)
			if err != nil {
				return fmt.Errorf("gc: %w", err)
			}
			if it := p.items["rounds/"+id]; it != nil && len(it.Why) > 0 {
				p.stay(name, "slot of round "+id)
			}
		}
	}
	return nil
}
