package configs

import (
	"math"
	"regexp"
	"slices"
	"strings"
)

// key is a row of the table: a key of the config.
//
// A new key needs a field of Config, and here its name, domain, default, effect
// and meaning. It leaves always out.
type key struct {
	name    string
	domain  domain
	initial any    // the default
	effect  Effect // what another value changes
	always  hold   // which digests hold the default too
	place   bool   // the value is where something lies; stages depend on its content, by digest
	machine bool   // the value says where a stage runs: no file of a run has it
	with    string // the key alters an outcome only while this key has not its default
	over    string // the key follows a course over this length, unless it has one of these values
	unless  []any
	also    []string // last parts of names that other programs have for the key
	meaning string   // one line
}

// keys are all keys, in the order of YAML. The keys of a section are together.
var keys = []key{
	{name: "name", domain: text{what: "text on one line", ok: line}, initial: "experiment", effect: None,
		meaning: "name of the experiment"},
	{name: "workdir", domain: reasoned("folder or gs://bucket/prefix", whyNoPath), initial: "work/experiment", effect: None,
		also:    []string{"output_dir", "work_dir", "folder"},
		meaning: "folder that everything is written to; prep.out and train.out are below it"},

	{name: "corpus.sources", domain: sources{}, initial: []string{}, effect: Data, place: true, also: []string{"files", "path", "input", "data", "text"},
		meaning: "texts to learn from"},
	{name: "corpus.sha256", domain: text{what: "64 hexadecimal digits, or empty", ok: hex256}, initial: "", effect: None,
		meaning: "expected digest of the one source, empty = not checked; it belongs to the sources beside it: a file, --set or variable that sets " +
			"only corpus.sources empties it"},
	{name: "corpus.encoding", domain: text{what: "utf-8, or the name in small letters of another encoding, such as utf-16, windows-1252, shift_jis or " +
		"gb18030", ok: isEncoding}, initial: "utf-8", effect: Data, also: []string{"charset", "codec"},
		meaning: "encoding of the texts, for those that are not UTF-8; a byte order mark is no character in any case"},
	{name: "corpus.newlines", domain: words{"keep", "lf"}, initial: "keep", effect: Data, also: []string{"newline", "line_endings", "eol"},
		meaning: "line ends: as they are, or all LF, for texts in which CR LF or CR alone ends a line"},
	{name: "corpus.records", domain: text{what: "file, line, jsonl:KEY or csv:COLUMN", ok: isRecords}, initial: "file", effect: Data,
		meaning: "what a record is: a file, a line, the text at a key of the objects of a JSONL file, or that in a column of a CSV file whose first " +
			"row names it; the records of a file become one text, a line break behind each"},

	{name: "prep.out", domain: reasoned("folder or gs:// URL", whyNoPath), initial: "set", effect: None,
		meaning: "directory of the set, for the command prep; a round chooses its own"},
	{name: "prep.seq_length", domain: whole{1, 1 << 20}, initial: 100, effect: Data, always: inKeys,
		also:    []string{"sequence_length", "context_length", "block_size", "seq_len"},
		meaning: "L, the characters of a training sequence; one more is stored, the last target"},
	{name: "prep.stride", domain: whole{0, 1<<20 + 1}, initial: 0, effect: Data, always: inKeys,
		meaning: "characters from the start of a sequence to the start of the next, at most L+1; 0 = L+1, without overlap; 51 in place of 101 gained " +
			"0.07 nats on Opticks"},
	{name: "prep.unit", domain: words{"rune", "byte"}, initial: "rune", effect: Data, always: inKeys,
		meaning: "what counts as a character: a Unicode code point or a byte"},
	{name: "prep.normalize", domain: words{"none", "nfc"}, initial: "none", effect: Data, always: inKeys,
		meaning: "Unicode normalisation of the text; nfc needs unit rune"},
	{name: "prep.invalid_utf8", domain: words{"error", "replace"}, initial: "error", effect: Data, always: inKeys,
		meaning: "treatment of bytes that are not UTF-8: prep stops, or they become U+FFFD"},
	{name: "prep.min_count", domain: whole{1, math.MaxInt64}, initial: 1, effect: Data, always: inKeys,
		meaning: "rarer characters become [UNK]; with 1 there is no [UNK]"},
	{name: "prep.pack", domain: words{"none", "newline", "blank_line"}, initial: "none", effect: Data, also: []string{"separator", "join", "eos"},
		meaning: "for many short documents: they become one text, with a line break or a blank line behind each; with none, no sequence crosses " +
			"documents, and the end of each is in no sequence"},
	{name: "prep.validation.fraction", domain: number{lo: 0, hi: 1, openHi: true}, initial: 0.1, effect: Data, always: inKeys,
		also:    []string{"validation_split", "val_fraction"},
		meaning: "share of the corpus held out for validation; 0 = none"},
	{name: "prep.validation.by", domain: words{"tail", "block"}, initial: "tail", effect: Data, always: inKeys,
		meaning: "choice of the held-out parts: the end of each document, or fixed blocks by a hash of their content"},
	{name: "prep.test.fraction", domain: number{lo: 0, hi: 1, openHi: true}, initial: 0.0, effect: Data, always: inKeys, also: []string{"test_split"},
		meaning: "share of the corpus held out from training and validation; 0 = none"},
	{name: "prep.seed", domain: whole{math.MinInt64, math.MaxInt64}, initial: 1, effect: Data, always: inKeys,
		meaning: "seed of the order of sequences"},
	{name: "prep.shards", domain: whole{0, 99999}, initial: 0, effect: Data, always: inKeys,
		meaning: "files of the train split; 0 = chosen from its size"},

	{name: "model.cell", domain: words{"gru", "lstm"}, initial: "gru", effect: Weights, always: inIdentity, also: []string{"rnn_type", "type"},
		meaning: "kind of recurrent cell"},
	{name: "model.layers", domain: whole{1, 64}, initial: 1, effect: Weights, always: inIdentity, also: []string{"num_layers", "depth"},
		meaning: "N, the recurrent layers"},
	{name: "model.embedding", domain: whole{1, 65536}, initial: 256, effect: Weights, always: inIdentity, also: []string{"embedding_dim", "embedding_size"},
		meaning: "I, the width of a character's embedding"},
	{name: "model.hidden", domain: whole{1, 65536}, initial: 1024, effect: Weights, always: inIdentity,
		also:    []string{"units", "rnn_units", "rnn_size", "hidden_size", "hidden_dim"},
		meaning: "H, the width of a recurrent layer"},
	{name: "model.dropout", domain: number{lo: 0, hi: 1, openHi: true}, initial: 0.0, effect: Weights, always: inIdentity,
		meaning: "share of the activations that training drops between layers and before the output"},
	{name: "model.input_dropout", domain: number{lo: 0, hi: 1, openHi: true}, initial: 0.0, effect: Weights, always: inKeys,
		meaning: "share of the embedded characters' values that training drops"},
	{name: "model.weight_dropout", domain: number{lo: 0, hi: 1, openHi: true}, initial: 0.0, effect: Weights, always: inKeys,
		meaning: "share of the recurrent weights that training drops, drawn for each step"},
	{name: "model.embedding_range", domain: number{lo: 1e-9, hi: 10}, initial: 0.05, effect: Weights, also: []string{"initializer_range", "init_range"},
		meaning: "initial values of the embedding are uniform in ± this; 0.05 is Keras'; 0.4 gained 0.025 nats in 5 epochs of Shakespeare"},

	{name: "train.out", domain: reasoned("folder or gs:// URL", whyNoPath), initial: "run", effect: None,
		meaning: "directory of the run, for the command train; a round chooses its own"},
	{name: "train.from", domain: reasoned("path or gs:// URL, or empty", orEmpty(whyNoPath)), initial: "", effect: Weights, place: true, also: []string{"init_from", "warm_start"},
		meaning: "checkpoint or run whose weights training starts from, below the workdir; empty = random weights"},
	{name: "train.epochs", domain: whole{0, 100_000}, initial: 3, effect: Course, always: inIdentity,
		meaning: "passes over all sequences; 0 saves the untrained network"},
	{name: "train.max_steps", domain: whole{0, math.MaxInt64}, initial: 0, effect: Kept, always: inKeys, also: []string{"max_iters", "steps"},
		meaning: "steps after which training ends early; 0 = no limit"},
	{name: "train.batch", domain: whole{1, 65536}, initial: 64, effect: Weights, always: inIdentity, also: []string{"batch_size"},
		meaning: "B, the sequences of a step"},
	{name: "train.hidden", domain: words{"zero", "carry"}, initial: "zero", effect: Weights, always: inKeys,
		meaning: "hidden at the start of a sequence: zeros, or carried over from the text before it"},
	{name: "train.lr", domain: number{lo: 1e-9, hi: 10}, initial: 0.001, effect: Weights, always: inIdentity, also: []string{"learning_rate", "step_size"},
		meaning: "learning rate, the step size of Adam"},
	{name: "train.schedule", domain: words{"constant", "cosine", "plateau"}, initial: "constant", effect: Weights, always: inIdentity,
		over: "train.epochs", unless: []any{"constant", "plateau"}, also: []string{"lr_schedule", "lr_decay", "scheduler"},
		meaning: "course of the learning rate: constant, half a cosine to 0 over all epochs, or halved when the loss stays"},
	{name: "train.warmup_steps", domain: whole{0, math.MaxInt64}, initial: 0, effect: Weights, always: inIdentity, also: []string{"warmup"},
		meaning: "steps over which the learning rate rises from 0"},
	{name: "train.clip_norm", domain: number{lo: 0, hi: 1e6}, initial: 0.0, effect: Weights, always: inIdentity,
		also:    []string{"grad_clip", "gradient_clipping", "max_grad_norm"},
		meaning: "upper bound of the norm of all gradients together; 0 = off"},
	{name: "train.weight_decay", domain: number{lo: 0, hi: 10}, initial: 0.0, effect: Weights, always: inIdentity, also: []string{"l2"},
		meaning: "share of each weight, times the learning rate, that a step subtracts; 0 = off"},
	{name: "train.average", domain: number{lo: 0, hi: 1, openHi: true}, initial: 0.0, effect: Weights, always: inKeys, also: []string{"ema", "ema_decay"},
		meaning: "decay, such as 0.999, of the running mean of the weights that is saved as the model; 0 = off, the last weights are"},
	{name: "train.seed", domain: whole{math.MinInt64, math.MaxInt64}, initial: 1, effect: Weights, always: inIdentity,
		meaning: "seed of the initial weights, of dropout, and of the order of sequences from the second epoch on"},
	{name: "train.curriculum.seq_length", domain: whole{0, 1 << 20}, initial: 0, effect: Weights, always: inKeys,
		meaning: "characters of a sequence in the first epoch, rising to L; 0 = L in every epoch; needs train.hidden carry; 25 gained 0.06 nats on Opticks"},
	{name: "train.curriculum.epochs", domain: whole{1, 1_000_000}, initial: 1, effect: Weights, always: inKeys, with: "train.curriculum.seq_length",
		meaning: "epochs over which train.curriculum.seq_length rises to L"},
	{name: "train.curriculum.sampling", domain: number{lo: 0, hi: 1}, initial: 0.0, effect: Weights, always: inKeys, over: "train.epochs", unless: []any{0.0},
		meaning: "scheduled sampling: share of the inputs drawn from the model itself, rising from 0 to this value over all epochs"},
	{name: "train.device", domain: words{"auto", "cpu", "gpu"}, initial: "auto", effect: None,
		meaning: "what trains: cpu, gpu (NVIDIA's), or auto: a GPU where there is one; the same bytes come of each"},
	{name: "train.precision", domain: words{"fp32", "bf16"}, initial: "fp32", effect: Weights, always: inIdentity, also: []string{"dtype", "bf16"},
		meaning: "number format of the recurrent matrix products; bf16 needs AVX512-BF16 and trained a GRU of 1024 units 1.7 times as fast"},
	{name: "train.log_every", domain: whole{1, math.MaxInt64}, initial: 10, effect: None, also: []string{"log_interval"},
		meaning: "steps between two lines of metrics.jsonl"},
	{name: "train.checkpoint.every_steps", domain: whole{0, math.MaxInt64}, initial: 0, effect: None, also: []string{"every", "save_every", "checkpoint_every"},
		meaning: "steps between checkpoints inside an epoch; 0 = none; the end of an epoch has one in any case"},
	{name: "train.checkpoint.every_minutes", domain: number{lo: 0, hi: 1e6}, initial: 0.0, effect: None,
		meaning: "minutes between checkpoints inside an epoch, checked after each step; 0 = none"},
	{name: "train.checkpoint.keep_last", domain: whole{1, 100_000}, initial: 3, effect: None,
		meaning: "number of newest checkpoints that stay"},
	{name: "train.checkpoint.keep_best", domain: truth{}, initial: true, effect: Kept, always: inKeys,
		meaning: "whether the checkpoint with the lowest validation loss stays too"},
	{name: "train.early_stop.patience", domain: whole{0, 1_000_000}, initial: 0, effect: Kept, always: inKeys, also: []string{"early_stopping"},
		meaning: "epochs without a lower validation loss after which training ends; 0 = off"},

	{name: "generate.prompt", domain: text{what: "text", ok: func(string) bool { return true }}, initial: "", effect: Text, always: inKeys,
		also:    []string{"start_string", "start"},
		meaning: "text that is continued; empty = a random character; where the text lacks characters of a prompt that nobody has set, its own beginning"},
	{name: "generate.unknown", domain: words{"error", "skip", "unk"}, initial: "error", effect: Text,
		meaning: "characters of a prompt that the model lacks: error; skip leaves them out; unk reads them as [UNK], where the model has it, and lets it be drawn"},
	{name: "generate.length", domain: whole{0, 1_000_000_000}, initial: 1000, effect: Text, always: inKeys,
		also:    []string{"num_generate", "max_tokens", "num_chars"},
		meaning: "characters to write"},
	{name: "generate.num", domain: whole{1, 10_000}, initial: 1, effect: None, also: []string{"num_samples", "num_return_sequences", "best_of"},
		meaning: "texts that the command generate writes side by side, each from random numbers of its own; a round's sample is the first"},
	{name: "generate.stop", domain: list{what: `list of texts, none of them empty, such as ["\n\n"]`, ok: func(s string) bool { return s != "" }}, initial: []string{},
		effect: Text, also: []string{"stop_strings", "stop_sequences"},
		meaning: "a text ends before the first of these that is drawn"},
	{name: "generate.temperature", domain: number{lo: 0, hi: 100}, initial: 1.0, effect: Text, always: inKeys, also: []string{"temp"},
		meaning: "divides the logits: below 1 prefers likely characters, above 1 evens the odds; 0 always takes the likeliest"},
	{name: "generate.top_k", domain: whole{0, 1_000_000_000}, initial: 0, effect: Text, always: inKeys,
		meaning: "draws only from the k likeliest characters; 0 = all"},
	{name: "generate.top_p", domain: number{lo: 0, hi: 1, openLo: true}, initial: 1.0, effect: Text, always: inKeys, also: []string{"nucleus"},
		meaning: "draws only from the likeliest characters that together have this probability; 1 = all"},
	{name: "generate.min_p", domain: number{lo: 0, hi: 1}, initial: 0.0, effect: Text,
		meaning: "draws only characters with at least this share of the likeliest's probability; 0 = all"},
	{name: "generate.repetition_penalty", domain: number{lo: 0, hi: 100, openLo: true}, initial: 1.0, effect: Text, also: []string{"repeat_penalty"},
		meaning: "divides the positive logits, and multiplies the others, of the characters that prompt and text have so far: above 1 for fewer of them; 1 = off"},
	{name: "generate.ban", domain: text{what: "text", ok: func(string) bool { return true }}, initial: "", effect: Text, also: []string{"bad_words", "exclude"},
		meaning: "characters that are never drawn"},
	{name: "generate.seed", domain: whole{math.MinInt64, math.MaxInt64}, initial: 0, effect: Text, always: inKeys,
		meaning: "seed of the draws"},

	{name: "gate.margin", domain: number{lo: 0, hi: 10}, initial: 0.0, effect: Verdict, always: inKeys,
		meaning: "nats a character by which a model must beat the promoted one on the same held-out text"},
	{name: "gate.max_gap", domain: number{lo: 0, hi: 1}, initial: 0.25, effect: Verdict, always: inKeys,
		meaning: "share of the training loss by which the held-out loss may be lower"},
	{name: "gate.samples", domain: whole{0, 256}, initial: 32, effect: Verdict, always: inKeys,
		meaning: "texts that the model writes for the checks below; 0 = none of these checks"},
	{name: "gate.length", domain: whole{0, 100_000}, initial: 0, effect: Verdict, always: inKeys,
		meaning: "characters of each such text; 0 = prep.seq_length, at least 50"},
	{name: "gate.temperature", domain: number{lo: 0, hi: 100}, initial: 0.7, effect: Verdict, always: inKeys,
		meaning: "temperature of these texts"},
	{name: "gate.max_loop", domain: number{lo: 0, hi: 1}, initial: 0.2, effect: Verdict, always: inKeys,
		meaning: "share of these texts that may be loops, beyond the share in the held-out text"},
	{name: "gate.min_coverage", domain: number{lo: 0, hi: 1}, initial: 0.8, effect: Verdict, always: inKeys,
		meaning: "share of the held-out text that the characters of these texts must account for, of the share that other held-out texts do"},
	{name: "gate.max_span", domain: whole{1, 1_000_000}, initial: 100, effect: Verdict, always: inKeys,
		meaning: "longest passage of these texts that may be copied from the training text, unless the held-out text shares a longer one"},
	{name: "gate.max_copied_20", domain: number{lo: 0, hi: 1}, initial: 0.2, effect: Verdict, always: inKeys,
		meaning: "share of the 20-grams of these texts that may be copied from the training text, beyond the share of the held-out text"},
	{name: "gate.max_copied_50", domain: number{lo: 0, hi: 1}, initial: 0.02, effect: Verdict, always: inKeys,
		meaning: "share of their 50-grams likewise"},
	{name: "gate.max_leaked", domain: number{lo: 0, hi: 1}, initial: 0.05, effect: Verdict, always: inKeys,
		meaning: "share of their 20-grams that may occur in the held-out text and not in the training text"},

	{name: "schedule.cron", domain: reasoned("a cron expression of 5 fields (minute, hour, day of month, month, day of week), or @daily and the like",
		checkCron), initial: "0 3 * * *", effect: None,
		meaning: "times at which retrain begins a round"},
	{name: "schedule.timezone", domain: reasoned("the name of a time zone, such as Europe/Berlin or UTC", checkZone), initial: "UTC", effect: None,
		also:    []string{"tz"},
		meaning: "time zone of schedule.cron"},
	{name: "schedule.overlap", domain: words{"skip", "buffer_one"}, initial: "skip", effect: None,
		meaning: "slots that come while a round runs: skipped, or the first of them runs after the round"},
	{name: "schedule.catch_up", domain: words{"latest", "none"}, initial: "latest", effect: None,
		meaning: "slots that came while no scheduler ran: the latest of them runs, or none"},
	{name: "schedule.listen", domain: text{what: "HOST:PORT, :PORT for this machine alone, or empty", ok: isListen}, initial: "", effect: None,
		also:    []string{"port", "address", "addr"},
		meaning: "address at which retrain answers /healthz, /livez and /metrics; port 0 = any free one; empty = none"},

	{name: "round.attempts", domain: whole{1, 100}, initial: 3, effect: None,
		meaning: "tries of a stage whose error may pass: no network, or an answer 408, 429 or 5xx"},
	{name: "round.pause_seconds", domain: number{lo: 0, hi: 3600}, initial: 10.0, effect: None,
		meaning: "seconds before the second try; they double with each try, up to 5 minutes"},
	{name: "round.limit_minutes.prep", domain: number{lo: 0, hi: 1e6}, initial: 0.0, effect: None,
		meaning: "minutes that prep may take; 0 = any"},
	{name: "round.limit_minutes.train", domain: number{lo: 0, hi: 1e6}, initial: 0.0, effect: None,
		meaning: "minutes that train may take; it saves, and the next round continues it; 0 = any"},
	{name: "round.limit_minutes.evaluate", domain: number{lo: 0, hi: 1e6}, initial: 0.0, effect: None,
		meaning: "minutes that evaluate may take; 0 = any"},
	{name: "round.limit_minutes.gate", domain: number{lo: 0, hi: 1e6}, initial: 0.0, effect: None,
		meaning: "minutes that gate may take; 0 = any"},
	{name: "round.limit_minutes.sample", domain: number{lo: 0, hi: 1e6}, initial: 0.0, effect: None,
		meaning: "minutes that sample may take; 0 = any"},

	{name: "node.kind", domain: words{NoNode, CommandNode, KubernetesNode}, initial: NoNode, effect: None, machine: true,
		meaning: "where the stages of node.stages run: none = here; command = behind node.launch; kubernetes = as a Job; no byte depends on it"},
	{name: "node.launch", domain: list{what: "list of the words of a command, such as [ssh, gpu1] or [srun, --gres=gpu:1]", ok: isWord}, initial: []string{},
		effect: None, machine: true,
		meaning: "words before quire and its arguments, which run it on another machine that has the workdir at the same path"},
	{name: "node.stages", domain: list{what: "list of stages: train, evaluate; prep goes to a cluster by --runner, the others run here",
		ok: func(s string) bool { return slices.Contains(nodeStages, s) }}, initial: []string{"train"}, effect: None, machine: true,
		meaning: "stages of a round that run on the node"},
	{name: "node.binary", domain: words{"installed", CopyBinary}, initial: "installed", effect: None, machine: true,
		meaning: "quire on the node: installed = the quire that is there, of the same version; copy = this program, brought there once"},
	{name: "node.template", domain: reasoned("path of a YAML file, or empty", orEmpty(whyNoPath)), initial: "", effect: None, machine: true,
		meaning: "manifest of the Job, for node.kind kubernetes; empty = the shipped one"},
	{name: "node.namespace", domain: text{what: "name of a namespace, or empty", ok: func(s string) bool { return s == "" || label.MatchString(s) }}, initial: "",
		effect: None, machine: true,
		meaning: "namespace of the Job, for node.kind kubernetes; empty = that of kubectl's context"},
	{name: "node.parallel", domain: whole{1, 1000}, initial: 1, effect: None, machine: true,
		meaning: "trials of a sweep that run on the node at a time"},

	{name: "notify.command", domain: secret{"shell command on one line, or empty", isCommand}, initial: "", effect: None,
		meaning: "command that runs when a round failed, was refused or promoted a model; it reads the news as JSON"},
	{name: "notify.webhook", domain: secret{"http:// or https:// URL, or empty", isWebhook}, initial: "", effect: None, also: []string{"url", "slack"},
		meaning: "URL that the same JSON is posted to, or the address of a chat, which shows it"},
	{name: "notify.secret", domain: secret{"whsec_ and 24 to 64 bytes in base64, as of `echo whsec_$(openssl rand -base64 32)`, file:PATH of it, or empty",
		isSigning}, initial: "", effect: None, also: []string{"key", "token", "hmac"},
		meaning: "secret that signs what is posted to notify.webhook, as Standard Webhooks do; empty = no signature"},
	{name: "notify.after_slots", domain: whole{0, 1000}, initial: 3, effect: None,
		meaning: "slots in a row without success after which notify is told, and again once a slot succeeds; 0 = never"},

	{name: "gc.keep_last", domain: whole{0, 1_000_000}, initial: 0, effect: None, also: []string{"keep"},
		meaning: "newest rounds that stay in the workdir, with all that they reach; with any rule of this section above 0, retrain removes the rest after " +
			"a promoted round"},
	{name: "gc.keep_daily", domain: whole{0, 1_000_000}, initial: 0, effect: None,
		meaning: "newest days, in schedule.timezone, of which the last round stays; only days with a round count"},
	{name: "gc.keep_weekly", domain: whole{0, 1_000_000}, initial: 0, effect: None,
		meaning: "newest weeks, from Monday on, of which the last round stays"},
	{name: "gc.keep_monthly", domain: whole{0, 1_000_000}, initial: 0, effect: None,
		meaning: "newest months of which the last round stays"},
	{name: "gc.keep_within", domain: reasoned("a length of time such as 30d or 2y5m7d3h, or empty", checkSpan), initial: "", effect: None,
		meaning: "time before the newest round of which all rounds stay"},
	{name: "gc.keep_promotions", domain: whole{2, 1_000_000}, initial: 10, effect: None,
		meaning: "models that stay of those that were in service, the present one included: rollbacks lead to them"},
	{name: "gc.keep_sweeps", domain: text{what: "keys of sweeps, or beginnings of 4 digits or more, between spaces; or all; or empty", ok: isSweeps}, initial: "",
		effect: None, meaning: "sweeps that stay, with the runs of their trials"},

	{name: "sweep.pick", domain: words{"grid", "random"}, initial: "grid", effect: None,
		meaning: "combinations of the values that sweep tries: all in order, or a random choice by sweep.seed"},
	{name: "sweep.trials", domain: whole{0, maxTrials}, initial: 0, effect: None,
		meaning: "number of trials; 0 = all combinations, with pick grid"},
	{name: "sweep.seed", domain: whole{math.MinInt64, math.MaxInt64}, initial: 1, effect: None,
		meaning: "seed of the random choice"},
}

// nodeStages are the stages that can run on a node: they read and write nothing but the workdir.
var nodeStages = []string{"train", "evaluate"}

// label is the name of a namespace of Kubernetes.
var label = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// isRecords reports whether s is a value of corpus.records.
func isRecords(s string) bool {
	kind, name, named := strings.Cut(s, ":")
	if named {
		return (kind == "jsonl" || kind == "csv") && line(name)
	}
	return kind == "file" || kind == "line"
}

// isSweeps reports whether s is a value of gc.keep_sweeps.
func isSweeps(s string) bool {
	for _, name := range (&GC{KeepSweeps: s}).Sweeps() {
		if name != "all" && (len(name) < 4 || strings.Trim(name, "0123456789abcdef") != "") {
			return false
		}
	}
	return true
}

func hex256(s string) bool {
	return s == "" || len(s) == 64 && strings.Trim(s, "0123456789abcdefABCDEF") == ""
}

// keyByName and sections index the table. A section is the beginning of a key,
// up to a dot.
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

// read turns bare text into a value in range.
func (k *key) read(text string) (any, error) {
	value, err := k.domain.parse(text)
	if err == nil {
		err = k.domain.check(value)
	}
	return value, err
}
