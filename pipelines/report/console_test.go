package report

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"time"
)

// plain returns a console that is no terminal, and its clock.
func plain(quiet bool) (c *Console, out *bytes.Buffer, now *time.Time) {
	out, now = &bytes.Buffer{}, &time.Time{}
	c = NewConsole(out, quiet)
	c.now = func() time.Time { return *now }
	return c, out, now
}

// TestPlainLines writes a line of progress every five seconds, no more.
func TestPlainLines(t *testing.T) {
	c, out, now := plain(false)
	c.Line("begin %d", 1)
	p := c.Progress("train", 100, 300)
	for step := int64(101); step <= 160; step++ {
		*now = now.Add(200 * time.Millisecond)
		p.Set(step, "loss 2.000")
	}
	p.Done()
	c.Line("end\n")
	want := "begin 1\n" +
		"train  loss 2.000  35s left   42 %\n" +
		"train  loss 2.000  30s left   50 %\n" +
		"end\n"
	if out.String() != want {
		t.Errorf("the console has\n%swant\n%s", out, want)
	}
}

func TestQuiet(t *testing.T) {
	c, out, now := plain(true)
	c.Line("begin")
	p := c.Progress("train", 0, 10)
	*now = now.Add(time.Minute)
	p.Set(5, "loss")
	c.Warn("loss %d", 7)
	p.Done()
	if want := "WARNING: loss 7\n"; out.String() != want {
		t.Errorf("a quiet console has %q, want %q", out, want)
	}
}

// TestNothingDone estimates nothing from nothing.
func TestNothingDone(t *testing.T) {
	c, out, now := plain(false)
	p := c.Progress("train", 0, 0)
	*now = now.Add(time.Minute)
	p.Set(0, "")
	if !strings.Contains(out.String(), "0s left    0 %") {
		t.Errorf("the console has %q", out)
	}
}

// TestBar shows a bar as a terminal would get it: lines stay whole above it,
// and nothing of it is left in the end.
func TestBar(t *testing.T) {
	c, out, now := plain(false)
	c.bars, c.draw = true, 0
	p := c.Progress("train", 0, 10)
	*now = now.Add(time.Second)
	p.Set(5, "loss 2.000")
	c.Line("saved")
	p.Done()
	c.Line("end")
	text := out.String()
	if !strings.Contains(text, "train  loss 2.000  1s left") || !strings.Contains(text, "saved\n") || !strings.HasSuffix(text, "end\n") {
		t.Errorf("the terminal gets %q", text)
	}
	if c.bar != nil {
		t.Error("the bar is still there")
	}
}

// TestConcurrent is for the race detector.
func TestConcurrent(t *testing.T) {
	c, out, _ := plain(false)
	p := c.Progress("train", 0, 100)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range int64(25) {
				p.Set(i, "")
				c.Line("line")
			}
		})
	}
	wg.Wait()
	if got := strings.Count(out.String(), "line\n"); got != 100 {
		t.Errorf("%d lines, want 100", got)
	}
}

func TestCount(t *testing.T) {
	for n, want := range map[int]string{0: "0 layers", 1: "1 layer", 2: "2 layers", 11: "11 layers"} {
		if got := Count(n, "layer"); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}

// TestPart writes progress and warnings of two trials, and no other lines.
func TestPart(t *testing.T) {
	var out bytes.Buffer
	now := time.Time{}
	for _, name := range []string{"trial 1", "trial 2"} {
		c := NewPart(&out, false, name)
		c.now = func() time.Time { return now }
		c.Line("saved")
		p := c.Progress("train", 0, 10)
		now = now.Add(5 * time.Second)
		p.Set(5, "loss 2.000")
		c.Warn("loss %d", 7)
	}
	want := "trial 1  loss 2.000  5s left   50 %\nWARNING: trial 1: loss 7\ntrial 2  loss 2.000  5s left   50 %\nWARNING: trial 2: loss 7\n"
	if out.String() != want {
		t.Errorf("the trials write\n%swant\n%s", out.String(), want)
	}
}
