package report

import (
	"context"
	"fmt"
	"slices"
	"strconv"
)

// PictureName is the picture of a run's losses.
const PictureName = "loss.png"

// PageName is the page of a run or a sweep, which is written by request.
const PageName = "report.html"

// WritePicture draws the training and validation losses so far over the steps.
// Baselines are dashed lines. Lines are named at their right end, with their last
// value. Metrics without a training loss give no picture.
func (m *Metrics) WritePicture(ctx context.Context, baselines []Baseline) error {
	train, validation := m.curves.Points()
	if len(train) == 0 {
		return nil
	}
	c, err := newChart(1280, 720)
	if err != nil {
		return fmt.Errorf("report: %s: %w", PictureName, err)
	}
	last := train[len(train)-1]
	title := fmt.Sprintf("Training loss %.4f nats a character after step %s", last[1], steps(last[0]))
	if n := len(validation); n > 0 {
		title = fmt.Sprintf("Validation loss %.4f nats a character after step %s", validation[n-1][1], steps(validation[n-1][0]))
	}
	c.text(c.bold, textColor, title, 70, 34, 0, 0)

	a := area{x: axis{from: 70, to: 1080, max: last[0]}, y: axis{from: 650, to: 60}}
	if n := len(validation); n > 0 {
		a.x.max = max(a.x.max, validation[n-1][0])
	}
	a.y.min, a.y.max = extent(append(append([][2]float64{}, train...), validation...))
	for _, b := range baselines {
		a.y.min, a.y.max = min(a.y.min, b.Nats), max(a.y.max, b.Nats)
	}
	a.y.min -= 0.03 * (a.y.max - a.y.min)
	c.grid(a, true)
	c.text(c.plain, textColor, "step", (a.x.from+a.x.to)/2, a.y.from+36, 0.5, 1)

	var labels []label
	for _, b := range baselines {
		c.stroke(a, [][2]float64{{a.x.min, b.Nats}, {a.x.max, b.Nats}}, baselineColor, 1.5, 6, 5)
		labels = append(labels, label{fmt.Sprintf("%s %.4f", b.Name, b.Nats), a.y.at(b.Nats), baselineColor})
	}
	c.stroke(a, train, trainColor, 2)
	c.dot(a, last, trainColor, 3)
	labels = append(labels, label{fmt.Sprintf("training %.4f", last[1]), a.y.at(last[1]), trainColor})
	if n := len(validation); n > 0 {
		c.stroke(a, validation, validationColor, 2.5)
		for _, p := range validation {
			c.dot(a, p, validationColor, 4)
		}
		labels = append(labels, label{fmt.Sprintf("validation %.4f", validation[n-1][1]), a.y.at(validation[n-1][1]), validationColor})
	}
	c.ends(a, labels)
	return c.write(ctx, m.st, PictureName)
}

// steps writes a number of steps.
func steps(n float64) string { return Thousands(strconv.FormatFloat(n, 'f', 0, 64)) }

// curvePoints is the number of losses from which on every second is left out.
const curvePoints = 4096

// Curves are the training and the validation losses of a run over its steps. Of many
// losses every second, fourth, … is kept, and the last.
type Curves struct{ train, validation curve }

// Add appends the losses of a line.
func (c *Curves) Add(l Line) {
	if l.Train != nil {
		c.train.add(float64(l.Step), *l.Train)
	}
	if l.Validation != nil {
		c.validation.add(float64(l.Step), *l.Validation)
	}
}

// Points returns the training and the validation losses as points (step, nats).
func (c *Curves) Points() (train, validation [][2]float64) { return c.train.all(), c.validation.all() }

// A curve is every 2^skip-th of n points, and the last.
type curve struct {
	points [][2]float64
	last   [2]float64
	n      int
	skip   int
}

func (c *curve) add(x, y float64) {
	if c.n%(1<<c.skip) == 0 {
		c.points = append(c.points, [2]float64{x, y})
	}
	c.last = [2]float64{x, y}
	c.n++
	if len(c.points) < curvePoints {
		return
	}
	for i := range curvePoints / 2 {
		c.points[i] = c.points[2*i]
	}
	c.points = c.points[:curvePoints/2]
	c.skip++
}

// all returns the points, the last included.
func (c *curve) all() [][2]float64 {
	if c.n == 0 || (c.n-1)%(1<<c.skip) == 0 {
		return c.points
	}
	return append(slices.Clip(c.points), c.last)
}

// extent returns the least and the greatest second value of points.
func extent(points [][2]float64) (lo, hi float64) {
	lo, hi = points[0][1], points[0][1]
	for _, p := range points {
		lo, hi = min(lo, p[1]), max(hi, p[1])
	}
	return lo, hi
}
