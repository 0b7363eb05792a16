package crashtest_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/quire-ml/quire/runners/store/crashtest"
)

// TestDisk loses unsynced names and bytes, and no others.
func TestDisk(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	write("old", "old")
	write("replaced", "before")
	disk, err := crashtest.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	done := func(op, name string) { disk.Done(op, name, nil) }
	long := strings.Repeat("x", 2000)
	write("synced", long)
	done("create", "synced")
	done("sync", "synced")
	write("named", "bytes")
	done("create", "named")
	done("syncdir", ".")
	write("temp", "after")
	done("create", "temp")
	done("sync", "temp")
	if err := os.Rename(filepath.Join(dir, "temp"), filepath.Join(dir, "replaced")); err != nil {
		t.Fatal(err)
	}
	done("rename", "replaced")
	if err := os.Remove(filepath.Join(dir, "old")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o777); err != nil {
		t.Fatal(err)
	}
	write("folder/file", "in it")
	done("create", "folder/file")

	image := func(keep float64, seed uint64) map[string]string {
		t.Helper()
		to := filepath.Join(t.TempDir(), "image")
		if err := disk.Image(to, keep, seed); err != nil {
			t.Fatal(err)
		}
		found := map[string]string{}
		err := filepath.WalkDir(to, func(path string, e os.DirEntry, err error) error {
			if err == nil && !e.IsDir() {
				text, readErr := os.ReadFile(path)
				name, _ := filepath.Rel(to, path)
				found[name], err = string(text), readErr
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	same := func(what string, got, want map[string]string) {
		t.Helper()
		for name := range got {
			if text, ok := want[name]; !ok || text != got[name] {
				t.Errorf("%s: %s holds %.20q, want %.20q, %v", what, name, got[name], text, ok)
			}
		}
		if len(got) != len(want) {
			t.Errorf("%s: %d files, want %d", what, len(got), len(want))
		}
	}
	same("nothing kept", image(0, 1), map[string]string{"old": "old", "replaced": "before", "synced": long, "named": ""})
	same("all kept", image(1, 1), map[string]string{"replaced": "after", "synced": long, "named": "bytes", "folder/file": "in it"})
	same("the same seed", image(0.5, 7), image(0.5, 7))
	seen := map[string]bool{}
	for seed := range uint64(50) {
		got := image(0.5, seed)
		if got["synced"] != long || got["replaced"] != "before" && got["replaced"] != "after" {
			t.Errorf("seed %d: %.20q", seed, got)
		}
		seen[got["old"]+","+got["replaced"]+","+got["named"]+","+got["folder/file"]] = true
	}
	if len(seen) < 8 {
		t.Errorf("50 seeds give only %d outcomes", len(seen))
	}
}
