package report

import (
	"context"
	"fmt"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/quire-ml/quire/runners/store"
)

// SweepName is the picture of a sweep's losses.
const SweepName = "sweep.png"

// WriteSweep draws the losses of trials, in nats a character, over their
// numbers, which begin at 1; that of best stands out. A loss that is NaN is left
// out; that of best is none.
func WriteSweep(ctx context.Context, st *store.Store, losses []float64, best int) error {
	var xy plotter.XYs
	for i, nats := range losses {
		if !math.IsNaN(nats) {
			xy = append(xy, plotter.XY{X: float64(i + 1), Y: nats})
		}
	}
	p := plot.New()
	p.X.Label.Text, p.Y.Label.Text = "trial", "nats a character"
	p.Title.Text = fmt.Sprintf("trial %d: %.4f", best, losses[best-1])
	for _, part := range []struct {
		points plotter.XYs
		style  draw.GlyphStyle
	}{
		{xy, draw.GlyphStyle{Color: trainColor, Radius: vg.Points(3), Shape: draw.CircleGlyph{}}},
		{plotter.XYs{{X: float64(best), Y: losses[best-1]}}, draw.GlyphStyle{Color: validationColor, Radius: vg.Points(4), Shape: draw.CircleGlyph{}}},
	} {
		s, err := plotter.NewScatter(part.points)
		if err != nil {
			return fmt.Errorf("report: %s: %w", SweepName, err)
		}
		s.GlyphStyle = part.style
		p.Add(s)
	}
	p.X.Min, p.X.Max = 0.5, float64(len(losses))+0.5
	return writePNG(ctx, st, SweepName, p)
}
