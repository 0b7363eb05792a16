package prepare

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/quire-ml/quire/transforms/corpus"
)

// BenchmarkSet makes a set of 128 MB: the Go sources, again and again, as they
// are and with some letters replaced by longer ones.
func BenchmarkSet(b *testing.B) {
	const corpusBytes = 128e6
	var sources strings.Builder
	for _, dir := range []string{"runtime", "net/http", "go/types", "reflect", "os", "time"} {
		//lint:ignore SA1019 tests run where Go is
		names, err := filepath.Glob(filepath.Join(runtime.GOROOT(), "src", dir, "*.go"))
		if err != nil || len(names) == 0 {
			b.Fatalf("no sources of %s: %v", dir, err)
		}
		for _, name := range names {
			data, err := os.ReadFile(name)
			if err != nil {
				b.Fatal(err)
			}
			sources.Write(data)
		}
	}
	ascii := strings.ToValidUTF8(strings.Map(func(c rune) rune { return min(c, 'z') }, sources.String()), "")
	for _, c := range []struct{ name, text string }{
		{"ascii", ascii},
		{"unicode", strings.NewReplacer("a", "а", "q", "中", "x", "é").Replace(ascii)},
	} {
		all := strings.Repeat(c.text, 1+int(corpusBytes)/len(c.text))[:int(corpusBytes)]
		docs := write(b, text{"a.txt", strings.ToValidUTF8(all, "?")})
		if _, err := corpus.Digests(b.Context(), docs); err != nil {
			b.Fatal(err)
		}
		for _, runner := range []string{"direct", "prism"} {
			b.Run(c.name+"/"+runner, func(b *testing.B) {
				b.SetBytes(docs[0].Bytes)
				for b.Loop() {
					made(b, runner, docs, Options{SeqLength: 100, Seed: 1, Shards: 4})
				}
			})
		}
	}
}
