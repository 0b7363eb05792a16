package prepare

import (
	"maps"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/quire-ml/quire/transforms/dataset"
)

// TestFullDisk makes a set while no file may grow beyond a limit, which is how a
// write fails that a full disk cuts short.
func TestFullDisk(t *testing.T) {
	docs := write(t, text{"a", wide(20000)})
	o := Options{SeqLength: 20, Shards: 2, BlockBytes: 9000}
	want := files(t, made(t, "direct", docs, o))
	signal.Ignore(syscall.SIGXFSZ)
	defer signal.Reset(syscall.SIGXFSZ)
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
		t.Skip("no limit on the size of files: ", err)
	}
	// In turn the parts, the shards and the vocabulary do not fit.
	for _, c := range []struct {
		bytes uint64
		what  string
	}{{5000, ".parts" + string(filepath.Separator)}, {20000, "train-0000"}} {
		o.Dir = t.TempDir()
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: c.bytes, Max: old.Max}); err != nil {
			t.Skip("no limit on the size of files: ", err)
		}
		err := run(t.Context(), "direct", docs, o)
		if e := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &old); e != nil {
			t.Fatal(e)
		}
		if err == nil || !strings.Contains(err.Error(), "file too large") || !strings.Contains(err.Error(), filepath.Join(o.Dir, c.what)) {
			t.Errorf("files of %d bytes: %v, want one in %s", c.bytes, err, c.what)
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
