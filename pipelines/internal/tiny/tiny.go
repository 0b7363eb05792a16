// Package tiny holds configs whose corpora are small, untrained models, and a stand-in for
// GPUs, for tests alone.
package tiny

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/pipelines/report"
)

// Console drops what it is told.
func Console() *report.Console { return report.NewConsole(io.Discard, true) }

// Config is a config for one document, in a temporary folder, with settings
// such as "train.epochs=1".
func Config(t *testing.T, text string, set ...string) *configs.Config {
	t.Helper()
	return Documents(t, map[string]string{"book.txt": text}, set...)
}

// Line is a text that trains in no time.
func Line() string { return strings.Repeat("to be or not to be, that is the question. ", 40) }

// Documents is a config for documents, texts by name.
func Documents(t *testing.T, texts map[string]string, set ...string) *configs.Config {
	t.Helper()
	dir := t.TempDir()
	for name, text := range texts {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	r, err := configs.Load(configs.Options{Config: "quickstart", Set: append([]string{
		"workdir=" + filepath.Join(dir, "work"), "corpus.sources=" + dir + "/*.txt", "prep.seq_length=10", "model.hidden=8",
		"model.embedding=4", "train.batch=4", "train.epochs=2", "generate.prompt=to", "generate.length=20"}, set...)})
	if err != nil {
		t.Fatal(err)
	}
	return &r.Config
}
