//go:build soak

package prepare

import (
	"bufio"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/quire-ml/quire/transforms/corpus"
)

// TestSoak makes a set of 200 MB of text, in a process of its own for each
// engine, and holds its memory below 512 MB:
//
//	go test -tags soak -run Soak -v ./transforms/prepare
func TestSoak(t *testing.T) {
	const corpusBytes, limit = 200e6, 512 << 10 // of the latter, KiB
	docs := []corpus.Document{big(t, corpusBytes)}
	var want map[string]string
	for _, runner := range []string{"direct", "prism"} {
		o := Options{SeqLength: 100, Seed: 1, ValidationFraction: 0.1, Dir: filepath.Join(t.TempDir(), "set")}
		began := time.Now()
		out, err := startChild(t.Context(), t, order{Runner: runner, Docs: docs, Options: o})
		seconds := time.Since(began).Seconds()
		if err != nil {
			t.Fatalf("%s: %v\n%s", runner, err, out)
		}
		var peak int
		_, line, _ := strings.Cut(out, "VmHWM:")
		if _, err := fmt.Sscan(line, &peak); err != nil {
			t.Fatalf("%s: no peak in %q", runner, out)
		}
		t.Logf("%s: %.1f s, %.1f MB/s, peak memory %d MiB", runner, seconds, corpusBytes/1e6/seconds, peak>>10)
		if peak > limit {
			t.Errorf("%s: peak memory is %d MiB, want at most %d", runner, peak>>10, limit>>10)
		}
		began = time.Now()
		openSet(t, o.Dir)
		t.Logf("%s: verified in %.1f s", runner, time.Since(began).Seconds())
		got := files(t, o.Dir)
		if want == nil {
			want = got
		}
		if !maps.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", runner, got, want)
		}
	}
}

// big writes a document of about n bytes, in which lines differ.
func big(t *testing.T, n int) corpus.Document {
	t.Helper()
	file := filepath.Join(t.TempDir(), "big.txt")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriter(f)
	written := 0
	for i := 0; written < n; i++ {
		k, _ := fmt.Fprintf(w, "%d. Shall I compare thee to a summer's day %x? — Thou art more lovely, né %q.\n", i, uint32(i)*2654435761, rune('А'+i%64))
		written += k
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return corpus.Document{Name: "big.txt", Path: file, Bytes: int64(written)}
}
