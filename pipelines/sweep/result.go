package sweep

import (
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"math"
	"strconv"

	"github.com/quire-ml/quire/pipelines/report"
	"github.com/quire-ml/quire/runners/store"
)

// nats is the loss; NaN where the training diverged.
func (t *Trial) nats() float64 {
	if t.Nats == nil {
		return math.NaN()
	}
	return *t.Nats
}

// writeSweep writes table, picture and best config to a folder below st, and notes
// in res where they are.
func writeSweep(ctx context.Context, st *store.Store, folder string, varied []string, best []byte, res *Result) error {
	table, err := sweepTable(varied, res.Trials)
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
	for name, data := range map[string][]byte{"sweep.csv": table, "best.yaml": best} {
		if err := dir.Replace(ctx, name, data); err != nil {
			return err
		}
	}
	res.Table, res.Config, res.Picture = dir.Join("sweep.csv"), dir.Join("best.yaml"), dir.Join(report.SweepName)
	return nil
}

// drawn returns a trial for the picture. Its curve is that of its run's metrics.
func (t *Trial) drawn(ctx context.Context, st *store.Store, varied []string) (report.Trial, error) {
	d := report.Trial{Number: t.Trial, Nats: t.nats()}
	for _, key := range varied {
		d.Values = append(d.Values, t.Set[key])
	}
	run, err := st.Sub(t.Run)
	if err != nil {
		return d, err
	}
	m, err := report.OpenMetrics(ctx, run, math.MaxInt64, false)
	if err != nil {
		return d, err
	}
	d.Lines = m.Lines()
	return d, nil
}

// sweepTable returns the trials as CSV, in their order.
func sweepTable(varied []string, trials []Trial) ([]byte, error) {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	rows := [][]string{append([]string{"trial", "nats", "split", "step", "parameters", "run"}, varied...)}
	for _, t := range trials {
		row := []string{strconv.Itoa(t.Trial), strconv.FormatFloat(t.nats(), 'g', -1, 64), t.Split, strconv.FormatInt(t.Step, 10), strconv.Itoa(t.Parameters), t.Run}
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
