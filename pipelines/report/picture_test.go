package report

import (
	"bytes"
	"image"
	"image/color"
	"os"
	"path/filepath"
	"testing"
)

// TestPicture looks for the lines where their values are. The axes of the losses
// 2.5 to 4.5 and of the steps 0 to 20 are those of WritePicture.
func TestPicture(t *testing.T) {
	dir := t.TempDir()
	m := written(t, dir)
	if err := m.WritePicture(t.Context(), []Baseline{{"unigram", 3.3}}); err != nil {
		t.Fatal(err)
	}
	img := decoded(t, dir, PictureName)
	if size := img.Bounds().Size(); size != image.Pt(1280, 720) {
		t.Fatalf("the picture has %v pixels", size)
	}
	a := area{axis{max: 20, from: 70, to: 1080}, axis{min: 2.5 - 0.06, max: 4.5, from: 650, to: 60}}
	for name, c := range map[string]struct {
		step, nats float64
		ink        color.Color
	}{
		"training in the middle": {10, 3.25, trainColor}, "training at the end": {19.9, 2.5075, trainColor},
		"validation": {10, 3.5, validationColor}, "the unigram line at its right end": {19.97, 3.3, baselineColor},
	} {
		x, y := int(a.x.at(c.step)), int(a.y.at(c.nats))
		if inked(img, image.Rect(x-4, y-4, x+4, y+4), c.ink) == 0 {
			t.Errorf("%s is not at pixel %d, %d", name, x, y)
		}
	}
	for name, c := range map[string]struct {
		nats float64
		ink  color.Color
	}{"unigram": {3.3, baselineColor}, "training": {2.5, trainColor}, "validation": {3.5, validationColor}} {
		y := int(a.y.at(c.nats))
		if n := inked(img, image.Rect(1098, y-20, 1280, y+20), c.ink); n < 20 {
			t.Errorf("the label of %s is not at height %d: %d pixels", name, y, n)
		}
	}
}

// TestPictureBytes draws the same losses twice, read back the second time.
func TestPictureBytes(t *testing.T) {
	dir := t.TempDir()
	m := written(t, dir)
	draw := func(m *Metrics) []byte {
		if err := m.WritePicture(t.Context(), []Baseline{{"unigram", 3.3}, {"bigram", 2.4}}); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(filepath.Join(dir, PictureName))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	first := draw(m)
	again, err := OpenMetrics(t.Context(), m.st, 1000, false)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first, draw(again)) {
		t.Error("the same losses give two pictures")
	}
}

// TestPictureOfLittle draws a run after its first step, and none before it.
func TestPictureOfLittle(t *testing.T) {
	dir := t.TempDir()
	m := written(t, dir)
	empty := &Metrics{st: m.st}
	if err := empty.WritePicture(t.Context(), nil); err != nil {
		t.Errorf("no lines: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, PictureName)); !os.IsNotExist(err) {
		t.Errorf("no lines give a picture: %v", err)
	}
	one, loss := &Metrics{st: m.st}, 4.5
	if err := one.Add(Line{Step: 1, Epoch: 1, Train: &loss}); err != nil {
		t.Fatal(err)
	}
	if err := one.WritePicture(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if img := decoded(t, dir, PictureName); inked(img, img.Bounds(), trainColor) < 10 {
		t.Error("a single loss has no mark")
	}
}
