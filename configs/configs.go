// Package configs holds the numbers of an experiment: the YAML files embedded in
// the program, the table of keys, and the strict loader.
//
// A config is one value for every key of the table (keys.go). Load merges layers;
// the last one that sets a key wins:
//
//  1. the defaults of the table
//  2. the files that the config file extends, the farthest first
//  3. the config file: a path, or the name of an embedded one
//  4. environment variables: QUIRE_TRAIN_LR sets train.lr
//  5. --set train.lr=0.002, from left to right
//  6. a command's own flags
//
// A file is YAML, in sections or with dotted keys, which may be mixed:
//
//	extends: base.yaml        # relative to this file, or an embedded config
//	train: {lr: 0.002}        # or   train.lr: 0.002
//
// A bare name of an embedded config means that config, and ./name a file beside
// it. With the extension, base.yaml, a file of that name wins.
//
// A digest belongs to the sources beside it: a layer that sets corpus.sources and
// not corpus.sha256 empties the digest of the layers below.
//
// # Values
//
// Nothing is converted. A whole number is decimal digits. A number is finite and
// may be whole. true and false have no other spelling. Text that YAML takes for
// something else stands in quotes. The same rules hold for the bare text of a
// variable, of --set and of a flag, where quotes belong to the text. A list is
// separated by commas there, or written as in YAML, for items with a comma:
//
//	--set corpus.sources=a.txt,b.txt
//	--set 'corpus.sources=["one, two.txt", b.txt]'
//
// # Sweeps
//
// The section sweep has values to try, for the keys that change a model:
//
//	sweep: {train.lr: [0.001, 0.002], model.hidden: {from: 128, to: 512, by: x2}}
//
// A range ends at the last value up to to. by multiplies (x2) or adds (64). A list
// replaces the list of a lower layer; an empty list removes it. Resolved.Trials
// returns a config for each trial.
//
// # Effects
//
// The column effect of the table says what a key decides: see Effect. A new key
// with its default changes no digest of an existing config.
//
// # Mistakes
//
// Every mistake is an *Error: one line that names the key, where it was set and
// the nearest existing key. Refused are unknown keys and QUIRE_ variables, keys
// set twice in a file, keys that differ only in case, values of the wrong type
// or out of range, and values that are planned but not supported yet. A file has
// at most 1 MiB, one document, six levels, and no aliases or tags.
//
// Resolved.Explain says which layer set a key.
package configs

import (
	"fmt"
	"reflect"
	"slices"
)

// Config is an experiment. The tags are the keys in YAML. Their meanings are in
// the table (keys.go) and in Resolved.Explain.
type Config struct {
	Name     string   `mapstructure:"name"`
	Workdir  string   `mapstructure:"workdir"`
	Corpus   Corpus   `mapstructure:"corpus"`
	Prep     Prep     `mapstructure:"prep"`
	Model    Model    `mapstructure:"model"`
	Train    Train    `mapstructure:"train"`
	Generate Generate `mapstructure:"generate"`
	Gate     Gate     `mapstructure:"gate"`
	Round    Round    `mapstructure:"round"`
	Node     Node     `mapstructure:"node"`
	Notify   Notify   `mapstructure:"notify"`
	Schedule Schedule `mapstructure:"schedule"`
	GC       GC       `mapstructure:"gc"`
	Sweep    Sweep    `mapstructure:"sweep"`
}

// Corpus is the text. To read it, use Expanded, not Sources.
type Corpus struct {
	Sources  []string `mapstructure:"sources"`
	SHA256   string   `mapstructure:"sha256"`
	Encoding string   `mapstructure:"encoding"`
	Newlines string   `mapstructure:"newlines"`
	Records  string   `mapstructure:"records"`
}

// Prep says how a corpus becomes a set.
type Prep struct {
	Out         string     `mapstructure:"out"`
	SeqLength   int        `mapstructure:"seq_length"`
	Stride      int        `mapstructure:"stride"`
	Unit        string     `mapstructure:"unit"`
	Normalize   string     `mapstructure:"normalize"`
	InvalidUTF8 string     `mapstructure:"invalid_utf8"`
	MinCount    int64      `mapstructure:"min_count"`
	Pack        string     `mapstructure:"pack"`
	Validation  Validation `mapstructure:"validation"`
	Test        Test       `mapstructure:"test"`
	Seed        int64      `mapstructure:"seed"`
	Shards      int        `mapstructure:"shards"`
}

// Validation chooses the part of the corpus held out for validation.
type Validation struct {
	Fraction float64 `mapstructure:"fraction"`
	By       string  `mapstructure:"by"`
}

// Test chooses the part of the corpus held out from training and validation.
type Test struct {
	Fraction float64 `mapstructure:"fraction"`
}

// Model is the network's architecture.
type Model struct {
	Cell           string  `mapstructure:"cell"`
	Layers         int     `mapstructure:"layers"`
	Embedding      int     `mapstructure:"embedding"`
	Hidden         int     `mapstructure:"hidden"`
	Dropout        float64 `mapstructure:"dropout"`
	InputDropout   float64 `mapstructure:"input_dropout"`
	WeightDropout  float64 `mapstructure:"weight_dropout"`
	EmbeddingRange float64 `mapstructure:"embedding_range"`
}

// Train says how a model learns.
type Train struct {
	Out         string     `mapstructure:"out"`
	From        string     `mapstructure:"from"`
	Epochs      int        `mapstructure:"epochs"`
	MaxSteps    int64      `mapstructure:"max_steps"`
	Batch       int        `mapstructure:"batch"`
	Hidden      string     `mapstructure:"hidden"`
	LR          float64    `mapstructure:"lr"`
	Schedule    string     `mapstructure:"schedule"`
	WarmupSteps int64      `mapstructure:"warmup_steps"`
	ClipNorm    float64    `mapstructure:"clip_norm"`
	WeightDecay float64    `mapstructure:"weight_decay"`
	Average     float64    `mapstructure:"average"`
	Seed        int64      `mapstructure:"seed"`
	Curriculum  Curriculum `mapstructure:"curriculum"`
	Device      string     `mapstructure:"device"`
	Precision   string     `mapstructure:"precision"`
	LogEvery    int64      `mapstructure:"log_every"`
	Checkpoint  Checkpoint `mapstructure:"checkpoint"`
	EarlyStop   EarlyStop  `mapstructure:"early_stop"`
}

// Curriculum says how training becomes harder.
type Curriculum struct {
	SeqLength int     `mapstructure:"seq_length"`
	Epochs    int     `mapstructure:"epochs"`
	Sampling  float64 `mapstructure:"sampling"`
}

// Checkpoint says when checkpoints are saved and which of them stay.
type Checkpoint struct {
	EverySteps   int64   `mapstructure:"every_steps"`
	EveryMinutes float64 `mapstructure:"every_minutes"`
	KeepLast     int     `mapstructure:"keep_last"`
	KeepBest     bool    `mapstructure:"keep_best"`
}

// EarlyStop says when a training ends before its last epoch.
type EarlyStop struct {
	Patience int `mapstructure:"patience"`
}

// Generate says how text is written.
type Generate struct {
	Prompt            string   `mapstructure:"prompt"`
	Unknown           string   `mapstructure:"unknown"`
	Length            int      `mapstructure:"length"`
	Num               int      `mapstructure:"num"`
	Stop              []string `mapstructure:"stop"`
	Temperature       float64  `mapstructure:"temperature"`
	TopK              int      `mapstructure:"top_k"`
	TopP              float64  `mapstructure:"top_p"`
	MinP              float64  `mapstructure:"min_p"`
	RepetitionPenalty float64  `mapstructure:"repetition_penalty"`
	Ban               string   `mapstructure:"ban"`
	Seed              int64    `mapstructure:"seed"`
}

// Gate has the bounds that a model must meet to be promoted. Shares are 0 to 1.
type Gate struct {
	Margin      float64 `mapstructure:"margin"` // nats a character
	MaxGap      float64 `mapstructure:"max_gap"`
	Samples     int     `mapstructure:"samples"`
	Length      int     `mapstructure:"length"`
	Temperature float64 `mapstructure:"temperature"`
	MaxLoop     float64 `mapstructure:"max_loop"`
	MinCoverage float64 `mapstructure:"min_coverage"`
	MaxSpan     int     `mapstructure:"max_span"` // characters
	MaxCopied20 float64 `mapstructure:"max_copied_20"`
	MaxCopied50 float64 `mapstructure:"max_copied_50"`
	MaxLeaked   float64 `mapstructure:"max_leaked"`
}

// Schedule says when rounds run.
type Schedule struct {
	Cron     string `mapstructure:"cron"`
	Timezone string `mapstructure:"timezone"`
	Overlap  string `mapstructure:"overlap"`
	CatchUp  string `mapstructure:"catch_up"`
	Listen   string `mapstructure:"listen"`
}

// Round says how often a round tries a stage, and for how long.
type Round struct {
	Attempts     int          `mapstructure:"attempts"`
	PauseSeconds float64      `mapstructure:"pause_seconds"`
	LimitMinutes LimitMinutes `mapstructure:"limit_minutes"`
}

// LimitMinutes are the times that stages may take; 0 is no limit.
type LimitMinutes struct {
	Prep     float64 `mapstructure:"prep"`
	Train    float64 `mapstructure:"train"`
	Evaluate float64 `mapstructure:"evaluate"`
	Gate     float64 `mapstructure:"gate"`
	Sample   float64 `mapstructure:"sample"`
}

// Node says which stages run on another machine, and how. Where a stage runs changes
// no key of a stage and no byte that it makes.
type Node struct {
	Kind      string   `mapstructure:"kind"`
	Launch    []string `mapstructure:"launch"` // before "quire train …"
	Stages    []string `mapstructure:"stages"`
	Binary    string   `mapstructure:"binary"`
	Template  string   `mapstructure:"template"` // of a Job; empty: the embedded one
	Namespace string   `mapstructure:"namespace"`
	Parallel  int      `mapstructure:"parallel"` // trials of a sweep at a time
}

// Runs reports whether a stage runs on the node.
func (n *Node) Runs(stage string) bool { return n.Kind != NoNode && slices.Contains(n.Stages, stage) }

// Kinds of Node, and ways of quire to it.
const (
	NoNode         = "none"
	CommandNode    = "command"
	KubernetesNode = "kubernetes"
	CopyBinary     = "copy"
)

// Notify says who is told of the end of a round. Command, Webhook and Secret are secrets.
type Notify struct {
	Command    string `mapstructure:"command"`
	Webhook    string `mapstructure:"webhook"`
	Secret     string `mapstructure:"secret"`
	AfterSlots int    `mapstructure:"after_slots"`
}

// Validate returns an *Error for the first value that is out of range or not
// supported yet. Load calls it; call it for a Config made in Go.
func (c *Config) Validate() error {
	values := c.values()
	for i := range keys {
		k := &keys[i]
		if err := k.domain.check(values[k.name]); err != nil {
			return &Error{Key: k.name, Reason: err.Error()}
		}
	}
	if c.Corpus.SHA256 != "" && len(c.Corpus.Sources) > 1 {
		return &Error{Key: "corpus.sha256", Reason: "is for a corpus of one source, but corpus.sources has more; remove the digest"}
	}
	if c.Node.Kind == CommandNode && len(c.Node.Launch) == 0 {
		return &Error{Key: "node.kind", Reason: "is command, but node.launch is empty;" +
			" give it the words that begin a command there, such as [ssh, gpu1], or use node.kind none"}
	}
	if t := &c.Train; t.Device == "gpu" && t.Precision == "bf16" {
		return &Error{Key: "train.device", Reason: "is gpu, but train.precision is bf16, of which only a processor has products;" +
			" use train.precision fp32, or train.device cpu"}
	}
	return c.checkHidden()
}

// checkHidden refuses train.hidden carry where sequences do not follow one
// another, and a curriculum of lengths without train.hidden carry.
func (c *Config) checkHidden() error {
	p, first, hidden := c.Prep, c.Train.Curriculum.SeqLength, c.Train.Hidden
	wrong := func(key, reason string, args ...any) error {
		return &Error{Key: key, Reason: fmt.Sprintf(reason, args...)}
	}
	switch {
	case first > p.SeqLength:
		return wrong("train.curriculum.seq_length", "is %d, more than prep.seq_length %d, to which it rises", first, p.SeqLength)
	case first > 0 && hidden != "carry":
		return wrong("train.curriculum.seq_length", "is %d, but with train.hidden %s sequences are as long as the set has them;"+
			" use train.hidden carry, or 0", first, hidden)
	case hidden != "carry":
	case p.Stride != 0 && p.Stride != p.SeqLength+1:
		return wrong("train.hidden", "is carry, but with prep.stride %d sequences overlap;"+
			" use train.hidden zero, or prep.stride 0", p.Stride)
	case p.Validation.By != "tail":
		return wrong("train.hidden", "is carry, but with prep.validation.by %s sequences do not follow one another;"+
			" use train.hidden zero, or prep.validation.by tail", p.Validation.By)
	}
	return nil
}

// values returns the value of every key, whole numbers as int64.
func (c *Config) values() map[string]any {
	values := make(map[string]any, len(keys))
	var walk func(v reflect.Value, prefix string)
	walk = func(v reflect.Value, prefix string) {
		for i := range v.NumField() {
			name := prefix + v.Type().Field(i).Tag.Get("mapstructure")
			switch f := v.Field(i); {
			case v.Type().Field(i).Anonymous:
				walk(f, prefix)
			case f.Kind() == reflect.Struct:
				walk(f, name+".")
			case f.CanInt():
				values[name] = f.Int()
			default:
				values[name] = f.Interface()
			}
		}
	}
	walk(reflect.ValueOf(*c), "")
	return values
}
