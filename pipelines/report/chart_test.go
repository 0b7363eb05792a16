package report

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestTicks(t *testing.T) {
	for _, c := range []struct {
		lo, hi float64
		n      int
		want   string
	}{
		{1.5, 4.5, 4, "2 3 4"},
		{1.5, 4.5, 6, "1.5 2.0 2.5 3.0 3.5 4.0 4.5"},
		{1.78, 1.84, 4, "1.78 1.80 1.82 1.84"},
		{0, 630, 7, "0 100 200 300 400 500 600"},
		{0, 23000, 5, "0 5000 10,000 15,000 20,000"},
		{0, 2.3e6, 3, "0 1,000,000 2,000,000"},
		{-0.3, 0.3, 3, "-0.2 0.0 0.2"},
		{0.1, 0.3, 2, "0.1 0.2 0.3"},
		{2, 2, 5, "2"},
		{0, 10, 0, "0 10"},
	} {
		values, labels := Ticks(c.lo, c.hi, c.n)
		if got := strings.Join(labels, " "); got != c.want {
			t.Errorf("ticks of %v to %v: %s, want %s", c.lo, c.hi, got, c.want)
		}
		for i, v := range values {
			if math.Signbit(v) && v == 0 {
				t.Errorf("ticks of %v to %v have -0", c.lo, c.hi)
			}
			if x, err := strconv.ParseFloat(strings.ReplaceAll(labels[i], ",", ""), 64); err != nil || math.Abs(x-v) > 1e-9 {
				t.Errorf("the tick at %v is labelled %s", v, labels[i])
			}
		}
	}
}

// TestTickLabels looks for a label that is not where its tick is, over many ranges.
func TestTickLabels(t *testing.T) {
	for i := range 2000 {
		lo := math.Mod(float64(i)*0.737, 9)
		hi := lo + math.Pow(10, math.Mod(float64(i)*0.0113, 7)-3)
		values, labels := Ticks(lo, hi, 5)
		if len(values) < 2 || len(values) > 6 {
			t.Errorf("%v to %v: %d ticks, want 2 to 6", lo, hi, len(values))
		}
		for k, v := range values {
			x, err := strconv.ParseFloat(strings.ReplaceAll(labels[k], ",", ""), 64)
			if err != nil || math.Abs(x-v) > (hi-lo)*1e-9 || v < lo-(hi-lo)*1e-6 || v > hi+(hi-lo)*1e-6 {
				t.Errorf("%v to %v: the tick at %v is labelled %s", lo, hi, v, labels[k])
			}
		}
	}
}

func TestThousands(t *testing.T) {
	for in, want := range map[string]string{"7": "7", "1234": "1234", "12345": "12,345", "1234567": "1,234,567", "12345.5": "12,345.5", "0.12345": "0.12345"} {
		if got := Thousands(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

func TestSpread(t *testing.T) {
	for _, c := range []struct{ want, at []float64 }{
		{nil, nil},
		{[]float64{50}, []float64{50}},
		{[]float64{10, 40, 80}, []float64{10, 40, 80}},
		{[]float64{48, 52}, []float64{45, 55}},
		{[]float64{50, 50, 50}, []float64{40, 50, 60}},
		{[]float64{30, 44, 45, 46, 70}, []float64{26.25, 36.25, 46.25, 56.25, 70}},
		{[]float64{0, 1}, []float64{0, 10}},
		{[]float64{99, 100}, []float64{90, 100}},
		{[]float64{-5}, []float64{0}},
	} {
		got := Spread(c.want, 10, 0, 100)
		if !slices.EqualFunc(got, c.at, func(a, b float64) bool { return math.Abs(a-b) < 1e-9 }) {
			t.Errorf("spread of %v: %v, want %v", c.want, got, c.at)
		}
	}
}

func TestAxis(t *testing.T) {
	even := axis{min: 1, max: 3, from: 600, to: 100}
	logs := axis{min: 0.001, max: 0.1, from: 0, to: 200, log: true}
	for _, c := range []struct {
		a       axis
		v, want float64
	}{{even, 1, 600}, {even, 2, 350}, {even, 3, 100}, {logs, 0.001, 0}, {logs, 0.01, 100}, {logs, 0.1, 200}, {axis{min: 4, max: 4, to: 10}, 4, 5}} {
		if got := c.a.at(c.v); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("%+v: %v is at %v, want %v", c.a, c.v, got, c.want)
		}
	}
}

func TestFit(t *testing.T) {
	c, err := newChart(10, 10)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.fit(c.plain, "train.lr", 200); got != "train.lr" {
		t.Errorf("a text with room is %q", got)
	}
	long := strings.Repeat("é", 100)
	got := c.fit(c.plain, long, 200)
	if !strings.HasSuffix(got, "é…") || c.width(c.plain, got) > 200 || c.width(c.plain, "é"+got) < 200 {
		t.Errorf("a text without room is %q, %v pixels", got, c.width(c.plain, got))
	}
}

// decoded reads a picture back.
func decoded(t *testing.T, dir, name string) image.Image {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	img, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// inked returns how many pixels of a rectangle have exactly a colour.
func inked(img image.Image, r image.Rectangle, ink color.Color) int {
	want, n := color.RGBAModel.Convert(ink), 0
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			if color.RGBAModel.Convert(img.At(x, y)) == want {
				n++
			}
		}
	}
	return n
}
