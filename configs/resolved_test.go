package configs

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite testdata")

// reload loads YAML as a file.
func reload(t *testing.T, data []byte) *Resolved {
	t.Helper()
	r, err := Load(Options{Config: filepath.Join(write(t, map[string]string{"x.yaml": string(data)}), "x.yaml")})
	if err != nil {
		t.Fatalf("%v\n%s", err, data)
	}
	return r
}

func TestYAMLGolden(t *testing.T) {
	r, err := Load(Options{Config: "tutorial"})
	if err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "tutorial.resolved.yaml")
	if *update {
		if err := os.WriteFile(golden, r.YAML(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if string(r.YAML()) != string(want) {
		t.Errorf("YAML is\n%s\nwant (-update rewrites it)\n%s", r.YAML(), want)
	}
	if again := reload(t, want); !reflect.DeepEqual(again.Config, r.Config) {
		t.Errorf("%s loads to\n%+v\nwant\n%+v", golden, again.Config, r.Config)
	}
}

// TestYAMLRoundTrip loads what YAML wrote of values that are hard to write.
func TestYAMLRoundTrip(t *testing.T) {
	texts := []string{"", " ", "ROMEO: ", "\n", "a\n", "\na\n\n", "a\n  b\n", "\t", "\r\n", "true", "null", "~", "3", "1e3", ".nan", "0x1",
		"2024-01-01", "- a", "# a", "a # b",
		"a: b", "'", `"`, `\n`, "${GOROOT}", "<<", "*a", "&a", "!a", "%a", "@a", "`a", "[a]", "{a}", "---", "...", "\x00\x01\x7f",
		"\u0085\u2028\u2029\u00a0", "\ufeff", "\ufffd\ufffe\uffff",
		"äöü", "日本語", "😀", "yes", "=", strings.Repeat("long ", 100), strings.Repeat("x", 5000) + " \n"}
	for _, s := range texts {
		r, err := Load(Options{Flags: []Flag{{"generate.prompt", s, "--prompt"}}})
		if err != nil {
			t.Errorf("%q: %v", s, err)
			continue
		}
		if got := reload(t, r.YAML()).Config; got.Generate.Prompt != s || !reflect.DeepEqual(got, r.Config) {
			t.Errorf("%q comes back as %q", s, got.Generate.Prompt)
		}
	}
	for _, set := range []string{"train.lr=1e-9", "train.lr=0.1234567890123456789", "train.clip_norm=1e6", "train.clip_norm=123456.7",
		"train.seed=-9223372036854775808",
		"prep.min_count=9223372036854775807", `corpus.sources=["a, b", "[x]", "3", "true", "#", "ä: b"]`, "corpus.sources=",
		`generate.stop=["\n\n", " a, b", "#", "ä"]`, "generate.stop=a,b", "generate.ban=\n[]",
		"train.checkpoint.keep_best=false"} {
		r, err := Load(Options{Set: []string{set}})
		if err != nil {
			t.Errorf("%q: %v", set, err)
			continue
		}
		if got := reload(t, r.YAML()).Config; !reflect.DeepEqual(got, r.Config) {
			t.Errorf("%q: comes back as %+v", set, got)
		}
	}
}

// TestValues compares Values with YAML, which a JSON reader understands too once
// it is in that notation.
func TestValues(t *testing.T) {
	r, err := Load(Options{Config: "shakespeare"})
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(r.Values())
	if err != nil {
		t.Fatal(err)
	}
	if got := reload(t, data).Config; !reflect.DeepEqual(got, r.Config) {
		t.Errorf("JSON loads to %+v, want %+v", got, r.Config)
	}
}

func TestExplain(t *testing.T) {
	dir := write(t, map[string]string{"x.yaml": "extends: base.yaml\ntrain:\n  lr: 0.01\n"})
	file := filepath.Join(dir, "x.yaml")
	r, err := Load(Options{Config: file, Environ: []string{"QUIRE_TRAIN_LR=0.02"}, Set: []string{"train.lr=0.03"}})
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string][]string{
		"train.lr": {"train.lr = 0.03\n", "set by    --set train.lr\n", "over      0.02 of QUIRE_TRAIN_LR\n", "over      0.01 of " + file +
			":3\n", "default   0.001\n", "range     number, at least 1e-09 and at most 10\n", "effect    weights\n", "variable  QUIRE_TRAIN_LR"},
		"train.clip_norm":   {"train.clip_norm = 1\n", "set by    embedded base.yaml:7\n", "default   0\n"},
		"train.batch":       {"train.batch = 64\n", "set by    default\n", "range     whole number, 1 to 65536\n"},
		"train.device":      {`train.device = "auto"`, "range     auto, cpu or gpu\n"},
		"corpus.sources":    {"corpus.sources = []\n"},
		"generate.seed":     {"range     whole number of 64 bits\n"},
		"prep.min_count":    {"range     whole number, 1 or more\n"},
		"generate.prompt":   {"range     text\n"},
		"prep.invalid_utf8": {"range     error or replace\n"},
	} {
		got, err := r.Explain(key)
		if err != nil {
			t.Error(err)
		}
		for _, w := range want {
			if !strings.Contains(got, w) {
				t.Errorf("%s: %q is missing in\n%s", key, w, got)
			}
		}
	}
	for key, want := range map[string]string{
		"train.lrr": "configs: train.lrr is an unknown key; the nearest is train.lr",
		"Train.LR":  "configs: Train.LR is an unknown key; the nearest is train.lr",
		"epochs":    "configs: epochs is an unknown key; the nearest is train.epochs",
		"model": "configs: model is a section; its keys are model.cell, model.layers, model.embedding, model.hidden, model.dropout, " +
			"model.input_dropout, model.weight_dropout, model.embedding_range",
	} {
		_, err := r.Explain(key)
		if e := mistake(t, err); e.Error() != want {
			t.Errorf("%s: %v, want %s", key, e, want)
		}
	}
}

// shown returns everything that is shown of a config, and of a key of it.
func shown(t *testing.T, r *Resolved, key string) map[string]string {
	t.Helper()
	values, err := json.Marshal(r.Values())
	if err != nil {
		t.Fatal(err)
	}
	config, err := json.Marshal(&r.Config)
	if err != nil {
		t.Fatal(err)
	}
	explained, err := r.Explain(key)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]string{"YAML": string(r.YAML()), "Over": string(r.Over("")), "Values": string(values), "JSON": string(config), "Explain": explained}
}

// TestSecrets looks for a secret in everything that is shown of a config.
func TestSecrets(t *testing.T) {
	const webhook = "https://hooks.example/T0/s3cr3t"
	r, err := Load(Options{Environ: []string{"QUIRE_NOTIFY_WEBHOOK=" + webhook}, Set: []string{"notify.command=mail s3cr3t", "notify.secret=file:s3cr3t"}})
	if err != nil {
		t.Fatal(err)
	}
	if r.Config.Notify.Webhook != webhook || r.Config.Notify.Command != "mail s3cr3t" || r.Config.Notify.Secret != "file:s3cr3t" {
		t.Fatalf("notify is %+v", r.Config.Notify)
	}
	for what, text := range shown(t, r, "notify.webhook") {
		if strings.Contains(text, "s3cr3t") || !strings.Contains(text, "secret") {
			t.Errorf("%s shows the secret, or does not say that there is one: %s", what, text)
		}
	}
	again := reload(t, r.YAML()).Config
	if again.Notify != (Notify{AfterSlots: 3}) {
		t.Errorf("YAML loads to %+v", again.Notify)
	}
	for _, set := range []string{"notify.webhook=ftp://s3cr3t", "notify.webhook=s3cr3t", "notify.command=s3cr3t\nrm", "notify.webhook=(secret)",
		"notify.command=(secret)", "notify.secret=s3cr3t", "notify.secret=whsec_s3cr3t", "notify.secret=file:s3cr3t\nx", "notify.secret=(secret)"} {
		_, err := Load(Options{Set: []string{set}})
		if key, _, _ := strings.Cut(set, "="); mistake(t, err).Key != key || strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("%s: %v", set, err)
		}
	}
}

// TestSecretsOfSources looks for the secrets of a source's URL in everything that is shown of
// a config. The URL itself is read, and a config without the secrets is not.
func TestSecretsOfSources(t *testing.T) {
	const source, safe = "https://me:s3cr3t@h/x.txt?sig=s3cr3t#s3cr3t", "https://(secret)@h/x.txt?(secret)#(secret)"
	r, err := Load(Options{Set: []string{"corpus.sources=[other.txt, '" + source + "']"}})
	if err != nil {
		t.Fatal(err)
	}
	if list, err := r.Config.Corpus.Expanded(); err != nil || list[1] != source {
		t.Errorf("the sources are %q, %v", list, err)
	}
	for what, text := range shown(t, r, "corpus.sources") {
		if strings.Contains(text, "s3cr3t") || !strings.Contains(text, safe) || !strings.Contains(text, "other.txt") {
			t.Errorf("%s shows the secret, or not the rest: %s", what, text)
		}
	}
	again := reload(t, r.YAML()).Config
	_, err = again.Corpus.Expanded()
	if want := `configs: corpus.sources has the item "` + safe + `", a URL whose secrets quire has left out: give it with them`; err == nil ||
		err.Error() != want {
		t.Errorf("the sources that YAML loads to are %q, %v", again.Corpus.Sources, err)
	}
	for _, set := range []string{"corpus.sources " + source, "corpus.sources=" + source + "${X}", "corpus.sources=['" + source + "]", "train.lr=" + source} {
		_, err := Load(Options{Set: []string{set}})
		if e := mistake(t, err); strings.Contains(e.Error(), "s3cr3t") {
			t.Errorf("%s: %v", set, err)
		}
	}
}

// TestOver loads configs that extend another one and have what differs.
func TestOver(t *testing.T) {
	dir := write(t, map[string]string{"base.yaml": "extends: shakespeare\ntrain: {lr: 0.5}\n",
		"grid.yaml":   "extends: base.yaml\nsweep: {train.lr: [0.1, 0.2]}\n",
		"broken.yaml": "train: {epochs: 2}\nmodel: {cell: none}\n"})
	grid := filepath.Join(dir, "grid.yaml")
	r, err := Load(Options{Config: grid, Environ: []string{"QUIRE_TRAIN_EPOCHS=7", "QUIRE_NOTIFY_WEBHOOK=https://secret.example"},
		Set: []string{"prep.seed=3"}})
	if err != nil {
		t.Fatal(err)
	}
	trials, err := r.Trials()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		r            *Resolved
		config, want string
	}{
		{trials[1].Resolved, grid, "# notify.webhook is set, and secret\nextends: " + grid +
			"\nprep:\n  seed: 3\ntrain:\n  epochs: 7\n  lr: 0.2\nsweep:\n  train.lr: []\n"},
		{r, grid, "# notify.webhook is set, and secret\nextends: " + grid + "\nprep:\n  seed: 3\ntrain:\n  epochs: 7\n"},
		{resolvedOf(t, Options{}), "", "extends: quickstart\n"},
		{resolvedOf(t, Options{Config: "tutorial", Set: []string{"train.seed=9"}}), "tutorial", "extends: tutorial\ntrain:\n  seed: 9\n"},
		{resolvedOf(t, Options{Config: "tutorial", Set: []string{"corpus.sources=a.txt", "corpus.sha256="}}), "tutorial",
			"extends: tutorial\ncorpus:\n  sources: [a.txt]\n  sha256: \"\"\n"},
	} {
		text := string(c.r.Over(c.config))
		if text != c.want {
			t.Errorf("over %q:\n%swant\n%s", c.config, text, c.want)
		}
		again := reload(t, []byte(text)).Config
		if again.Notify = c.r.Config.Notify; !reflect.DeepEqual(again, c.r.Config) {
			t.Errorf("over %q: %s loads to another config", c.config, text)
		}
	}
	// A base that is none by itself, and one that has gone.
	for _, config := range []string{filepath.Join(dir, "broken.yaml"), filepath.Join(dir, "none.yaml")} {
		if got := r.Over(config); string(got) != string(r.YAML()) {
			t.Errorf("over %s:\n%s", config, got)
		}
	}
}

func resolvedOf(t *testing.T, o Options) *Resolved {
	t.Helper()
	r, err := Load(o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestPortable: the config of a run does not say where it was trained, and has every
// other key.
func TestPortable(t *testing.T) {
	here, err := Load(Options{Config: "tutorial"})
	if err != nil {
		t.Fatal(err)
	}
	there, err := Load(Options{Config: "tutorial", Set: []string{"node.kind=command", "node.launch=ssh,gpu1", "node.stages=train,evaluate",
		"node.binary=copy", "node.template=job.yaml", "node.namespace=ml", "node.parallel=4"}})
	if err != nil {
		t.Fatal(err)
	}
	if string(here.Portable()) != string(there.Portable()) {
		t.Errorf("the config of a run on a node is\n%s\nand of one here\n%s", there.Portable(), here.Portable())
	}
	again := reload(t, here.Portable())
	if !reflect.DeepEqual(again.Config, here.Config) {
		t.Errorf("the config loads to\n%+v\nwant\n%+v", again.Config, here.Config)
	}
}

func TestNodeRuns(t *testing.T) {
	for _, test := range []struct {
		node  Node
		stage string
		want  bool
	}{
		{Node{Kind: CommandNode, Stages: []string{"train"}}, "train", true},
		{Node{Kind: CommandNode, Stages: []string{"train"}}, "evaluate", false},
		{Node{Kind: NoNode, Stages: []string{"train"}}, "train", false},
	} {
		if got := test.node.Runs(test.stage); got != test.want {
			t.Errorf("%+v runs %s: %v", test.node, test.stage, got)
		}
	}
}
