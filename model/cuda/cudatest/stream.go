//go:build linux && !nogpu

package cudatest

import "slices"

// A node is work of a stream or a graph.
type node struct {
	call     string
	do       func() error
	kernel   bool
	fill     bool
	toDevice int // bytes
	toHost   int
}

// A stream is work in order.
type stream struct {
	pending   []node
	recording *graph // nil: none
	thread    int    // that records
	local     bool   // only that thread is forbidden what a graph cannot hold
}

type (
	// A graph is work that was recorded.
	graph struct {
		nodes   []node
		spoiled bool // by a call that a graph cannot hold
	}
	executable struct {
		nodes []node
	}
)

// ask adds work to a stream: to its recording, or to what is to be done.
func (d *Driver) ask(handle uintptr, nodes ...node) code {
	s, found := find[*stream](d, handle)
	if !found {
		return invalidHandle
	}
	if g := s.recording; g != nil {
		if g.spoiled {
			return captureInvalidated
		}
		g.nodes = append(g.nodes, nodes...)
		return ok
	}
	for _, n := range nodes {
		d.count(n)
	}
	s.pending = append(s.pending, nodes...)
	if d.order != nil {
		// Its result is that of a later call.
		d.advance(s, d.order.IntN(len(s.pending)+1))
	}
	return ok
}

// count counts work that is to be done.
func (d *Driver) count(n node) {
	switch {
	case n.kernel:
		d.counts.Kernels++
	case n.fill:
		d.counts.Fills++
	default:
		d.counts.Copies++
	}
	d.counts.ToDevice += int64(n.toDevice)
	d.counts.ToHost += int64(n.toHost)
}

// advance does the first n pieces of a stream's work. After a fault there is none.
func (d *Driver) advance(s *stream, n int) code {
	for range n {
		if d.sticky != 0 {
			break
		}
		first := s.pending[0]
		s.pending = s.pending[1:]
		if err := first.do(); err != nil {
			d.t.Logf("cudatest: %s: %v", first.call, err)
			d.sticky = illegalAddress
		}
	}
	return d.sticky
}

// spoil ends what the calling thread records, by a call that a graph cannot hold, and
// says whether there was a recording.
func (d *Driver) spoil() bool {
	recording := false
	for _, o := range d.objects {
		if s, is := o.(*stream); is && s.recording != nil && (s.thread == d.thread || !s.local) {
			s.recording.spoiled, recording = true, true
		}
	}
	return recording
}

func (d *Driver) createStream(out *uintptr, flags uint32) code {
	if flags > 1 {
		return invalidValue
	}
	*out = d.handle(&stream{})
	return ok
}

func (d *Driver) destroyStream(h uintptr) code     { return destroy[*stream](d, h) }
func (d *Driver) destroyGraph(h uintptr) code      { return destroy[*graph](d, h) }
func (d *Driver) destroyExecutable(h uintptr) code { return destroy[*executable](d, h) }

func destroy[T any](d *Driver, handle uintptr) code {
	_, found := find[T](d, handle)
	if found {
		delete(d.objects, handle)
	}
	return unless(found, invalidHandle)
}

func (d *Driver) beginCapture(handle uintptr, mode int32) code {
	s, found := find[*stream](d, handle)
	switch {
	case !found:
		return invalidHandle
	case mode < 0 || mode > 1:
		return invalidValue
	case s.recording != nil:
		s.recording.spoiled = true
		return illegalState
	}
	s.recording, s.thread, s.local = &graph{}, d.thread, mode == 1
	return ok
}

func (d *Driver) endCapture(handle uintptr, out *uintptr) code {
	s, found := find[*stream](d, handle)
	switch {
	case !found:
		return invalidHandle
	case s.recording == nil:
		return illegalState
	case s.thread != d.thread:
		return captureWrongThread
	}
	g := s.recording
	s.recording = nil
	*out = 0
	if g.spoiled {
		return captureInvalidated
	}
	*out = d.handle(g)
	return ok
}

func (d *Driver) instantiate(out *uintptr, handle uintptr, flags uint64) code {
	g, found := find[*graph](d, handle)
	if !found {
		return invalidHandle
	}
	if flags != 0 {
		return invalidValue
	}
	*out = d.handle(&executable{slices.Clone(g.nodes)})
	return ok
}

func (d *Driver) launchGraph(handle, on uintptr) code {
	d.counts.GraphLaunches++
	e, found := find[*executable](d, handle)
	if !found {
		return invalidHandle
	}
	return d.ask(on, e.nodes...)
}

func (d *Driver) wait(handle uintptr) code {
	d.counts.Waits++
	s, found := find[*stream](d, handle)
	if !found {
		return invalidHandle
	}
	return d.advance(s, len(s.pending))
}
