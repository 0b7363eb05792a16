package cuda

import (
	"errors"
	"fmt"
	"unsafe"

	"github.com/quire-ml/quire/model/kernel"
	"github.com/quire-ml/quire/model/rnn"
)

// Options are the choices of a network beside its shape. The zero value is no
// dropout and no mean.
type Options struct {
	// Shares of values dropped, in [0, 1): between layers and before the dense
	// layer, of the input, and of W_hh.
	Dropout, InputDropout, WeightDropout float64

	Carry   bool // the sequences of a loss start from the hidden after the last update
	Average bool // it keeps a running mean of the weights
}

// A Network is the training of a network on a GPU: weights, gradients, moments,
// and the steps of batches of B sequences. Every value has the bytes of package
// graph's network and package adam's solver.
//
// A step is recorded once for a length of the sequences, as two graphs: one for
// Loss, one for Update. What changes from step to step lies in memory that the
// graphs read. A Network is for one goroutine at a time. After an error of the
// device it returns that error for ever.
type Network struct {
	B         int
	Sampler   *Predictor // B streams of the weights
	Validator *Predictor // streams of the mean of the weights, without a mean of the weights

	device  *Device
	shape   rnn.Shape
	list    []rnn.Parameter
	chunks  int // sums of squares of all gradients
	o       Options
	kernels kernels

	home            home
	homeAt, plansAt Ptr // allocations
	plansBytes      float64
	plan            *plan   // of the length in use
	plans           []*plan // the last used last
	host            host
	gradients       [][]float32 // of Gradient, by parameter
	failed          error       // of a method without an error
	forgotten       int         // argument of runForget
	moving          []move      // argument of runPull and runPush

	runLoss, runUpdate, runForget, runPull, runPush func() error
}

// plansKept is the number of lengths whose graphs are kept.
const plansKept = 2

// host is the pinned memory that is copied from and to the GPU.
type host struct {
	in, out, rates, stage []byte

	keys                      []uint64
	ids, targets, first, list []int32
	losses, squares           []float64
}

// stageBytes is the size of the memory through which weights are moved.
const stageBytes = 4 << 20

// newNetwork returns a network without memory.
func newNetwork(d *Device, s rnn.Shape, B, streams int, o *Options) *Network {
	if o == nil {
		o = &Options{}
	}
	n := &Network{B: B, device: d, shape: s, list: s.Parameters(), o: *o, kernels: kernels{launcher: d}}
	for _, p := range n.list {
		n.chunks += kernel.Chunks(p.Size())
	}
	n.gradients = make([][]float32, len(n.list))
	n.Sampler, n.Validator = newPredictor(n, B), newPredictor(n, streams)
	n.runLoss, n.runUpdate, n.runForget, n.runPull, n.runPush = n.doLoss, n.doUpdate, n.doForget, n.doPull, n.doPush
	return n
}

// Check says why no GPU trains networks of a shape, whatever memory it has: a cell without
// kernels, or a *SizeError. It is nil where one can.
func Check(s rnn.Shape) error {
	if _, ok := cells[s.Cell]; !ok {
		return fmt.Errorf("cuda: no kernels for the cell %s", s.Cell)
	}
	if s.Hidden > maxHidden {
		return &SizeError{"a hidden width", s.Hidden, maxHidden}
	}
	n := newNetwork(nil, s, 1, 1, nil)
	n.layAll(new(arena))
	if weights := n.home.bytes / 4; weights > maxSize { // kernels.adam takes all at once
		return &SizeError{"a number of weights", weights, maxSize}
	}
	return nil
}

// NewNetwork returns a network with zero weights, moments and hidden, for batches
// of B sequences of T steps, and a validator of the given number of streams. All
// memory of the GPU is taken here, and all kernels are asked for, so that a step does
// not fail for want of memory or by its sizes: a *MemoryError says what is needed. The
// errors of Check and a dropout outside [0, 1) are others. A nil o is the zero Options.
func NewNetwork(d *Device, s rnn.Shape, T, B, streams int, o *Options) (*Network, error) {
	if err := Check(s); err != nil {
		return nil, err
	}
	n := newNetwork(d, s, B, streams, o)
	for _, p := range []float64{n.o.Dropout, n.o.InputDropout, n.o.WeightDropout} {
		if !(p >= 0 && p < 1) {
			return nil, fmt.Errorf("cuda: dropout is %g, want at least 0 and below 1", p)
		}
	}
	needed := Memory(s, T, B, streams, &n.o)
	err := d.run(func() error {
		free, err := d.freeBytes()
		if err != nil {
			return err
		}
		if needed > free {
			return &MemoryError{Needed: needed, Free: free}
		}
		return n.allocate()
	})
	if err == nil {
		err = n.Resize(T)
	}
	if err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

// allocate takes the memory that does not depend on T, and fills it with zeros.
func (n *Network) allocate() error {
	d := n.device
	var size arena
	n.layAll(&size)
	var err error
	if n.homeAt, err = d.alloc(whole(size.size)); err != nil {
		return err
	}
	n.layAll(&arena{base: n.homeAt})
	if err := d.fill(n.homeAt, 0, whole(size.size)); err != nil {
		return err
	}
	if n.host.rates, err = d.pinned(4 * rates); err != nil {
		return err
	}
	if n.host.stage, err = d.pinned(stageBytes); err != nil {
		return err
	}
	if err := errors.Join(n.Sampler.pin(), n.Validator.pin()); err != nil {
		return err
	}
	return d.wait()
}

// layAll gives the memory that does not depend on T its addresses.
func (n *Network) layAll(a *arena) {
	n.home = n.layHome(a)
	n.Sampler.lay(a, n.home.weights)
	n.Validator.lay(a, max(n.home.mean, n.home.weights)) // a mean lies after the weights
}

// Resize makes the sequences T steps long from now on. Longer sequences than ever
// before take more memory of the GPU. After an error each Loss returns it.
func (n *Network) Resize(T int) error {
	for i, p := range n.plans {
		if p.T == T {
			n.plans = append(append(n.plans[:i], n.plans[i+1:]...), p)
			n.use(p)
			return nil
		}
	}
	err := n.device.run(func() error { return n.add(T) })
	n.failed = errors.Join(n.failed, err) // the plan in use may have no memory
	return err
}

// add makes a plan for T, in the memory that all plans share, and records its graphs.
func (n *Network) add(T int) error {
	var size arena
	n.layPlan(&size, T)
	keep := plansKept - 1
	if size.size > n.plansBytes {
		keep = 0
	}
	for len(n.plans) > keep {
		if err := n.drop(n.plans[0]); err != nil {
			return err
		}
		n.plans = n.plans[1:]
	}
	if size.size > n.plansBytes {
		if err := n.grow(size.size, T); err != nil {
			return err
		}
	}
	p := n.layPlan(&arena{base: n.plansAt}, T)
	if err := n.record(p); err != nil {
		return err
	}
	n.plans = append(n.plans, p)
	n.use(p)
	return n.device.fill(p.out, 0, p.result.bytes) // what lies between its parts is copied with them
}

// grow replaces the memory of the plans, of which there is none.
func (n *Network) grow(size float64, T int) error {
	d := n.device
	err := errors.Join(d.wait(), d.free(n.plansAt), d.unpin(n.host.in), d.unpin(n.host.out))
	n.plansAt, n.plansBytes, n.host.in, n.host.out = 0, 0, nil, nil
	if err != nil {
		return err
	}
	if n.plansAt, err = d.alloc(whole(size)); err != nil {
		return err
	}
	n.plansBytes = size
	if n.host.in, err = d.pinned(n.layBatch(T).bytes); err != nil {
		return err
	}
	n.host.out, err = d.pinned(n.layResult(T).bytes)
	return err
}

// use makes p the plan in use.
func (n *Network) use(p *plan) {
	h, rows := &n.host, p.T*n.B
	n.plan = p
	h.keys = view[uint64](h.in, p.batch.keys, n.masks())
	h.ids, h.targets = view[int32](h.in, p.batch.ids, rows), view[int32](h.in, p.batch.targets, rows)
	h.first, h.list = view[int32](h.in, p.batch.first, n.shape.Vocabulary+1), view[int32](h.in, p.batch.list, rows)
	h.losses, h.squares = view[float64](h.out, p.result.losses, rows), view[float64](h.out, p.result.squares, n.chunks)
}

// view returns the count values that lie at a distance from the start of b.
func view[T any](b []byte, at Ptr, count int) []T {
	if count == 0 {
		return nil
	}
	return unsafe.Slice((*T)(unsafe.Pointer(&b[at])), count)
}

// drop frees the graphs of a plan.
func (n *Network) drop(p *plan) error {
	return errors.Join(n.device.drop(p.loss), n.device.drop(p.update))
}

// Loss computes the gradients of one batch and its mean loss, in nats. ids and
// targets are (T, B), time first, 0 … V-1; other values or lengths are an error.
// Seed and step decide the values that are dropped.
func (n *Network) Loss(seed, step int64, ids, targets []int32) (float64, error) {
	h := &n.host
	if len(ids) != len(h.ids) || len(targets) != len(h.targets) {
		return 0, fmt.Errorf("cuda: batch of %d ids and %d targets, want %d each (T %d, B %d)",
			len(ids), len(targets), len(h.ids), n.plan.T, n.B)
	}
	if err := errors.Join(n.failed, n.shape.CheckIDs(ids, n.B), n.shape.CheckIDs(targets, n.B)); err != nil {
		return 0, fmt.Errorf("cuda: batch: %w", err)
	}
	copy(h.ids, ids)
	copy(h.targets, targets)
	for i := range h.keys {
		h.keys[i] = kernel.StepKey(seed, step, uint64(i))
	}
	group(h.first, h.list, ids)
	if err := n.device.run(n.runLoss); err != nil {
		return 0, err
	}
	return kernel.Mean(h.losses), nil
}

// group lists the rows of each character, in order: those of v are list[first[v]]
// … list[first[v+1]-1].
func group(first, list, ids []int32) {
	clear(first)
	for _, id := range ids {
		first[id]++
	}
	var sum int32
	for v, count := range first {
		first[v] = sum
		sum += count
	}
	for r, id := range ids {
		list[first[id]] = int32(r)
		first[id]++
	}
	copy(first[1:], first) // first[v] has become the end of v
	first[0] = 0
}

func (n *Network) doLoss() error {
	d, p := n.device, n.plan
	if err := d.upload(p.in, n.host.in[:p.batch.bytes]); err != nil {
		return err
	}
	if err := d.replay(p.loss); err != nil {
		return err
	}
	if err := d.download(n.host.out[:p.result.bytes], p.out); err != nil {
		return err
	}
	return d.wait()
}

// record records both graphs of a plan.
func (n *Network) record(p *plan) (err error) {
	if p.loss, err = n.device.capture(func() error { return n.recordLoss(p) }); err != nil {
		return err
	}
	if p.update, err = n.device.capture(func() error { return n.recordUpdate(p) }); err != nil {
		return errors.Join(err, n.device.drop(p.loss))
	}
	return nil
}

// Squares returns the sums of squares of the gradients' chunks, parameter after
// parameter, of the last Loss, valid until the next.
func (n *Network) Squares() []float64 { return n.host.squares }

// Update changes weights, moments and mean by the gradients of the last Loss, once. It
// returns before the GPU is done.
func (n *Network) Update(r *kernel.AdamRates, follow float32) error {
	*(*kernel.AdamRates)(unsafe.Pointer(&n.host.rates[0])) = *r
	*(*float32)(unsafe.Pointer(&n.host.rates[4*(rates-1)])) = follow
	return n.device.run(n.runUpdate)
}

func (n *Network) doUpdate() error {
	if err := n.device.upload(n.home.rates, n.host.rates); err != nil {
		return err
	}
	return n.device.replay(n.plan.update)
}

// Forget sets the hidden from which sequence b of the next loss starts to zero. An
// error is returned by the next Loss.
func (n *Network) Forget(b int) {
	n.forgotten = b
	n.failed = errors.Join(n.failed, n.device.run(n.runForget))
}

func (n *Network) doForget() error {
	row := 4 * n.shape.Hidden
	for _, list := range [][]Ptr{n.home.h, n.home.c} {
		for _, p := range list {
			if err := n.device.fill(p+Ptr(n.forgotten*row), 0, row); err != nil {
				return err
			}
		}
	}
	return nil
}

// Close frees the memory of the GPU.
func (n *Network) Close() error {
	return n.device.run(func() error {
		d := n.device
		errs := []error{d.undo(cuStreamSynchronize, d.stream)} // the last update may read what is freed
		for _, p := range n.plans {
			errs = append(errs, n.drop(p))
		}
		n.plans = nil
		for _, p := range []*Ptr{&n.homeAt, &n.plansAt} {
			errs = append(errs, d.free(*p))
			*p = 0
		}
		h := &n.host
		for _, b := range []*[]byte{&h.in, &h.out, &h.rates, &h.stage, &n.Sampler.host, &n.Validator.host} {
			errs = append(errs, d.unpin(*b))
			*b = nil
		}
		return errors.Join(errs...)
	})
}
