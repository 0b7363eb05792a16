package command_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const exportKeys = "checkpoint folder model_sha256 parameters round sha256"

// TestExport: the model of a run goes to a folder, again without --replace, and to a folder
// with other files only with it. A set is never touched.
func TestExport(t *testing.T) {
	l := newLab(t)
	l.ok("prep")
	l.ok("train", "--set", "train.epochs=1")
	out := filepath.Join(l.dir, "exported")
	first := l.result(exportKeys, "export", out)
	if again := l.result(exportKeys, "export", out); again["model_sha256"] != first["model_sha256"] || first["round"] != "" {
		t.Errorf("%v, and again %v", first, again)
	}
	if n, err := os.ReadDir(out); err != nil || len(n) != 6 {
		t.Errorf("the folder has %v: %v", n, err)
	}
	l.ok("train", "--set", "train.epochs=2")
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"export", out}, 1, "exported holds another model.safetensors: nothing there is replaced; use another folder, or --replace\n"},
		{[]string{"export", l.dir, "--which", "latest"}, 1, "which is no file of an export: nothing there is changed; use another folder, or --replace\n"},
		{[]string{"export", filepath.Join(l.work, "set"), "--replace"}, 1, "it is a set, a run or a workdir, and nothing there is changed; use another folder\n"},
		{[]string{"export"}, 2, "an argument is missing"},
		{[]string{"export", out, out}, 2, "an argument too many for `quire export`"},
		{[]string{"export", out, "--checkpoint", filepath.Join(l.dir, "none")}, 1, "train a model first"},
	} {
		if o := l.run(c.args...); o.code != c.code || !strings.Contains(o.stderr, c.want) {
			t.Errorf("want exit code %d and %q: %s", c.code, c.want, o)
		}
	}
	if o := l.ok("export", out, "--replace"); !strings.HasPrefix(o.stdout, "exported    "+out+"\ncheckpoint  ") {
		t.Errorf("%s", o)
	}
}
