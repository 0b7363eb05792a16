package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// objects parses what a log has written, and drops the times.
func objects(t *testing.T, text string) []string {
	t.Helper()
	var all []string
	for line := range strings.Lines(text) {
		var o map[string]any
		if err := json.Unmarshal([]byte(line), &o); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if _, err := time.Parse(time.RFC3339Nano, fmt.Sprint(o["time"])); err != nil {
			t.Errorf("%q: %v", line, err)
		}
		delete(o, "time")
		all = append(all, fmt.Sprint(o))
	}
	return all
}

// TestLog: lines of any kind become objects, once they are whole.
func TestLog(t *testing.T) {
	var b bytes.Buffer
	l := NewLog(&b)
	fmt.Fprint(l, "quire: one\nWARNING: two \"x\"\n\nthr")
	fmt.Fprint(l, "ee\x1b[1m\r\n", `{"time":"2026-01-01T00:00:00Z","level":"INFO","msg":"own","a":1}`, "\n{\"a\":1}\n{\"msg\":\"foreign\"}\nlast")
	l.Flush()
	want := []string{"map[level:INFO msg:one]", `map[level:WARN msg:two "x"]`, "map[level:INFO msg:three\x1b[1m]", "map[a:1 level:INFO msg:own]",
		`map[level:INFO msg:{"a":1}]`, `map[level:INFO msg:{"msg":"foreign"}]`, "map[level:INFO msg:last]"}
	if got := objects(t, b.String()); fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if strings.Contains(b.String(), "\x1b") {
		t.Error("a control character is in the log")
	}
}

// TestLogConsole: what a console knows is in attributes, and progress comes seldom.
func TestLogConsole(t *testing.T) {
	var b bytes.Buffer
	l := NewLog(&b)
	c := NewConsole(l, false)
	now := time.Unix(0, 0)
	c.now = func() time.Time { return now }
	night := c.With("slot", "s").With("round", "r")
	night.With("stage", "train").Line("%-9s runs: %s", "train", "no  earlier result")
	c.Warn("bad: %d", 1)
	p := night.Progress("train", 0, 200)
	for i := range 100 {
		now = now.Add(time.Second)
		p.Set(int64(i+1), "loss 1.5")
	}
	p.Done()
	NewConsole(l, true).Line("quiet")
	NewPart(l, false, "trial 2").Warn("odd")
	want := []string{"map[level:INFO msg:train runs: no  earlier result round:r slot:s stage:train]", "map[level:WARN msg:bad: 1]"}
	for n, left := range map[int]string{30: "2m50s", 60: "2m20s", 90: "1m50s"} {
		want = append(want, fmt.Sprintf("map[done:%d level:INFO msg:loss 1.5  %s left percent:%d round:r slot:s stage:train total:200]", n, left, n/2))
	}
	slices.Sort(want[2:])
	want = append(want, "map[level:WARN msg:odd part:trial 2]")
	if got := objects(t, b.String()); fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	b.Reset()
	text := NewConsole(&b, false)
	text.With("slot", "s").Line("%-9s runs", "prep")
	if b.String() != "prep      runs\n" {
		t.Errorf("without a log it is %q", b.String())
	}
}

// TestLogTogether: lines of several goroutines stay whole.
func TestLogTogether(t *testing.T) {
	var b bytes.Buffer
	l := NewLog(&b)
	c := NewConsole(l, false)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := range 50 {
				c.With("i", i).Line("line %d", i)
				fmt.Fprintf(l, "line %d\n", i)
			}
		})
	}
	all.Wait()
	if n := len(objects(t, b.String())); n != 800 {
		t.Errorf("%d lines", n)
	}
}
