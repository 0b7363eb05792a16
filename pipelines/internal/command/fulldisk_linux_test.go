package command_test

import (
	"path/filepath"
	"slices"
	"syscall"
	"testing"
)

// TestFullFileSystem fills a file system, where one may be mounted. Elsewhere
// TestFullDisk does the same by a limit of the process.
func TestFullFileSystem(t *testing.T) {
	l := newLab(t)
	l.ok("prep")
	small := t.TempDir()
	if err := syscall.Mount("tmpfs", small, "tmpfs", 0, "size=16k"); err != nil {
		t.Skipf("a small file system cannot be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(small, 0); err != nil {
			t.Error(err)
		}
	})
	l.fails(1, []string{small, " kB are free there; make room"}, "prep", "--out", filepath.Join(small, "set"))
	l.fails(1, []string{small, "no space left", "make room"}, "train", "--out", filepath.Join(small, "run"), "--set", "model.hidden=64")
	for _, name := range l.files(small) {
		// .prep.json and run.json say that quire has made the folder.
		if !slices.Contains([]string{"config.yaml", "metrics.jsonl", ".prep.json", "run.json"}, filepath.Base(name)) {
			t.Errorf("a file is left under the name %s", name)
		}
	}
}
