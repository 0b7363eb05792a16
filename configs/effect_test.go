package configs

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// loaded returns the config of a name and --set flags.
func loaded(t *testing.T, config string, set ...string) *Config {
	t.Helper()
	r, err := Load(Options{Config: config, Set: set})
	if err != nil {
		t.Fatal(err)
	}
	return &r.Config
}

// TestEffects holds the columns of effects complete and free of contradiction.
func TestEffects(t *testing.T) {
	all := []Effect{Data, Weights, Course, Kept, Verdict, Text, None}
	for i := range keys {
		k := &keys[i]
		if !slices.Contains(all, k.effect) || Effects()[k.name] != k.effect {
			t.Errorf("%s has the effect %q, want one of %v", k.name, k.effect, all)
		}
		if k.always != notDefault && (k.effect == None || k.place) {
			t.Errorf("%s is in digests, but has the effect %s, place %v", k.name, k.effect, k.place)
		}
		if k.always == inIdentity && k.effect != Weights && k.effect != Course {
			t.Errorf("%s is in the identity of checkpoints, but has the effect %s", k.name, k.effect)
		}
		if k.with != "" && keyByName[k.with] == nil {
			t.Errorf("%s goes with %s, an unknown key", k.name, k.with)
		}
		if over := keyByName[k.over]; k.over != "" && (over == nil || over.effect != Course || !slices.Contains(k.unless, k.initial)) {
			t.Errorf("%s follows a course over %s, unless %v", k.name, k.over, k.unless)
		}
		for _, v := range k.unless {
			if err := k.domain.check(v); err != nil || k.over == "" {
				t.Errorf("%s follows a course over %q unless it is %v: %v", k.name, k.over, v, err)
			}
		}
		for _, a := range k.also {
			if near := nearestKey(a); near != k.name {
				t.Errorf("%s is also called %s, but the nearest key is %s", k.name, a, near)
			}
		}
	}
}

// firstKeys are the keys of prep, train, gate and sample in the first release.
// The list is frozen: a key that is added to it makes every round of before run
// again. A younger key is in the keys of stages only with another value than its
// default.
var firstKeys = map[Effect]string{
	Data: `prep.seq_length prep.stride prep.unit prep.normalize prep.invalid_utf8 prep.min_count prep.validation.fraction prep.validation.by
		prep.test.fraction prep.seed prep.shards`,
	Weights: `model.cell model.layers model.embedding model.hidden model.dropout model.input_dropout model.weight_dropout train.batch train.hidden
		train.lr train.schedule train.warmup_steps train.clip_norm train.weight_decay train.average train.seed train.curriculum.seq_length
		train.curriculum.epochs train.curriculum.sampling train.precision`,
	Course: `train.epochs`,
	Kept:   `train.max_steps train.checkpoint.keep_best train.early_stop.patience`,
	Text:   `generate.prompt generate.length generate.temperature generate.top_k generate.top_p generate.seed`,
	Verdict: `gate.margin gate.max_gap gate.samples gate.length gate.temperature gate.max_loop gate.min_coverage gate.max_span gate.max_copied_20
		gate.max_copied_50 gate.max_leaked`,
}

func TestKeysOf(t *testing.T) {
	c := loaded(t, "base")
	for effect, want := range firstKeys {
		if got := c.KeysOf(effect); !slices.Equal(got, strings.Fields(want)) {
			t.Errorf("keys of %s are\n%v, want\n%v", effect, got, strings.Fields(want))
		}
	}
}

// TestHeld: a digest holds a key with another value than its default, and the
// default of those keys that it has always held.
func TestHeld(t *testing.T) {
	names := []hold{notDefault, inKeys, inIdentity}
	for _, always := range names {
		k := key{name: "train.x", initial: 0.5, effect: Weights, always: always}
		for _, in := range names[1:] {
			if !k.heldIn(in, map[string]any{"train.x": 0.25}) {
				t.Errorf("always %d: digest %d is without the value 0.25", always, in)
			}
			if got, want := k.heldIn(in, map[string]any{"train.x": 0.5}), always >= in; got != want {
				t.Errorf("always %d: digest %d holds the default: %v, want %v", always, in, got, want)
			}
		}
	}
	k := key{name: "train.x", initial: int64(1), effect: Weights, with: "train.average"}
	for average, want := range map[float64]bool{0: false, 0.5: true} {
		if got := k.heldIn(inKeys, map[string]any{"train.x": int64(2), "train.average": average}); got != want {
			t.Errorf("held with train.average %v: %v, want %v", average, got, want)
		}
	}
}

// TestIdentity pins the config in checkpoints: keys that are younger than the
// first checkpoints are there only with another value than their default.
func TestIdentity(t *testing.T) {
	const quickstart = `{"model":{"cell":"gru","dropout":0,"embedding":64,"hidden":256,"layers":1},"train":{"batch":16,"clip_norm":1,"epochs":6,"lr":0.002,"precision":"fp32","schedule":"constant","seed":1,"warmup_steps":0,"weight_decay":0}}`
	for _, test := range []struct{ set, from, want string }{
		{"name=x", "", quickstart},
		{"train.max_steps=9 train.checkpoint.keep_best=false train.early_stop.patience=2 train.curriculum.epochs=4 train.from=run", "", quickstart},
		{"train.from=run", "0a", strings.Replace(quickstart, `"lr"`, `"from":"0a","lr"`, 1)},
		{"train.hidden=carry", "", strings.Replace(quickstart, `"lr"`, `"hidden":"carry","lr"`, 1)},
		{"train.average=0.99", "", strings.Replace(quickstart, `"batch"`, `"average":0.99,"batch"`, 1)},
		{"train.curriculum.sampling=0.25", "", strings.Replace(quickstart, `"epochs"`, `"curriculum":{"sampling":0.25},"epochs"`, 1)},
		{"train.hidden=carry train.curriculum.seq_length=7", "", strings.NewReplacer(`"epochs"`, `"curriculum":{"epochs":1,"seq_length":7},"epochs"`,
			`"lr"`, `"hidden":"carry","lr"`).Replace(quickstart)},
		{"model.input_dropout=0.1 model.weight_dropout=0.2", "", strings.NewReplacer(`"layers":1`,
			`"input_dropout":0.1,"layers":1,"weight_dropout":0.2`).Replace(quickstart)},
		{"model.embedding_range=0.4", "", strings.Replace(quickstart, `"hidden"`, `"embedding_range":0.4,"hidden"`, 1)},
	} {
		got, err := loaded(t, "quickstart", strings.Fields(test.set)...).Identity(test.from)
		if err != nil || string(got) != test.want {
			t.Errorf("%s: %v\n%s, want\n%s", test.set, err, got, test.want)
		}
	}
}

// TestFree: a training may have more epochs only while nothing stretches over
// all of them.
func TestFree(t *testing.T) {
	for set, want := range map[string]string{
		"name=x":                                         "[train.epochs]",
		"train.schedule=plateau":                         "[train.epochs]",
		"train.schedule=cosine":                          "[]",
		"train.curriculum.sampling=1":                    "[]",
		"train.schedule=cosine train.warmup_steps=3":     "[]",
		"train.hidden=carry train.curriculum.epochs=2":   "[train.epochs]",
		"train.max_steps=9 train.early_stop.patience=2":  "[train.epochs]",
		"train.hidden=carry train.curriculum.sampling=0": "[train.epochs]",
	} {
		if got := fmt.Sprint(loaded(t, "quickstart", strings.Fields(set)...).Free()); got != want {
			t.Errorf("%s: %s may change, want %s", set, got, want)
		}
	}
}

func TestDifferences(t *testing.T) {
	c := loaded(t, "quickstart", "prep.seed=2", "prep.shards=3", "train.lr=0.1", "prep.out=x", "corpus.sources=a", "train.from=b", "train.epochs=2")
	old := loaded(t, "quickstart")
	if got, want := fmt.Sprint(c.Differences(old, Data)), "[prep.seed: was 1, is 2 prep.shards: was 0, is 3]"; got != want {
		t.Errorf("differences are %s, want %s", got, want)
	}
	if got, want := fmt.Sprint(c.Differences(old, Weights, Course)), "[train.epochs: was 6, is 2 train.lr: was 0.002, is 0.1]"; got != want {
		t.Errorf("differences are %s, want %s", got, want)
	}
}

// TestAxes: a sweep may vary exactly the keys that change a model.
func TestAxes(t *testing.T) {
	var got []string
	for i := range axes {
		got = append(got, strings.TrimPrefix(axes[i].name, sweepPrefix))
	}
	younger := []string{"prep.pack=newline", "model.embedding_range=0.4"}
	want := loaded(t, "base", younger...).KeysOf(Data, Weights, Course, Kept)
	if !slices.Equal(got, want) {
		t.Errorf("axes are\n%v, want\n%v", got, want)
	}
}

// TestDigestOfSources: a digest belongs to the sources that are set beside it.
func TestDigestOfSources(t *testing.T) {
	const tutorial = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
	other := strings.Repeat("0f", 32)
	dir := write(t, map[string]string{
		"sources.yaml": "extends: tutorial\ncorpus: {sources: [mine.txt]}\n",
		"both.yaml":    "extends: tutorial\ncorpus: {sources: [mine.txt], sha256: " + other + "}\n",
		"other.yaml":   "extends: tutorial\nname: x\n",
		"over.yaml":    "extends: both.yaml\ncorpus.sources: [theirs.txt]\n",
	})
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, test := range []struct {
		o    Options
		want string
	}{
		{Options{Config: "tutorial"}, tutorial},
		{Options{Config: at("other.yaml")}, tutorial},
		{Options{Config: at("sources.yaml")}, ""},
		{Options{Config: at("both.yaml")}, other},
		{Options{Config: at("over.yaml")}, ""},
		{Options{Config: "tutorial", Set: []string{"corpus.sources=mine.txt"}}, ""},
		{Options{Config: "tutorial", Set: []string{"corpus.sha256=" + other, "corpus.sources=mine.txt"}}, other},
		{Options{Config: "tutorial", Set: []string{"corpus.sha256=" + other}}, other},
		{Options{Config: "tutorial", Environ: []string{"QUIRE_CORPUS_SOURCES=mine.txt"}}, ""},
		{Options{Config: "tutorial", Environ: []string{"QUIRE_CORPUS_SOURCES=mine.txt"}, Set: []string{"corpus.sha256=" + other}}, other},
		{Options{Config: "tutorial", Environ: []string{"QUIRE_CORPUS_SHA256=" + other}, Set: []string{"corpus.sources=mine.txt"}}, ""},
		{Options{Config: "tutorial", Flags: []Flag{{"corpus.sources", "a,b", "--text"}}}, ""},
	} {
		r, err := Load(test.o)
		if err != nil {
			t.Errorf("%+v: %v", test.o, err)
		} else if r.Config.Corpus.SHA256 != test.want {
			t.Errorf("%+v: the digest is %q, want %q", test.o, r.Config.Corpus.SHA256, test.want)
		}
	}
	for _, test := range []struct {
		o    Options
		want string
	}{
		{Options{Config: "tutorial", Set: []string{"corpus.sources=a"}},
			"corpus.sha256 = \"\"\n  set by    --set corpus.sources, with other sources\n  over      \"" + tutorial + "\" of embedded tutorial.yaml:"},
		{Options{Config: at("sources.yaml")}, "set by    " + at("sources.yaml") + ":2, with other sources\n"},
		{Options{Config: "quickstart", Set: []string{"corpus.sources=a"}}, "set by    default\n"},
	} {
		r, err := Load(test.o)
		if err != nil {
			t.Fatal(err)
		}
		if text, err := r.Explain("corpus.sha256"); err != nil || !strings.Contains(text, test.want) ||
			!strings.Contains(text, "it belongs to the sources beside it") {
			t.Errorf("%+v: %v\n%s, want\n%s", test.o, err, text, test.want)
		}
	}
}

// TestRetired: files that earlier versions have written still load.
func TestRetired(t *testing.T) {
	for file, want := range map[string]string{
		"train: {checkpoint: {every: epoch, keep_last: 7}}": "",
		"train.checkpoint.every: epoch":                     "",
		"train.checkpoint.keep_best_count: 1":               "",
		"train.checkpoint.keep_best_count: 3":               "the nearest is train.checkpoint.keep_best",
		"train.checkpoint.every: step":                      "x.yaml:1: train.checkpoint.every is an unknown key; the nearest is train.checkpoint.every_steps",
		"train.checkpoint.every: [epoch]":                   "is an unknown key",
	} {
		_, err := Load(Options{Config: filepath.Join(write(t, map[string]string{"x.yaml": file}), "x.yaml")})
		if want == "" && err != nil || want != "" && !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%s: %v, want %q", file, err, want)
		}
	}
	_, err := Load(Options{Set: []string{"train.checkpoint.every=epoch"}})
	if e := mistake(t, err); e.Nearest != "train.checkpoint.every_steps" {
		t.Error(e)
	}
}

// TestSet: a key is set by a base, a file and --set, also to its default, and not by another key.
func TestSet(t *testing.T) {
	dir := write(t, map[string]string{"x.yaml": "extends: base.yaml\nmodel: {hidden: 1024}\n"})
	r, err := Load(Options{Config: filepath.Join(dir, "x.yaml"), Set: []string{"model.layers=1"}})
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]bool{"model.hidden": true, "model.layers": true, "train.clip_norm": true, "model.embedding": false, "train.device": false} {
		if got := r.Set(key); got != want {
			t.Errorf("%s: %v", key, got)
		}
	}
}

// TestShipped: a value is shipped while nobody has set its key, in a file of their own or
// elsewhere, even to the same value.
func TestShipped(t *testing.T) {
	dir := write(t, map[string]string{"mine.yaml": "extends: quickstart\ntrain.lr: 0.002\n", "prompt.yaml": "extends: mine.yaml\ngenerate.prompt: 'The '\n"})
	for _, test := range []struct {
		o    Options
		want bool
	}{
		{Options{}, true},
		{Options{Config: "base"}, true}, // the default
		{Options{Config: filepath.Join(dir, "mine.yaml")}, true},
		{Options{Config: filepath.Join(dir, "prompt.yaml")}, false},
		{Options{Set: []string{"generate.prompt=The "}}, false},
		{Options{Environ: []string{"QUIRE_GENERATE_PROMPT=x"}}, false},
		{Options{Flags: []Flag{{"generate.prompt", "x", "--prompt"}}}, false},
	} {
		r, err := Load(test.o)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Shipped("generate.prompt"); got != test.want {
			t.Errorf("%+v: %v", test.o, got)
		}
	}
}
