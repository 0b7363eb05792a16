package report

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/quire-ml/quire/runners/store"
)

// MetricsName is the file of a run that Metrics writes.
const MetricsName = "metrics.jsonl"

// Line is one line of metrics.jsonl. A run has a line for each log interval and a
// line for the end of each epoch. Losses are in nats a character. Epochs count
// from 1.
type Line struct {
	Step         int64    `json:"step"`
	Epoch        int      `json:"epoch"`
	Train        *float64 `json:"train_nats,omitempty"`
	PerSecond    *float64 `json:"chars_per_second,omitempty"`
	LR           *float64 `json:"learning_rate,omitempty"`
	GradientNorm *float64 `json:"gradient_norm,omitempty"`

	EpochTrain *float64 `json:"epoch_train_nats,omitempty"`
	Validation *float64 `json:"validation_nats,omitempty"`
	Sample     string   `json:"sample,omitempty"` // text written by the model

	at time.Time // of Add, or of OpenMetrics for a line of an earlier call
}

// Metrics writes metrics.jsonl of a run. Lines become durable with Flush. A Metrics
// is for one goroutine at a time.
type Metrics struct {
	st         *store.Store
	text       []byte // of the file
	lines      []Line // the same lines, decoded
	generation string
	dirty      bool
}

// OpenMetrics reads the lines of an earlier call. It drops the lines after step,
// and with redoEnd the end of an epoch at step itself: the run writes them again.
// The error of a damaged line names its number and its byte offset.
func OpenMetrics(ctx context.Context, st *store.Store, step int64, redoEnd bool) (*Metrics, error) {
	m := &Metrics{st: st}
	data, info, err := st.Read(ctx, MetricsName)
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err != nil {
		return nil, err
	}
	m.generation = info.Generation
	at := 0
	for i, text := range bytes.SplitAfter(data, []byte("\n")) {
		if len(text) == 0 {
			continue
		}
		var l Line
		if err := json.Unmarshal(text, &l); err != nil {
			return nil, fmt.Errorf("report: %s: line %d at byte %d: %w; delete the file, which is a report alone, or mend the line", st.Join(MetricsName), i+1, at, err)
		}
		if l.Step < step || l.Step == step && !(redoEnd && l.EpochTrain != nil) {
			m.text = append(m.text, text...)
			l.at = time.Now()
			m.lines = append(m.lines, l)
		}
		at += len(text)
	}
	m.dirty = len(m.text) != len(data)
	return m, nil
}

// Add appends a line.
func (m *Metrics) Add(l Line) error {
	text, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("report: line of step %d: %w", l.Step, err)
	}
	m.text = append(append(m.text, text...), '\n')
	l.at = time.Now()
	m.lines = append(m.lines, l)
	m.dirty = true
	return nil
}

// Flush writes all lines to the file. Where another writer has replaced the file,
// the error wraps store.ErrConflict.
func (m *Metrics) Flush(ctx context.Context) error {
	if !m.dirty {
		return nil
	}
	info, err := m.st.Swap(ctx, MetricsName, m.text, m.generation)
	if err != nil {
		return err
	}
	m.generation, m.dirty = info.Generation, false
	return nil
}

// Lines returns all lines. The caller must not change them.
func (m *Metrics) Lines() []Line { return m.lines }

// LastEpoch returns the epoch of the last line; without lines, 0.
func (m *Metrics) LastEpoch() int {
	if len(m.lines) == 0 {
		return 0
	}
	return m.lines[len(m.lines)-1].Epoch
}
