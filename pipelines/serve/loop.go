package serve

import (
	"errors"
	"fmt"
	"runtime"
	"sync"

	"github.com/quire-ml/quire/model/decode"
	"github.com/quire-ml/quire/pipelines/text"
)

// model is a model in use. Its loop writes the texts of all requests that it was given, in
// one batch, until it is retired.
type model struct {
	*text.Model
	name    string
	created int64 // when it was taken into use, in Unix seconds
	rows    int   // texts side by side
	counts  *metrics
	probs   decode.LogProbs // of the loop's goroutine

	mu      sync.Mutex
	queue   []*choice
	retired bool
	wake    chan struct{} // of room 1
	ended   chan struct{} // closed at the end of the loop

	running []*choice // of the loop's goroutine
	batch   *decode.Batch
}

// newModel takes a model into use.
func newModel(m *text.Model, name string, created int64, rows int, counts *metrics) *model {
	l := &model{Model: m, name: name, created: created, rows: rows, counts: counts,
		wake: make(chan struct{}, 1), ended: make(chan struct{}), batch: decode.NewBatch(decode.New(m.Weights, rows))}
	go l.loop()
	return l
}

// submit queues the choices of an answer. It reports false where the model is retired:
// another one is in use.
func (m *model) submit(a *answer) bool {
	m.mu.Lock()
	if m.retired {
		m.mu.Unlock()
		return false
	}
	m.queue = append(m.queue, a.choices...)
	m.mu.Unlock()
	m.call()
	return true
}

// retire lets the loop end once it has written what it was given.
func (m *model) retire() {
	m.mu.Lock()
	m.retired = true
	m.mu.Unlock()
	m.call()
}

func (m *model) call() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// loop writes until the model is retired and has nothing left to write.
func (m *model) loop() {
	defer close(m.ended)
	for {
		more := m.admit()
		switch {
		case len(m.running) > 0:
			m.step()
			runtime.Gosched() // the workers of a step stay awake, and leave handlers no processor
		case !more:
			return
		default:
			<-m.wake
		}
	}
}

// admit gives free streams to the choices that wait, and drops those that nobody waits
// for, wherever they stand. It reports false where there will be no more.
func (m *model) admit() (more bool) {
	for i := 0; i < len(m.running); {
		c := m.running[i]
		if !c.answer.gone.Load() {
			i++
			continue
		}
		m.batch.Remove(&c.text)
		m.finish(c, errGone) // the last one takes its place
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	waiting := m.queue[:0]
	for _, c := range m.queue {
		if m.batch.Free() > 0 || c.answer.gone.Load() {
			m.begin(c)
		} else {
			waiting = append(waiting, c)
		}
	}
	clear(m.queue[len(waiting):])
	m.queue = waiting
	return !m.retired
}

// errGone ends a choice that nobody waits for.
var errGone = errors.New("serve: the client has gone away")

// begin lets a choice join the batch.
func (m *model) begin(c *choice) {
	m.counts.begun(c)
	m.running = append(m.running, c)
	err := errGone
	if !c.answer.gone.Load() {
		err = m.batch.Add(&c.text)
	}
	if err != nil {
		m.finish(c, err)
	}
}

// finish takes a choice out of running and ends it.
func (m *model) finish(c *choice, err error) {
	for i, other := range m.running {
		if other == c {
			last := len(m.running) - 1
			m.running[i], m.running[last] = m.running[last], nil
			m.running = m.running[:last]
			break
		}
	}
	c.end(err)
}

// step takes every text one character on. A fault of the program ends the texts under way,
// and not the server.
func (m *model) step() {
	defer func() {
		fault := recover()
		if fault == nil {
			return
		}
		m.counts.panics.Inc()
		m.batch = decode.NewBatch(decode.New(m.Weights, m.rows))
		for len(m.running) > 0 {
			m.finish(m.running[0], fmt.Errorf("%w: %v", errFault, fault))
		}
	}()
	m.batch.Step()
}
