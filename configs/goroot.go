package configs

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// goroot is the one thing that a source may name.
const goroot = "${GOROOT}"

// Expanded returns the sources with ${GOROOT} replaced by the folder of this
// machine's Go. Where Go is not installed and a source needs it, the error says
// what to do.
func (c Corpus) Expanded() ([]string, error) {
	list, err := expand(c.Sources, findGo)
	if err != nil {
		return nil, &Error{Key: "corpus.sources", Reason: err.Error()}
	}
	return list, nil
}

func expand(list []string, find func() string) ([]string, error) {
	out := make([]string, len(list))
	for i, s := range list {
		if err := checkExpansion(s); err != nil {
			return nil, err
		}
		if out[i] = s; !strings.Contains(s, goroot) {
			continue
		}
		root := find()
		if root == "" {
			return nil, fmt.Errorf("has %s, but Go is not installed here: install it from https://go.dev/dl/, or set corpus.sources to a text of your own", quote(s))
		}
		out[i] = strings.ReplaceAll(s, goroot, root)
	}
	return out, nil
}

// checkExpansion refuses what looks like a variable but is not ${GOROOT}.
func checkExpansion(s string) error {
	if rest := strings.ReplaceAll(s, goroot, ""); strings.Contains(rest, "${") {
		return fmt.Errorf("has the item %s; only %s is expanded, write other paths out", quote(s), goroot)
	}
	return nil
}

// findGo returns the folder of an installed Go, empty when there is none. The
// go command is asked first: a binary does not know where it runs.
func findGo() string {
	cmd := exec.Command("go", "env", "GOROOT")
	cmd.Dir = os.TempDir()                              // no go.mod that asks for another Go,
	cmd.Env = append(os.Environ(), "GOTOOLCHAIN=local") // and none downloaded
	if out, err := cmd.Output(); err == nil {
		if root := strings.TrimSpace(string(out)); isGo(root) {
			return root
		}
	}
	if root := runtime.GOROOT(); isGo(root) {
		return root
	}
	return ""
}

// isGo reports whether a folder has Go's sources.
func isGo(root string) bool {
	if root == "" {
		return false
	}
	info, err := os.Stat(filepath.Join(root, "src"))
	return err == nil && info.IsDir()
}
