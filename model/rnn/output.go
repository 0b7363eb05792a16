package rnn

import (
	"runtime"

	"github.com/quire-ml/quire/model/kernel"
)

// Output is the dense layer on top of the network and its loss, the mean softmax
// cross-entropy of the logits x·wᵀ + b.
//
// The rows go through it in parts, one after another: the products, the loss and the
// gradients of a part come before the next part's. So the logits of one part alone
// are in memory, where their gradients replace them. A sum over rows goes on in the
// next part where the last one left it, so its order is that of the rows.
//
// An Output is for one goroutine at a time; a team does the work.
type Output struct {
	R, H, V int
	team    *kernel.Team
	rows    int // of a part
	wide    int // width of a row of x

	up, down *kernel.Panels // wᵀ (H, V) and w (V, H), as products read them
	x        []float32      // (rows, wide) of a part
	logits   []float32      // (rows, V) of a part, then their gradients
	losses   []float64      // (R)

	in               outputPart
	pack, pass, sums func(*kernel.Worker)
}

// outputPart is the arguments of the part that runs: n rows of each slice.
type outputPart struct {
	n               int
	x, w, b, dx, db []float32
	targets         []int32
	losses          []float64
}

const (
	// outputStrip is the number of rows that a worker takes through the layer together: the
	// weights are read once a strip, and a strip of x stays in a core's own cache.
	outputStrip = 128
	// partValues is about the number of values of a part.
	partValues = 1 << 21
	// partRows divides the least number of rows of a part: a product adds so many terms
	// before it writes the sums.
	partRows = 256
)

// mostRows returns the greatest number of rows of a part: as many as partValues allows,
// or a strip for each processor.
func mostRows(H, V float64) float64 {
	strips := float64((outputStrip*runtime.GOMAXPROCS(0) + partRows - 1) / partRows)
	return partRows * max(float64(int(partValues/partRows/max(H, V))), strips)
}

// OutputValues returns the greatest number of values that an Output has in memory. In
// floating point, because an absurd shape must not overflow.
func OutputValues(R, H, V float64) float64 {
	return float64(min(R, mostRows(H, V))*(V+H)) + float64(2*V*H)
}

// NewOutput returns the layer for R rows of H values and V logits.
func NewOutput(team *kernel.Team, R, H, V int) *Output {
	most := int(mostRows(float64(H), float64(V)))
	parts := (R + most - 1) / most
	return newOutput(team, R, H, V, (R+parts-1)/parts)
}

// newOutput is NewOutput with parts of that many rows.
func newOutput(team *kernel.Team, R, H, V, rows int) *Output {
	const pad = 16 // keeps rows of a power-of-two width out of each other's cache sets
	o := &Output{R: R, H: H, V: V, team: team, rows: rows, wide: H + pad,
		up: kernel.NewPanels(H, V, kernel.FP32), down: kernel.NewPanels(V, H, kernel.FP32),
		logits: kernel.Floats(rows * V), losses: make([]float64, R)}
	o.x = kernel.Floats(rows * o.wide)
	o.pack, o.pass, o.sums = o.runPack, o.runPass, o.runSums
	return o
}

// Losses returns the loss of each row, (R), in nats, valid until the next Run.
func (o *Output) Losses() []float64 { return o.losses }

// Logits sets logits (R, V) to x·wᵀ + b.
func (o *Output) Logits(logits, x, w, b []float32) {
	o.team.Gemm(o.R, o.V, o.H, x, o.H, 1, w, 1, o.H, b, 0, logits, o.V)
}

// Run computes the losses and the gradients of their mean.
//
//	x  (R, H)   w (V, H)   b (V)   targets (R), 0 … V-1
//	dx (R, H)  dw (V, H)  db (V)
func (o *Output) Run(x, w, b []float32, targets []int32, dx, dw, db []float32) {
	H, V := o.H, o.V
	o.in = outputPart{w: w}
	o.team.Run(V*H, o.pack)
	clear(db)
	var sum []float32 // dw of the parts before
	for r := 0; r < o.R; r += o.rows {
		n := min(o.rows, o.R-r)
		o.in = outputPart{n, x[r*H : (r+n)*H], w, b, dx[r*H : (r+n)*H], db, targets[r : r+n], o.losses[r : r+n]}
		o.team.Run(2*n*V*H, o.pass)
		o.team.Gemm(V, H, n, o.logits, 1, V, o.in.x, H, 1, sum, H, dw, H)
		o.team.Run(n*V, o.sums)
		sum = dw
	}
	o.in = outputPart{}
}

// runPack is one worker's part of the panels: its columns.
func (o *Output) runPack(w *kernel.Worker) {
	lo, hi := w.Range(o.V, kernel.Columns())
	o.up.Pack(lo, hi, o.in.w, 1, o.H)
	lo, hi = w.Range(o.H, kernel.Columns())
	o.down.Pack(lo, hi, o.in.w, o.H, 1)
}

// runPass takes one worker's rows through the layer and back: losses, and the gradients
// of logits and x.
func (o *Output) runPass(w *kernel.Worker) {
	in, H, V := &o.in, o.H, o.V
	lo, hi := w.Range(in.n, 1)
	for r := lo; r < hi; r += outputStrip {
		n := min(outputStrip, hi-r)
		for i := r; i < r+n; i++ {
			copy(o.x[i*o.wide:], in.x[i*H:(i+1)*H])
		}
		d := o.logits[r*V : (r+n)*V]
		o.up.Multiply(w, n, 0, V, o.x[r*o.wide:], o.wide, in.b, 0, d, V)
		kernel.CrossEntropy(in.losses[r:r+n], d, d, in.targets[r:r+n], 1/float32(o.R), n, V)
		o.down.Multiply(w, n, 0, H, d, V, nil, 0, in.dx[r*H:], H)
	}
}

// runSums is one worker's part of the sums of db: its columns.
func (o *Output) runSums(w *kernel.Worker) {
	lo, hi := w.Range(o.V, 64)
	kernel.ColumnSum(o.in.db, o.logits, o.V, o.in.n, lo, hi)
}
