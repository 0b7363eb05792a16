package page

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/quire-ml/quire/pipelines/report"
)

// Points of all lines of a picture together, and of one.
const (
	allPoints = 4800
	onePoints = 600
)

// canvases are the two sizes of a picture, with the room that labels of so many
// characters need.
func canvases(id string, labelChars int) []*drawing {
	room := func(font float64) float64 { return 1.6*font + 0.56*font*float64(labelChars) }
	wide := newDrawing(960, 420, 13, 48, room(13))
	narrow := newDrawing(400, 320, 12, 38, room(12))
	wide.ID, narrow.ID = id+"-wide", id+"-narrow"
	return []*drawing{wide, narrow}
}

// lossPicture draws the losses of one run over its steps, beside the n-gram entropies of its
// text; nil: it has no losses.
func lossPicture(r *runFacts) *picture {
	train, validation := r.curves.Points()
	train, validation = finite(train), finite(validation)
	if len(train) == 0 && len(validation) == 0 {
		return nil
	}
	var labels []label
	last := func(class, name string, points [][2]float64) {
		if n := len(points); n > 0 {
			labels = append(labels, label{class, name + " " + nats(points[n-1][1]), points[n-1][1], points[n-1][0]})
		}
	}
	last("train", "training", train)
	last("validation", "validation", validation)
	for _, b := range r.baselines {
		labels = append(labels, label{Class: "base", Text: b.Name + " " + nats(b.Nats), at: b.Nats})
	}
	p := &picture{Title: "Loss over the steps of the training", Says: r.says(train, validation),
		Caption: "Nats a character: the lower, the better the model foretells the next character. The dashed lines are models that know" +
			" only how often characters, pairs and triples of them occur."}
	if len(r.baselines) == 0 {
		p.Caption = "Nats a character: the lower, the better the model foretells the next character."
	}
	for _, d := range canvases("losses", 17) {
		both := slices.Concat(train, validation)
		d.x.min, d.x.max, d.y.min, d.y.max = extent(both, 0)
		for _, b := range r.baselines {
			d.y.min, d.y.max = min(d.y.min, b.Nats), max(d.y.max, b.Nats)
		}
		d.room()
		d.grid("step")
		for _, b := range r.baselines {
			d.segment("base line dash", d.x.from, d.y.at(b.Nats), d.x.to, d.y.at(b.Nats))
		}
		d.line("train line thin", thin(train, onePoints))
		d.line("validation line", thin(validation, onePoints))
		if len(validation) <= 60 {
			for _, v := range validation {
				d.dot("validation", v, 3.5)
			}
		}
		d.ends(slices.Clone(labels))
		p.take(d)
	}
	return p
}

// take makes a drawing that of its width.
func (p *picture) take(d *drawing) {
	if p.Wide == nil {
		p.Wide = d
	} else {
		p.Narrow = d
	}
}

// room lowers the lower edge a little.
func (d *drawing) room() { d.y.min -= 0.04 * (d.y.max - d.y.min) }

// says is the picture of a run's losses in words.
func (r *runFacts) says(train, validation [][2]float64) string {
	var says []string
	for _, c := range []struct {
		name   string
		points [][2]float64
	}{{"Training loss", train}, {"Validation loss", validation}} {
		if n := len(c.points); n > 0 {
			first, last := c.points[0], c.points[n-1]
			says = append(says, fmt.Sprintf("%s goes from %s nats a character at step %s to %s at step %s.",
				c.name, nats(first[1]), number(int64(first[0])), nats(last[1]), number(int64(last[0]))))
		}
	}
	for _, b := range r.baselines {
		says = append(says, fmt.Sprintf("The %s entropy is %s.", b.Name, nats(b.Nats)))
	}
	return strings.Join(says, " ")
}

// finite returns the points whose loss is a number.
func finite(points [][2]float64) [][2]float64 {
	return slices.DeleteFunc(slices.Clone(points), func(p [2]float64) bool { return math.IsNaN(p[1]) || math.IsInf(p[1], 0) })
}

// extent returns the range of points, in y of those from a step on.
func extent(points [][2]float64, from float64) (xMin, xMax, yMin, yMax float64) {
	yMin, yMax = math.Inf(1), math.Inf(-1)
	for _, p := range points {
		xMax = max(xMax, p[0])
		if p[0] >= from {
			yMin, yMax = min(yMin, p[1]), max(yMax, p[1])
		}
	}
	if yMin > yMax {
		yMin, yMax = 0, 1
	}
	return 0, xMax, yMin, yMax
}

// mostNamed is the number of runs that a picture names, and mostColours that of their colours.
const (
	mostNamed   = 12
	mostColours = 6
)

// racePicture draws the losses of several runs, the best first: those of validation, where
// each run has some, else those of training. The first tenth of the steps, where losses
// are high, does not decide what range is shown. It sets the class of each run.
func racePicture(runs []*runFacts) *picture {
	lines, what := race(runs)
	longest, names := 0, 0
	for i, r := range runs {
		r.Class = "s" + fmt.Sprint(1+i%mostColours)
		if len(runs) > mostColours {
			r.Class = "base"
		}
		if i == 0 {
			r.Class = "s1"
		}
		if i < mostNamed {
			longest = max(longest, len([]rune(r.Label)))
		}
		names += len(lines[i])
	}
	if names == 0 {
		return nil
	}
	p := &picture{Title: what + " of " + count(int64(len(runs)), "training") + " over their steps",
		Caption: what + " in nats a character, the lower the better. The first tenth of the steps may lie above the picture."}
	var says []string
	for i, r := range runs[:min(len(runs), mostNamed)] {
		if n := len(lines[i]); n > 0 {
			says = append(says, fmt.Sprintf("%s ends at %s.", r.Label, nats(lines[i][n-1][1])))
		}
	}
	p.Says = strings.Join(says, " ")
	for _, d := range canvases("race", longest+7) {
		d.x.min, d.x.max, d.y.min, d.y.max = raceExtent(lines)
		d.room()
		d.grid("step")
		var labels []label
		for i := len(runs) - 1; i >= 0; i-- { // nothing covers the best
			class := runs[i].Class + " line"
			if i > 0 {
				class += " thin"
			}
			d.line(class, thin(lines[i], min(onePoints, max(16, allPoints/len(runs)))))
			if n := len(lines[i]); n > 0 {
				if n <= 30 {
					for _, v := range lines[i] {
						d.dot(runs[i].Class, v, 2.5)
					}
				}
				if i < mostNamed {
					last := lines[i][n-1]
					labels = append(labels, label{runs[i].Class, runs[i].Label + " " + nats(last[1]), last[1], last[0]})
				}
			}
		}
		d.ends(labels)
		p.take(d)
	}
	return p
}

// race returns the losses to compare runs by, and what they are.
func race(runs []*runFacts) (lines [][][2]float64, what string) {
	enough := true
	train, validation := make([][][2]float64, len(runs)), make([][][2]float64, len(runs))
	for i, r := range runs {
		t, v := r.curves.Points()
		train[i], validation[i] = finite(t), finite(v)
		enough = enough && (len(v) >= 3 || r.Diverged != "")
	}
	if enough {
		return validation, "Validation loss"
	}
	return train, "Training loss"
}

// raceExtent is the range of several lines.
func raceExtent(lines [][][2]float64) (xMin, xMax, yMin, yMax float64) {
	yMin, yMax = math.Inf(1), math.Inf(-1)
	for _, points := range lines {
		if n := len(points); n > 0 {
			_, x, lo, hi := extent(points, points[n-1][0]/10)
			xMax, yMin, yMax = max(xMax, x), min(yMin, lo), max(yMax, hi)
		}
	}
	return 0, xMax, yMin, yMax
}

// byLoss orders runs by loss; those without one come last, as they were given.
func byLoss(runs []*runFacts) {
	slices.SortStableFunc(runs, func(a, b *runFacts) int {
		switch {
		case a.Nats == nil && b.Nats == nil:
			return 0
		case a.Nats == nil:
			return 1
		case b.Nats == nil:
			return -1
		}
		return cmp.Compare(*a.Nats, *b.Nats)
	})
}

// baselinesOf returns the entropies of a text that n-gram models of it reach, and that a
// picture shows.
func baselinesOf(unigram, bigram float64, trigram *float64) []report.Baseline {
	list := []report.Baseline{{Name: "unigram", Nats: unigram}, {Name: "bigram", Nats: bigram}}
	if trigram != nil {
		list = append(list, report.Baseline{Name: "trigram", Nats: *trigram})
	}
	return list
}
