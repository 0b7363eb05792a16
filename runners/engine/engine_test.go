package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	beamlog "github.com/apache/beam/sdks/v2/go/pkg/beam/log"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/options/jobopts"
)

func TestMain(m *testing.M) {
	Init() // before flags are parsed: on a worker they are others
	os.Exit(m.Run())
}

func init() {
	beam.RegisterDoFn(&workFn{})
}

// workFn does what its element says.
type workFn struct{}

func (*workFn) ProcessElement(ctx context.Context, what string, emit func(string)) error {
	switch what {
	case "fail":
		return fmt.Errorf("notes.txt: byte 17: %w", errors.New("bad text"))
	case "panic":
		panic("lost my way")
	case "wait":
		<-ctx.Done()
		return ctx.Err()
	}
	emit(what)
	return nil
}

func pipeline(what ...string) *beam.Pipeline {
	p, s := beam.NewPipelineWithRoot()
	first := beam.ParDo(s, &workFn{}, beam.CreateList(s, what))
	beam.ParDo(s, &workFn{}, beam.Reshuffle(s, first))
	return p
}

func TestUnknownRunner(t *testing.T) {
	err := Run(t.Context(), "foo", pipeline("a"), Options{})
	want := `engine: runner "foo" is unknown; use direct, prism, flink or dataflow`
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	for _, name := range Names() {
		if err := Check(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// captured returns what f writes to stderr, the log package and slog.
func captured(t *testing.T, f func()) string {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, out := os.Stderr, make(chan string)
	os.Stderr = w
	go func() {
		data, _ := io.ReadAll(r)
		out <- string(data)
	}()
	f()
	os.Stderr = stderr
	w.Close()
	return <-out
}

func TestLocalRunners(t *testing.T) {
	for _, runner := range []string{"direct", "prism", "direct", "prism"} {
		t.Run(runner, func(t *testing.T) {
			noise := captured(t, func() {
				if err := Run(t.Context(), runner, pipeline("a", "b"), Options{}); err != nil {
					t.Error(err)
				}
			})
			if noise != "" {
				t.Errorf("quiet run wrote %q", noise)
			}
			if *jobopts.Endpoint != "" || *jobopts.EnvironmentType != "" || *jobopts.JobName != "" {
				t.Errorf("flags left as %q %q %q", *jobopts.Endpoint, *jobopts.EnvironmentType, *jobopts.JobName)
			}
		})
	}
}

func TestVerbose(t *testing.T) {
	noise := captured(t, func() {
		if err := Run(t.Context(), "direct", pipeline("a"), Options{Verbose: true}); err != nil {
			t.Error(err)
		}
	})
	if !strings.Contains(noise, "direct runner") {
		t.Errorf("verbose run wrote %q", noise)
	}
}

func TestErrorIsTheCause(t *testing.T) {
	for _, runner := range []string{"direct", "prism"} {
		for what, cause := range map[string]string{
			"fail":  "notes.txt: byte 17: bad text",
			"panic": "panic: lost my way",
		} {
			t.Run(runner+" "+what, func(t *testing.T) {
				var err error
				noise := captured(t, func() { err = Run(t.Context(), runner, pipeline("a", what), Options{}) })
				want := "engine: " + runner + ": " + cause
				if err == nil || err.Error() != want {
					t.Errorf("got  %.500v\nwant %s", err, want)
				}
				if noise != "" {
					t.Errorf("wrote %q", noise)
				}
			})
		}
	}
}

func TestCancel(t *testing.T) {
	for _, runner := range []string{"direct", "prism"} {
		t.Run(runner, func(t *testing.T) {
			if raced && runner == "prism" {
				t.Skip("where a cancelled job ends, Beam's prism and its workers have races of their own")
			}
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			start := time.Now()
			err := Run(ctx, runner, pipeline("a", "wait"), Options{})
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v", err)
			}
			if took := time.Since(start); took > grace {
				t.Errorf("took %v", took)
			}
			if err := Run(t.Context(), runner, pipeline("a"), Options{}); err != nil {
				t.Errorf("after a cancelled run: %v", err)
			}
		})
	}
}

func TestFlinkNeedsEndpoint(t *testing.T) {
	err := Run(t.Context(), "flink", pipeline("a"), Options{})
	if err == nil || !strings.Contains(err.Error(), "--endpoint=host:port") {
		t.Errorf("got %v", err)
	}
}

// TestLogsAreLeftAlone runs where the program has a log of its own. What the
// program writes is there afterwards, and nothing of Beam's: not even what its
// goroutines log when a run is over.
func TestLogsAreLeftAlone(t *testing.T) {
	var buf bytes.Buffer
	defer keepLogs()()
	log.SetOutput(&buf)
	log.SetFlags(log.Lmsgprefix)
	log.SetPrefix("mine: ")
	before := slog.Default()
	for _, runner := range []string{"direct", "prism"} {
		if err := Run(t.Context(), runner, pipeline("a"), Options{}); err != nil {
			t.Fatal(err)
		}
	}
	beamlog.Error(t.Context(), "late") // as Beam's workers do
	log.Print("hello")
	slog.Info("hello", "from", "slog")
	if want := "mine: hello\nmine: INFO hello from=slog\n"; buf.String() != want || slog.Default() != before {
		t.Errorf("log wrote %q, want %q; slog's default is another: %v", buf.String(), want, slog.Default() != before)
	}
}

// TestOtherLogs runs where the program has set a slog handler after Init.
func TestOtherLogs(t *testing.T) {
	var buf bytes.Buffer
	defer keepLogs()()
	slog.SetDefault(slog.New(slog.NewTextHandler(&buf, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}})))
	for _, runner := range []string{"direct", "prism"} {
		if err := Run(t.Context(), runner, pipeline("a"), Options{}); err != nil {
			t.Fatal(err)
		}
	}
	beamlog.Error(t.Context(), "late")
	slog.With("a", 1).WithGroup("g").Info("hello", "b", 2)
	if want := "level=INFO msg=hello a=1 g.b=2\n"; buf.String() != want {
		t.Errorf("slog wrote %q, want %q", buf.String(), want)
	}
}

func TestIsWorker(t *testing.T) {
	for args, want := range map[string]bool{
		"--worker":                    true,
		"--worker=true --id=1-1":      true,
		"--id=1-1 -worker":            true,
		"--worker=false":              false,
		"prep worker":                 false,
		"prep --set --worker_binary=": false,
		"prep -- --worker":            false,
		"":                            false,
	} {
		if got := isWorker(strings.Fields(args)); got != want {
			t.Errorf("%q: got %v", args, got)
		}
	}
}
