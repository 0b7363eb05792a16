package node

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
)

// A Build says which program a process is.
type Build struct {
	Version  string `json:"version"`  // of the module; (devel) for a build of a working tree
	Revision string `json:"revision"` // of the source; empty where the build did not note it
	Modified bool   `json:"modified"` // the source had changes beside the revision
	Platform string `json:"platform"` // linux/amd64
	SHA256   string `json:"sha256"`   // of the program's file
}

// devel is the version of a build of a working tree.
const devel = "(devel)"

// ThisBuild returns the build of this process. It reads the program's file, once.
func ThisBuild() (Build, error) { return thisBuild() }

var thisBuild = sync.OnceValues(func() (Build, error) {
	b := Build{Version: devel, Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if info, ok := debug.ReadBuildInfo(); ok {
		b.Version = info.Main.Version
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				b.Revision = s.Value
			case "vcs.modified":
				b.Modified = s.Value == "true"
			}
		}
	}
	f, err := openProgram()
	if err != nil {
		return b, err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return b, fmt.Errorf("node: this program: %w", err)
	}
	b.SHA256 = hex.EncodeToString(h.Sum(nil))
	return b, nil
})

// openProgram opens the file of this program.
func openProgram() (*os.File, error) {
	path, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("node: this program: %w", err)
	}
	if runtime.GOOS == "linux" {
		path = "/proc/self/exe" // also where the file was replaced since
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("node: this program: %w", err)
	}
	return f, nil
}

// Same reports whether two programs make the same bytes for certain: they are the same
// file, or builds of the same release or of the same clean revision, also for different
// machines.
func (b Build) Same(other Build) bool {
	switch {
	case b.SHA256 != "" && b.SHA256 == other.SHA256:
		return true
	case b.Version != other.Version || b.Revision != other.Revision || b.Modified || other.Modified:
		return false
	}
	return b.Revision != "" || b.Version != "" && b.Version != devel
}

// String names the build: its version and revision, or its digest where it has neither.
func (b Build) String() string {
	switch {
	case b.Revision != "" && b.Modified:
		return fmt.Sprintf("%s of revision %.12s, modified, sha256 %.12s", b.Version, b.Revision, b.SHA256)
	case b.Revision != "":
		return fmt.Sprintf("%s of revision %.12s", b.Version, b.Revision)
	case b.Version == devel || b.Version == "":
		return fmt.Sprintf("%s of sha256 %.12s", devel, b.SHA256)
	}
	return b.Version
}
