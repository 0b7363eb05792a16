package report

import (
	"bytes"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/quire-ml/quire/runners/store"
)

// written returns the metrics of two epochs, the second under way.
func written(t *testing.T, dir string) *Metrics {
	t.Helper()
	st, err := store.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	m, err := OpenMetrics(t.Context(), st, 0, false)
	if err != nil {
		t.Fatal(err)
	}
	x := func(v float64) *float64 { return &v }
	for _, l := range []Line{
		{Step: 1, Epoch: 1, Train: x(4.5), PerSecond: x(1000)}, {Step: 10, Epoch: 1, Train: x(3.25), PerSecond: x(2000), LR: x(0.5), GradientNorm: x(7.5)},
		{Step: 10, Epoch: 1, EpochTrain: x(3.75), Validation: x(3.5), Sample: "to be,\nor not"}, {Step: 20, Epoch: 2, Train: x(2.5), PerSecond: x(1500)},
	} {
		if err := m.Add(l); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// TestEventBytes pins one event: a Python program wrote it with TensorFlow's own
// Event message.
func TestEventBytes(t *testing.T) {
	loss := 3.5
	got := encodeEvent(Line{Step: 300, Validation: &loss, at: time.Unix(1700000000, 500_000_000)})
	const want = "0900002040fc54d94110ac022a180a160a0f6c6f73732f76616c69646174696f6e1500006040"
	if hex.EncodeToString(got) != want {
		t.Errorf("event %x, want %s", got, want)
	}
}

// TestTensorBoard reads the event files back with TensorBoard.
func TestTensorBoard(t *testing.T) {
	python := os.Getenv("QUIRE_PYTHON")
	if python == "" {
		t.Skip("QUIRE_PYTHON names no Python")
	}
	dir := t.TempDir()
	m := written(t, dir)
	for _, epoch := range []int{1, 2, 2} {
		if err := m.WriteEvents(t.Context(), epoch); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(python, filepath.Join("testdata", "read_events.py"), dir)
	var errors bytes.Buffer
	cmd.Stderr = &errors
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, errors.String())
	}
	got := strings.TrimSpace(string(out))
	if got == "no tensorboard" {
		t.Skip("this Python has no tensorboard")
	}
	const want = `{"chars_per_second": [[1, 1000.0], [10, 2000.0], [20, 1500.0]], "gradient_norm": [[10, 7.5]], "learning_rate": [[10, 0.5]], ` +
		`"loss/epoch": [[10, 3.75]], "loss/train": [[1, 4.5], [10, 3.25], [20, 2.5]], "loss/validation": [[10, 3.5]], "sample": [[10, "to be,\nor not"]]}`
	if got != want {
		t.Errorf("scalars %s\nwant %s", got, want)
	}
}
