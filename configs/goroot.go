package configs

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	urls "github.com/quire-ml/quire/configs/secret"
)

// goroot is the only variable in a source.
const goroot = "${GOROOT}"

// Expanded returns the sources with ${GOROOT} replaced by the folder of this
// machine's Go. Without Go, a source that needs it is an *Error that says what to
// do.
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
		if strings.Contains(s, hidden) {
			return nil, fmt.Errorf("has the item %s, a URL whose secrets quire has left out: give it with them", quote(s))
		}
		if out[i] = s; !strings.Contains(s, goroot) {
			continue
		}
		root := find()
		if root == "" {
			return nil, fmt.Errorf("has %s, but Go is not installed here: install it from https://go.dev/dl/,"+
				" or set corpus.sources to another text", quote(s))
		}
		out[i] = strings.ReplaceAll(s, goroot, root)
	}
	return out, nil
}

// checkExpansion refuses variables other than ${GOROOT}.
func checkExpansion(s string) error {
	if rest := strings.ReplaceAll(s, goroot, ""); strings.Contains(rest, "${") {
		return fmt.Errorf("has the item %s; only %s is expanded, write other paths out", quote(urls.URL(s)), goroot)
	}
	return nil
}

// findGo returns the folder of an installed Go, empty without one. It asks the go
// command first: the folder known to a binary is that of the machine it was built
// on.
func findGo() string {
	cmd := exec.Command("go", "env", "GOROOT")
	cmd.Dir = os.TempDir()                              // away from a go.mod that asks for another Go
	cmd.Env = append(os.Environ(), "GOTOOLCHAIN=local") // no download of another Go
	if out, err := cmd.Output(); err == nil {
		if root := strings.TrimSpace(string(out)); isGo(root) {
			return root
		}
	}
	//lint:ignore SA1019 without a go command, the Go that built this program is the best guess, and isGo checks it
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
