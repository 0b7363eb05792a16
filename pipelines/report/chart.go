package report

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"image/color"
	"math"
	"slices"
	"strconv"
	"strings"

	"git.sr.ht/~sbinet/gg"
	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"

	"github.com/quire-ml/quire/runners/store"
)

var (
	trainColor      = color.RGBA{R: 0x6f, G: 0x9c, B: 0xc8, A: 0xff}
	validationColor = color.RGBA{R: 0xb3, G: 0x3c, B: 0x2e, A: 0xff}
	baselineColor   = color.Gray{Y: 0x80}
	gridColor       = color.Gray{Y: 0xe6}
	lowestColor     = color.RGBA{R: 0xcc, G: 0xd9, B: 0xe6, A: 0xff}
	textColor       = color.Gray{Y: 0x30}
)

// fontSize is the height of ordinary text in pixels; lineGap is the least
// distance of two lines of it.
const (
	fontSize = 16
	lineGap  = 19
)

// chart is a picture under way. Positions are pixels from the top left corner.
type chart struct {
	*gg.Context
	plain, bold font.Face
}

func newChart(width, height int) (*chart, error) {
	c := &chart{Context: gg.NewContext(width, height)}
	for ttf, face := range map[*[]byte]*font.Face{&goregular.TTF: &c.plain, &gobold.TTF: &c.bold} {
		f, err := opentype.Parse(*ttf)
		if err != nil {
			return nil, err
		}
		if *face, err = opentype.NewFace(f, &opentype.FaceOptions{Size: fontSize, DPI: 72}); err != nil {
			return nil, err
		}
	}
	c.SetColor(color.White)
	c.Clear()
	return c, nil
}

// write saves the picture as a PNG file below st.
func (c *chart) write(ctx context.Context, st *store.Store, name string) error {
	var data bytes.Buffer
	if err := c.EncodePNG(&data); err != nil {
		return fmt.Errorf("report: %s: %w", name, err)
	}
	return st.Replace(ctx, name, data.Bytes())
}

// text draws a line of text at (x, y). ax and ay are 0, 0.5 and 1 for a text
// that begins, is centred and ends there; an ay of 1 puts it below y.
func (c *chart) text(face font.Face, ink color.Color, s string, x, y, ax, ay float64) {
	c.SetFontFace(face)
	c.SetColor(ink)
	c.DrawStringAnchored(s, x, y, ax, ay)
}

// width returns the pixels that a line of text takes.
func (c *chart) width(face font.Face, s string) float64 {
	c.SetFontFace(face)
	w, _ := c.MeasureString(s)
	return w
}

// stroke draws the line through points of an area.
func (c *chart) stroke(a area, points [][2]float64, ink color.Color, width float64, dashes ...float64) {
	c.SetColor(ink)
	c.SetLineWidth(width)
	c.SetDash(dashes...)
	for _, p := range points {
		c.LineTo(a.x.at(p[0]), a.y.at(p[1]))
	}
	c.Stroke()
	c.SetDash()
}

// dot marks a point of an area.
func (c *chart) dot(a area, p [2]float64, ink color.Color, radius float64) {
	c.SetColor(ink)
	c.DrawCircle(a.x.at(p[0]), a.y.at(p[1]), radius)
	c.Fill()
}

// cross marks the pixel (x, y).
func (c *chart) cross(x, y float64, ink color.Color, radius float64) {
	c.SetColor(ink)
	c.SetLineWidth(2)
	c.DrawLine(x-radius, y-radius, x+radius, y+radius)
	c.DrawLine(x-radius, y+radius, x+radius, y-radius)
	c.Stroke()
}

// An axis maps the values [min, max] to the pixels from … to, evenly or by
// their logarithms.
type axis struct {
	min, max, from, to float64
	log                bool
}

func (a axis) at(v float64) float64 {
	lo, hi := a.min, a.max
	if a.log {
		lo, hi, v = math.Log(lo), math.Log(hi), math.Log(v)
	}
	if hi == lo {
		return (a.from + a.to) / 2
	}
	return a.from + (a.to-a.from)*(v-lo)/(hi-lo)
}

// area is a rectangle in which values are drawn.
type area struct{ x, y axis }

// grid draws the grid lines of an area, which are at round values, and labels
// those of y at its left edge. The x axis is the caller's where it has labels of
// its own.
func (c *chart) grid(a area, xLabels bool) {
	c.SetLineWidth(1)
	values, labels := Ticks(a.y.min, a.y.max, int((a.y.from-a.y.to)/60))
	for i, v := range values {
		c.SetColor(gridColor)
		c.DrawLine(a.x.from, a.y.at(v), a.x.to, a.y.at(v))
		c.Stroke()
		c.text(c.plain, textColor, labels[i], a.x.from-8, a.y.at(v), 1, 0.35)
	}
	c.SetColor(baselineColor)
	c.DrawLine(a.x.from, a.y.from, a.x.to, a.y.from)
	c.Stroke()
	if !xLabels {
		return
	}
	values, labels = Ticks(a.x.min, a.x.max, int((a.x.to-a.x.from)/110))
	for i, v := range values {
		c.tick(a, a.x.at(v), labels[i])
	}
}

// tick draws a mark of the x axis with its label.
func (c *chart) tick(a area, x float64, label string) {
	c.SetColor(baselineColor)
	c.SetLineWidth(1)
	c.DrawLine(x, a.y.from, x, a.y.from+5)
	c.Stroke()
	c.text(c.plain, textColor, label, x, a.y.from+10, 0.5, 1)
}

// Ticks returns the multiples of 1, 2 or 5 times a power of ten in [lo, hi],
// about n of them, and how they are written.
func Ticks(lo, hi float64, n int) (values []float64, labels []string) {
	rough := (hi - lo) / float64(cmp.Or(n, 1))
	if !(rough > 0) {
		return []float64{lo}, []string{strconv.FormatFloat(lo, 'g', 6, 64)}
	}
	power := math.Floor(math.Log10(rough))
	step := math.Pow(10, power+1)
	for _, m := range []float64{5, 2, 1} {
		if m*math.Pow(10, power) >= rough*(1-1e-9) {
			step = m * math.Pow(10, power)
		}
	}
	decimals := int(-math.Floor(math.Log10(step) + 1e-9))
	for i := math.Ceil(lo/step - 1e-9); i*step <= hi+step*1e-9; i++ {
		v := i*step + 0 // not -0
		values = append(values, v)
		labels = append(labels, Thousands(strconv.FormatFloat(v, 'f', max(decimals, 0), 64)))
	}
	return values, labels
}

// fit cuts a text to a width; dots stand for the part that is left out.
func (c *chart) fit(face font.Face, s string, width float64) string {
	if c.width(face, s) <= width {
		return s
	}
	r := []rune(s)
	for len(r) > 0 && c.width(face, string(r)+"…") > width {
		r = r[:len(r)-1]
	}
	return string(r) + "…"
}

// Thousands puts commas into a number of more than four digits before the point.
func Thousands(s string) string {
	whole, rest, _ := strings.Cut(s, ".")
	if len(whole) < 5 {
		return s
	}
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if rest != "" {
		whole += "." + rest
	}
	return whole
}

// A label names a line at its end.
type label struct {
	text string
	y    float64 // pixel of the line's end
	ink  color.Color
}

// ends writes labels to the right of an area, each at the height of its line's
// end or as near as the others let it. A thin line leads from the end to the label.
func (c *chart) ends(a area, labels []label) {
	slices.SortStableFunc(labels, func(a, b label) int { return cmp.Compare(a.y, b.y) })
	want := make([]float64, len(labels))
	for i, l := range labels {
		want[i] = l.y
	}
	for i, y := range Spread(want, lineGap, a.y.to, a.y.from) {
		c.SetColor(labels[i].ink)
		c.SetLineWidth(1)
		c.DrawLine(a.x.to+3, labels[i].y, a.x.to+15, y)
		c.Stroke()
		c.text(c.plain, labels[i].ink, labels[i].text, a.x.to+19, y, 0, 0.35)
	}
}

// Spread returns positions that are at least gap apart, near those wanted, which
// ascend: a group that is too close is centred where its members want to be. They
// are within [lo, hi] where there is room for all.
func Spread(want []float64, gap, lo, hi float64) []float64 {
	type group struct {
		sum float64 // of the positions wanted for its first member
		n   int
	}
	var groups []group
	for i, y := range want {
		groups = append(groups, group{y - float64(i)*gap, 1})
		for len(groups) > 1 {
			a, b := groups[len(groups)-2], groups[len(groups)-1]
			if a.sum/float64(a.n) < b.sum/float64(b.n) {
				break
			}
			groups = append(groups[:len(groups)-2], group{a.sum + b.sum, a.n + b.n})
		}
	}
	var at []float64
	for _, g := range groups {
		for range g.n {
			at = append(at, g.sum/float64(g.n)+float64(len(at))*gap)
		}
	}
	for i := range at {
		at[i] = max(min(at[i], hi-float64(len(at)-1-i)*gap), lo+float64(i)*gap)
	}
	return at
}
