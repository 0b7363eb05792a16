package corpus_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/quire-ml/quire/transforms/corpus"
	"github.com/quire-ml/quire/transforms/vocab"
)

// A folder becomes documents, named by their paths below it. Ranges of 7 bytes own the
// characters that start in them: é starts at byte 6 and ends behind its range.
func ExampleResolve() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	for name, text := range map[string]string{"plays/b.txt": "Exit.", "a.txt": "Un café.", ".notes": "hidden"} {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			fmt.Println(err)
			return
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			fmt.Println(err)
			return
		}
	}
	docs, err := corpus.Resolve(ctx, []string{dir}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	var r corpus.Reader
	defer r.Close()
	for i, d := range docs {
		fmt.Println(d.Name, d.Bytes, "bytes")
		for at := int64(0); at < d.Bytes; at += 7 {
			rng := corpus.Range{Doc: int64(i), Document: d, Offset: at, Length: min(7, d.Bytes-at)}
			text, err := r.Text(ctx, rng, corpus.Form{Unit: vocab.Rune}, 0)
			if err != nil {
				fmt.Println(err)
				return
			}
			fmt.Printf("  %q\n", text.Owned())
		}
	}
	// Output:
	// a.txt 9 bytes
	//   "Un café"
	//   "."
	// plays/b.txt 5 bytes
	//   "Exit."
}
