package page

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/quire-ml/quire/pipelines/report"
)

// square is a drawing whose values are its pixels: x from 10 to 110, y from 0 below to 50 above.
func square() *drawing {
	return &drawing{Width: 200, Height: 60, Font: 10, x: axis{0, 100, 10, 110}, y: axis{0, 50, 50, 0}}
}

func TestPixels(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 1.04: "1", 1.06: "1.1", -0.01: "0", 120: "120", 33.333: "33.3", -2.55: "-2.6"} {
		if got := px(v); got != want {
			t.Errorf("%v: %s, want %s", v, got, want)
		}
	}
	if got := (axis{min: 3, max: 3, from: 10, to: 20}).at(3); got != 15 {
		t.Errorf("an axis of one value has it at %v, want its middle", got)
	}
	if got := (axis{min: 0, max: 4, from: 100, to: 0}).at(1); got != 75 {
		t.Errorf("1 of 4 is at %v, want 75", got)
	}
}

// TestLine: a line is cut off where it leaves the picture at the upper edge, and goes on
// where it comes back.
func TestLine(t *testing.T) {
	for _, c := range []struct {
		name   string
		points [][2]float64
		want   string
	}{
		{"inside", [][2]float64{{0, 10}, {50, 20}, {100, 0}}, "M10 40L60 30L110 50"},
		{"from above", [][2]float64{{0, 100}, {50, 0}}, "M35 0L60 50"},
		{"to above and back", [][2]float64{{0, 40}, {20, 60}, {40, 40}}, "M10 10L20 0M40 0L50 10"},
		{"above alone", [][2]float64{{0, 60}, {100, 70}}, ""},
		{"one point", [][2]float64{{50, 25}}, "M60 25"},
		{"none", nil, ""},
	} {
		d := square()
		d.line("own", c.points)
		got := ""
		for _, s := range d.Shapes {
			got += s.D
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestDot(t *testing.T) {
	d := square()
	d.dot("own", [2]float64{50, 25}, 3)
	d.dot("own", [2]float64{50, 51}, 3) // above the picture
	if want := []shape{{Class: "own dot", X: "60", Y: "25", R: "3"}}; !slices.Equal(d.Shapes, want) {
		t.Errorf("%+v, want %+v", d.Shapes, want)
	}
}

// TestEnds: labels stand where their lines end, and no two over each other.
func TestEnds(t *testing.T) {
	d := square()
	d.y.from, d.y.to = 100, 0
	d.ends([]label{{"a", "low", 10, 0}, {"b", "high", 45, 50}, {"c", "near low", 11, 0}})
	var texts []string
	var at []string
	for _, s := range d.Shapes {
		if s.Text != "" {
			texts, at = append(texts, s.Text), append(at, s.Y)
		}
	}
	if got := strings.Join(texts, " | "); got != "high | near low | low" {
		t.Errorf("labels from above: %s", got)
	}
	if class := d.Shapes[0].Class + ", " + d.Shapes[2].Class; class != "b lead far, c lead" {
		t.Errorf("the lines to the labels are %s", class)
	}
	if lead := d.Shapes[0].D; lead != "M64 10L113 10L119 10" { // from the end of its line
		t.Errorf("the first label is led to by %s", lead)
	}
	if got := strings.Join(at, " "); got != "13.5 76.3 88.8" { // 12.5 pixels apart at least
		t.Errorf("their heights are %s", got)
	}
}

// TestThin: of many points some stay, among them the first, the last, and every peak.
func TestThin(t *testing.T) {
	var points [][2]float64
	for i := range 10000 {
		y := 2.0
		if i == 4321 {
			y = 9
		}
		if i == 8765 {
			y = -1
		}
		points = append(points, [2]float64{float64(i), y})
	}
	got := thin(points, 100)
	if len(got) > 110 {
		t.Errorf("%d points are left of 10000, want about 100", len(got))
	}
	for _, want := range [][2]float64{{0, 2}, {4321, 9}, {8765, -1}, {9999, 2}} {
		if !slices.Contains(got, want) {
			t.Errorf("the point %v is gone", want)
		}
	}
	if !slices.IsSortedFunc(got, func(a, b [2]float64) int { return int(a[0] - b[0]) }) {
		t.Error("points are out of order")
	}
	if few := points[:50]; !slices.Equal(thin(few, 100), few) {
		t.Error("few points are changed")
	}
}

// run1 is a training with losses at steps 10, 20, ….
func run1(train, validation []float64) *runFacts {
	r := &runFacts{Label: "one", baselines: []report.Baseline{{Name: "unigram", Nats: 3}, {Name: "bigram", Nats: 2}}}
	for i, x := range train {
		r.add(report.Line{Step: int64(10 * (i + 1)), Epoch: 1, Train: &x})
	}
	for i, x := range validation {
		r.add(report.Line{Step: int64(10 * (i + 1)), Epoch: i + 1, EpochTrain: &x, Validation: &x})
	}
	return r
}

func TestLossPicture(t *testing.T) {
	p := lossPicture(run1([]float64{4, 2.5, 1.5}, []float64{2.75, 1.75}))
	want := "Training loss goes from 4.0000 nats a character at step 10 to 1.5000 at step 30." +
		" Validation loss goes from 2.7500 nats a character at step 10 to 1.7500 at step 20." +
		" The unigram entropy is 3.0000. The bigram entropy is 2.0000."
	if p.Says != want {
		t.Errorf("in words: %s", p.Says)
	}
	for _, d := range []*drawing{p.Wide, p.Narrow} {
		classes := map[string]int{}
		var labels []string
		for _, s := range d.Shapes {
			classes[s.Class]++
			if strings.HasSuffix(s.Class, " own") {
				labels = append(labels, s.Text)
			}
		}
		if classes["train line thin"] != 1 || classes["validation line"] != 1 || classes["validation dot"] != 2 || classes["base line dash"] != 2 {
			t.Errorf("shapes: %v", classes)
		}
		if got := strings.Join(labels, ", "); got != "unigram 3.0000, bigram 2.0000, validation 1.7500, training 1.5000" {
			t.Errorf("labels from above: %s", got)
		}
		for _, s := range d.Shapes {
			if s.Text != "" && s.Class != "soft" && d.Width == 400 && len(s.Text)*7 > 140 {
				t.Errorf("%q is too long for a narrow picture", s.Text)
			}
		}
	}
	if p.Wide.Width != 960 || p.Narrow.Width != 400 || p.Wide.ID == p.Narrow.ID {
		t.Errorf("the two drawings: %d %s, %d %s", p.Wide.Width, p.Wide.ID, p.Narrow.Width, p.Narrow.ID)
	}
}

// TestNoPicture: a training without losses has no picture, one whose losses are no numbers
// neither; one loss alone is a picture.
func TestNoPicture(t *testing.T) {
	for name, c := range map[string]struct {
		train []float64
		drawn bool
	}{
		"none": {nil, false}, "not a number": {[]float64{math.NaN(), math.Inf(1)}, false}, "one": {[]float64{2}, true},
		"one number": {[]float64{math.NaN(), 2, math.Inf(-1)}, true}, "all alike": {[]float64{2, 2, 2}, true},
	} {
		r := run1(c.train, nil)
		r.baselines = nil
		p := lossPicture(r)
		if (p != nil) != c.drawn {
			t.Errorf("%s: drawn %v", name, p != nil)
		}
		if p == nil {
			continue
		}
		for _, s := range append(p.Wide.Shapes, p.Narrow.Shapes...) {
			if strings.Contains(s.D+s.X+s.Y+s.Text, "NaN") || strings.Contains(s.D+s.X+s.Y, "Inf") {
				t.Errorf("%s: %+v", name, s)
			}
		}
	}
}

// TestRacePicture: the best is drawn last, in its own colour; validation losses where all
// have some, else training losses.
func TestRacePicture(t *testing.T) {
	a, b := run1([]float64{4, 3, 2}, []float64{2.5, 2.4, 2.3}), run1([]float64{4, 3, 1}, []float64{1.5, 1.4, 1.3})
	a.Label, b.Label = "slow", "quick"
	runs := []*runFacts{a, b}
	byLoss(runs)
	p := racePicture(runs)
	if runs[0] != b || b.Class != "s1" || a.Class != "s2" {
		t.Errorf("the best is %s, in %s", runs[0].Label, runs[0].Class)
	}
	if p.Says != "quick ends at 1.3000. slow ends at 2.3000." || !strings.HasPrefix(p.Title, "Validation loss of 2 trainings") {
		t.Errorf("%s: %s", p.Title, p.Says)
	}
	last := ""
	for _, s := range p.Wide.Shapes {
		if strings.Contains(s.Class, " line") {
			last = s.Class
		}
	}
	if last != "s1 line" {
		t.Errorf("the line on top is %q", last)
	}
	a.curves, a.Diverged = report.Curves{}, "loss is NaN"
	if p := racePicture(runs); !strings.HasPrefix(p.Title, "Validation loss") {
		t.Errorf("a training that diverged has no say: %s", p.Title)
	}
	a.Diverged = ""
	if p := racePicture(runs); !strings.HasPrefix(p.Title, "Training loss") {
		t.Errorf("one without validation losses has: %s", p.Title)
	}
	if racePicture([]*runFacts{{}, {}}) != nil {
		t.Error("a picture of nothing")
	}
}

// TestByLoss: equal losses stay as they were given, and what has none comes last.
func TestByLoss(t *testing.T) {
	x := func(v float64) *float64 { return &v }
	runs := []*runFacts{{Label: "lost"}, {Label: "b", Nats: x(2)}, {Label: "a", Nats: x(1)}, {Label: "c", Nats: x(2)}, {Label: "gone"}}
	byLoss(runs)
	var order []string
	for _, r := range runs {
		order = append(order, r.Label)
	}
	if got := strings.Join(order, " "); got != "a b c lost gone" {
		t.Error(got)
	}
}

// TestMany: a picture of a thousand trainings has few points of each, and names a dozen.
func TestMany(t *testing.T) {
	var losses []float64
	for i := range 2000 {
		losses = append(losses, 4/float64(i+1))
	}
	var runs []*runFacts
	for range 1000 {
		runs = append(runs, run1(losses, nil))
	}
	p := racePicture(runs)
	bytes, names := 0, 0
	for _, s := range p.Wide.Shapes {
		bytes += len(s.D)
		if strings.HasSuffix(s.Class, " own") {
			names++
		}
	}
	if bytes > 300_000 || names != mostNamed {
		t.Errorf("%d bytes of paths, %d names", bytes, names)
	}
	if runs[0].Class != "s1" || runs[1].Class != "base" {
		t.Errorf("classes %s and %s", runs[0].Class, runs[1].Class)
	}
}

// TestRaceExtent: the first tenth of the steps decides nothing.
func TestRaceExtent(t *testing.T) {
	lines := [][][2]float64{{{1, 99}, {10, 3}, {100, 2}}, nil, {{4, 50}, {50, 1}}}
	if _, x, lo, hi := raceExtent(lines); x != 100 || lo != 1 || hi != 3 {
		t.Errorf("to step %v, losses from %v to %v; want 100, 1 and 3", x, lo, hi)
	}
}
