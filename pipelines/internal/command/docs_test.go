package command_test

import (
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestDocs writes the man pages and completions, twice the same, and has man and the shells
// read them where they are there.
func TestDocs(t *testing.T) {
	l := newLab(t)
	var first map[string]string
	dir := filepath.Join(l.dir, "docs")
	for range 2 {
		if o := l.finish(l.bare("docs", dir)); o.code != 0 {
			t.Fatalf("%s", o)
		}
		files := map[string]string{}
		for _, pattern := range []string{"man/man1/*", "completions/*"} {
			names, err := filepath.Glob(filepath.Join(dir, pattern))
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range names {
				files[filepath.Base(name)] = l.read(name)
			}
		}
		if first != nil && !maps.Equal(files, first) {
			t.Error("the files differ the second time")
		}
		first = files
	}
	for _, name := range []string{"quire.1", "quire-run.1", "quire-runs-list.1", "quire-export.1", "quire", "_quire", "quire.fish"} {
		if first[name] == "" {
			t.Errorf("there is no %s in %q", name, slices.Sorted(maps.Keys(first)))
		}
	}
	for _, want := range []string{".TH \"QUIRE\\-GENERATE\" 1 ", ".SH NAME\nquire\\-generate \\- Write text with a model\n", "\\fB\\-\\-top\\-k\\fR",
		"in bash $\\(aq\\exff\\exd7\\(aq. ", "\n.SH EXAMPLES\n.nf\n  generate \\-\\-config"} {
		if !strings.Contains(first["quire-generate.1"], want) {
			t.Errorf("quire-generate.1 has no %q: %s", want, first["quire-generate.1"])
		}
	}
	if _, hidden := first["quire-docs.1"]; hidden || strings.Contains(first["quire.1"], "\n.B docs\n") {
		t.Error("the hidden command has a page")
	}
	lacks := map[string]bool{}
	check := func(name string, args ...string) {
		c := exec.Command(name, args...)
		if _, err := exec.LookPath(name); err != nil && !lacks[name] {
			lacks[name] = true
			t.Logf("SKIPPED, %s: %v", name, err)
		} else if err != nil {
			return
		} else if out, err := c.CombinedOutput(); err != nil || strings.Contains(string(out), "warning") {
			t.Errorf("%s %q: %v: %s", name, args, err, out)
		}
	}
	for name := range first {
		if strings.HasSuffix(name, ".1") {
			check("groff", "-man", "-ww", "-z", "-T", "utf8", filepath.Join(dir, "man/man1", name))
			check("mandoc", "-T", "lint", "-W", "warning", filepath.Join(dir, "man/man1", name))
		}
	}
	check("bash", "-n", filepath.Join(dir, "completions/quire"))
	check("zsh", "-n", filepath.Join(dir, "completions/_quire"))
	check("fish", "-n", filepath.Join(dir, "completions/quire.fish"))
}
