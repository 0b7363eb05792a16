package report

import (
	"bytes"
	"context"
	"fmt"
	"image/color"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"

	"github.com/quire-ml/quire/runners/store"
)

// PictureName is the picture of a run's losses.
const PictureName = "loss.png"

var (
	trainColor      = color.RGBA{R: 0x9e, G: 0xb9, B: 0xd4, A: 0xff}
	validationColor = color.RGBA{R: 0xb3, G: 0x3c, B: 0x2e, A: 0xff}
	baselineColor   = color.Gray{Y: 0x80}
)

// WritePicture draws the losses so far over the steps, training and validation,
// with the baselines as dashed lines. Without a line there is nothing to draw.
func (m *Metrics) WritePicture(ctx context.Context, baselines []Baseline) error {
	var train, validation plotter.XYs
	for _, l := range m.lines {
		if l.Train != nil {
			train = append(train, plotter.XY{X: float64(l.Step), Y: *l.Train})
		}
		if l.Validation != nil {
			validation = append(validation, plotter.XY{X: float64(l.Step), Y: *l.Validation})
		}
	}
	if len(train) == 0 {
		return nil
	}
	p := plot.New()
	p.X.Label.Text, p.Y.Label.Text = "step", "nats a character"
	p.Legend.Top = true
	if err := addLine(p, "training", train, trainColor, false); err != nil {
		return err
	}
	if len(validation) > 0 {
		if err := addLine(p, "validation", validation, validationColor, false); err != nil {
			return err
		}
	}
	first, last := train[0].X, train[len(train)-1].X
	for _, b := range baselines {
		ends := plotter.XYs{{X: first, Y: b.Nats}, {X: last, Y: b.Nats}}
		if err := addLine(p, fmt.Sprintf("%s %.3f", b.Name, b.Nats), ends, baselineColor, true); err != nil {
			return err
		}
	}
	return writePNG(ctx, m.st, PictureName, p)
}

// writePNG writes a picture below st.
func writePNG(ctx context.Context, st *store.Store, name string, p *plot.Plot) error {
	w, err := p.WriterTo(16*vg.Centimeter, 10*vg.Centimeter, "png")
	if err != nil {
		return fmt.Errorf("report: %s: %w", name, err)
	}
	var data bytes.Buffer
	if _, err := w.WriteTo(&data); err != nil {
		return fmt.Errorf("report: %s: %w", name, err)
	}
	return st.Replace(ctx, name, data.Bytes())
}

// addLine draws one line; a single point gets a mark.
func addLine(p *plot.Plot, name string, xy plotter.XYs, c color.Color, dashed bool) error {
	line, points, err := plotter.NewLinePoints(xy)
	if err != nil {
		return fmt.Errorf("report: %s: %s: %w", PictureName, name, err)
	}
	line.Color, line.Width = c, vg.Points(1.2)
	if dashed {
		line.Dashes = []vg.Length{vg.Points(4), vg.Points(3)}
	}
	p.Add(line)
	if len(xy) == 1 {
		points.Color = c
		p.Add(points)
	}
	p.Legend.Add(name, line)
	return nil
}
