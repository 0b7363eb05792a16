package configs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// write puts files into a new folder and returns it.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, data := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// mistake returns err as an *Error that is one line, or fails.
func mistake(t *testing.T, err error) *Error {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("error is %v, want an *Error", err)
	}
	if strings.ContainsAny(e.Error(), "\n\r") {
		t.Fatalf("error is not one line: %q", e.Error())
	}
	return e
}

// TestLayers adds one layer at a time; each must win over those before it.
func TestLayers(t *testing.T) {
	dir := write(t, map[string]string{
		"a/far.yaml": "train.lr: 0.1\n",
		"near.yaml":  "extends: a/far.yaml\ntrain: {lr: 0.2}\n",
		"own.yaml":   "extends: near.yaml\n\ntrain:\n  lr: 0.3\n",
		"empty.yaml": "name: x\n",
	})
	far, near, own := filepath.Join(dir, "a/far.yaml"), filepath.Join(dir, "near.yaml"), filepath.Join(dir, "own.yaml")
	environ := []string{"HOME=/", "QUIRE_TRAIN_LR=0.4"}
	set := []string{"train.lr=0.45", "train.lr=0.5"}
	for _, c := range []struct {
		o      Options
		want   float64
		source string
	}{
		{Options{Config: filepath.Join(dir, "empty.yaml")}, 0.001, "default"},
		{Options{Config: far}, 0.1, far + ":1"},
		{Options{Config: near}, 0.2, near + ":2"},
		{Options{Config: own}, 0.3, own + ":4"},
		{Options{Config: own, Environ: environ}, 0.4, "QUIRE_TRAIN_LR"},
		{Options{Config: own, Environ: environ, Set: set}, 0.5, "--set train.lr"},
		{Options{Config: own, Environ: environ, Set: set, Flags: []Flag{{"train.lr", "0.6", "--lr"}}}, 0.6, "--lr"},
	} {
		r, err := Load(c.o)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.last("train.lr"); r.Config.Train.LR != c.want || got.value != c.want || got.source != c.source {
			t.Errorf("%+v: lr is %v, set by %q, want %v by %q", c.o, r.Config.Train.LR, got.source, c.want, c.source)
		}
	}
}

// TestEveryLayerSetsEveryKey gives every key another value in each layer, and
// looks for it in the struct.
func TestEveryLayerSetsEveryKey(t *testing.T) {
	other := others()
	for i := range keys {
		k := &keys[i]
		file := k.name + ": " + other[k.name] + "\n"
		bare := strings.Trim(other[k.name], `"`)
		dir := write(t, map[string]string{"x.yaml": file, "y.yaml": "name: y\n"})
		plain := filepath.Join(dir, "y.yaml")
		for layer, o := range map[string]Options{
			"file":     {Config: filepath.Join(dir, "x.yaml")},
			"variable": {Config: plain, Environ: []string{k.variable() + "=" + bare}},
			"set":      {Config: plain, Set: []string{k.name + "=" + bare}},
			"flag":     {Config: plain, Flags: []Flag{{k.name, bare, "--x"}}},
		} {
			want, err := k.domain.parse(bare)
			if err != nil {
				t.Fatal(err)
			}
			if reflect.DeepEqual(want, k.initial) {
				t.Fatalf("%s: %v is the default, the test needs another value", k.name, want)
			}
			if k.name == "train.curriculum.seq_length" { // only sequences that carry the hidden can be shorter
				o.Set = append(o.Set, "train.hidden=carry")
			}
			r, err := Load(o)
			if err != nil {
				t.Errorf("%s by %s: %v", k.name, layer, err)
				continue
			}
			if got := r.Config.values()[k.name]; !reflect.DeepEqual(got, want) {
				t.Errorf("%s by %s is %#v, want %#v", k.name, layer, got, want)
			}
		}
	}
}

// others is a value in YAML for every key that is not its default.
func others() map[string]string {
	m := map[string]string{}
	for i := range keys {
		k := &keys[i]
		switch d := k.domain.(type) {
		case whole:
			m[k.name] = fmt.Sprint(max(d.lo, 7))
		case number:
			m[k.name] = "0.125"
		case truth:
			m[k.name] = "false"
		case words:
			m[k.name] = d[len(d)-1]
			if k.name == "train.device" { // gpu is not for the bf16 beside it
				m[k.name] = "cpu"
			}
		case text:
			m[k.name] = `"others"`
			switch k.name {
			case "corpus.sha256":
				m[k.name] = `"` + strings.Repeat("0f", 32) + `"`
			case "corpus.encoding":
				m[k.name] = "shift_jis"
			case "corpus.records":
				m[k.name] = `"jsonl:text"`
			case "gc.keep_within":
				m[k.name] = "2y5m7d3h"
			case "gc.keep_sweeps":
				m[k.name] = `"3c2b all"`
			case "schedule.cron":
				m[k.name] = `"*/5 1-3 * * MON"`
			case "schedule.timezone":
				m[k.name] = `"Europe/Berlin"`
			case "schedule.listen":
				m[k.name] = `":9090"`
			}
		case secret:
			m[k.name] = `"https://others.example/hook"`
			if k.name == "notify.secret" {
				m[k.name] = `"file:/run/secrets/hook"`
			}
		case sources:
			m[k.name] = "[a.txt, b.txt]"
		case list:
			m[k.name] = "[evaluate]"
		}
	}
	return m
}

func TestFind(t *testing.T) {
	dir := write(t, map[string]string{
		"base.yaml":       "name: mine\n",                                 // wins over the embedded one for its folder
		"own.yaml":        "extends: base.yaml\nworkdir: w\n",             // the file
		"bare.yaml":       "extends: base\nworkdir: w\n",                  // the embedded one
		"sub/up.yaml":     "extends: ../base.yaml\n",                      // relative to the file
		"sub/none.yaml":   "extends: base.yaml\n",                         // no such file here: the embedded one
		"quickstart":      "name: stray\n",                                // a bare name is the embedded config
		"abs.yaml":        "workdir: w\n",                                 // extended by an absolute path
		"dotted.yaml":     "{name: flow, train.lr: 1, train: {batch: 2}}", // JSON-like, mixed notation
		"bom.yaml":        "\uFEFFname: bom\n",
		"crlf.yaml":       "name: crlf\r\ntrain:\r\n  batch: 3\r\n",
		"marked.yaml":     "---\nname: marked\n...\n",
		"with/anchor.yml": "name: &n anchored\n",
	})
	abs := write(t, map[string]string{"abs2.yaml": "extends: " + filepath.Join(dir, "abs.yaml") + "\nname: two\n"})
	t.Chdir(dir)
	for config, want := range map[string][2]any{
		"":                               {"quickstart", 1.0},
		"quickstart":                     {"quickstart", 1.0},
		"quickstart.yaml":                {"quickstart", 1.0},
		"./quickstart":                   {"stray", 0.0},
		"base":                           {"experiment", 1.0},
		"base.yaml":                      {"mine", 0.0},
		"own.yaml":                       {"mine", 0.0},
		"bare.yaml":                      {"experiment", 1.0},
		"sub/up.yaml":                    {"mine", 0.0},
		"sub/none.yaml":                  {"experiment", 1.0},
		filepath.Join(abs, "abs2.yaml"):  {"two", 0.0},
		"dotted.yaml":                    {"flow", 0.0},
		"bom.yaml":                       {"bom", 0.0},
		"crlf.yaml":                      {"crlf", 0.0},
		"marked.yaml":                    {"marked", 0.0},
		filepath.Join("with/anchor.yml"): {"anchored", 0.0},
	} {
		r, err := Load(Options{Config: config})
		if err != nil {
			t.Errorf("%q: %v", config, err)
			continue
		}
		if got := [2]any{r.Config.Name, r.Config.Train.ClipNorm}; got != want {
			t.Errorf("%q: name and clip_norm are %v, want %v", config, got, want)
		}
	}
}

func TestSourcesText(t *testing.T) {
	for in, want := range map[string][]string{
		"":                         {},
		"a.txt":                    {"a.txt"},
		"a.txt,b.txt":              {"a.txt", "b.txt"},
		"a.txt, b.txt":             {"a.txt", "b.txt"},
		"[]":                       {},
		`[a, "b, c", 'd']`:         {"a", "b, c", "d"},
		"[ab]*.txt":                {"[ab]*.txt"},
		"**/*.{txt,md},b":          {"**/*.{txt,md}", "b"},
		"{a,{b,c}}, ${GOROOT}/d":   {"{a,{b,c}}", "${GOROOT}/d"},
		"a{,b":                     {"a{", "b"},
		"a},b{,c":                  {"a}", "b{", "c"},
		`["[ab]"]`:                 {"[ab]"},
		"gs://b/x,https://h/y?z=1": {"gs://b/x", "https://h/y?z=1"},
	} {
		for _, o := range []Options{{Set: []string{"corpus.sources=" + in}}, {Environ: []string{"QUIRE_CORPUS_SOURCES=" + in}}} {
			r, err := Load(o)
			if err != nil {
				t.Errorf("%q: %v", in, err)
			} else if !reflect.DeepEqual(r.Config.Corpus.Sources, want) {
				t.Errorf("%q: sources are %q, want %q", in, r.Config.Corpus.Sources, want)
			}
		}
	}
}

func TestExpanded(t *testing.T) {
	r, err := Load(Options{})
	if err != nil {
		t.Fatal(err)
	}
	list, err := r.Config.Corpus.Expanded()
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(list[0]); err != nil || info.Size() < 500_000 {
		t.Errorf("%s: %v: it must be Newton's Opticks", list[0], err)
	}
	if strings.Contains(r.Config.Corpus.Sources[0], list[0]) {
		t.Error("Expanded changed the config")
	}
	got, err := expand([]string{"a", "${GOROOT}/b", "$HOME", "x${GOROOT}"}, func() string { return "/go" })
	if want := []string{"a", "/go/b", "$HOME", "x/go"}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("expand: %q, %v, want %q", got, err, want)
	}
	none := func() string { return "" }
	if got, err := expand([]string{"a"}, none); err != nil || got[0] != "a" {
		t.Errorf("without Go: %q, %v", got, err)
	}
	if _, err := expand([]string{"${GOROOT}/b"}, none); err == nil || !strings.Contains(err.Error(), "https://go.dev/dl/") {
		t.Errorf("without Go: %v, want an error that says what to do", err)
	}
	_, err = Corpus{Sources: []string{"${HOME}/x"}}.Expanded()
	if e := mistake(t, err); e.Key != "corpus.sources" {
		t.Errorf("key is %q", e.Key)
	}
}
