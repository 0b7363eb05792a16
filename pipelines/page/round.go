package page

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/quire-ml/quire/configs/secret"
	"github.com/quire-ml/quire/pipelines/report"
	"github.com/quire-ml/quire/pipelines/round"
	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/runners/workflow"
)

// Numbers of things that a page shows.
const (
	shownEpochs  = 12  // with their samples
	tableEpochs  = 200 // with their losses
	shownSources = 60
	shownRuns    = 200
	shownChanges = 60
)

// roundDocument describes a round of a workdir, as far as it came.
func roundDocument(ctx context.Context, workdir string, st *store.Store, id string) (*document, error) {
	shown, err := round.Show(ctx, workdir, id)
	if err != nil {
		return nil, err
	}
	r := shown.Record
	d := &document{Kicker: "round " + r.Round}
	for _, err := range shown.Damaged {
		d.tell(err)
	}
	config := settings(r.Config)
	d.Title = cmp.Or(config["name"], "a round")
	d.Began = day(r.Began) + ", took " + took(r.Ended.Sub(r.Began).Seconds())
	d.ending(r)
	run, err := d.roundRun(ctx, st, r)
	if err != nil {
		return nil, err
	}
	d.roundFacts(r, run)
	d.training(run)
	if text, s, err := round.SampleArtifact.Recorded(r); s != nil && err == nil {
		d.Sample = &sample{Text: text.Text, More: sampleMore(config, text.Seed)}
	}
	d.gate(r)
	if d.Changes, err = changesOf(ctx, workdir, st, r, d.tell); err != nil {
		return nil, err
	}
	d.drift(r)
	d.stages(r)
	d.lineage(shown.Lineage)
	for _, key := range slices.Sorted(maps.Keys(config)) {
		d.Config = append(d.Config, setting{key, config[key]})
	}
	d.Footer = footer(r)
	return d, nil
}

// tell notes something that the page does without.
func (d *document) tell(err error) { d.Notes = append(d.Notes, "Not shown: "+err.Error()) }

// ending says how a round ended.
func (d *document) ending(r *workflow.Record) {
	decision, judged, _ := round.DecisionArtifact.Recorded(r)
	promoted, installed, _ := round.PromotionArtifact.Recorded(r)
	d.Badge = badge{r.Exit, "bad"}
	switch {
	case r.Exit == workflow.Done && installed != nil && promoted.Checkpoint != "" && installed.Action == workflow.ActionRun:
		d.Badge = badge{"promoted", "good"}
		d.Lede = "The model has passed the gate, and went into service."
	case r.Exit == workflow.Done && judged != nil && decision.Passed:
		d.Badge = badge{"passed", "good"}
		d.Lede = "The model has passed the gate."
	case r.Exit == workflow.Done:
		d.Badge = badge{"done", "good"}
		d.Lede = "The round has come to its end."
	case judged != nil && !decision.Passed:
		d.Badge = badge{"refused", "bad"}
		d.Lede = "The gate has refused the model: the one in service stayed."
	case r.Exit == workflow.Interrupted:
		d.Badge = badge{"interrupted", "warn"}
		d.Lede = "The round was interrupted. Everything is saved, and the next round goes on from there."
	case r.Error != nil && r.Error.Stage != "":
		d.Badge.Text = "failed"
		d.Lede = fmt.Sprintf("The round has ended at the stage %s.", plain(r.Error.Stage))
	default:
		d.Badge.Text = "failed"
	}
	if r.Error != nil && r.Exit != workflow.Interrupted {
		d.Error = strings.TrimPrefix(r.Error.Message, "round: ")
	}
}

// roundRun reads the training of a round; nil: it came to none.
func (d *document) roundRun(ctx context.Context, st *store.Store, r *workflow.Record) (*runFacts, error) {
	trained, s, err := round.ModelArtifact.Recorded(r)
	name := string(trained.Run)
	if s == nil || err != nil {
		if s = r.Stage("train"); s == nil {
			return nil, nil
		}
		name = "runs/" + s.Key // it has not ended
	}
	sub, err := st.Sub(name)
	if err != nil {
		d.tell(err)
		return nil, nil
	}
	facts, err := readRun(ctx, sub, d.tell)
	if errors.As(err, new(*NoRunError)) {
		d.Notes = append(d.Notes, "The files of the training are not there any more: its losses and samples are not shown.")
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if _, s, err := round.CorpusArtifact.Recorded(r); s != nil && err == nil {
		facts.Corpus = s.Digest
	}
	if set, s, err := round.SetArtifact.Recorded(r); s != nil && err == nil {
		facts.baselines = baselinesOf(set.UnigramNats, set.BigramNats, set.TrigramNats)
	}
	return facts, nil
}

// roundFacts are the large figures at the head of a round.
func (d *document) roundFacts(r *workflow.Record, run *runFacts) {
	add := func(name, value, more string) { d.Facts = append(d.Facts, fact{name, value, more}) }
	if e, s, err := round.EvaluationArtifact.Recorded(r); s != nil && err == nil {
		list := baselinesOf(e.UnigramNats, e.BigramNats, e.TrigramNats)
		add(e.Split+" loss", nats(e.NatsPerChar), fmt.Sprintf("nats a character, %.3f bits; %s", e.BitsPerChar, report.Between(e.NatsPerChar, list)))
	} else if run != nil && run.Nats != nil {
		add(run.Split+" loss", nats(*run.Nats), "nats a character")
	}
	if t, s, err := round.ModelArtifact.Recorded(r); s != nil && err == nil {
		more := count(int64(t.Epoch), "epoch") + ", " + count(t.Step, "step")
		if t.CharsPerSecond > 0 {
			more += ", " + speed(t.CharsPerSecond) + " characters a second"
		}
		add("training", took(s.Seconds), more)
		add("model", number(int64(t.Parameters)), "parameters: "+network(settings(r.Config)))
	} else if run != nil {
		add("training", count(run.Step, "step"), "so far")
	}
	if p, s, err := round.SetArtifact.Recorded(r); s != nil && err == nil {
		add("text", number(p.Chars), fmt.Sprintf("characters, %s different", number(int64(p.Vocab))))
	}
}

// network is the model section in words: "gru, 1 layer of 256".
func network(c map[string]string) string {
	if c["model.cell"] == "" {
		return ""
	}
	layers := c["model.layers"] + " layers"
	if c["model.layers"] == "1" {
		layers = "1 layer"
	}
	return fmt.Sprintf("%s, %s of %s", strings.ToUpper(c["model.cell"]), layers, c["model.hidden"])
}

// training shows the losses and samples of one training.
func (d *document) training(r *runFacts) {
	if r == nil {
		return
	}
	d.Picture = lossPicture(r)
	all := r.epochs.all()
	d.Epochs = pick(all, tableEpochs)
	var told []epochRow
	for _, e := range all {
		if e.Sample != "" {
			told = append(told, e)
		}
	}
	for _, e := range pick(told, shownEpochs) {
		more := "step " + number(e.Step)
		switch {
		case e.Validation != nil:
			more += ", validation " + nats(*e.Validation)
		case e.Train != nil:
			more += ", training " + nats(*e.Train)
		}
		d.Samples = append(d.Samples, sample{Name: fmt.Sprintf("Epoch %d", e.Epoch), More: more, Text: e.Sample})
	}
	if len(told) > shownEpochs {
		d.Left = r.epochs.n - shownEpochs
	}
}

// sampleMore says how a sample was written.
func sampleMore(c map[string]string, seed int64) string {
	return fmt.Sprintf("Written at temperature %s with seed %d, after the prompt %q.", c["generate.temperature"], seed, c["generate.prompt"])
}

// gate shows the findings of the gate.
func (d *document) gate(r *workflow.Record) {
	decision, s, err := round.DecisionArtifact.Recorded(r)
	if s == nil || err != nil {
		return
	}
	passed := 0
	for _, k := range decision.Checks {
		d.Checks = append(d.Checks, check{k.Name, figure(k.Value), figure(k.Limit), k.Text, k.Passed})
		if k.Passed {
			passed++
		}
	}
	d.Verdict = fmt.Sprintf("%d of %s passed.", passed, count(int64(len(d.Checks)), "check"))
	if decision.Against != "" {
		name, _, _ := strings.Cut(path.Base(string(decision.Against)), ".")
		d.Verdict += fmt.Sprintf(" It was compared with the model in service, %.12s.", name)
	}
	if s.Action == workflow.ActionSkip {
		d.Verdict += " The decision is that of an earlier round, on the same model."
	}
}

// changesOf compares the config of a round with that of the round before.
func changesOf(ctx context.Context, workdir string, st *store.Store, r *workflow.Record, tell func(error)) (*changes, error) {
	before, err := previous(ctx, st, r.Round)
	if err != nil || before == "" {
		return &changes{}, passOver(ctx, err, tell)
	}
	diff, err := round.Diff(ctx, workdir, before, r.Round)
	if err != nil {
		return nil, passOver(ctx, err, tell)
	}
	c := &changes{Before: diff.A}
	for _, row := range diff.Config {
		if len(c.Rows) < shownChanges {
			c.Rows = append(c.Rows, changed{row.Key, shown(row.A), shown(row.B)})
		}
	}
	return c, nil
}

// previous returns the id of the round before one, by their ids, which are times; empty:
// there is none.
func previous(ctx context.Context, st *store.Store, id string) (before string, err error) {
	list, err := st.List(ctx, "rounds/")
	if err != nil {
		return "", err
	}
	for _, info := range list {
		other, ok := strings.CutSuffix(path.Base(info.Name), ".json")
		if ok && other != "latest" && workflow.RecordName(other) == info.Name && other < id && other > before {
			before = other
		}
	}
	return before, nil
}

// drift shows how the text differs from that of the round before, and the held-out part
// from the rest.
func (d *document) drift(r *workflow.Record) {
	set, made, err := round.SetArtifact.Recorded(r)
	if made == nil || err != nil {
		return
	}
	add := func(name, value, more string) { d.Drift = append(d.Drift, fact{name, value, more}) }
	old, s, err := round.DriftArtifact.Recorded(r)
	switch {
	case s == nil || err != nil || old.Against == "":
		d.DriftSay = "There is no earlier text to compare with."
	case old.Against == set.Set:
		d.DriftSay = "The text is that of the round before."
	default:
		d.DriftSay = "Compared with the text of the round before, " + string(old.Against) + ":"
		add("characters", number(old.Chars), number(old.CharsBefore)+" before")
		add("new characters", number(int64(old.NewChars)), number(int64(old.GoneChars))+" are gone")
		if old.UnigramNats != nil {
			add("divergence", nats(*old.UnigramNats), "nats, from 0 for the same frequencies of characters to 0.6931")
		}
	}
	if set.Drift != nil {
		more := "nats more a character, for a model of pairs: the two are alike"
		if set.Drift.Large() {
			more = "nats more a character, for a model of pairs: the two are of different kinds"
		}
		add("held-out part", nats(max(0, set.Drift.PairNats)), more)
	}
	if set.Repeated != nil {
		add("repeated", fmt.Sprintf("%.2f %%", 100**set.Repeated), "of the held-out part is in the training part too")
	}
}

// stages shows the stages of a round after one another.
func (d *document) stages(r *workflow.Record) {
	var list []workflow.StageRecord
	var total float64
	for _, s := range r.Stages {
		if failed := r.Error != nil && r.Error.Stage == s.Name; !s.Live || failed {
			list = append(list, s)
			if s.Action == workflow.ActionRun {
				total += s.Seconds
			}
		}
	}
	var at float64
	for _, s := range list {
		row := stageRow{Name: s.Name, State: "ran", Class: "good", Time: took(s.Seconds), Why: s.Reasons}
		switch {
		case s.Action == workflow.ActionSkip:
			row.State, row.Class, row.Time = "skipped", "soft", ""
			row.Why = append(slices.Clone(s.Reasons), "it took "+took(s.Seconds)+" then")
		case r.Error != nil && r.Error.Stage == s.Name && s.Digest == "":
			row.State, row.Class = cmp.Or(d.Badge.Text, "failed"), cmp.Or(d.Badge.Class, "bad")
		}
		if s.Attempts > 1 {
			row.Why = append(slices.Clone(row.Why), count(int64(s.Attempts), "attempt"))
		}
		if s.Action == workflow.ActionRun && total > 0 {
			width := max(4, 1000*s.Seconds/total)
			row.X, row.Width = px(min(1000*at/total, 1000-width)), px(width)
			at += s.Seconds
		}
		d.Stages = append(d.Stages, row)
	}
}

// lineage shows the way back from the sample to its sources.
func (d *document) lineage(list []round.Ancestor) {
	sources := 0
	for _, a := range list {
		if a.What == "source" {
			if sources++; sources > shownSources {
				continue
			}
		}
		d.Lineage = append(d.Lineage, ancestor{a.What, secret.Text(a.Name), a.SHA256})
	}
	if sources > shownSources {
		d.More = fmt.Sprintf("%s more are left out; the set's manifest has them.", count(int64(sources-shownSources), "source file"))
	}
}

// footer says what made a round.
func footer(r *workflow.Record) []string {
	made := []string{"Made by quire"}
	if v := cmp.Or(r.Versions["vcs.revision"], r.Versions["quire"]); v != "" {
		made[0] += " " + v[:min(len(v), 12)]
	}
	if v := r.Versions["go"]; v != "" {
		made = append(made, v)
	}
	for _, key := range []string{"name", "platform", "cpus", "variant"} {
		if v := r.Host[key]; v != "" {
			switch key {
			case "name":
				v = "on " + v
			case "cpus":
				v += " CPUs"
			case "variant":
				v += " kernels"
			}
			made = append(made, v)
		}
	}
	return []string{strings.Join(made, ", ") + ".", "Losses are in nats a character: ln 2 nats are a bit."}
}
