package report

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/runners/store/gcstest"
)

// shortSegments makes segments of some three lines.
func shortSegments(t *testing.T) {
	old := segmentBytes
	segmentBytes = 100
	t.Cleanup(func() { segmentBytes = old })
	if _, err := os.Stat("/dev/shm"); err == nil {
		t.Setenv("TMPDIR", "/dev/shm")
	}
}

func openAt(t *testing.T, url string) *store.Store {
	t.Helper()
	st, err := store.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	return st
}

// bucket returns the URL of a folder in a bucket.
func bucket(t *testing.T) string {
	gcstest.New(t).Set("bucket", "other", nil)
	return "gs://bucket/run"
}

// line is the line of a step: a step divisible by ten ends an epoch of ten steps. call
// tells the calls apart.
func line(step int64, call int) Line {
	nats := float64(call)
	l := Line{Step: step, Epoch: int(step-1)/10 + 1, Train: &nats}
	if step%10 == 0 {
		l.EpochTrain = &nats
	}
	return l
}

// steps returns the steps and the calls of all lines.
func stepsOf(t *testing.T, st *store.Store) (steps []int64, calls []int) {
	t.Helper()
	err := ReadMetrics(t.Context(), st, func(l Line) error {
		steps, calls = append(steps, l.Step), append(calls, int(*l.Train))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return steps, calls
}

// upTo returns 1…n.
func upTo(n int64) (list []int64) {
	for i := range n {
		list = append(list, i+1)
	}
	return list
}

// TestSegments writes lines in flushes of one to seven, in a folder and a bucket: a
// reader sees all, few files are there, and Finish leaves one.
func TestSegments(t *testing.T) {
	shortSegments(t)
	for _, url := range []string{t.TempDir(), bucket(t)} {
		st, most := openAt(t, url), 0
		m, err := OpenMetrics(t.Context(), st, 0, false)
		if err != nil {
			t.Fatal(err)
		}
		step := int64(0)
		for i := range 60 {
			for range i%7 + 1 {
				step++
				if err := m.Add(line(step, 1)); err != nil {
					t.Fatal(err)
				}
			}
			if err := m.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got, _ := stepsOf(t, st); !slices.Equal(got, upTo(step)) {
				t.Fatalf("%s: %d steps, the lines are of %v", url, step, got)
			}
			list, err := st.List(t.Context(), "")
			if err != nil {
				t.Fatal(err)
			}
			most = max(most, len(list))
			if i := slices.IndexFunc(list, func(i store.Info) bool { return i.Name == MetricsName }); i < 0 || m.end() > list[i].Bytes*3/2+segmentBytes+300 {
				t.Fatalf("%s: the lines have %d bytes, the files are %v", url, m.end(), list)
			}
		}
		if most < 10 || most > 40 {
			t.Errorf("%s: %d files", url, most)
		}
		if err := m.Finish(t.Context()); err != nil {
			t.Fatal(err)
		}
		list, err := st.List(t.Context(), "")
		if err != nil || len(list) != 1 || list[0].Name != MetricsName || list[0].Bytes != m.end() {
			t.Errorf("%s: after Finish the files are %v, %v", url, list, err)
		}
		if err := m.WriteEvents(t.Context()); err != nil {
			t.Error(err)
		}
		info, err := st.Stat(t.Context(), EventsName(m.LastEpoch()))
		if err != nil || info.Bytes < 100 {
			t.Errorf("%s: events %v, %v", url, info, err)
		}
	}
}

// TestSegmentsCut goes on at many steps after many ways of writing: the lines are those
// up to the step, and then the new.
func TestSegmentsCut(t *testing.T) {
	shortSegments(t)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 60 {
		st := openAt(t, t.TempDir())
		if _, err := st.Put(t.Context(), "metrics/notes.txt", nil); err != nil { // a person's
			t.Fatal(err)
		}
		var want []string
		last := int64(0)
		for call := range 4 {
			step, redo := random.Int64N(last+2), random.IntN(2) == 0
			m, err := OpenMetrics(t.Context(), st, step, redo)
			if err != nil {
				t.Fatal(err)
			}
			keep := min(step, last)
			if redo && step%10 == 0 && keep == step && step > 0 {
				keep--
			}
			want, last = want[:keep], keep
			for range random.IntN(60) + 1 {
				last++
				if err := m.Add(line(last, call)); err != nil {
					t.Fatal(err)
				}
				want = append(want, fmt.Sprint(last, call))
				if random.IntN(5) == 0 {
					if err := m.Flush(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
			}
			end := m.Flush
			if random.IntN(2) == 0 {
				end = m.Finish
			}
			if err := end(t.Context()); err != nil {
				t.Fatal(err)
			}
			steps, calls := stepsOf(t, st)
			var got []string
			for i := range steps {
				got = append(got, fmt.Sprint(steps[i], calls[i]))
			}
			if !slices.Equal(got, want) {
				t.Fatalf("%d, call %d at step %d, %v: the lines are %v, want %v", i, call, step, redo, got, want)
			}
		}
		if _, err := st.Stat(t.Context(), "metrics/notes.txt"); err != nil {
			t.Error(err)
		}
	}
}

var errKilled = errors.New("killed")

// killable returns a store whose operations fail from the nth on, and a function that
// reports whether that came.
func killable(st *store.Store, nth int) (*store.Store, func() bool) {
	n := 0
	return st.WithFaults(func(op, name string) error {
		if n++; n >= nth {
			return errKilled
		}
		return nil
	}), func() bool { return n >= nth }
}

// trained writes lines from a step on as a training does, whose checkpoints are every
// seven steps. It returns the step of the last checkpoint.
func trained(ctx context.Context, st *store.Store, from, to int64, call int) (saved int64, err error) {
	saved = from
	m, err := OpenMetrics(ctx, st, from, false)
	if err != nil {
		return saved, err
	}
	for step := from + 1; step <= to; step++ {
		if err := m.Add(line(step, call)); err != nil {
			return saved, err
		}
		if step%7 != 0 && step%3 != 0 {
			continue
		}
		if err := m.Flush(ctx); err != nil {
			return saved, err
		}
		if step%7 == 0 {
			saved = step
		}
	}
	return saved, m.Finish(ctx)
}

// TestKilled ends a training before every operation on its files, and the training that
// goes on from its checkpoint before some. Each line that a checkpoint vouches for is
// there once.
func TestKilled(t *testing.T) {
	shortSegments(t)
	dir, kills := t.TempDir(), 0
	for nth := 1; ; nth++ {
		url := dir + "/" + fmt.Sprint(nth)
		whole := openAt(t, url)
		st, killed := killable(whole, nth)
		saved, err := trained(t.Context(), st, 0, 30, 1)
		if !killed() {
			if err != nil {
				t.Fatal(err)
			}
			break
		}
		// The second is killed too, while it goes on from an earlier checkpoint.
		from := max(0, saved-7*int64(nth%3))
		if kills++; nth%2 == 0 {
			st, _ := killable(whole, nth%23+1)
			later, _ := trained(t.Context(), st, from, 45, 2)
			from = later
		}
		if steps, _ := stepsOf(t, whole); int64(len(steps)) < from || !slices.Equal(steps, upTo(int64(len(steps)))) {
			t.Fatalf("killed before operation %d, at step %d: the lines are of %v", nth, from, steps)
		}
		if _, err := trained(t.Context(), whole, from, 50, 3); err != nil {
			t.Fatal(err)
		}
		steps, calls := stepsOf(t, whole)
		if !slices.Equal(steps, upTo(50)) || calls[49] != 3 || from > 0 && calls[from-1] == 3 || calls[from] != 3 {
			t.Fatalf("killed before operation %d, gone on at %d: the lines are of %v, calls %v", nth, from, steps, calls)
		}
		if list, err := whole.List(t.Context(), SegmentsPrefix); err != nil || len(list) > 0 {
			t.Fatalf("killed before operation %d: left are %v, %v", nth, list, err)
		}
	}
	if kills < 100 {
		t.Errorf("only %d kills", kills)
	}
}

// TestReadWhileGathered: a reader that is at the first segment, or at a later one, when a
// training moves all lines into metrics.jsonl misses none.
func TestReadWhileGathered(t *testing.T) {
	shortSegments(t)
	for _, at := range []int64{1, 7} {
		st := openAt(t, t.TempDir())
		m, err := OpenMetrics(t.Context(), st, 0, false)
		if err != nil {
			t.Fatal(err)
		}
		for step := range int64(12) {
			err := m.Add(line(step+1, 1))
			if err == nil && (step == 5 || step == 8 || step == 11) {
				err = m.Flush(t.Context())
			}
			if step == 5 { // the lines before stand in metrics.jsonl, and the others behind it
				err = errors.Join(err, m.Finish(t.Context()))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		var steps []int64
		err = ReadMetrics(t.Context(), st, func(l Line) error {
			if steps = append(steps, l.Step); l.Step == at {
				return m.Finish(t.Context())
			}
			return nil
		})
		if err != nil || !slices.Equal(steps, upTo(12)) {
			t.Errorf("gathered at line %d: the lines are of %v, %v", at, steps, err)
		}
	}
}

// TestNoLineEnd: a file whose last line is not whole, or that has no lines at all, is
// an error and not read into memory.
func TestNoLineEnd(t *testing.T) {
	st := openAt(t, t.TempDir())
	if _, err := st.Put(t.Context(), MetricsName, []byte(`{"step":1,"epoch":1}`+"\n"+`{"step":2,"epoch":1}`)); err != nil {
		t.Fatal(err)
	}
	want := MetricsName + ": line 2 at byte 21: the line does not end within 20 bytes; delete the file"
	if _, err := OpenMetrics(t.Context(), st, 9, false); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %s", err, want)
	}
	if err := os.Truncate(st.Join(MetricsName), 200e9); err != nil {
		t.Skip(err)
	}
	want = ": line 2 at byte 21: the line does not end within 65536 bytes"
	if _, err := OpenMetrics(t.Context(), st, 9, false); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %s", err, want)
	}
}

// TestCurve adds 100,000 points: few are kept, the first and the last among them.
func TestCurve(t *testing.T) {
	var c curve
	for i := range 100_000 {
		c.add(float64(i), float64(-i))
		if i > 2*curvePoints && i%997 != 0 {
			continue
		}
		if p := c.all(); p[0] != [2]float64{} || p[len(p)-1] != [2]float64{float64(i), float64(-i)} || len(p) > curvePoints || i < curvePoints-1 && len(p) != i+1 {
			t.Fatalf("of %d points, %d are kept, from %v to %v", i+1, len(p), p[0], p[len(p)-1])
		}
	}
	if p := c.all(); p[1][0] != 32 || p[1000][0] != 32000 {
		t.Errorf("point 1 is %v, point 1000 %v; want every 32nd", p[1], p[1000])
	}
}

// visitor is a visitor of Tail for every attempt.
func visitor(visit func(Line) bool) func() func(Line) bool {
	return func() func(Line) bool { return visit }
}

// TestTail reads the last lines of metrics of many segments, the last first, and no more than it
// is asked for, while a training writes them, too.
func TestTail(t *testing.T) {
	shortSegments(t)
	for _, url := range []string{t.TempDir(), bucket(t)} {
		st := openAt(t, url)
		if err := Tail(t.Context(), st, 1<<20, visitor(func(Line) bool { t.Error("a line of nothing"); return true })); err != nil {
			t.Fatal(err)
		}
		m, err := OpenMetrics(t.Context(), st, 0, false)
		if err != nil {
			t.Fatal(err)
		}
		for step := int64(1); step <= 100; step++ {
			if err := errors.Join(m.Add(line(step, 1)), m.Flush(t.Context())); err != nil {
				t.Fatal(err)
			}
			var got []int64
			err := Tail(t.Context(), st, 1<<20, visitor(func(l Line) bool {
				got = append(got, l.Step)
				return len(got) < 12
			}))
			if err != nil {
				t.Fatal(err)
			}
			for i, s := range got {
				if want := step - int64(i); s != want {
					t.Fatalf("after step %d, line %d from the end is of step %d, want %d", step, i, s, want)
				}
			}
			if want := min(12, int(step)); len(got) != want {
				t.Fatalf("after step %d: %d lines, want %d", step, len(got), want)
			}
		}
		n := 0
		if err := Tail(t.Context(), st, 1, visitor(func(Line) bool { n++; return true })); err != nil || n == 0 || n > 10 {
			t.Errorf("a limit of a byte gives %d lines, %v; want those of one segment", n, err)
		}
	}
}

// TestTailBlocks reads lines that lie across the blocks of a long file, and names a damaged one.
func TestTailBlocks(t *testing.T) {
	st := openAt(t, t.TempDir())
	var all strings.Builder
	var ends []int
	for step := 1; all.Len() < 3*tailBlock; step++ {
		fmt.Fprintf(&all, `{"step":%d,"epoch":1,"sample":"%s"}`+"\n", step, strings.Repeat("x", step*37%900))
		ends = append(ends, all.Len())
	}
	if err := st.Replace(t.Context(), MetricsName, []byte(all.String())); err != nil {
		t.Fatal(err)
	}
	want := int64(len(ends))
	err := Tail(t.Context(), st, 1<<20, visitor(func(l Line) bool {
		if l.Step != want || len(l.Sample) != int(want)*37%900 {
			t.Errorf("line of step %d with %d characters, want step %d", l.Step, len(l.Sample), want)
		}
		want--
		return true
	}))
	if err != nil || want != 0 {
		t.Errorf("%d lines are missing, %v", want, err)
	}
	data := []byte(all.String())
	data[ends[4]] = 'x'
	if err := st.Replace(t.Context(), MetricsName, data); err != nil {
		t.Fatal(err)
	}
	if err := Tail(t.Context(), st, tailBlock, visitor(func(Line) bool { return true })); err != nil {
		t.Errorf("damage that is not read: %v", err)
	}
	err = Tail(t.Context(), st, 1<<20, visitor(func(Line) bool { return true }))
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%s: byte %d: invalid character 'x'", st.Join(MetricsName), ends[4])) {
		t.Errorf("damage at byte %d: %v", ends[4], err)
	}
	if err := st.Replace(t.Context(), MetricsName, []byte(`{"step":1}`)); err != nil {
		t.Fatal(err)
	}
	if err := Tail(t.Context(), st, 1<<20, visitor(func(Line) bool { return true })); err == nil || !strings.Contains(err.Error(), "ends inside this line") {
		t.Errorf("a line that is cut off: %v", err)
	}
}
