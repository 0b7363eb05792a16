package prepare

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/transforms/dataset"
)

// TestSame makes one set on direct and prism, with 1, 2 and 8 processors, blocks of
// three sizes and both ways to the shards (on prism, which is slow to start, in
// three of the nine cases): all files are the same.
func TestSame(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	docs := write(t, text{"a", wide(4000)}, text{"b", ""}, text{"c", strings.Repeat("to be or not to be\r\n", 300)}, text{"d", "e\u0301"})
	var want map[string]string
	for _, o := range []Options{
		{SeqLength: 20, Seed: 5, Shards: 5, ValidationFraction: 0.1, Normalize: "nfc"},
		{SeqLength: 20, Seed: 5, Shards: 5, ValidationFraction: 0.2, TestFraction: 0.2, ValidationBy: "block", Stride: 7, MinCount: 300},
	} {
		want = nil
		for _, runner := range []string{"direct", "prism"} {
			for i, procs := range []int{1, 2, 8} {
				for j, size := range []int64{5000, 997, 1 << 20} {
					if runner == "prism" && i != j {
						continue
					}
					runtime.GOMAXPROCS(procs)
					for _, o.Way = range []string{"files", "engine"} {
						o.RangeBytes, o.SlabBytes = size, size
						got := files(t, made(t, runner, docs, o))
						if want == nil {
							want = got
						}
						if !maps.Equal(got, want) {
							t.Errorf("%s, %s, %d processors, blocks of %d: got %v, want %v", runner, o.Way, procs, size, got, want)
						}
					}
				}
			}
		}
	}
}

// TestEveryWriteFails fails each operation that changes the disk in turn. The
// error says where; what is there under a final name is whole, and a manifest
// only with all that it describes; and the next run ends as always.
func TestEveryWriteFails(t *testing.T) {
	docs := write(t, text{"a", wide(3000)})
	o := Options{SeqLength: 20, Seed: 5, Shards: 2, RangeBytes: 5000, ValidationFraction: 0.1}
	want := files(t, made(t, "direct", docs, o))
	changes := map[string]bool{"mkdir": true, "create": true, "write": true, "sync": true, "link": true, "rename": true, "syncdir": true}
	for nth := int64(1); ; nth++ {
		var count atomic.Int64
		restore := store.InjectFaults(func(op, _ string) error {
			if changes[op] && count.Add(1) == nth {
				return syscall.ENOSPC
			}
			return nil
		})
		o.Dir = filepath.Join(inMemory(t), "set")
		err := run(t.Context(), "direct", docs, o)
		restore()
		got := files(t, tidy(t, o.Dir))
		if count.Load() < nth {
			if err != nil || nth < 20 {
				t.Errorf("no fault among %d: %v", count.Load(), err)
			}
			return
		}
		if err == nil || !strings.Contains(err.Error(), o.Dir) || !strings.Contains(err.Error(), "make room") {
			t.Errorf("operation %d: %v", nth, err)
		}
		for name, sum := range got {
			if want[name] != sum {
				t.Errorf("operation %d: %s is there", nth, name)
			}
		}
		if got[dataset.ManifestName] != "" && !maps.Equal(got, want) {
			t.Errorf("operation %d: a manifest, and only %v", nth, got)
		}
		if err := run(t.Context(), "direct", docs, o); err != nil {
			t.Fatalf("operation %d, then again: %v", nth, err)
		}
		if got := files(t, o.Dir); !maps.Equal(got, want) {
			t.Fatalf("operation %d, then again: %v, want %v", nth, got, want)
		}
	}
}

// TestTensorFlow lets TensorFlow read a set of 16 shards: every sequence of the
// corpus is there exactly once.
func TestTensorFlow(t *testing.T) {
	python := os.Getenv("QUIRE_PYTHON")
	if python == "" {
		t.Skip("QUIRE_PYTHON names no Python with tensorflow")
	}
	if out, err := exec.Command(python, "-c", "import tensorflow").CombinedOutput(); err != nil {
		t.Skipf("%s has no tensorflow: %v\n%s", python, err, out)
	}
	var b strings.Builder
	for i := range 30000 { // sequences that all differ
		fmt.Fprintf(&b, "%019d\n", i*7919)
	}
	docs := write(t, text{"a.txt", b.String() + "the tail"})
	dir := made(t, "direct", docs, Options{SeqLength: 19, Seed: 1, Shards: 16})
	script := filepath.Join(t.TempDir(), "read.py")
	err := os.WriteFile(script, []byte(`
import glob, json, sys
import tensorflow as tf
files = sorted(glob.glob(sys.argv[1] + "/train-*-of-00016.tfrecord"))
assert len(files) == 16, files
chars = json.load(open(sys.argv[1] + "/vocab.json"))["chars"]
spec = {"ids": tf.io.FixedLenFeature([20], tf.int64)}
text = open(sys.argv[2]).read()
want = {text[i:i + 20] for i in range(0, len(text) - 19, 20)}
n = 0
for record in tf.data.TFRecordDataset(files).as_numpy_iterator():
    ids = tf.io.parse_single_example(record, spec)["ids"].numpy()
    want.remove("".join(chars[i] for i in ids))
    n += 1
assert not want and n == 30000, (len(want), n)
`), 0o644)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), python, script, dir, docs[0].Path)
	cmd.Env = append(os.Environ(), "TF_CPP_MIN_LOG_LEVEL=3")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
