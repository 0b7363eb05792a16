package page

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/quire-ml/quire/pipelines/report"
)

// A picture is one figure, drawn for a wide page and for a narrow one: text that shrinks
// with its picture cannot be read on a phone.
type picture struct {
	Title, Says, Caption string // Says is the picture in words, for who does not see it
	Wide, Narrow         *drawing
}

// A drawing is lines and texts at pixels from the top left corner.
type drawing struct {
	ID     string // of its title, in the page
	Width  int
	Height int
	Font   int
	Shapes []shape

	x, y axis
}

// A shape is a path, a circle, or a text where D is empty.
type shape struct {
	Class        string
	D            string // of a path
	X, Y, R      string // of a circle with its radius, or of a text
	Anchor, Text string
}

// An axis maps the values [min, max] to the pixels from … to.
type axis struct{ min, max, from, to float64 }

func (a axis) at(v float64) float64 {
	if a.max == a.min {
		return (a.from + a.to) / 2
	}
	return a.from + (a.to-a.from)*(v-a.min)/(a.max-a.min)
}

// px writes a pixel.
func px(v float64) string {
	return strconv.FormatFloat(math.Round(10*v)/10+0, 'f', -1, 64) // +0: not -0
}

// newDrawing returns a drawing with room for labels at its right side.
func newDrawing(width, height, font int, left, right float64) *drawing {
	d := &drawing{Width: width, Height: height, Font: font}
	d.x = axis{from: left, to: float64(width) - right}
	d.y = axis{from: float64(height) - 2.9*float64(font), to: 0.9 * float64(font)}
	return d
}

func (d *drawing) add(s shape) { d.Shapes = append(d.Shapes, s) }

// text writes text whose anchor is at a pixel, in the middle of its line.
func (d *drawing) text(class, anchor string, x, y float64, text string) {
	d.add(shape{Class: class, Anchor: anchor, X: px(x), Y: px(y + 0.35*float64(d.Font)), Text: text})
}

// segment draws a straight line.
func (d *drawing) segment(class string, x1, y1, x2, y2 float64) {
	d.add(shape{Class: class, D: "M" + px(x1) + " " + px(y1) + "L" + px(x2) + " " + px(y2)})
}

// grid draws the lines of round values, and labels them.
func (d *drawing) grid(xTitle string) {
	font := float64(d.Font)
	values, labels := report.Ticks(d.y.min, d.y.max, int((d.y.from-d.y.to)/(4*font)))
	for i, v := range values {
		y := d.y.at(v)
		d.segment("grid", d.x.from, y, d.x.to, y)
		d.text("soft", "end", d.x.from-0.5*font, y, labels[i])
	}
	d.segment("axis", d.x.from, d.y.from, d.x.to, d.y.from)
	values, labels = report.Ticks(d.x.min, d.x.max, int((d.x.to-d.x.from)/(8*font)))
	for i, v := range values {
		x := d.x.at(v)
		d.segment("axis", x, d.y.from, x, d.y.from+0.35*font)
		d.text("soft", "middle", x, d.y.from+1.05*font, labels[i])
	}
	d.text("soft", "middle", (d.x.from+d.x.to)/2, d.y.from+2.25*font, xTitle)
}

// line draws the line through points, cut off at the upper edge.
func (d *drawing) line(class string, points [][2]float64) {
	var b strings.Builder
	pen := false // down
	for i, p := range points {
		inside := p[1] <= d.y.max
		if i > 0 && inside != (points[i-1][1] <= d.y.max) {
			q := points[i-1]
			x := q[0] + (p[0]-q[0])*(d.y.max-q[1])/(p[1]-q[1])
			fmt.Fprintf(&b, "%s%s %s", mark(pen), px(d.x.at(x)), px(d.y.at(d.y.max)))
			pen = inside
		}
		if inside {
			fmt.Fprintf(&b, "%s%s %s", mark(pen), px(d.x.at(p[0])), px(d.y.at(p[1])))
			pen = true
		}
	}
	if b.Len() > 0 {
		d.add(shape{Class: class, D: b.String()})
	}
}

// mark is the letter of a path that goes on, or begins.
func mark(pen bool) string {
	if pen {
		return "L"
	}
	return "M"
}

// dot marks a point.
func (d *drawing) dot(class string, p [2]float64, r float64) {
	if p[1] <= d.y.max {
		d.add(shape{Class: class + " dot", X: px(d.x.at(p[0])), Y: px(d.y.at(p[1])), R: px(r)})
	}
}

// A label names a line at its right end.
type label struct {
	Class, Text string
	at          float64 // its value
	end         float64 // of its line, in values of x; 0: the right end of the picture
}

// ends writes labels to the right, each as near to its line as the others let it.
func (d *drawing) ends(labels []label) {
	slices.SortStableFunc(labels, func(a, b label) int { return cmp.Compare(b.at, a.at) })
	want := make([]float64, len(labels))
	for i, l := range labels {
		want[i] = d.y.at(min(l.at, d.y.max))
	}
	font := float64(d.Font)
	for i, y := range report.Spread(want, 1.25*font, d.y.to, d.y.from) {
		from, class := d.x.to, labels[i].Class+" lead"
		if end := labels[i].end; end > 0 {
			from = d.x.at(end)
		}
		if d.x.to-from > font { // it is no part of the line
			class += " far"
		}
		d.add(shape{Class: class, D: fmt.Sprintf("M%s %sL%s %sL%s %s", px(from+4), px(want[i]), px(d.x.to+3), px(want[i]),
			px(d.x.to+0.9*font), px(y))})
		d.text(labels[i].Class+" own", "start", d.x.to+1.2*font, y, labels[i].Text)
	}
}

// thin returns about n points of a line, with the greatest and the least of each part of
// it, so that what stands out stays.
func thin(points [][2]float64, n int) [][2]float64 {
	if len(points) <= n {
		return points
	}
	parts := max(1, n/2)
	out := [][2]float64{points[0]}
	for k := range parts {
		part := points[k*len(points)/parts : (k+1)*len(points)/parts]
		lo, hi := 0, 0
		for i, p := range part {
			if p[1] < part[lo][1] {
				lo = i
			}
			if p[1] > part[hi][1] {
				hi = i
			}
		}
		for _, i := range []int{min(lo, hi), max(lo, hi)} {
			if p := part[i]; p != out[len(out)-1] {
				out = append(out, p)
			}
		}
	}
	if last := points[len(points)-1]; out[len(out)-1] != last {
		out = append(out, last)
	}
	return out
}

// canvas is a drawing with the words of its picture, for its template.
type canvas struct {
	*drawing
	*picture
	Class string
}

// Of returns one of the drawings of a picture, with the class that shows it.
func (p *picture) Of(d *drawing, class string) canvas { return canvas{d, p, class} }
