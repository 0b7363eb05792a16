package report

import (
	"cmp"
	"context"
	"fmt"
	"image/color"
	"math"
	"slices"
	"strings"

	"github.com/quire-ml/quire/runners/store"
)

// SweepName is the picture of a sweep's losses.
const SweepName = "sweep.png"

// A Trial is one training of a sweep.
type Trial struct {
	Number int
	Values []any   // of the swept keys, in the order of the keys
	Nats   float64 // a character; NaN where the training diverged
	Curves Curves  // of its metrics
}

// lost reports whether a trial has no loss that the picture shows: it diverged, or
// a character costs it more than one of 22,000 that are equally likely would.
func (t Trial) lost() bool { return math.IsNaN(t.Nats) || t.Nats > 10 }

// Sizes of a sweep's picture in pixels.
const (
	sweepWidth   = 1280
	sweepMargin  = 30
	curvesTop    = 60
	panelsTop    = 400
	panelHeight  = 320
	panelColumns = 3
)

// mostNamed is the greatest number of trials whose curves are named.
const mostNamed = 12

// WriteSweep draws the trials of a sweep: the losses over the steps, and below
// them, for each swept key, the final losses over its values. The trial with the
// number best is red. A training that diverged, or ends above 10 nats, is a cross at
// the upper edge.
func WriteSweep(ctx context.Context, st *store.Store, keys []string, trials []Trial, best int) error {
	rows := (len(keys) + panelColumns - 1) / panelColumns
	c, err := newChart(sweepWidth, panelsTop+rows*panelHeight)
	if err != nil {
		return fmt.Errorf("report: %s: %w", SweepName, err)
	}
	trials = slices.Clone(trials)
	slices.SortStableFunc(trials, func(a, b Trial) int { return cmp.Compare(rank(a, best), rank(b, best)) })
	c.sweepTitle(keys, trials[len(trials)-1])
	c.curves(trials, best)

	if slices.ContainsFunc(trials, Trial.lost) {
		const note = "diverged, or above 10 nats"
		right, y := float64(sweepWidth-sweepMargin), float64(panelsTop+8)
		c.cross(right-c.width(c.plain, note)-14, y, baselineColor, 6)
		c.text(c.plain, baselineColor, note, right, y, 1, 0.35)
	}
	columns := min(panelColumns, len(keys))
	width := float64(sweepWidth-sweepMargin) / float64(columns)
	y := finalLosses(trials)
	for i, key := range keys {
		left, top := float64(i%columns)*width, float64(panelsTop+i/columns*panelHeight)
		y.from, y.to = top+panelHeight-80, top+40
		c.panel(area{axis{from: left + 80, to: left + width - 10}, y}, key, i, trials, best)
	}
	return c.write(ctx, st, SweepName)
}

// rank orders trials for drawing: nothing covers the best, and losses cover
// crosses.
func rank(t Trial, best int) int {
	switch {
	case t.Number == best:
		return 2
	case t.lost():
		return 0
	}
	return 1
}

// trialInk is the colour of a trial, and the factor of its sizes.
func trialInk(t Trial, best int) (ink color.Color, size float64) {
	if t.Number == best {
		return validationColor, 1.4
	}
	return trainColor, 1
}

// sweepTitle says which trial is best.
func (c *chart) sweepTitle(keys []string, best Trial) {
	set := make([]string, len(keys))
	for i, key := range keys {
		set[i] = fmt.Sprintf("%s %v", key, best.Values[i])
	}
	title := fmt.Sprintf("Trial %d is best: %.4f nats a character with %s", best.Number, best.Nats, strings.Join(set, ", "))
	c.text(c.bold, textColor, c.fit(c.bold, title, sweepWidth-2*sweepMargin), sweepMargin, 34, 0, 0)
}

// curves draws the losses of trials over their steps: those of validation where
// each trial has three or more, else those of training. The first tenth of the
// steps, where losses are high, does not decide what range of losses is shown.
func (c *chart) curves(trials []Trial, best int) {
	name, lines := "training loss", make([][][2]float64, len(trials))
	enough := true
	for i, t := range trials {
		train, validation := t.Curves.Points()
		lines[i] = train
		enough = enough && (len(validation) >= 3 || t.lost())
	}
	if enough {
		name = "validation loss"
		for i, t := range trials {
			_, lines[i] = t.Curves.Points()
		}
	}
	a := area{axis{from: 80, to: sweepWidth - 110}, axis{from: panelsTop - 65, to: curvesTop + 25}}
	a.y.min, a.y.max = math.Inf(1), math.Inf(-1)
	for i, line := range lines {
		for _, p := range line {
			a.x.max = max(a.x.max, p[0])
			if last := line[len(line)-1][0]; p[0] >= last/10 && !trials[i].lost() {
				a.y.min, a.y.max = min(a.y.min, p[1]), max(a.y.max, p[1])
			}
		}
	}
	if a.x.max == 0 || math.IsInf(a.y.min, 0) {
		return // no metrics
	}
	a.y.min -= 0.03 * (a.y.max - a.y.min)
	c.text(c.bold, textColor, name+" by step, nats a character", a.x.from, a.y.to-12, 0, 0)
	c.grid(a, true)
	c.DrawRectangle(a.x.from, a.y.to, a.x.to-a.x.from+5, a.y.from-a.y.to)
	c.Clip()
	for i, line := range lines {
		ink, size := trialInk(trials[i], best)
		c.stroke(a, line, ink, 1.5*size)
	}
	c.ResetClip()
	c.nameCurves(a, trials, lines, best)
}

// nameCurves writes the numbers of trials at the ends of their curves: all, or
// those of the lowest losses.
func (c *chart) nameCurves(a area, trials []Trial, lines [][][2]float64, best int) {
	order := make([]int, len(trials))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(trials[i].Nats, trials[j].Nats) })
	var labels []label
	for _, i := range order {
		if n := len(lines[i]); n > 0 && len(labels) < mostNamed && !trials[i].lost() && lines[i][n-1][0] == a.x.max {
			ink, _ := trialInk(trials[i], best)
			labels = append(labels, label{fmt.Sprintf("trial %d", trials[i].Number), a.y.at(lines[i][n-1][1]), ink})
		}
	}
	c.ends(a, labels)
}

// finalLosses is the axis of the trials' losses, with some room at its ends.
func finalLosses(trials []Trial) (y axis) {
	y.min, y.max = math.Inf(1), math.Inf(-1)
	for _, t := range trials {
		if !t.lost() {
			y.min, y.max = min(y.min, t.Nats), max(y.max, t.Nats)
		}
	}
	if y.min > y.max { // all are lost
		return axis{max: 1}
	}
	room := max((y.max-y.min)*0.08, 0.0005)
	y.min, y.max = y.min-room, y.max+room
	return y
}

// panel draws the losses of trials over the values of key number k. A line joins
// the lowest loss at each value.
func (c *chart) panel(a area, key string, k int, trials []Trial, best int) {
	values, at := positions(trials, k)
	a.x.min, a.x.max, a.x.log = at.min, at.max, at.log
	c.text(c.bold, textColor, c.fit(c.bold, "loss by "+key, a.x.to-a.x.from), a.x.from, a.y.to-14, 0, 0)
	c.grid(a, false)
	right := math.Inf(-1) // end of the last label
	var lowest [][2]float64
	for _, v := range values {
		text := fmt.Sprint(v.value)
		x, half := a.x.at(v.at), c.width(c.plain, text)/2
		if x-half > right+8 {
			c.tick(a, x, text)
			right = x + half
		}
		if !math.IsNaN(v.lowest) {
			lowest = append(lowest, [2]float64{v.at, v.lowest})
		}
	}
	c.stroke(a, lowest, lowestColor, 3)
	for _, t := range trials {
		x := values[slices.IndexFunc(values, func(v swept) bool { return v.value == t.Values[k] })].at
		ink, size := trialInk(t, best)
		if t.lost() {
			c.cross(a.x.at(x), a.y.to+8, baselineColor, 6)
			continue
		}
		c.dot(a, [2]float64{x, t.Nats}, ink, 5*size)
	}
}

// swept is a value of a swept key.
type swept struct {
	value  any
	at     float64 // on the x axis
	lowest float64 // loss of the trials that have it; NaN where all diverged
}

// positions returns the values of key number k, from left to right, and an axis
// for them. Numbers stand at their value, on an axis of logarithms where the
// greatest is at least four times the least; other values stand in the order of
// their text, at 0, 1, 2 ….
func positions(trials []Trial, k int) (values []swept, x axis) {
	numbers := true
	for _, t := range trials {
		i := slices.IndexFunc(values, func(v swept) bool { return v.value == t.Values[k] })
		if i < 0 {
			at, ok := float(t.Values[k])
			numbers = numbers && ok
			values = append(values, swept{t.Values[k], at, math.NaN()})
			i = len(values) - 1
		}
		if !t.lost() && !(values[i].lowest <= t.Nats) {
			values[i].lowest = t.Nats
		}
	}
	slices.SortFunc(values, func(a, b swept) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(fmt.Sprint(a.value), fmt.Sprint(b.value)))
	})
	if !numbers {
		for i := range values {
			values[i].at = float64(i)
		}
	}
	lo, hi := values[0].at, values[len(values)-1].at
	if lo > 0 && hi >= 4*lo {
		room := math.Pow(hi/lo, 0.08)
		return values, axis{min: lo / room, max: hi * room, log: true}
	}
	room := cmp.Or((hi-lo)*0.08, 1)
	return values, axis{min: lo - room, max: hi + room}
}

// float is the number that a value of a config is.
func float(value any) (float64, bool) {
	switch v := value.(type) {
	case int:
		return float64(v), true
	case int64:
		return float64(v), true
	case float64:
		return v, true
	}
	return 0, false
}
