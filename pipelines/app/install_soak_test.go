//go:build soak

package app_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestInstall installs quire as a user does, into an empty module cache, from a proxy of
// files: the tree as v0.1.0, and the other modules from this machine's cache.
func TestInstall(t *testing.T) {
	dir := t.TempDir()
	proxy := filepath.Join(dir, "proxy", modulePath, "@v")
	if err := os.MkdirAll(proxy, 0o755); err != nil {
		t.Fatal(err)
	}
	var zipped bytes.Buffer
	writeZip(t, &zipped, "v0.1.0")
	mod, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"list": []byte("v0.1.0\n"), "v0.1.0.info": []byte(`{"Version":"v0.1.0","Time":"2026-11-26T00:00:00Z"}`),
		"v0.1.0.mod": mod, "v0.1.0.zip": zipped.Bytes()} {
		if err := os.WriteFile(filepath.Join(proxy, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cache, err := exec.Command("go", "env", "GOMODCACHE", "GOPROXY").Output()
	if err != nil {
		t.Fatal(err)
	}
	here := strings.Split(strings.TrimSpace(string(cache)), "\n")
	bin := filepath.Join(dir, "bin")
	c := exec.Command("go", "install", modulePath+"/pipelines/quire@latest")
	c.Dir = dir // of no module
	// Writable, so that the folder can be removed; without paths, so that builds elsewhere are of use.
	c.Env = append(os.Environ(), "GOBIN="+bin, "GOMODCACHE="+filepath.Join(dir, "mod"), "GOFLAGS=-modcacherw -trimpath", "GOWORK=off", "CGO_ENABLED=0",
		"GONOSUMDB="+modulePath, "GOPROXY=file://"+filepath.Join(dir, "proxy")+",file://"+filepath.Join(here[0], "cache/download")+","+here[1])
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	c = exec.Command(filepath.Join(bin, "quire"), "version")
	c.Env = append(os.Environ(), "XDG_CACHE_HOME="+dir)
	if out, err := c.Output(); err != nil || !strings.HasPrefix(string(out), "quire     v0.1.0\n") {
		t.Errorf("%v: %s", err, out)
	}
}
