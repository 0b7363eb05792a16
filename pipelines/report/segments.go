package report

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/quire-ml/quire/runners/store"
)

// MetricsName is the file of a run with its metrics, one JSON object a line.
//
// The lines of a long training that is under way go on in further files, segments,
// each of which is named for the position of its first byte among all lines:
//
//	metrics.jsonl                  from byte 0
//	metrics/000000000262144.jsonl  from byte 262144
//
// So a reader finds each segment behind the one before, and whatever is left of a
// segment that metrics.jsonl has taken over has a name that no reader looks for.
const MetricsName = "metrics.jsonl"

// SegmentsPrefix starts the names of the segments behind MetricsName, up to a position
// of 100 TB.
const SegmentsPrefix = segmentsFolder + "0"

const segmentsFolder = "metrics/"

// segmentName returns the name of the segment that starts at a position.
func segmentName(at int64) string {
	if at == 0 {
		return MetricsName
	}
	return fmt.Sprintf(segmentsFolder+"%015d.jsonl", at)
}

// lineBytes bounds the length of a line.
const lineBytes = 64 << 10

// A position is where a line lies: in the segment from byte segment on, the bytes
// [from, to) of all lines.
type position struct{ segment, from, to int64 }

// ReadMetrics calls visit for every line of a run's metrics, in order, until visit
// returns an error. A run without metrics has no lines. The error of a damaged line
// names its file, number and byte.
func ReadMetrics(ctx context.Context, st *store.Store, visit func(Line) error) error {
	return readLines(ctx, st, position{}, func(l Line, _ position) error { return visit(l) })
}

// readLines calls visit for every line from a position on, until visit returns an
// error.
func readLines(ctx context.Context, st *store.Store, from position, visit func(Line, position) error) error {
	for {
		bytes, err := readSegment(ctx, st, from, visit)
		if errors.Is(err, fs.ErrNotExist) {
			// A training may have moved the segment into the first, since that was read.
			main, err := st.Stat(ctx, MetricsName)
			if errors.Is(err, fs.ErrNotExist) || err == nil && main.Bytes <= from.from {
				return nil
			}
			if err != nil {
				return err
			}
			from.segment = 0
			continue
		}
		if err != nil || bytes == 0 {
			return err
		}
		next := from.segment + bytes
		from = position{next, next, next}
	}
}

// readSegment calls visit for every line of a segment from a position on. It returns
// the segment's size.
func readSegment(ctx context.Context, st *store.Store, from position, visit func(Line, position) error) (bytes int64, err error) {
	name := segmentName(from.segment)
	o, err := st.OpenObject(ctx, name)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, o.Close()) }()
	skip := from.from - from.segment
	r := bufio.NewReaderSize(io.NewSectionReader(o, skip, o.Size()-skip), lineBytes)
	at := from.from
	for n := 1; ; n++ {
		text, err := r.ReadSlice('\n')
		if err == io.EOF && len(text) == 0 {
			return o.Size(), nil
		}
		if err == io.EOF || err == bufio.ErrBufferFull {
			err = fmt.Errorf("the line does not end within %d bytes", len(text))
		}
		var l Line
		if err == nil {
			err = json.Unmarshal(text, &l)
		}
		if err != nil {
			number := ""
			if skip == 0 {
				number = fmt.Sprintf("line %d at ", n)
			}
			return 0, fmt.Errorf("report: %s: %sbyte %d: %w; delete the file, which is a report alone, or mend the line",
				st.Join(name), number, at-from.segment, err)
		}
		p := position{from.segment, at, at + int64(len(text))}
		if err := visit(l, p); err != nil {
			return 0, err
		}
		at = p.to
	}
}
