package report

import (
	"bytes"
	"fmt"
	"image"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/quire-ml/quire/runners/store"
)

func TestPositions(t *testing.T) {
	nan := math.NaN()
	for _, c := range []struct {
		name   string
		values []any
		nats   []float64
		want   string
		log    bool
	}{
		{"near numbers", []any{int64(3), int64(1), int64(2), int64(1)}, []float64{1.5, 2, 1.8, 1.9}, "1@1:1.9 2@2:1.8 3@3:1.5", false},
		{"far numbers", []any{0.01, 0.001, 0.1}, []float64{1.5, 2, 3}, "0.001@0.001:2 0.01@0.01:1.5 0.1@0.1:3", true},
		{"zero and far", []any{0.0, 0.5}, []float64{1.5, 2}, "0@0:1.5 0.5@0.5:2", false},
		{"words", []any{"lstm", "gru", "lstm"}, []float64{1.5, 2, 1.4}, "gru@0:2 lstm@1:1.4", false},
		{"switches", []any{true, false}, []float64{1.5, 2}, "false@0:2 true@1:1.5", false},
		{"diverged", []any{int64(1), int64(2), int64(1)}, []float64{nan, nan, 2}, "1@1:2 2@2:NaN", false},
		{"diverged later", []any{int64(1), int64(1)}, []float64{2, nan}, "1@1:2", false},
	} {
		var trials []Trial
		for i, v := range c.values {
			trials = append(trials, Trial{Number: i + 1, Values: []any{nil, v}, Nats: c.nats[i]})
		}
		values, x := positions(trials, 1)
		var got []string
		for _, v := range values {
			got = append(got, fmt.Sprintf("%v@%v:%v", v.value, v.at, v.lowest))
			if p := (axis{min: x.min, max: x.max, from: 0, to: 1, log: x.log}).at(v.at); p < 0.03 || p > 0.97 {
				t.Errorf("%s: %v is at %v of the axis", c.name, v.value, p)
			}
		}
		if text := strings.Join(got, " "); text != c.want || x.log != c.log {
			t.Errorf("%s: %s, logarithms %v, want %s, %v", c.name, text, x.log, c.want, c.log)
		}
	}
}

// swept4 is four trials of two keys, the last of which diverged.
func swept4() []Trial {
	trials := []Trial{{1, []any{0.001, "gru"}, 2, Curves{}}, {2, []any{0.01, "gru"}, 1.5, Curves{}}, {3, []any{0.001, "lstm"}, 1.8194, Curves{}}, {4, []any{0.01, "lstm"}, math.NaN(), Curves{}}}
	for i := range trials {
		for step := int64(10); step <= 100; step += 10 {
			nats := trials[i].Nats + 20/float64(step)
			if !math.IsNaN(nats) {
				trials[i].Curves.Add(Line{Step: step, Train: &nats})
			}
		}
	}
	return trials
}

func sweepStore(t *testing.T) (*store.Store, string) {
	t.Helper()
	dir := t.TempDir()
	st, err := store.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	return st, dir
}

// TestSweepPicture looks for the trials where their values are, in the panel of
// train.lr, which is the left one.
func TestSweepPicture(t *testing.T) {
	st, dir := sweepStore(t)
	if err := WriteSweep(t.Context(), st, []string{"train.lr", "model.cell"}, swept4(), 2); err != nil {
		t.Fatal(err)
	}
	img := decoded(t, dir, SweepName)
	if size := img.Bounds().Size(); size != image.Pt(sweepWidth, panelsTop+panelHeight) {
		t.Fatalf("the picture has %v pixels", size)
	}
	room := math.Pow(10, 0.08)
	a := area{axis{min: 0.001 / room, max: 0.01 * room, from: 80, to: 615, log: true},
		axis{min: 1.5 - 0.04, max: 2 + 0.04, from: panelsTop + panelHeight - 80, to: panelsTop + 40}}
	dot := func(lr, nats float64) image.Rectangle {
		x, y := int(a.x.at(lr)), int(a.y.at(nats))
		return image.Rect(x-3, y-3, x+3, y+3)
	}
	for _, c := range []struct{ lr, nats float64 }{{0.001, 2}, {0.001, 1.8194}} {
		if n := inked(img, dot(c.lr, c.nats), trainColor); n < 30 {
			t.Errorf("train.lr %v, loss %v: no dot", c.lr, c.nats)
		}
	}
	if n := inked(img, dot(0.01, 1.5), validationColor); n != 36 {
		t.Errorf("the best has %d red pixels of 36", n)
	}
	x := int(a.x.at(0.01))
	if n := inked(img, image.Rect(x-6, panelsTop+40, x+6, panelsTop+56), baselineColor); n == 0 {
		t.Error("the training that diverged has no cross")
	}
	curves := image.Rect(80, curvesTop+25, sweepWidth-110, panelsTop-65)
	if inked(img, curves, trainColor) < 500 || inked(img, curves, validationColor) < 500 {
		t.Error("the trials have no curves")
	}
}

// TestSweepPictureBytes draws the same trials in another order.
func TestSweepPictureBytes(t *testing.T) {
	st, dir := sweepStore(t)
	var pictures [][]byte
	for _, order := range [][]int{{0, 1, 2, 3}, {0, 1, 2, 3}, {0, 2, 1, 3}} {
		var trials []Trial
		for _, i := range order {
			trials = append(trials, swept4()[i])
		}
		before := slices.Clone(trials)
		if err := WriteSweep(t.Context(), st, []string{"train.lr", "model.cell"}, trials, 2); err != nil {
			t.Fatal(err)
		}
		if !slices.EqualFunc(before, trials, func(a, b Trial) bool { return a.Number == b.Number }) {
			t.Error("the caller's trials are in another order")
		}
		data, err := os.ReadFile(filepath.Join(dir, SweepName))
		if err != nil {
			t.Fatal(err)
		}
		pictures = append(pictures, data)
	}
	for _, p := range pictures[1:] {
		if !bytes.Equal(p, pictures[0]) {
			t.Error("the same trials give two pictures")
		}
	}
}

// TestSweepPictureValidation draws the validation losses where each trial has
// three, and leaves out a trial that is far above the others.
func TestSweepPictureValidation(t *testing.T) {
	st, dir := sweepStore(t)
	trials := swept4()[:3]
	trials[0].Nats = 107 // lost
	draw := func() image.Image {
		if err := WriteSweep(t.Context(), st, []string{"train.lr"}, trials, 2); err != nil {
			t.Fatal(err)
		}
		return decoded(t, dir, SweepName)
	}
	curves := image.Rect(80, curvesTop+25, sweepWidth-110, panelsTop-65)
	begin := image.Rect(80, curvesTop+25, 80+200, panelsTop-65) // steps 1 to 18
	if img := draw(); inked(img, begin, validationColor) == 0 {
		t.Error("without validation losses, those of training begin at step 10")
	}
	for i := range trials {
		for step := int64(50); step <= 100; step += 25 {
			nats := trials[i].Nats + 10/float64(step)
			trials[i].Curves.Add(Line{Step: step, Validation: &nats})
		}
	}
	img := draw()
	if inked(img, begin, validationColor) != 0 || inked(img, curves, validationColor) < 200 {
		t.Error("with validation losses, their curves begin at step 50")
	}
	if p := finalLosses(trials); p.max > 2 {
		t.Errorf("a loss of 107 is on an axis up to %v", p.max)
	}
}

// TestSweepPictureOfLittle draws one trial without metrics, and trials that are all lost.
func TestSweepPictureOfLittle(t *testing.T) {
	st, dir := sweepStore(t)
	for _, nats := range []float64{2, 50} {
		if err := WriteSweep(t.Context(), st, []string{"train.lr"}, []Trial{{Number: 1, Values: []any{0.5}, Nats: nats}}, 1); err != nil {
			t.Fatal(err)
		}
		if img := decoded(t, dir, SweepName); inked(img, img.Bounds(), textColor) == 0 {
			t.Errorf("loss %v: the picture has no text", nats)
		}
	}
}
