package inspect

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/quire-ml/quire/model/train"
	"github.com/quire-ml/quire/pipelines/report"
	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/runners/store"
)

// Metrics shows the losses of a run, from its metrics.jsonl, or of a checkpoint,
// which knows the epochs before it; of a run without metrics.jsonl it shows those
// of the checkpoint which.
func Metrics(ctx context.Context, path, which string) (*Result, error) {
	res := &Result{Kind: "metrics", Path: path}
	var err error
	if !strings.HasSuffix(path, ".safetensors") {
		res.Metrics, err = runMetrics(ctx, path)
	}
	if err == nil && len(res.Metrics) == 0 {
		res.Metrics, res.Path, err = checkpointMetrics(ctx, path, which)
	}
	if err != nil {
		return nil, err
	}
	return res, nil
}

// runMetrics returns the lines of a run's metrics, none where it has none.
func runMetrics(ctx context.Context, dir string) (lines []report.Line, err error) {
	st, err := store.Open(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer st.Close()
	err = report.ReadMetrics(ctx, st, func(l report.Line) error { lines = append(lines, l); return nil })
	return lines, err
}

func checkpointMetrics(ctx context.Context, path, which string) (lines []report.Line, at string, err error) {
	m, err := text.OpenModel(ctx, path, which)
	if err != nil {
		return nil, "", err
	}
	var past struct{ Epochs []train.EpochMetrics }
	if len(m.Checkpoint.Metrics) > 0 {
		if err := json.Unmarshal(m.Checkpoint.Metrics, &past); err != nil {
			return nil, "", fmt.Errorf("inspect: %s: metrics: %w", m.Path, err)
		}
	}
	for _, e := range past.Epochs {
		lines = append(lines, report.Line{Step: e.Step, Epoch: e.Epoch, EpochTrain: &e.TrainNats, Validation: e.Validation})
	}
	return lines, m.Path, nil
}
