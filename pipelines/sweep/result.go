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

// nats is the loss, NaN where there is none.
func (t *Trial) nats() float64 {
	if t.Nats == nil {
		return math.NaN()
	}
	return *t.Nats
}

// writeSweep writes the results of a sweep to a folder below st, and notes in
// res where they are.
func writeSweep(ctx context.Context, st *store.Store, folder string, varied []string, best []byte, res *Result) error {
	table, err := sweepTable(varied, res.Trials)
	if err != nil {
		return err
	}
	dir, err := st.Sub(folder)
	if err != nil {
		return err
	}
	losses := make([]float64, len(res.Trials))
	for _, t := range res.Trials {
		losses[t.Trial-1] = t.nats()
	}
	if err := report.WriteSweep(ctx, dir, losses, res.Trials[0].Trial); err != nil {
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

// sweepTable is the trials as CSV, in their order.
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
