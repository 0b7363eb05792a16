package prepare

import (
	"fmt"
	"maps"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/quire-ml/quire/transforms/dataset"
)

func init() {
	limitFiles = func(bytes uint64) error {
		signal.Ignore(syscall.SIGXFSZ)
		return syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: bytes, Max: bytes})
	}
	limitOpen = func(n uint64) error {
		return syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: n, Max: n})
	}
}

// TestFullDisk makes a set while no file may grow beyond a limit, which is how a
// write fails that a full disk cuts short.
func TestFullDisk(t *testing.T) {
	docs := write(t, text{"a", wide(20000)})
	o := Options{SeqLength: 20, Shards: 2, RangeBytes: 9000}
	want := files(t, made(t, "direct", docs, o))
	for _, c := range []struct {
		bytes uint64
		what  string // does not fit
	}{{5000, ".parts" + string(filepath.Separator)}, {20000, "train-0000"}} {
		o.Dir = t.TempDir()
		out, err := startChild(t.Context(), t, order{Runner: "direct", Docs: docs, Options: o, FileBytes: c.bytes})
		if err == nil || !strings.Contains(out, "file too large") || !strings.Contains(out, filepath.Join(o.Dir, c.what)) {
			t.Errorf("files of %d bytes: %s, %v, want one in %s", c.bytes, out, err, c.what)
		}
		for name, sum := range files(t, o.Dir) {
			if name == dataset.ManifestName || sum != want[name] {
				t.Errorf("files of %d bytes: %s is there", c.bytes, name)
			}
		}
		if err := run(t.Context(), "direct", docs, o); err != nil {
			t.Fatal(err)
		}
		if got := files(t, o.Dir); !maps.Equal(got, want) {
			t.Errorf("then: got %v, want %v", got, want)
		}
	}
}

// TestFewOpenFiles makes and verifies sets of more documents, part files and shards than
// the process may have files open.
func TestFewOpenFiles(t *testing.T) {
	var texts []text
	for i := range 600 {
		texts = append(texts, text{fmt.Sprintf("%03d", i), wide(100 + i%7)})
	}
	docs := write(t, texts...)
	for _, way := range []string{"files", "engine"} {
		o := Options{SeqLength: 9, Shards: 300, RangeBytes: 400, InlineBytes: 1, Way: way, ValidationFraction: 0.1}
		want := files(t, made(t, "direct", docs, o))
		for runner, limit := range map[string]uint64{"direct": 64, "prism": 256} {
			o.Dir = t.TempDir()
			if out, err := startChild(t.Context(), t, order{Runner: runner, Docs: docs, Options: o, OpenFiles: limit}); err != nil {
				t.Errorf("%s, %s, %d open files: %v: %s", runner, way, limit, err, out)
			}
			if got := files(t, o.Dir); !maps.Equal(got, want) {
				t.Errorf("%s, %s, %d open files: another set", runner, way, limit)
			}
		}
	}
}
