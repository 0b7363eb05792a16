package report_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/quire-ml/quire/pipelines/report"
	"github.com/quire-ml/quire/runners/store"
)

var ctx = context.Background()

func openStore(t *testing.T) *store.Store {
	t.Helper()
	st, err := store.Open(ctx, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	return st
}

func number(x float64) *float64 { return &x }

// write writes lines for steps 2, 4, 6 and the end of an epoch at step 4.
func write(t *testing.T, st *store.Store) *report.Metrics {
	t.Helper()
	m, err := report.OpenMetrics(ctx, st, 0, false)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range []report.Line{
		{Step: 2, Epoch: 1, Train: number(3), PerSecond: number(1000)},
		{Step: 4, Epoch: 1, Train: number(2), PerSecond: number(1000)},
		{Step: 4, Epoch: 1, EpochTrain: number(2.5), Validation: number(2.25)},
		{Step: 6, Epoch: 2, Train: number(1), PerSecond: number(1000)},
	} {
		if err := m.Add(l); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	return m
}

const (
	line2 = `{"step":2,"epoch":1,"train_nats":3,"chars_per_second":1000}` + "\n"
	line4 = `{"step":4,"epoch":1,"train_nats":2,"chars_per_second":1000}` + "\n"
	end4  = `{"step":4,"epoch":1,"epoch_train_nats":2.5,"validation_nats":2.25}` + "\n"
	line6 = `{"step":6,"epoch":2,"train_nats":1,"chars_per_second":1000}` + "\n"
)

func text(t *testing.T, st *store.Store) string {
	t.Helper()
	data, _, err := st.Read(ctx, report.MetricsName)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestMetrics(t *testing.T) {
	st := openStore(t)
	write(t, st)
	if got, want := text(t, st), line2+line4+end4+line6; got != want {
		t.Errorf("metrics.jsonl is\n%swant\n%s", got, want)
	}
}

// TestMetricsCut reads the file back as a run does that goes on at a step.
func TestMetricsCut(t *testing.T) {
	for _, c := range []struct {
		step    int64
		redoEnd bool
		want    string
	}{
		{0, false, ""}, {1, false, ""}, {2, false, line2}, {3, true, line2},
		{4, false, line2 + line4 + end4}, {4, true, line2 + line4}, {5, true, line2 + line4 + end4},
		{6, false, line2 + line4 + end4 + line6}, {7, false, line2 + line4 + end4 + line6},
	} {
		st := openStore(t)
		write(t, st)
		m, err := report.OpenMetrics(ctx, st, c.step, c.redoEnd)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := text(t, st), line2+line4+end4+line6; got != want {
			t.Errorf("step %d: opening has changed the file to\n%s", c.step, got)
		}
		if err := m.Flush(ctx); err != nil {
			t.Fatal(err)
		}
		if got := text(t, st); got != c.want {
			t.Errorf("step %d, redo %v: the file is\n%swant\n%s", c.step, c.redoEnd, got, c.want)
		}
	}
}

// TestMetricsDamaged names the line that cannot be read.
func TestMetricsDamaged(t *testing.T) {
	st := openStore(t)
	write(t, st)
	path := st.Join(report.MetricsName)
	if err := os.WriteFile(path, []byte(line2+line4[:30]+"\n"+end4), 0o666); err != nil {
		t.Fatal(err)
	}
	_, err := report.OpenMetrics(ctx, st, 4, false)
	if err == nil || !strings.Contains(err.Error(), path+": line 2 at byte 60: ") || strings.Contains(err.Error(), "\n") {
		t.Errorf("the error is %v", err)
	}
}

// TestMetricsConflict has two writers of one file: the second to flush is told.
func TestMetricsConflict(t *testing.T) {
	st := openStore(t)
	a := write(t, st)
	b, err := report.OpenMetrics(ctx, st, 6, false)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []*report.Metrics{a, b} {
		if err := m.Add(report.Line{Step: 8, Epoch: 2}); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	if err := a.Flush(ctx); err != nil {
		t.Errorf("a second Flush without new lines: %v", err)
	}
	if err := b.Flush(ctx); !errors.Is(err, store.ErrConflict) {
		t.Errorf("the other writer gets %v, want a conflict", err)
	}
}
