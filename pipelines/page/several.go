package page

import (
	"cmp"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/quire-ml/quire/pipelines/report"
	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/runners/store"
)

// oneRun describes a training alone.
func oneRun(r *runFacts) *document {
	d := &document{Kicker: "training " + plain(r.Name), Title: cmp.Or(r.Config["name"], "a training")}
	if r.Diverged != "" {
		d.Badge, d.Error = badge{"diverged", "bad"}, r.Diverged
	}
	if r.Nats != nil {
		more := "nats a character"
		if len(r.baselines) > 0 {
			more += "; " + report.Between(*r.Nats, r.baselines)
		}
		d.Facts = append(d.Facts, fact{r.Split + " loss", nats(*r.Nats), more})
	}
	if r.Train != nil && r.Split != "training" {
		d.Facts = append(d.Facts, fact{"training loss", nats(*r.Train), "at the end"})
	}
	more := ""
	if r.Speed != nil {
		more = speed(*r.Speed) + " characters a second"
	}
	d.Facts = append(d.Facts, fact{"training", count(r.Step, "step"), strings.TrimPrefix(more+", epoch "+strconv.Itoa(r.Epoch), ", ")})
	if n := network(r.Config); n != "" {
		d.Facts = append(d.Facts, fact{"model", r.Config["model.hidden"], n})
	}
	d.training(r)
	for _, key := range slices.Sorted(maps.Keys(r.Config)) {
		d.Config = append(d.Config, setting{key, r.Config[key]})
	}
	d.Footer = []string{"Losses are in nats a character: ln 2 nats are a bit."}
	return d
}

// sideBySide describes several trainings, the best first.
func sideBySide(runs []*runFacts, keys []string) *document {
	byLoss(runs)
	d := &document{Kicker: "trainings side by side", Title: count(int64(len(runs)), "training")}
	best, others := runs[0], unlike(runs)
	if best.Nats != nil {
		rank, of := "is best", "of the best"
		switch {
		case others != nil:
			rank, of = "has the lowest loss", "of the lowest loss"
		case best.Split == "training":
			rank = "has the lowest training loss"
		}
		d.Lede = fmt.Sprintf("%s %s: %s nats a character.", plain(best.Label), rank, nats(*best.Nats))
		for _, v := range best.Values {
			d.Facts = append(d.Facts, fact{plain(v.Key), v.Value, of})
		}
	}
	if others != nil {
		d.Notes = append(d.Notes, "The trainings differ in "+strings.Join(others, ", ")+": losses of different texts, or of characters"+
			" that are counted in different ways, do not compare.")
	}
	lost := 0
	for _, r := range runs {
		if r.Diverged != "" {
			lost++
		}
	}
	if lost > 0 {
		d.Notes = append(d.Notes, count(int64(lost), "training")+" diverged.")
	}
	d.Picture = racePicture(runs)
	d.Runs = &runTable{Ranked: others == nil, Keys: keys, Rows: runs[:min(len(runs), shownRuns)], Left: max(0, len(runs)-shownRuns)}
	if keys == nil {
		d.Differs = differ(runs[:min(len(runs), mostColours)])
	}
	for _, r := range runs[:min(len(runs), shownEpochs)] {
		if e := r.epochs.last; e != nil && e.Sample != "" {
			more := fmt.Sprintf("epoch %d", e.Epoch)
			if e.Validation != nil {
				more += ", validation " + nats(*e.Validation)
			}
			d.Samples = append(d.Samples, sample{Name: r.Label, More: more, Text: e.Sample, Class: r.Class})
		}
	}
	d.Footer = []string{"Losses are in nats a character: ln 2 nats are a bit."}
	return d
}

// unlike returns in what runs differ that decides which text a loss is of, and what a
// character of it is: settings, or their sets. A setting that a run of another version lacks
// tells nothing.
func unlike(runs []*runFacts) (keys []string) {
	corpus, corpora := distinct(runs, func(r *runFacts) string { return r.Corpus })
	sets, known := distinct(runs, func(r *runFacts) string { return r.Set })
	if known && sets == 1 {
		return nil
	}
	for _, key := range append(text.LossKeys(), "prep.seq_length", "prep.seed") {
		values := map[string]bool{}
		for _, r := range runs {
			if v, ok := r.Config[key]; ok {
				values[v] = true
			}
		}
		different := len(values) > 1
		switch key {
		case "corpus.sources":
			different = corpora && corpus > 1 || !corpora && different
		case "prep.seq_length", "prep.seed": // they decide who is held out, or what is read from nothing
			different = different && slices.ContainsFunc(runs, func(r *runFacts) bool {
				overlap := key == "prep.seq_length" && r.Config["prep.stride"] != "" && r.Config["prep.stride"] != "0"
				return r.Config["prep.validation.by"] == "block" || overlap
			})
		}
		if different {
			keys = append(keys, key)
		}
	}
	if known && keys == nil {
		return []string{"their sets"}
	}
	return keys
}

// distinct counts the different values of a digest of runs. known reports whether all have it.
func distinct(runs []*runFacts, of func(*runFacts) string) (n int, known bool) {
	values := map[string]bool{}
	for _, r := range runs {
		values[of(r)] = true
	}
	return len(values), !values[""]
}

// differ returns the settings in which runs differ. Their names and workdirs are no
// settings of a training.
func differ(runs []*runFacts) *differences {
	d := &differences{Runs: runs}
	all := map[string]bool{}
	for _, r := range runs {
		for key := range r.Config {
			all[key] = key != "name" && key != "workdir"
		}
	}
	for _, key := range slices.Sorted(maps.Keys(all)) {
		row := difference{Key: key}
		same := true
		for _, r := range runs {
			row.Values = append(row.Values, r.Config[key])
			same = same && r.Config[key] == runs[0].Config[key]
		}
		if all[key] && !same && len(d.Rows) < shownChanges {
			d.Rows = append(d.Rows, row)
		}
	}
	return d
}

// sweepTable is the file of a sweep with its trials.
const sweepTable = "sweep.csv"

// readSweep reads the trials of the sweep in the folder st. Its runs lie below workdir.
func readSweep(ctx context.Context, st, workdir *store.Store, tell func(error)) (runs []*runFacts, keys []string, err error) {
	data, _, err := st.ReadUpTo(ctx, sweepTable, 64<<20)
	if err != nil {
		return nil, nil, err
	}
	rows, err := csv.NewReader(strings.NewReader(string(data))).ReadAll()
	if err != nil {
		return nil, nil, fmt.Errorf("page: %s: %w", st.Join(sweepTable), err)
	}
	columns := []string{"trial", "nats", "split", "step", "parameters", "run"}
	if len(rows) < 2 || len(rows[0]) < len(columns) || !slices.Equal(rows[0][:len(columns)], columns) {
		return nil, nil, fmt.Errorf("page: %s: it is no table of a sweep", st.Join(sweepTable))
	}
	keys = rows[0][len(columns):]
	for _, row := range rows[1:] {
		r, err := readTrial(ctx, workdir, row, tell)
		if err != nil {
			return nil, nil, err
		}
		for i, key := range keys {
			r.Values = append(r.Values, setting{key, row[len(columns)+i]})
		}
		runs = append(runs, r)
	}
	return runs, keys, nil
}

// readTrial reads the training of a row of a sweep's table.
func readTrial(ctx context.Context, workdir *store.Store, row []string, tell func(error)) (*runFacts, error) {
	r := &runFacts{Name: path.Base(row[5])}
	sub, err := workdir.Sub(row[5])
	if err == nil {
		var read *runFacts
		if read, err = readRun(ctx, sub, tell); err == nil {
			r = read
		}
	}
	if err != nil && !errors.As(err, new(*NoRunError)) { // the table has the loss of a run that was deleted
		if err := passOver(ctx, err, tell); err != nil {
			return nil, err
		}
	}
	r.Label = "trial " + row[0]
	switch x, err := strconv.ParseFloat(row[1], 64); {
	case err == nil && x == x:
		r.Nats, r.Split = &x, row[2]
	default:
		if r.Nats = nil; r.Diverged == "" {
			r.Diverged = "it diverged"
		}
	}
	if step, err := strconv.ParseInt(row[3], 10, 64); err == nil {
		r.Step = step
	}
	return r, nil
}
