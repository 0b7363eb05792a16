package report

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strconv"
	"strings"

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

// tailBlock is the bytes that Tail reads at a time.
const tailBlock = 64 << 10

// tailAttempts bounds the readings of a run's last lines while its training moves them.
const tailAttempts = 5

// Tail visits the last lines of a run's metrics, the last one first, until the visitor
// returns false or some limit bytes are read. A run without metrics has no lines. begin
// returns the visitor: Tail begins again, with another, where a training has replaced a file
// meanwhile. The error of a damaged line names its file and byte.
func Tail(ctx context.Context, st *store.Store, limit int64, begin func() (visit func(Line) bool)) error {
	for attempt := 1; ; attempt++ {
		err := tail(ctx, st, limit, begin())
		var damage *lineError
		if err == nil || errors.As(err, &damage) || ctx.Err() != nil || store.Transient(err) || attempt == tailAttempts {
			return err
		}
	}
}

// lineError says that a line is damaged.
type lineError struct{ error }

func (e *lineError) Unwrap() error { return e.error }

func tail(ctx context.Context, st *store.Store, limit int64, visit func(Line) bool) error {
	list, err := chain(ctx, st)
	if err != nil {
		return err
	}
	for i := len(list) - 1; i >= 0 && limit > 0; i-- {
		read, more, err := tailSegment(ctx, st, segmentName(list[i]), limit, visit)
		if err != nil || !more {
			return err
		}
		limit -= read
	}
	return nil
}

// chain returns the positions of the segments of a run's metrics, in order.
func chain(ctx context.Context, st *store.Store) ([]int64, error) {
	found, err := st.List(ctx, strings.TrimSuffix(segmentsFolder, "/"))
	if err != nil {
		return nil, err
	}
	size := map[int64]int64{}
	for _, info := range found {
		at, err := strconv.ParseInt(strings.TrimSuffix(path.Base(info.Name), ".jsonl"), 10, 64)
		if info.Name == MetricsName {
			at, err = 0, nil
		}
		if err == nil && info.Name == segmentName(at) {
			size[at] = info.Bytes
		}
	}
	var list []int64
	for at := int64(0); size[at] > 0; at += size[at] {
		list = append(list, at)
	}
	return list, nil
}

// tailSegment is tail for one segment. more reports whether visit wants more lines.
func tailSegment(ctx context.Context, st *store.Store, name string, limit int64, visit func(Line) bool) (read int64, more bool, err error) {
	o, err := st.OpenObject(ctx, name)
	if err != nil {
		return 0, false, err
	}
	defer func() { err = errors.Join(err, o.Close()) }()
	var rest []byte // of a line that begins before byte at
	for at := o.Size(); at > 0 && read < limit; {
		n := min(tailBlock, at)
		block := make([]byte, n, n+int64(len(rest)))
		if _, err := o.ReadAt(block, at-n); err != nil {
			return read, false, err
		}
		at, read = at-n, read+n
		block = append(block, rest...)
		from := int64(0) // of the first whole line
		if at > 0 {
			from = int64(bytes.IndexByte(block, '\n') + 1)
		}
		if from == 0 && at > 0 {
			return read, false, &lineError{fmt.Errorf("report: %s: byte %d: the line does not end within %d bytes", st.Join(name), at, len(block))}
		}
		if more, err := visitBack(st.Join(name), block[from:], at+from, visit); err != nil || !more {
			return read, false, err
		}
		rest = block[:from]
	}
	return read, true, nil
}

// visitBack calls visit for the lines of text, which begins at a byte of a file, the last
// first.
func visitBack(file string, text []byte, at int64, visit func(Line) bool) (more bool, err error) {
	for end := len(text); end > 0; {
		from := bytes.LastIndexByte(text[:end-1], '\n') + 1
		var l Line
		err := json.Unmarshal(text[from:end], &l)
		if err == nil && text[end-1] != '\n' {
			err = errors.New("the file ends inside this line")
		}
		if err != nil {
			return false, &lineError{fmt.Errorf("report: %s: byte %d: %w; delete the file, which is a report alone, or mend the line",
				file, at+int64(from), err)}
		}
		if !visit(l) {
			return false, nil
		}
		end = from
	}
	return true, nil
}
