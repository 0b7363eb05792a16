// Package report is the view of a pipeline from outside: lines and progress bars
// on a terminal; metrics.jsonl, TensorBoard's event files and loss.png of a run;
// sweep.png of a sweep.
package report

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/schollz/progressbar/v3"
)

// Console writes progress for a person: bars on a terminal, elsewhere a line every
// five seconds, on a Log an object every thirty. Its methods may be called from several
// goroutines.
type Console struct {
	*screen
	attrs []any // of the objects of a log
}

// With returns the console with more attributes, names and values in turn, for the objects
// of a Log. Elsewhere they do not show.
func (c *Console) With(attrs ...any) *Console {
	if c == nil || c.log == nil {
		return c
	}
	return &Console{c.screen, append(slices.Clone(c.attrs), attrs...)}
}

// A screen is what a console and those that it gave attributes write to.
type screen struct {
	log   *slog.Logger // nil: w is none
	mu    sync.Mutex
	w     io.Writer
	bars  bool
	quiet bool
	part  string        // of many that work at the same time; empty is none
	every time.Duration // between two lines of progress
	draw  time.Duration // between two drawings of a bar
	now   func() time.Time
	bar   *progressbar.ProgressBar
}

// NewConsole returns a console that writes to w. Bars appear when w is a terminal.
// A quiet console writes warnings only.
func NewConsole(w io.Writer, quiet bool) *Console {
	c := &Console{screen: &screen{w: w, quiet: quiet, every: 5 * time.Second, draw: 100 * time.Millisecond, now: time.Now}}
	if l, ok := w.(*Log); ok {
		c.log, c.every = l.Logger(), 30*time.Second
	}
	c.bars = IsTerminal(w) && os.Getenv("TERM") != "dumb" // else it does not draw
	return c
}

// NewPart returns a console for one of several pieces of work that share w, such as
// a trial. It writes warnings and lines of progress, which begin with name, and no
// other lines.
func NewPart(w io.Writer, quiet bool, name string) *Console {
	c := NewConsole(w, quiet)
	c.part, c.bars = name, false
	return c
}

// Line writes one line.
func (c *Console) Line(format string, args ...any) {
	switch {
	case c.quiet || c.part != "":
	case c.log != nil:
		c.log.Info(message(format, args...), c.attrs...)
	default:
		c.print(fmt.Sprintf(format, args...))
	}
}

// Warn writes one line, on a quiet console too.
func (c *Console) Warn(format string, args ...any) {
	if c.log != nil {
		attrs := c.attrs
		if c.part != "" {
			attrs = append(slices.Clone(attrs), "part", c.part)
		}
		c.log.Warn(message(format, args...), attrs...)
		return
	}
	text := fmt.Sprintf(format, args...)
	if c.part != "" {
		text = c.part + ": " + text
	}
	c.print("WARNING: " + text)
}

// message is the text of an object: without the columns and the program's name of a line.
func message(format string, args ...any) string {
	format = strings.TrimPrefix(strings.ReplaceAll(format, "%-9s", "%s"), "quire: ")
	return strings.TrimRight(fmt.Sprintf(format, args...), "\n")
}

// print writes a line above the bar, if there is one.
func (c *Console) print(line string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.bar != nil {
		_ = c.bar.Clear()
	}
	fmt.Fprintln(NewVisible(c.w), strings.TrimRight(line, "\n"))
	if c.bar != nil {
		_ = c.bar.RenderBlank()
	}
}

// Progress is one piece of work with a known size.
type Progress struct {
	c     *Console
	title string
	total int64
	start time.Time
	from  int64 // units done at the start
	last  time.Time
}

// Progress begins a piece of work of total units; from of them are done already.
func (c *Console) Progress(title string, from, total int64) *Progress {
	p := &Progress{c: c, title: title, total: total, start: c.now(), from: from, last: c.now()}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.bars && !c.quiet && total > 0 {
		c.bar = progressbar.NewOptions64(total, progressbar.OptionSetWriter(c.w), progressbar.OptionSetDescription(title),
			progressbar.OptionSetPredictTime(false), progressbar.OptionSetElapsedTime(false), progressbar.OptionThrottle(c.draw),
			progressbar.OptionFullWidth(), progressbar.OptionSetRenderBlankState(true), progressbar.OptionClearOnFinish())
		_ = c.bar.Set64(from)
	}
	return p
}

// Set says that done units are done, with a note such as the loss, and estimates the time left.
func (p *Progress) Set(done int64, note string) {
	p.Show(done, fmt.Sprintf("%s  %s left", note, p.left(done, p.c.now())))
}

// Show is Set without an estimate.
func (p *Progress) Show(done int64, note string) {
	p.c.mu.Lock()
	defer p.c.mu.Unlock()
	if p.c.quiet {
		return
	}
	now := p.c.now()
	text := cmp.Or(p.c.part, p.title) + "  " + note
	if p.c.bar != nil {
		p.c.bar.Describe(text)
		_ = p.c.bar.Set64(done)
		return
	}
	if now.Sub(p.last) >= p.c.every {
		p.last = now
		percent := 100 * float64(done) / float64(max(p.total, 1))
		if p.c.log != nil {
			p.c.log.Info(message("%s", note), append(slices.Clone(p.c.attrs), "stage", cmp.Or(p.c.part, p.title), "done", done, "total", p.total,
				"percent", math.Round(10*percent)/10)...)
			return
		}
		fmt.Fprintf(p.c.w, "%s  %3.0f %%\n", text, percent)
	}
}

// left estimates the remaining time from the speed so far.
func (p *Progress) left(done int64, now time.Time) time.Duration {
	if done <= p.from {
		return 0
	}
	each := float64(now.Sub(p.start)) / float64(done-p.from)
	return time.Duration(each * float64(p.total-done)).Round(time.Second)
}

// Done ends the work and removes its bar.
func (p *Progress) Done() {
	p.c.mu.Lock()
	defer p.c.mu.Unlock()
	if p.c.bar != nil {
		_ = p.c.bar.Clear()
		p.c.bar = nil
	}
}

// Count writes a number with its noun: 1 layer, 2 layers.
func Count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// Bytes writes a size: 999 bytes, 1.5 kB, 20 MB.
func Bytes(n int64) string {
	if n < 1000 {
		return Count(int(n), "byte")
	}
	units, x := []string{"kB", "MB", "GB", "TB", "PB", "EB"}, float64(n)/1000
	for x >= 999.5 && len(units) > 1 {
		x, units = x/1000, units[1:]
	}
	if x < 9.95 {
		return fmt.Sprintf("%.1f %s", x, units[0])
	}
	return fmt.Sprintf("%.0f %s", x, units[0])
}

// A Log turns lines into JSON objects of log/slog, one a line, with time, level and msg.
// Consoles on it add what they know: slot, round, stage and progress. A line that is such
// an object already passes. It is for any number of goroutines.
type Log struct {
	w      io.Writer
	logger *slog.Logger

	mu   sync.Mutex
	rest []byte // of a line without its end
}

// NewLog returns a log that writes to w, a line at a time.
func NewLog(w io.Writer) *Log {
	one := &oneWriter{w: w}
	return &Log{w: one, logger: slog.New(slog.NewJSONHandler(one, nil))}
}

// oneWriter is for several goroutines.
type oneWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (o *oneWriter) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.w.Write(p)
}

// Logger returns the logger of the log.
func (l *Log) Logger() *slog.Logger { return l.logger }

// Write implements io.Writer.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rest = append(l.rest, p...)
	for {
		line, rest, ok := bytes.Cut(l.rest, []byte("\n"))
		if !ok {
			return len(p), nil
		}
		l.line(line)
		l.rest = append(l.rest[:0], rest...)
	}
}

// Flush writes a line that has no end yet.
func (l *Log) Flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.line(l.rest)
	l.rest = nil
}

func (l *Log) line(line []byte) {
	text := strings.TrimPrefix(strings.TrimSpace(string(line)), "quire: ")
	var object struct {
		Time  *string `json:"time"`
		Level *string `json:"level"`
		Msg   *string `json:"msg"`
	}
	warning, isWarning := strings.CutPrefix(text, "WARNING: ")
	switch {
	case text == "":
	case utf8.Valid(line) && json.Unmarshal(line, &object) == nil && object.Msg != nil && object.Time != nil && object.Level != nil:
		_, _ = l.w.Write(append(line, '\n')) // where stderr cannot be written to, nobody can be told
	case isWarning:
		l.logger.Warn(warning)
	default:
		l.logger.Info(text)
	}
}
