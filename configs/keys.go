package configs

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// key is a key of the config, everything there is to say about it.
type key struct {
	name    string
	domain  domain
	initial any    // the default
	meaning string // one line
	only    []any  // the values supported so far; nil: all
}

// keys are all keys, in the order of YAML; the keys of a section are together.
var keys = []key{
	{name: "name", domain: text{"text on one line", line}, initial: "experiment", meaning: "name of the experiment"},
	{name: "workdir", domain: text{"folder or gs://bucket/prefix", line}, initial: "work/experiment", meaning: "where everything is written; prep.out and train.out are below it"},

	{name: "corpus.sources", domain: sources{}, initial: []string{}, meaning: "the texts to learn from"},
	{name: "corpus.sha256", domain: text{"64 hexadecimal digits, or empty", hex256}, initial: "", meaning: "digest that the one source must have; empty = not checked"},

	{name: "prep.out", domain: text{"path or gs:// URL", line}, initial: "set", meaning: "directory of the set, when prep runs on its own"},
	{name: "prep.seq_length", domain: whole{1, 1 << 20}, initial: 100, meaning: "L, the characters of a training sequence; one more is stored, the last target"},
	{name: "prep.stride", domain: whole{0, 1<<20 + 1}, initial: 0, meaning: "characters from the start of a sequence to the next, at most L+1; 0 = L+1: they do not overlap"},
	{name: "prep.unit", domain: words{"rune", "byte"}, initial: "rune", meaning: "what a character is: a Unicode code point or a byte"},
	{name: "prep.normalize", domain: words{"none", "nfc"}, initial: "none", meaning: "Unicode normalisation of the text; nfc needs the unit rune"},
	{name: "prep.invalid_utf8", domain: words{"error", "replace"}, initial: "error", meaning: "what bytes that are not UTF-8 do: stop prep, or become U+FFFD"},
	{name: "prep.min_count", domain: whole{1, math.MaxInt64}, initial: 1, meaning: "characters that occur less often become [UNK]; with 1 there is no [UNK]"},
	{name: "prep.validation.fraction", domain: number{lo: 0, hi: 1, below: true}, initial: 0.1, meaning: "part of the corpus that is kept from training; 0 = none"},
	{name: "prep.validation.by", domain: words{"tail", "block"}, initial: "tail", meaning: "how that part is chosen, and the next: the end of each document, or by the content of fixed blocks"},
	{name: "prep.test.fraction", domain: number{lo: 0, hi: 1, below: true}, initial: 0.0, meaning: "part of the corpus that is kept from training and validation; 0 = none"},
	{name: "prep.seed", domain: whole{math.MinInt64, math.MaxInt64}, initial: 1, meaning: "decides the order of the sequences"},
	{name: "prep.shards", domain: whole{0, 99999}, initial: 0, meaning: "files of the train split; 0 = chosen from the size"},

	{name: "model.cell", domain: words{"gru", "lstm"}, initial: "gru", meaning: "kind of recurrent cell"},
	{name: "model.layers", domain: whole{1, 64}, initial: 1, meaning: "N, the recurrent layers"},
	{name: "model.embedding", domain: whole{1, 65536}, initial: 256, meaning: "I, the width of a character's embedding"},
	{name: "model.hidden", domain: whole{1, 65536}, initial: 1024, meaning: "H, the width of a recurrent layer"},
	{name: "model.dropout", domain: number{lo: 0, hi: 1, below: true}, initial: 0.0, meaning: "part of the activations that training drops between layers and before the output"},
	{name: "model.input_dropout", domain: number{lo: 0, hi: 1, below: true}, initial: 0.0, meaning: "part of the embedded characters' values that training drops"},
	{name: "model.weight_dropout", domain: number{lo: 0, hi: 1, below: true}, initial: 0.0, meaning: "part of the recurrent weights that training drops, others in each step"},

	{name: "train.out", domain: text{"path or gs:// URL", line}, initial: "run", meaning: "directory of the run, when train runs on its own"},
	{name: "train.from", domain: text{"path or gs:// URL, or empty", func(s string) bool { return s == "" || line(s) }}, initial: "", meaning: "checkpoint, or directory of a run, below the workdir, with whose weights training starts; empty = with random ones"},
	{name: "train.epochs", domain: whole{0, 1_000_000}, initial: 3, meaning: "times that training visits every sequence; 0 saves the untrained network"},
	{name: "train.max_steps", domain: whole{0, math.MaxInt64}, initial: 0, meaning: "steps after which training ends early; 0 = never"},
	{name: "train.batch", domain: whole{1, 65536}, initial: 64, meaning: "B, the sequences of a step"},
	{name: "train.hidden", domain: words{"zero", "carry"}, initial: "zero", meaning: "what a sequence of a step starts from: zeros, or the hidden that the text before it has left"},
	{name: "train.lr", domain: number{lo: 1e-9, hi: 10}, initial: 0.001, meaning: "learning rate, the step size of Adam"},
	{name: "train.schedule", domain: words{"constant", "cosine", "plateau"}, initial: "constant", meaning: "how the learning rate changes: not, to 0 by half a cosine, or by half when the loss stays"},
	{name: "train.warmup_steps", domain: whole{0, math.MaxInt64}, initial: 0, meaning: "steps in which the learning rate rises from 0"},
	{name: "train.clip_norm", domain: number{lo: 0, hi: 1e6}, initial: 0.0, meaning: "the most that the norm of all gradients together may be; 0 = off"},
	{name: "train.weight_decay", domain: number{lo: 0, hi: 10}, initial: 0.0, meaning: "part of every weight, times the learning rate, that a step takes away; 0 = off"},
	{name: "train.average", domain: number{lo: 0, hi: 1, below: true}, initial: 0.0, meaning: "decay of the mean of the weights after each step, which becomes the model, such as 0.999; 0 = off: the last weights do"},
	{name: "train.seed", domain: whole{math.MinInt64, math.MaxInt64}, initial: 1, meaning: "decides the initial weights and the order of sequences from the second epoch on"},
	{name: "train.curriculum.seq_length", domain: whole{0, 1 << 20}, initial: 0, meaning: "characters of a sequence in the first epoch, from where they rise to L; 0 = L from the beginning; it needs train.hidden carry"},
	{name: "train.curriculum.epochs", domain: whole{1, 1_000_000}, initial: 1, meaning: "epochs with fewer than L"},
	{name: "train.curriculum.sampling", domain: number{lo: 0, hi: 1}, initial: 0.0, meaning: "scheduled sampling: part of the inputs that are the model's own samples, rising from 0 at the beginning of training to this at the end"},
	{name: "train.device", domain: words{"auto", "cpu", "gpu"}, initial: "auto", meaning: "what computes", only: []any{"auto", "cpu"}},
	{name: "train.precision", domain: words{"fp32", "bf16"}, initial: "fp32", meaning: "number format of the recurrent matrix products in training; bf16 needs a processor with AVX512-BF16"},
	{name: "train.log_every", domain: whole{1, math.MaxInt64}, initial: 10, meaning: "steps from one line of metrics.jsonl to the next"},
	{name: "train.checkpoint.every_steps", domain: whole{0, math.MaxInt64}, initial: 0, meaning: "steps between checkpoints inside an epoch; 0 = none"},
	{name: "train.checkpoint.every_minutes", domain: number{lo: 0, hi: 1e6}, initial: 0.0, meaning: "minutes between checkpoints inside an epoch, but for the rest of a step; 0 = none"},
	{name: "train.checkpoint.every", domain: words{"epoch"}, initial: "epoch", meaning: "when a checkpoint is saved in any case"},
	{name: "train.checkpoint.keep_last", domain: whole{1, 1_000_000}, initial: 3, meaning: "checkpoints that are kept, the newest"},
	{name: "train.checkpoint.keep_best", domain: truth{}, initial: true, meaning: "whether the one with the lowest validation loss is kept too"},
	{name: "train.checkpoint.keep_best_count", domain: whole{1, 1_000_000}, initial: 1, meaning: "with keep_best: checkpoints that are kept, those with the lowest validation losses"},
	{name: "train.early_stop.patience", domain: whole{0, 1_000_000}, initial: 0, meaning: "epochs without a better validation loss after which training ends; 0 = off"},

	{name: "generate.prompt", domain: text{"text", func(string) bool { return true }}, initial: "", meaning: "text that is continued; empty = a random character"},
	{name: "generate.length", domain: whole{0, 1_000_000_000}, initial: 1000, meaning: "characters to write"},
	{name: "generate.temperature", domain: number{lo: 0, hi: 100}, initial: 1.0, meaning: "below 1 bolder for the likely, above 1 for the unlikely; 0 = always the most likely"},
	{name: "generate.top_k", domain: whole{0, 1_000_000_000}, initial: 0, meaning: "draw from the k most likely characters; 0 = all"},
	{name: "generate.top_p", domain: number{lo: 0, hi: 1, above: true}, initial: 1.0, meaning: "draw from the most likely characters that make up this probability; 1 = all"},
	{name: "generate.seed", domain: whole{math.MinInt64, math.MaxInt64}, initial: 0, meaning: "decides the draws"},

	{name: "gate.margin", domain: number{lo: 0, hi: 10}, initial: 0.0, meaning: "nats a character by which a model must be better than the promoted one on the same held-out text"},
	{name: "gate.max_gap", domain: number{lo: 0, hi: 1}, initial: 0.25, meaning: "part of the training loss that the held-out loss may be below it"},
	{name: "gate.samples", domain: whole{0, 256}, initial: 32, meaning: "texts that a model writes for the gate; 0 = none, and none of the checks of them"},
	{name: "gate.length", domain: whole{0, 100_000}, initial: 0, meaning: "characters of each of these texts; 0 = prep.seq_length, or 50 if that is less"},
	{name: "gate.temperature", domain: number{lo: 0, hi: 100}, initial: 0.7, meaning: "temperature of these texts"},
	{name: "gate.max_loop", domain: number{lo: 0, hi: 1}, initial: 0.2, meaning: "part of these texts that may be loops, beside what the held-out text has"},
	{name: "gate.min_coverage", domain: number{lo: 0, hi: 1}, initial: 0.8, meaning: "part of the held-out text that the characters of these texts must make up"},
	{name: "gate.max_span", domain: whole{1, 1_000_000}, initial: 100, meaning: "longest span of these texts that may be in the training text, unless the held-out text has a longer one"},
	{name: "gate.max_copied_20", domain: number{lo: 0, hi: 1}, initial: 0.2, meaning: "part of the 20-grams of these texts that may be in the training text, beside what the held-out text has"},
	{name: "gate.max_copied_50", domain: number{lo: 0, hi: 1}, initial: 0.02, meaning: "the same of their 50-grams"},
	{name: "gate.max_leaked", domain: number{lo: 0, hi: 1}, initial: 0.05, meaning: "part of their 20-grams that may be in the held-out text and not in the training text"},

	{name: "schedule.cron", domain: text{"cron expression of 5 fields (minute, hour, day of month, month, day of week), or @daily and the like", isCron}, initial: "0 3 * * *", meaning: "when retrain begins a round"},
	{name: "schedule.timezone", domain: text{"name of a time zone, such as Europe/Berlin or UTC", isZone}, initial: "UTC", meaning: "the time zone of schedule.cron"},
	{name: "schedule.overlap", domain: words{"skip", "buffer_one"}, initial: "skip", meaning: "what becomes of a slot that comes while a round runs: it is skipped, or the first one of them runs after it"},
	{name: "schedule.catch_up", domain: words{"latest", "none"}, initial: "latest", meaning: "which of the slots that came while no scheduler was there runs after all"},

	{name: "round.attempts", domain: whole{1, 100}, initial: 3, meaning: "times that a stage is tried whose errors may pass: no network, or an answer 408, 429 or 5xx"},
	{name: "round.pause_seconds", domain: number{lo: 0, hi: 3600}, initial: 10.0, meaning: "time before the second of these; it doubles with each, up to 5 minutes"},
	{name: "round.limit_minutes.prep", domain: number{lo: 0, hi: 1e6}, initial: 0.0, meaning: "time that prep may take, as the next keys for other stages; 0 = any"},
	{name: "round.limit_minutes.train", domain: number{lo: 0, hi: 1e6}, initial: 0.0, meaning: "the same of train, which saves and is gone on with by the next round"},
	{name: "round.limit_minutes.evaluate", domain: number{lo: 0, hi: 1e6}, initial: 0.0, meaning: "the same of evaluate"},
	{name: "round.limit_minutes.gate", domain: number{lo: 0, hi: 1e6}, initial: 0.0, meaning: "the same of gate"},
	{name: "round.limit_minutes.sample", domain: number{lo: 0, hi: 1e6}, initial: 0.0, meaning: "the same of sample"},

	{name: "notify.command", domain: secret{"shell command on one line, or empty", isCommand}, initial: "", meaning: "run when a round has failed, its model was refused or was promoted; it reads what happened as JSON"},
	{name: "notify.webhook", domain: secret{"http:// or https:// URL, or empty", isWebhook}, initial: "", meaning: "the same is posted there"},

	{name: "sweep.pick", domain: words{"grid", "random"}, initial: "grid", meaning: "which combinations of the section's values sweep tries: all in order, or some that sweep.seed decides"},
	{name: "sweep.trials", domain: whole{0, maxTrials}, initial: 0, meaning: "how many of them; 0 = all, with pick grid"},
	{name: "sweep.seed", domain: whole{math.MinInt64, math.MaxInt64}, initial: 1, meaning: "decides what pick random takes"},
}

func hex256(s string) bool {
	return s == "" || len(s) == 64 && strings.Trim(s, "0123456789abcdefABCDEF") == ""
}

// keyByName and sections are what the table says, for looking up. A section is
// the beginning of a key, up to a dot.
var keyByName, sections = func() (map[string]*key, map[string]bool) {
	byName, sections := map[string]*key{}, map[string]bool{}
	for i := range keys {
		k := &keys[i]
		if n, ok := k.initial.(int); ok {
			k.initial = int64(n)
		}
		byName[k.name] = k
	}
	for _, list := range [][]key{keys, axes} {
		for i := range list {
			for j, c := range list[i].name {
				if c == '.' {
					sections[list[i].name[:j]] = true
				}
			}
		}
	}
	return byName, sections
}()

// variable returns the environment variable that sets a key.
func (k *key) variable() string {
	return variablePrefix + strings.ToUpper(strings.ReplaceAll(k.name, ".", "_"))
}

// supported says whether a value can be used already.
func (k *key) supported(value any) error {
	if k.only == nil || slices.Contains(k.only, value) {
		return nil
	}
	return fmt.Errorf("is %v, which is not supported yet; use %s", value, k.usable())
}

// usable lists the values that are supported, where not all are.
func (k *key) usable() string {
	list := make([]string, len(k.only))
	for i, v := range k.only {
		list[i] = fmt.Sprint(v)
	}
	return either(list)
}

// read turns bare text into a value in range.
func (k *key) read(text string) (any, error) {
	value, err := k.domain.parse(text)
	if err == nil {
		err = k.domain.check(value)
	}
	return value, err
}
