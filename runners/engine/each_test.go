package engine

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	beamlog "github.com/apache/beam/sdks/v2/go/pkg/beam/log"
)

// called are the items that a function of the tests was called for.
var called struct {
	sync.Mutex
	items []string
}

func init() {
	Register("engine.test", func(_ context.Context, item []byte) error {
		called.Lock()
		defer called.Unlock()
		called.items = append(called.items, string(item))
		if string(item) == "bad" {
			return fmt.Errorf("item %s: no good", item)
		}
		return nil
	})
}

func TestEach(t *testing.T) {
	for _, runner := range []string{"direct", "prism"} {
		called.items = nil
		if err := Each(t.Context(), runner, "engine.test", [][]byte{[]byte("a"), []byte("b"), []byte("c")}, Options{}); err != nil {
			t.Errorf("%s: %v", runner, err)
		}
		if slices.Sort(called.items); strings.Join(called.items, " ") != "a b c" {
			t.Errorf("%s: called for %v", runner, called.items)
		}
		err := Each(t.Context(), runner, "engine.test", [][]byte{[]byte("bad")}, Options{})
		if want := "engine: " + runner + ": item bad: no good"; err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if err := Each(t.Context(), "direct", "other", nil, Options{}); err == nil || err.Error() != "engine: no function is registered as other" {
		t.Errorf("got %v", err)
	}
}

// TestRegisterTwice registers two functions under one name.
func TestRegisterTwice(t *testing.T) {
	defer func() {
		if got := recover(); got != "engine: two functions are registered as engine.test" {
			t.Errorf("got %v", got)
		}
	}()
	Register("engine.test", func(context.Context, []byte) error { return nil })
}

// TestBucketLack names places inside and outside of a bucket.
func TestBucketLack(t *testing.T) {
	f := flag.Lookup("temp_location").Value
	defer f.Set(f.String())
	for place, want := range map[string]string{
		"": "none", "gs://bucket": "", "gs://bucket/folder": "",
		"gs://":      "--temp_location=gs:// is not in a bucket: want gs://BUCKET/FOLDER",
		"gs:///x":    "--temp_location=gs:///x is not in a bucket: want gs://BUCKET/FOLDER",
		"bucket/tmp": "--temp_location=bucket/tmp is not in a bucket: want gs://BUCKET/FOLDER",
	} {
		f.Set(place)
		if got := bucketLack("temp_location", "none"); got != want {
			t.Errorf("%q: got %q, want %q", place, got, want)
		}
	}
}

// heard is a logger that keeps its messages.
type heard struct{ messages []string }

func (h *heard) Log(_ context.Context, _ beamlog.Severity, _ int, msg string) {
	h.messages = append(h.messages, msg)
}

// TestPrinted logs a job request and two messages that are none.
func TestPrinted(t *testing.T) {
	h := &heard{}
	p := &printed{Logger: h}
	for _, msg := range []string{"{cut", `{"name":"job"}`, `["list"]`} {
		p.Log(t.Context(), beamlog.SevInfo, 0, msg)
	}
	if string(p.job) != `{"name":"job"}` || !slices.Equal(h.messages, []string{"{cut", `["list"]`}) {
		t.Errorf("job %s, messages %q", p.job, h.messages)
	}
}

// TestFinish ends a run by itself, with and without an error, after the context: the
// error is the context's.
func TestFinish(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	if err := finish(ctx, "direct", nil); err != nil {
		t.Error(err)
	}
	stop()
	for _, cause := range []error{nil, errors.New("worker is gone")} {
		err := finish(ctx, "direct", cause)
		if !errors.Is(err, context.Canceled) || err.Error() != "engine: direct: context canceled" {
			t.Errorf("got %v", err)
		}
	}
}
