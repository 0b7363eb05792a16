package sweep

import (
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"strconv"

	"github.com/quire-ml/quire/pipelines/report"
	"github.com/quire-ml/quire/runners/store"
)

// write writes the table and the picture of res.Trials, the best first, and the best
// config to a folder below st. It sets their paths in res.
func (res *Result) write(ctx context.Context, st *store.Store, folder string, varied []string, best []byte) error {
	table, err := table(varied, res.Trials)
	if err != nil {
		return err
	}
	dir, err := st.Sub(folder)
	if err != nil {
		return err
	}
	drawn := make([]report.Trial, len(res.Trials))
	for i, t := range res.Trials {
		if drawn[i], err = t.drawn(ctx, st, varied); err != nil {
			return err
		}
	}
	if err := report.WriteSweep(ctx, dir, varied, drawn, res.Trials[0].Trial); err != nil {
		return err
	}
	if err := dir.Replace(ctx, "sweep.csv", table); err != nil {
		return err
	}
	if err := dir.Replace(ctx, "best.yaml", best); err != nil {
		return err
	}
	res.Table, res.Config, res.Picture = dir.Join("sweep.csv"), dir.Join("best.yaml"), dir.Join(report.SweepName)
	return nil
}

// drawn returns the trial for the picture, with the metrics of its run, a path below st.
func (t *Trial) drawn(ctx context.Context, st *store.Store, varied []string) (report.Trial, error) {
	d := report.Trial{Number: t.Trial, Nats: t.nats()}
	for _, key := range varied {
		d.Values = append(d.Values, t.Set[key])
	}
	run, err := st.Sub(t.Run)
	if err != nil {
		return d, err
	}
	err = report.ReadMetrics(ctx, run, func(l report.Line) error { d.Curves.Add(l); return nil })
	return d, err
}

// table returns the trials as CSV, in their order, after a line of names.
func table(varied []string, trials []Trial) ([]byte, error) {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	rows := [][]string{append([]string{"trial", "nats", "split", "step", "parameters", "run"}, varied...)}
	for _, t := range trials {
		row := []string{strconv.Itoa(t.Trial), strconv.FormatFloat(t.nats(), 'g', -1, 64), t.Split,
			strconv.FormatInt(t.Step, 10), strconv.Itoa(t.Parameters), t.Run}
		for _, key := range varied {
			row = append(row, fmt.Sprint(t.Set[key]))
		}
		rows = append(rows, row)
	}
	if err := w.WriteAll(rows); err != nil {
		return nil, fmt.Errorf("sweep: sweep.csv: %w", err)
	}
	return b.Bytes(), nil
}
