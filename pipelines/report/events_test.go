package report

import (
	"bytes"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/transforms/tfrecord"
)

// written returns the metrics of two epochs, the second under way. They are durable, and
// the first epoch has its events.
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
		if err := m.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if l.EpochTrain != nil {
			if err := m.WriteEvents(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	return m
}

// TestEventBytes pins one event: a Python program wrote it with TensorFlow's own
// Event message.
func TestEventBytes(t *testing.T) {
	loss := 3.5
	got := encodeEvent(Line{Step: 300, Validation: &loss, Time: 1700000000.5})
	const want = "0900002040fc54d94110ac022a180a160a0f6c6f73732f76616c69646174696f6e1500006040"
	if hex.EncodeToString(got) != want {
		t.Errorf("event %x, want %s", got, want)
	}
}

// TestEventsFile writes the second epoch, whose lines are in two calls and several
// segments: its file has all its lines, and the end of the epoch has the time of the
// line before it.
func TestEventsFile(t *testing.T) {
	shortSegments(t)
	st, loss := openAt(t, t.TempDir()), 1.5
	want := tfrecord.AppendFrame(nil, encodeVersion())
	for call := range 2 {
		m, err := OpenMetrics(t.Context(), st, int64(10*call), false)
		if err != nil {
			t.Fatal(err)
		}
		for step := int64(10*call + 1); step <= int64(10*call+10); step++ {
			l := Line{Step: step, Epoch: 1 + int(step)/5, Train: &loss, Time: 1.7e9 + float64(step)}
			if step == 14 {
				l.Train, l.EpochTrain, l.Time = nil, &loss, 0
			}
			if err := m.Add(l); err != nil {
				t.Fatal(err)
			}
			if step == 14 {
				l.Time = 1.7e9 + 13
			}
			if l.Epoch == 3 {
				want = tfrecord.AppendFrame(want, encodeEvent(l))
			}
			if err := m.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			if step != 14 {
				continue
			}
			if err := m.WriteEvents(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got, _, err := st.Read(t.Context(), EventsName(3)); err != nil || !bytes.Equal(got, want) {
				t.Errorf("the events are\n%x, %v, want\n%x", got, err, want)
			}
		}
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
	for range 2 {
		if err := m.WriteEvents(t.Context()); err != nil {
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
