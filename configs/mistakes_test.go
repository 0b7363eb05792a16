package configs

import (
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"testing"
)

var deep = strings.Repeat("{a: ", 40) + "1" + strings.Repeat("}", 40)

// fileMistakes has a file a rule, and the error that it must give. A nearest of *
// is any.
var fileMistakes = []struct {
	rule, file, key, line, nearest, says string
}{
	{"unknown key", "name: x\ntrain:\n  learning: 1\n", "train.learning", ":3", "*", "is an unknown key"},
	{"misspelt key", "train: {epoch: 1}", "train.epoch", ":1", "train.epochs", "unknown"},
	{"misspelt section", "trian: {lr: 1}", "trian", ":1", "train", "unknown"},
	{"wrong section", "train: {embedding: 1}", "train.embedding", ":1", "model.embedding", "unknown"},
	{"no section", "keep_last: 1", "keep_last", ":1", "train.checkpoint.keep_last", "unknown"},
	{"too deep a key", "train: {lr: {x: 1}}", "train.lr", ":1", "", "is a section, not a single value"},
	{"not there yet", "tune: {trials: 2}", "tune", ":1", "*", "unknown"},
	{"odd key", "\"a\\nb\": 1", "a\nb", ":1", "*", `"a\nb" is an unknown key`},
	{"merge key", "train: {<<: {lr: 1}}", "train.<<", ":1", "*", "unknown"},
	{"key is no word", "? [a]\n: 1", "", ":1", "", "has a key that is a list"},
	{"case", "train: {LR: 1}", "train.LR", ":1", "train.lr", "unknown"},
	{"case twins", "train:\n  lr: 1\n  LR: 2\n", "train.LR", ":3", "train.lr", "and train.lr (line 2) differ only in case"},
	{"case twins, other notation", "train:\n  lr: 1\nTrain.lr: 2\n", "Train.lr", ":3", "train.lr", "and train.lr (line 2) differ only in case"},
	{"case twins, wrong one first", "TRAIN.LR: 2\ntrain:\n  lr: 1\n", "train.lr", ":3", "train.lr", "and TRAIN.LR (line 1) differ only in case"},
	{"case twins of sections", "train: {lr: 1}\nTrain: {batch: 1}\n", "Train", ":2", "train", "differ only in case"},
	{"case twins of other alphabets", "\u017Fchedule: 1\nschedule: 1\n", "schedule", ":2", "*", "differ only in case"},
	{"twice", "train:\n  lr: 1\n  lr: 1\n", "train.lr", ":3", "", "is set twice, first in line 2"},
	{"twice, other notation", "train.lr: 1\ntrain: {lr: 1}\n", "train.lr", ":2", "", "is set twice, first in line 1"},
	{"twice a section", "train: {lr: 1}\ntrain: {batch: 1}\n", "train", ":2", "", "is set twice"},
	{"twice extends", "extends: base\nextends: base\n", "extends", ":2", "", "is set twice"},

	{"home", "workdir: ~/x", "workdir", ":1", "", "~ is not expanded"},
	{"home of a set", "prep.out: ~/x", "prep.out", ":1", "", "~ is not expanded"},
	{"home of a run", "train.out: ~/x", "train.out", ":1", "", "~ is not expanded"},
	{"home of a checkpoint", "train.from: ~/x", "train.from", ":1", "", "~ is not expanded"},
	{"standard output for a set", "prep.out: '-'", "prep.out", ":1", "", "it stands for no stream here; ./- is what has that name"},
	{"standard output for a run", "train.out: '-'", "train.out", ":1", "", "it must be folder or gs:// URL"},
	{"two lines for a workdir", "workdir: \"a\\nb\"", "workdir", ":1", "", "no single line"},
	{"home of a source", "corpus.sources: [a.txt, ~/b.txt]", "corpus.sources", ":1", "", "has the item \"~/b.txt\", and ~ is not expanded"},

	{"fraction for int", "train: {batch: 3.9}", "train.batch", ":1", "", `"3.9", not a whole number`},
	{"fraction 0 for int", "train: {batch: 3.0}", "train.batch", ":1", "", "not a whole number"},
	{"exponent for int", "train: {batch: 1e2}", "train.batch", ":1", "", "not a whole number"},
	{"text for int", `train: {batch: "3"}`, "train.batch", ":1", "", "without quotes"},
	{"literal for int", "train:\n  batch: |-\n    3\n", "train.batch", ":2", "", "without quotes"},
	{"octal for int", "train: {batch: 010}", "train.batch", ":1", "", "decimal digits"},
	{"hex for int", "train: {batch: 0x10}", "train.batch", ":1", "", "decimal digits"},
	{"underscore for int", "train: {batch: 1_0}", "train.batch", ":1", "", "decimal digits"},
	{"bool for int", "train: {batch: true}", "train.batch", ":1", "", "not a whole number"},
	{"int overflow", "train: {seed: 9223372036854775808}", "train.seed", ":1", "", "too large"},
	{"int wrap", "train: {batch: 18446744073709551617}", "train.batch", ":1", "", "too large"},
	{"text for float", `train: {lr: "0.1"}`, "train.lr", ":1", "", "without quotes"},
	{"words for float", "train: {lr: fast}", "train.lr", ":1", "", "not a finite decimal number"},
	{"nan", "train: {lr: .nan}", "train.lr", ":1", "", "not a finite decimal number"},
	{"NaN", "train: {lr: NaN}", "train.lr", ":1", "", "not a finite decimal number"},
	{"inf", "train: {clip_norm: -.inf}", "train.clip_norm", ":1", "", "not a finite decimal number"},
	{"float overflow", "train: {clip_norm: 1e400}", "train.clip_norm", ":1", "", "too large"},
	{"float underflow", "train: {clip_norm: 1e-400}", "train.clip_norm", ":1", "", "cannot tell from 0"},
	{"hex float", "train: {lr: 0x1p-3}", "train.lr", ":1", "", "not a finite decimal number"},
	{"yes for bool", "train.checkpoint.keep_best: yes", "train.checkpoint.keep_best", ":1", "", "must be true or false"},
	{"1 for bool", "train.checkpoint.keep_best: 1", "train.checkpoint.keep_best", ":1", "", "must be true or false"},
	{"text for bool", "train.checkpoint.keep_best: 'true'", "train.checkpoint.keep_best", ":1", "", "without quotes"},
	{"number for text", "name: 12", "name", ":1", "", "put it in quotes"},
	{"bool for text", "name: true", "name", ":1", "", "put it in quotes"},
	{"date for text", "name: 2024-01-01", "name", ":1", "", "put it in quotes"},
	{"list for text", "name: [a]", "name", ":1", "", "is a list"},
	{"nothing", "train: {lr: }", "train.lr", ":1", "", "has no value"},
	{"null", "name: null", "name", ":1", "", "has no value"},
	{"text for list", "corpus: {sources: a.txt}", "corpus.sources", ":1", "", "write [a, b]"},
	{"unknown encoding", "corpus.encoding: utf8000", "corpus.encoding", ":1", "", "windows-1252, shift_jis or gb18030"},
	{"encoding in capitals", "corpus.encoding: UTF-16", "corpus.encoding", ":1", "", "the name in small letters"},
	{"second name of UTF-8", "corpus.encoding: utf8", "corpus.encoding", ":1", "", "it must be utf-8, or"},
	{"encoding that decodes nothing", "corpus.encoding: hz-gb-2312", "corpus.encoding", ":1", "", "it must be utf-8, or"},
	{"number in list", "corpus: {sources: [a, 1984]}", "corpus.sources", ":1", "", "number 2"},
	{"list in list", "corpus: {sources: [[a]]}", "corpus.sources", ":1", "", "number 1"},
	{"empty item", `corpus: {sources: [""]}`, "corpus.sources", ":1", "", "empty item"},
	{"value for section", "train: 3", "train", ":1", "", "is a section, but here it is the number"},
	{"nothing for section", "train:\nname: x\n", "train", ":1", "", "is a section, but here it is empty"},
	{"tag", "name: !!str x", "name", ":1", "", "tag"},
	{"tag on list", "corpus: {sources: !x [a]}", "corpus.sources", ":1", "", "not a list"},

	{"0 for batch", "train: {batch: 0}", "train.batch", ":1", "", "out of range; it must be a whole number, 1 to 65536"},
	{"negative", "prep: {shards: -1}", "prep.shards", ":1", "", "out of range"},
	{"open end", "prep.validation.fraction: 1", "prep.validation.fraction", ":1", "", "at least 0 and below 1"},
	{"open start", "generate: {top_p: 0}", "generate.top_p", ":1", "", "above 0 and at most 1"},
	{"other word", "prep: {unit: word}", "prep.unit", ":1", "", "it must be rune or byte"},
	{"word in capitals", "model: {cell: GRU}", "model.cell", ":1", "", "it must be gru or lstm"},
	{"digest", "corpus: {sha256: abc}", "corpus.sha256", ":1", "", "64 hexadecimal digits"},
	{"empty text", `workdir: ""`, "workdir", ":1", "", "it must be folder"},
	{"two lines", `name: "a\nb"`, "name", ":1", "", "one line"},
	{"variable in source", `corpus: {sources: ["${HOME}/x"]}`, "corpus.sources", ":1", "", "only ${GOROOT} is expanded"},
	{"curriculum too long", "train: {hidden: carry, curriculum: {seq_length: 101}}", "train.curriculum.seq_length", ":1", "", "more than prep.seq_length 100"},
	{"curriculum of zeros", "train: {curriculum: {seq_length: 10}}", "train.curriculum.seq_length", ":1", "", "use train.hidden carry, or 0"},
	{"carried over overlaps", "prep: {stride: 5}\ntrain:\n  hidden: carry\n", "train.hidden", ":3", "",
		"with prep.stride 5 sequences overlap; use train.hidden zero, or prep.stride 0"},
	{"carried between blocks", "prep.validation.by: block\ntrain.hidden: carry\n", "train.hidden", ":2", "",
		"with prep.validation.by block sequences do not follow one another"},
	{"node without a command", "node: {kind: command}", "node.kind", ":1", "", "is command, but node.launch is empty"},
	{"prep on a node", "node: {stages: [prep]}", "node.stages", ":1", "", "prep goes to a cluster by --runner"},
	{"gate on a node", "node: {stages: [train, gate]}", "node.stages", ":1", "", `has the item "gate"`},
	{"no namespace", "node: {namespace: ML}", "node.namespace", ":1", "", "name of a namespace"},
	{"digest of many", "corpus:\n  sources: [a, b]\n  sha256: " + strings.Repeat("a", 64), "corpus.sha256", ":3", "", "one source"},
	{"another device", "train: {device: cuda}", "train.device", ":1", "", "must be auto, cpu or gpu"},
	{"bf16 on a GPU", "train:\n  precision: bf16\n  device: gpu\n", "train.device", ":3", "", "use train.precision fp32, or train.device cpu"},

	{"not YAML", "name: x\ntrain: [\n", "", ":2", "", "not a valid config file"},
	{"bytes", "name: \xff\n", "", "", "", "not a valid config file"},
	{"control", "name: \x01\n", "", "", "", "not a valid config file"},
	{"no mapping", "- name\n", "", ":1", "", "this is a list"},
	{"a word", "name\n", "", ":1", "", "this is the text"},
	{"nothing at all", "", "", "", "", "has no keys"},
	{"comments only", "# name: x\n", "", "", "", "has no keys"},
	{"two documents", "name: x\n---\nname: y\n", "", ":2", "", "a second document"},
	{"alias", "name: &a x\nworkdir: *a\n", "workdir", ":2", "", "is an alias"},
	{"alias of a section", "train: &a {lr: 1}\nprep: *a\n", "prep", ":2", "", "is an alias"},
	{"alias of itself", "corpus: {sources: &a [*a]}", "corpus.sources", ":1", "", "is an alias"},
	{"nested", "train: " + deep, "train.a.a.a.a.a", ":1", "*", "is nested deeper than 6 levels"},
	{"nested lists", "train: {lr: " + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + "}", "train.lr", ":1", "", "is a list"},
	{"nested beyond the parser", strings.Repeat("[", 500_000), "", "", "", "exceeded max depth"},
	{"nested blocks", strings.Repeat("- ", 500_000), "", "", "", "exceeded max depth"},
	{"large", "name: x\n#" + strings.Repeat("x", 1<<20), "", "", "", "more than 1048576 bytes"},
}

func TestFileMistakes(t *testing.T) {
	for _, c := range fileMistakes {
		path := filepath.Join(write(t, map[string]string{"x.yaml": c.file}), "x.yaml")
		_, err := Load(Options{Config: path})
		if err == nil {
			t.Errorf("%s: loaded", c.rule)
			continue
		}
		e := mistake(t, err)
		nearest := e.Nearest == c.nearest || c.nearest == "*" && e.Nearest != ""
		source := e.Source == path+c.line || c.rule == "large" && e.Source == "--config"
		if e.Key != c.key || !source || !nearest || !strings.Contains(e.Error(), c.says) {
			t.Errorf("%s: key %q, source %q, nearest %q, %v; want %q, %q, %q, %q", c.rule, e.Key, e.Source, e.Nearest, e, c.key, c.line, c.nearest, c.says)
		}
		if len(e.Error()) > 400+len(path) {
			t.Errorf("%s: the message has %d bytes", c.rule, len(e.Error()))
		}
	}
}

// TestFileAccepts holds what must not be refused by the rules above.
func TestFileAccepts(t *testing.T) {
	for _, file := range []string{
		"train: {lr: 1e-3}", "train: {lr: 1}", "train: {lr: +.5}", "train: {lr: 5.}", "train: {clip_norm: 1E+3}", "train: {clip_norm: 0e400}",
		"train: {seed: -9223372036854775808}", "train: {seed: +7}", "name: yes", `name: "12"`, "name: 1.2.3", "workdir: ./~/x",
		`generate: {prompt: ""}`, "generate:\n  prompt: |\n    two\n    lines\n", "corpus: {sources: []}", "train: {}", "train: {epochs: 0}",
		`corpus: {sources: ["${GOROOT}/x", $HOME]}`, "corpus:\n  sources:\n  - a\n", "name: x # comment", `"name": x`,
		"corpus: {sha256: " + strings.Repeat("aB", 32) + "}",
	} {
		path := filepath.Join(write(t, map[string]string{"x.yaml": file}), "x.yaml")
		if _, err := Load(Options{Config: path}); err != nil {
			t.Errorf("%q: %v", file, err)
		}
	}
}

func TestExtendsMistakes(t *testing.T) {
	dir := write(t, map[string]string{
		"self.yaml":    "name: x\nextends: self.yaml\n",
		"a.yaml":       "extends: sub/b.yaml\n",
		"sub/b.yaml":   "extends: ../a.yaml\n",
		"none.yaml":    "extends: shakespear\n",
		"bad.yaml":     "extends: wrong.yaml\n",
		"wrong.yaml":   "name: x\ntrain: {lrr: 1}\n",
		"empty.yaml":   `extends: ""`,
		"list.yaml":    "extends: [a, b]\n",
		"folder.yaml":  "extends: sub\n",
		"capital.yaml": "Extends: base\n",
	})
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, c := range []struct{ config, key, source, nearest, says string }{
		{"self.yaml", "extends", at("self.yaml:2"), "", "in a circle"},
		{"a.yaml", "extends", at("sub/b.yaml:1"), "", "in a circle"},
		{"none.yaml", "", at("none.yaml:1"), "shakespeare", "there is no config file"},
		{"bad.yaml", "train.lrr", at("wrong.yaml:2"), "train.lr", "unknown"},
		{"empty.yaml", "extends", at("empty.yaml:1"), "", "must be a path"},
		{"list.yaml", "extends", at("list.yaml:1"), "", "is a list"},
		{"folder.yaml", "", at("folder.yaml:1"), "", "is a directory"},
		{"capital.yaml", "Extends", at("capital.yaml:1"), "extends", "unknown"},
		{"missing.yaml", "", "--config", "*", "there is no config file"},
		{"sub", "", "--config", "", "is a directory"},
	} {
		_, err := Load(Options{Config: at(c.config)})
		e := mistake(t, err)
		if e.Key != c.key || e.Source != c.source || c.nearest != "*" && e.Nearest != c.nearest || !strings.Contains(e.Error(), c.says) {
			t.Errorf("%s: key %q, source %q, nearest %q, %v; want %+v", c.config, e.Key, e.Source, e.Nearest, e, c)
		}
	}
	_, err := Load(Options{Config: "Quickstart"})
	if e := mistake(t, err); e.Nearest != "quickstart" {
		t.Errorf("Quickstart: nearest is %q", e.Nearest)
	}
}

func ofEnviron(s ...string) Options { return Options{Environ: s} }
func ofSet(s ...string) Options     { return Options{Set: s} }

// otherMistakes are those of variables, --set and flags.
var otherMistakes = []struct {
	o                          Options
	key, source, nearest, says string
}{
	{ofEnviron("QUIRE_TRAIN_LRR=1"), "QUIRE_TRAIN_LRR", "environment", "QUIRE_TRAIN_LR", "unknown variable"},
	{ofEnviron("QUIRE_VARIENT=avx2"), "QUIRE_VARIENT", "environment", "QUIRE_VARIANT", "unknown variable"},
	{ofEnviron("QUIRE_=1"), "QUIRE_", "environment", "*", "unknown variable"},
	{ofEnviron("QUIRE_TRAIN=1"), "QUIRE_TRAIN", "environment", "*", "unknown variable"},
	{ofEnviron("QUIRE_EXTENDS=base"), "QUIRE_EXTENDS", "environment", "*", "unknown variable"},
	{ofEnviron("QUIRE_TRAIN_LR=1", "quire_train_lr=1"), "quire_train_lr", "environment", "QUIRE_TRAIN_LR", "unknown variable"},
	{ofEnviron("QUIRE_Train_Lr=1"), "QUIRE_Train_Lr", "environment", "QUIRE_TRAIN_LR", "unknown variable"},
	{ofEnviron("QUIRE_TRAIN_BATCH=3.9"), "train.batch", "QUIRE_TRAIN_BATCH", "", "not a whole number"},
	{ofEnviron("QUIRE_TRAIN_BATCH="), "train.batch", "QUIRE_TRAIN_BATCH", "", "not a whole number"},
	{ofEnviron("QUIRE_TRAIN_BATCH= 3"), "train.batch", "QUIRE_TRAIN_BATCH", "", "not a whole number"},
	{ofEnviron("QUIRE_TRAIN_LR=NaN"), "train.lr", "QUIRE_TRAIN_LR", "", "not a finite decimal number"},
	{ofEnviron("QUIRE_TRAIN_LR=+Inf"), "train.lr", "QUIRE_TRAIN_LR", "", "not a finite decimal number"},
	{ofEnviron("QUIRE_TRAIN_DEVICE=cuda:1"), "train.device", "QUIRE_TRAIN_DEVICE", "", "must be auto, cpu or gpu"},
	{ofEnviron("QUIRE_TRAIN_CHECKPOINT_KEEP_BEST=1"), "train.checkpoint.keep_best", "QUIRE_TRAIN_CHECKPOINT_KEEP_BEST", "", "true or false"},
	{ofEnviron("QUIRE_GENERATE_PROMPT=\xff"), "generate.prompt", "QUIRE_GENERATE_PROMPT", "", "not UTF-8"},
	{ofEnviron("QUIRE_NAME=a\nb"), "name", "QUIRE_NAME", "", "one line"},
	{ofSet("train.lrr=1"), "train.lrr", "--set train.lrr", "train.lr", "unknown"},
	{ofSet("Train.lr=1"), "Train.lr", "--set Train.lr", "train.lr", "unknown"},
	{ofSet("train.lr = 1"), "train.lr ", `--set "train.lr "`, "train.lr", "unknown"},
	{ofSet("train.lr"), "", "--set train.lr", "train.lr", "has no value"},
	{ofSet(""), "", `--set ""`, "*", "has no value"},
	{ofSet("=1"), "", `--set ""`, "*", "unknown"},
	{ofSet("train={lr: 1}"), "train", "--set train", "train.out", "is a section"},
	{ofSet("extends=base"), "extends", "--set extends", "", "only be set in a file"},
	{ofSet("train.lr=1,5"), "train.lr", "--set train.lr", "", "not a finite decimal number"},
	{ofSet(`train.batch="3"`), "train.batch", "--set train.batch", "", "not a whole number"},
	{ofSet("train.batch=0"), "train.batch", "--set train.batch", "", "out of range"},
	{ofSet("train.batch=0", "train.batch=1"), "train.batch", "--set train.batch", "", "out of range"},
	{ofSet("corpus.sources=a,,b"), "corpus.sources", "--set corpus.sources", "", "empty item"},
	{ofSet("corpus.sources=[a, 3]"), "corpus.sources", "--set corpus.sources", "", "number 2"},
	{ofSet("corpus.sources=[a, [b]]"), "corpus.sources", "--set corpus.sources", "", "number 2"},
	{ofSet("corpus.sources=[a, {]"), "corpus.sources", "--set corpus.sources", "", "not a list"},
	{ofSet("corpus.sources=${PWD}/a"), "corpus.sources", "--set corpus.sources", "", "only ${GOROOT}"},
	{Options{Flags: []Flag{{"train.lr", "x", "--lr"}}}, "train.lr", "--lr", "", "not a finite decimal number"},
	{Options{Flags: []Flag{{"train.llr", "1", "--lr"}}}, "train.llr", "--lr", "train.lr", "unknown"},
}

func TestOtherMistakes(t *testing.T) {
	for _, c := range otherMistakes {
		_, err := Load(c.o)
		if err == nil {
			t.Errorf("%+v: loaded", c.o)
			continue
		}
		e := mistake(t, err)
		if e.Key != c.key || e.Source != c.source || c.nearest != "*" && e.Nearest != c.nearest || c.nearest == "*" && e.Nearest == "" ||
			!strings.Contains(e.Error(), c.says) {
			t.Errorf("%+v: key %q, source %q, nearest %q, %v; want %q, %q, %q, %q", c.o, e.Key, e.Source, e.Nearest, e, c.key, c.source, c.nearest, c.says)
		}
	}
}

func TestDeveloperSwitches(t *testing.T) {
	_, err := Load(Options{Environ: []string{"QUIRE_VARIANT=avx2", "QUIRE_VECTORS=/x", "QUIRE_PYTHON=python3", "QUIRE_FLINK=host", "quire_variant=x",
		"QUIREX=1", "=C:=x", "X"}})
	if err != nil {
		t.Error(err)
	}
}

func TestLongMessages(t *testing.T) {
	_, err := Load(Options{Set: []string{strings.Repeat("ä", 1<<20) + "=" + strings.Repeat("x", 1<<20)}})
	if n := len(mistake(t, err).Error()); n > 600 {
		t.Errorf("the message has %d bytes", n)
	}
}

// TestValidate is for configs that were made in Go.
func TestValidate(t *testing.T) {
	r, err := Load(Options{})
	if err != nil {
		t.Fatal(err)
	}
	for key, wrong := range map[string]func(c *Config){
		"train.lr":                  func(c *Config) { c.Train.LR = math.NaN() },
		"train.clip_norm":           func(c *Config) { c.Train.ClipNorm = math.Inf(1) },
		"train.batch":               func(c *Config) { c.Train.Batch = 0 },
		"prep.unit":                 func(c *Config) { c.Prep.Unit = "" },
		"generate.prompt":           func(c *Config) { c.Generate.Prompt = "\xff" },
		"prep.validation.by":        func(c *Config) { c.Prep.Validation.By = "dice" },
		"prep.stride":               func(c *Config) { c.Prep.Stride = -1 },
		"train.device":              func(c *Config) { c.Train.Device = "tpu" },
		"train.early_stop.patience": func(c *Config) { c.Train.EarlyStop.Patience = -1 },
	} {
		c := r.Config
		wrong(&c)
		if e := mistake(t, c.Validate()); e.Key != key || e.Source != "" {
			t.Errorf("%s: key %q, source %q: %v", key, e.Key, e.Source, e)
		}
	}
	if got, want := fmt.Sprint((&Config{}).Validate()), "configs: name is \"\"; it must be text on one line"; got != want {
		t.Errorf("zero config: %q, want %q", got, want)
	}
}
