package stages

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/quire-ml/quire/pipelines/internal/tiny"
)

// put writes texts below a folder.
func put(t *testing.T, dir string, texts map[string]string) {
	t.Helper()
	for name, text := range texts {
		file := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o777), os.WriteFile(file, []byte(text), 0o666)); err != nil {
			t.Fatal(err)
		}
	}
}

// contents returns the texts below a folder by name.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	texts := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		texts[name] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return texts
}

// TestForeign: a folder with files of others is refused by prep and train, as it is.
func TestForeign(t *testing.T) {
	c := tiny.Config(t, tiny.Line())
	set := prepared(t, c)
	for name, text := range map[string]string{"train-00000-of-00002.tfrecord": "x", "vocab.json": "{}", "notes": "x", "manifest.json": `{"name": "app"}`,
		".parts/mine": "x", "sub/notes": "x", "run.json": `{"run": 1}`, "latest.json": `{}`, "config.yaml": "x", "checkpoints/step-00000001.safetensors": "x",
		"events.out.tfevents.1700000000.host": "x", "metrics.jsonl": "x"} {
		dir := filepath.Join(t.TempDir(), "out")
		put(t, dir, map[string]string{name: text})
		for _, replace := range []bool{false, true} {
			var foreign *ForeignError
			_, _, err := prep(t, c, func(o *PrepOptions) { o.Out, o.Replace, o.Fresh = dir, replace, replace })
			if !errors.As(err, &foreign) || foreign.Dir != dir || foreign.File != strings.Split(name, "/")[0] {
				t.Errorf("prep to a folder with %s: %v", name, err)
			}
			_, err = Train(t.Context(), c, TrainOptions{Set: set, Out: dir, Replace: replace, Fresh: replace, Console: tiny.Console()})
			if !errors.As(err, &foreign) || foreign.File != strings.Split(name, "/")[0] {
				t.Errorf("train in a folder with %s: %v", name, err)
			}
			if got := contents(t, dir); !maps.Equal(got, map[string]string{name: text}) {
				t.Errorf("the folder with %s has %q now", name, got)
			}
		}
	}
	dir := filepath.Join(t.TempDir(), "out")
	put(t, dir, map[string]string{".gitignore": "x"})
	if _, _, err := prep(t, c, func(o *PrepOptions) { o.Out = dir }); err != nil {
		t.Errorf("prep to a folder with .gitignore: %v", err)
	}
	dir = filepath.Join(t.TempDir(), "out")
	put(t, dir, map[string]string{"pins.txt": "7\n"})
	if _, err := Train(t.Context(), c, TrainOptions{Set: set, Out: dir, Console: tiny.Console()}); err != nil {
		t.Errorf("train in a folder with pins.txt: %v", err)
	}
}

// TestForeignBeside: prep and train delete what they have made, and nothing beside it.
func TestForeignBeside(t *testing.T) {
	c := tiny.Config(t, tiny.Line(), "prep.shards=3")
	dir := prepared(t, c)
	others := map[string]string{"train-00000-of-00002.tfrecord": "x", "validation-00000-of-00009.tfrecord": "y", "test-00000-of-00003.tfrecord": "z", "notes": "w"}
	put(t, dir, others)
	check := func(what string, want int) {
		t.Helper()
		got := contents(t, dir)
		shards := 0
		for name := range got {
			if strings.HasPrefix(name, "train-") {
				shards++
			}
		}
		for name, text := range others {
			if got[name] != text {
				t.Errorf("%s: %s is %q now", what, name, got[name])
			}
		}
		if shards != want+1 {
			t.Errorf("%s: %d shards of training, want %d", what, shards, want+1)
		}
	}
	for shards, replace := range map[string]func(o *PrepOptions){"5": func(o *PrepOptions) { o.Replace = true }, "4": func(o *PrepOptions) { o.Fresh = true }} {
		c.Prep.Shards = int(shards[0] - '0')
		if _, _, err := prep(t, c, replace); err != nil {
			t.Fatal(err)
		}
		check("replaced by "+shards, c.Prep.Shards)
	}
	// A set whose manifest is lost is made again; its mark says which shards are of it.
	if err := os.Remove(filepath.Join(dir, "manifest.json")); err != nil {
		t.Fatal(err)
	}
	c.Prep.Shards = 2
	delete(others, "train-00000-of-00002.tfrecord") // the set to be made has this name
	if err := os.Remove(filepath.Join(dir, "train-00000-of-00002.tfrecord")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := prep(t, c, nil); err != nil {
		t.Fatal(err)
	}
	check("without a manifest", 1)

	run := filepath.Join(t.TempDir(), "run")
	train := func(fresh bool) {
		t.Helper()
		if _, err := Train(t.Context(), c, TrainOptions{Set: dir, Out: run, Fresh: fresh, Console: tiny.Console()}); err != nil {
			t.Fatal(err)
		}
	}
	train(false)
	mine := map[string]string{"checkpoints/mine.safetensors": "x", "events.out.tfevents.1700000000.host": "y", "notes": "z"}
	put(t, run, mine)
	train(true)
	for name, text := range mine {
		if got := contents(t, run)[name]; got != text {
			t.Errorf("a fresh training: %s is %q now", name, got)
		}
	}
}

// TestOwned: in a folder named by its key, prep makes a set again without manifest and mark.
func TestOwned(t *testing.T) {
	c := tiny.Config(t, tiny.Line())
	dir := prepared(t, c)
	whole := contents(t, dir)
	for _, name := range []string{"manifest.json", leaseName} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	var foreign *ForeignError
	if _, _, err := prep(t, c, nil); !errors.As(err, &foreign) {
		t.Errorf("not owned: %v", err)
	}
	if _, _, err := prep(t, c, func(o *PrepOptions) { o.Owned = true }); err != nil || !maps.Equal(whole, contents(t, dir)) {
		t.Errorf("owned: %v; files %d, want %d", err, len(contents(t, dir)), len(whole))
	}
	// What is missing is made again, and nothing else is written.
	for name := range whole {
		if name == leaseName {
			continue
		}
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
		res, _, err := prep(t, c, nil)
		if err != nil || res.Skipped || !maps.Equal(whole, contents(t, dir)) {
			t.Errorf("without %s: %+v, %v", name, res, err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, leaseName), []byte("{}"), 0o666); err != nil {
		t.Fatal(err)
	}
	if res, _, err := prep(t, c, nil); err != nil || !res.Skipped {
		t.Errorf("a whole set whose mark is damaged: %+v, %v", res, err)
	}
}
