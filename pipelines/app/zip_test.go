package app_test

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/zip"
)

const modulePath = "github.com/quire-ml/quire"

// source is a file of the module, as package zip takes it.
type source struct{ name string }

func (s source) Path() string                 { return s.name }
func (s source) Lstat() (os.FileInfo, error)  { return os.Lstat(filepath.Join("../..", s.name)) }
func (s source) Open() (io.ReadCloser, error) { return os.Open(filepath.Join("../..", s.name)) }

// writeZip writes the zip of the module at a version: the working tree without what git
// ignores.
func writeZip(t *testing.T, w io.Writer, version string) {
	t.Helper()
	out, err := exec.Command("git", "-C", "../..", "ls-files", "-co", "--exclude-standard").Output()
	if err != nil {
		t.Skipf("the files of the source are not known: %v", err)
	}
	var files []zip.File
	for name := range strings.Lines(string(out)) {
		s := source{strings.TrimSpace(name)}
		if _, err := s.Lstat(); err == nil { // else deleted, and not yet committed
			files = append(files, s)
		}
	}
	if err := zip.Create(w, module.Version{Path: modulePath, Version: version}, files); err != nil {
		t.Fatal(err)
	}
}

// TestInstallable: the tree is a module that `go install …@latest` takes: a main module with a
// replace or exclude is refused, and so is a zip that is too large or has names that are no
// files elsewhere. With -tags soak, TestInstall does it.
func TestInstallable(t *testing.T) {
	data, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	f, err := modfile.Parse("go.mod", data, nil)
	if err != nil {
		t.Fatal(err)
	}
	if f.Module.Mod.Path != modulePath || len(f.Replace) > 0 || len(f.Exclude) > 0 {
		t.Errorf("module %s replaces %v and excludes %v", f.Module.Mod.Path, f.Replace, f.Exclude)
	}
	writeZip(t, io.Discard, "v0.1.0")
}
