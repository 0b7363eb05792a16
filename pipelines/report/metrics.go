package report

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/quire-ml/quire/runners/store"
)

// Line is one line of a run's metrics. A run has a line for each log interval and a
// line for the end of each epoch. Losses are in nats a character. Epochs count
// from 1.
type Line struct {
	Step         int64    `json:"step"`
	Epoch        int      `json:"epoch"`
	Train        *float64 `json:"train_nats,omitempty"`
	PerSecond    *float64 `json:"chars_per_second,omitempty"`
	LR           *float64 `json:"learning_rate,omitempty"`
	GradientNorm *float64 `json:"gradient_norm,omitempty"`

	EpochTrain *float64 `json:"epoch_train_nats,omitempty"`
	Validation *float64 `json:"validation_nats,omitempty"`
	Sample     string   `json:"sample,omitempty"` // text written by the model

	Time float64 `json:"time,omitempty"` // seconds since 1970, of a log interval; 0: not known
}

// segmentBytes is the size from which on a segment is finished. (Tests lower it.)
var segmentBytes int64 = 256 << 10

// Metrics writes the metrics of a run. Lines become durable with Flush, which writes
// the last segment again. Once the segments behind metrics.jsonl are half as long as
// that file, Flush moves them into it, and Finish does so in any case. So n bytes of
// lines cost some 4n bytes of writing, and a Metrics holds one segment and, for
// the picture, some thousand losses, whatever n is.
//
// A Metrics is for one goroutine at a time.
type Metrics struct {
	st      *store.Store
	opened  time.Time
	sealed  []segment // finished, from byte 0 on
	last    segment   // the segment that is written
	text    []byte    // of last
	curves  Curves
	epoch   int      // of the last line
	begin   position // of the first line of that epoch
	tidied  bool     // nothing else is in the way of the segments
	dirty   bool     // last differs from its file
	mainCut int64    // length to which metrics.jsonl is to be cut, 0 for none
}

// A segment is a file of lines.
type segment struct {
	at         int64  // position of the first byte
	bytes      int64  // of a finished segment
	generation string // empty: absent
}

// errDropped ends the reading of lines at the first that is dropped.
var errDropped = errors.New("dropped")

// OpenMetrics goes on with the lines of an earlier call. It drops the lines after step,
// and with redoEnd the end of an epoch at step itself: the run writes them again.
// No file changes before Flush. The error of a damaged line names its number and its
// byte offset.
func OpenMetrics(ctx context.Context, st *store.Store, step int64, redoEnd bool) (*Metrics, error) {
	m := &Metrics{st: st, opened: time.Now()}
	var starts []int64
	end := int64(0)
	err := readLines(ctx, st, position{}, func(l Line, p position) error {
		if l.Step > step || l.Step == step && redoEnd && l.EpochTrain != nil {
			return errDropped
		}
		if n := len(starts); n == 0 || starts[n-1] != p.segment {
			starts = append(starts, p.segment)
		}
		m.saw(l, p)
		end = p.to
		return nil
	})
	if err != nil && !errors.Is(err, errDropped) {
		return nil, err
	}
	m.dirty = err != nil
	return m, m.load(ctx, starts, end)
}

// load sets the segments of m: their starts are known, and the position where the
// lines end.
func (m *Metrics) load(ctx context.Context, starts []int64, end int64) error {
	for i, at := range starts[:max(0, len(starts)-1)] {
		m.sealed = append(m.sealed, segment{at: at, bytes: starts[i+1] - at})
	}
	if n := len(starts); n > 0 {
		m.last.at = starts[n-1]
	}
	main, err := m.st.Stat(ctx, MetricsName)
	if err != nil && !errors.Is(err, store.ErrNotExist) {
		return err
	}
	if m.last.at == 0 && end > segmentBytes { // too long to be written again with every line
		m.sealed = []segment{{bytes: end}}
		m.last.at = end
		if main.Bytes > end {
			m.mainCut = end
		}
	}
	if len(m.sealed) > 0 {
		m.sealed[0].generation = main.Generation
	} else {
		m.last.generation = main.Generation
	}
	if m.last.at == end {
		return nil
	}
	return m.loadLast(ctx, end)
}

// loadLast reads the text of the last segment, up to the position end.
func (m *Metrics) loadLast(ctx context.Context, end int64) error {
	name := segmentName(m.last.at)
	o, err := m.st.OpenObject(ctx, name)
	if err != nil {
		return err
	}
	m.text = make([]byte, end-m.last.at)
	if n, err := o.ReadAt(m.text, 0); n < len(m.text) {
		return errors.Join(err, o.Close())
	}
	if m.last.at > 0 {
		info, err := m.st.Stat(ctx, name)
		if err != nil {
			return errors.Join(err, o.Close())
		}
		m.last.generation = info.Generation
	}
	return o.Close()
}

// saw counts a line in.
func (m *Metrics) saw(l Line, p position) {
	m.curves.Add(l)
	if l.Epoch != m.epoch {
		m.epoch, m.begin = l.Epoch, p
	}
}

// end is the position behind the last line.
func (m *Metrics) end() int64 { return m.last.at + int64(len(m.text)) }

// at returns a position in the present segments: gather moves lines.
func (m *Metrics) at(p position) position {
	p.segment = m.last.at
	for _, s := range m.sealed {
		if p.from < s.at+s.bytes {
			p.segment = s.at
			break
		}
	}
	return p
}

// Add appends a line.
func (m *Metrics) Add(l Line) error {
	text, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("report: line of step %d: %w", l.Step, err)
	}
	from := m.end()
	m.text = append(append(m.text, text...), '\n')
	m.saw(l, position{m.last.at, from, m.end()})
	m.dirty = true
	return nil
}

// Full reports whether the lines that wait for Flush take much memory.
func (m *Metrics) Full() bool { return m.dirty && int64(len(m.text)) >= 4*segmentBytes }

// LastEpoch returns the epoch of the last line; without lines, 0.
func (m *Metrics) LastEpoch() int { return m.epoch }

// Flush makes all lines durable. Where another writer has replaced a file, the error
// wraps store.ErrConflict.
func (m *Metrics) Flush(ctx context.Context) error {
	if !m.dirty {
		return nil
	}
	if err := m.tidy(ctx); err != nil {
		return err
	}
	if len(m.text) > 0 || m.last.generation != "" {
		info, err := m.st.Swap(ctx, segmentName(m.last.at), m.text, m.last.generation)
		if err != nil {
			return err
		}
		m.last.generation = info.Generation
	}
	m.dirty = false
	if n := int64(len(m.text)); n >= segmentBytes {
		m.last.bytes = n
		m.sealed, m.last, m.text = append(m.sealed, m.last), segment{at: m.end()}, nil
	}
	if len(m.sealed) > 0 && m.end()-m.sealed[0].bytes >= max(segmentBytes, m.sealed[0].bytes/2) {
		return m.gather(ctx)
	}
	return nil
}

// Finish is Flush, after which metrics.jsonl has all lines.
func (m *Metrics) Finish(ctx context.Context) error {
	if err := m.Flush(ctx); err != nil {
		return err
	}
	if len(m.sealed) > 0 && m.end() > m.sealed[0].bytes {
		return m.gather(ctx)
	}
	return nil
}

// tidy removes, once, the segments that are not of m: they were dropped, or
// metrics.jsonl has their lines. Then it cuts metrics.jsonl.
func (m *Metrics) tidy(ctx context.Context) error {
	if m.tidied {
		return nil
	}
	mine := map[string]bool{segmentName(m.last.at): m.last.generation != ""}
	for _, s := range m.sealed {
		mine[segmentName(s.at)] = true
	}
	list, err := m.st.List(ctx, SegmentsPrefix)
	if err != nil {
		return err
	}
	for _, info := range list {
		if mine[info.Name] {
			continue
		}
		if err := m.st.Delete(ctx, info.Name, ""); err != nil {
			return err
		}
	}
	if m.mainCut > 0 {
		if err := m.rewrite(ctx, []segment{{bytes: m.mainCut}}); err != nil {
			return err
		}
	}
	m.tidied = true
	return nil
}

// gather moves the lines of all segments, which are durable, into metrics.jsonl. A
// process that is killed before the segments are deleted leaves files that no reader
// looks for.
func (m *Metrics) gather(ctx context.Context) error {
	list := m.sealed
	if len(m.text) > 0 {
		m.last.bytes = int64(len(m.text))
		list = append(list, m.last)
	}
	if err := m.rewrite(ctx, list); err != nil {
		return err
	}
	m.sealed[0].bytes = m.end()
	m.sealed, m.last, m.text = m.sealed[:1], segment{at: m.end()}, nil
	for _, s := range list[1:] {
		if err := m.st.Delete(ctx, segmentName(s.at), ""); err != nil {
			return err
		}
	}
	return nil
}

// rewrite replaces metrics.jsonl, the first finished segment, by the content of
// segments.
func (m *Metrics) rewrite(ctx context.Context, list []segment) error {
	w, err := m.st.CreateSwap(ctx, MetricsName, m.sealed[0].generation)
	if err != nil {
		return err
	}
	defer w.Abort()
	buf := make([]byte, copyBytes)
	for _, s := range list {
		o, err := m.st.OpenObject(ctx, segmentName(s.at))
		if err != nil {
			return err
		}
		n, err := io.CopyBuffer(w, io.NewSectionReader(o, 0, s.bytes), buf)
		if err = errors.Join(err, o.Close()); err != nil {
			return err
		}
		if n != s.bytes {
			return fmt.Errorf("report: %s: has %d bytes, want %d", m.st.Join(segmentName(s.at)), n, s.bytes)
		}
	}
	info, err := w.Commit()
	if err != nil {
		return err
	}
	m.sealed[0].generation = info.Generation
	return nil
}

// copyBytes is the size of the buffer through which files are copied.
const copyBytes = 1 << 20
