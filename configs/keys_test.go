package configs

import (
	"crypto/sha256"
	"encoding/hex"
	"math"
	"os"
	"reflect"
	"slices"
	"sort"
	"strings"
	"testing"
)

// TestKeys holds the table complete: every key has all that Explain says, a
// default in range, a variable of its own, and a field in Config.
func TestKeys(t *testing.T) {
	fields := (&Config{}).values()
	variables := map[string]string{}
	for i := range keys {
		k := &keys[i]
		if k.meaning == "" || k.domain.String() == "" || strings.ContainsAny(k.meaning+k.domain.String(), "\n\t") {
			t.Errorf("%s has no meaning or range in one line", k.name)
		}
		if err := k.domain.check(k.initial); err != nil {
			t.Errorf("%s: the default %v", k.name, err)
		}
		if other := variables[k.variable()]; other != "" || slices.Contains(switches, k.variable()) {
			t.Errorf("%s: %s is also of %q", k.name, k.variable(), other)
		}
		variables[k.variable()] = k.name
		if f, ok := fields[k.name]; !ok || reflect.TypeOf(f) != reflect.TypeOf(k.initial) {
			t.Errorf("%s: Config has %T, the table %T", k.name, f, k.initial)
		}
		if k.name != strings.ToLower(k.name) || keyByName[k.name] != k || sections[k.name] {
			t.Errorf("%s is no good name", k.name)
		}
	}
	if len(fields) != len(keys) || len(keyByName) != len(keys) {
		t.Errorf("Config has %d values, the table %d keys", len(fields), len(keys))
	}
}

// TestNames is the contract: the names in DESIGN.md, section 4, and those that
// came later.
func TestNames(t *testing.T) {
	want := strings.Fields(`name workdir corpus.sources corpus.sha256 prep.out prep.seq_length prep.unit prep.normalize prep.invalid_utf8
		prep.min_count prep.validation.fraction prep.validation.by prep.seed prep.shards model.cell model.layers model.embedding model.hidden
		model.dropout model.input_dropout model.weight_dropout train.out train.epochs train.batch train.lr train.schedule train.warmup_steps train.clip_norm train.seed train.device
		train.checkpoint.every_steps train.checkpoint.every_minutes train.checkpoint.keep_last train.checkpoint.keep_best
		train.early_stop.patience
		generate.prompt generate.length generate.temperature generate.top_k generate.top_p generate.seed
		train.max_steps train.log_every train.precision train.weight_decay prep.stride prep.test.fraction
		gate.margin gate.max_gap gate.samples gate.length gate.temperature gate.max_loop gate.min_coverage gate.max_span gate.max_copied_20
		gate.max_copied_50 gate.max_leaked sweep.pick sweep.trials sweep.seed schedule.cron schedule.timezone schedule.overlap schedule.catch_up schedule.listen
		round.attempts round.pause_seconds round.limit_minutes.prep round.limit_minutes.train round.limit_minutes.evaluate round.limit_minutes.gate
		round.limit_minutes.sample notify.command notify.webhook notify.secret notify.after_slots
		train.hidden train.average train.from train.curriculum.seq_length train.curriculum.epochs train.curriculum.sampling
		gc.keep_last gc.keep_daily gc.keep_weekly gc.keep_monthly gc.keep_within gc.keep_promotions gc.keep_sweeps
		model.embedding_range corpus.encoding corpus.newlines corpus.records prep.pack
		generate.unknown generate.num generate.stop generate.min_p generate.repetition_penalty generate.ban
		node.kind node.launch node.stages node.binary node.template node.namespace node.parallel`)
	var got []string
	for i := range keys {
		got = append(got, keys[i].name)
	}
	sort.Strings(got)
	sort.Strings(want)
	if !slices.Equal(got, want) {
		t.Errorf("keys are\n%v\nwant\n%v", got, want)
	}
}

func TestEmbedded(t *testing.T) {
	if got, want := Names(), []string{"base", "quickstart", "shakespeare-3min", "shakespeare", "tutorial"}; !slices.Equal(got, want) {
		t.Errorf("embedded configs are %v, want %v", got, want)
	}
	for _, name := range Names() {
		r, err := Load(Options{Config: name})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if name != "base" && (r.Config.Name != name || r.Config.Workdir != "work/"+name || len(r.Config.Corpus.Sources) != 1) {
			t.Errorf("%s: name %s, workdir %s, sources %v", name, r.Config.Name, r.Config.Workdir, r.Config.Corpus.Sources)
		}
	}
}

// TestTutorial holds the numbers of TensorFlow's tutorial, and that the file
// itself says them.
func TestTutorial(t *testing.T) {
	r, err := Load(Options{Config: "tutorial"})
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]any{
		"corpus.sources":  []string{"https://storage.googleapis.com/download.tensorflow.org/data/shakespeare.txt"},
		"corpus.sha256":   "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
		"prep.seq_length": int64(100), "prep.validation.fraction": 0.0, "prep.unit": "rune", "prep.min_count": int64(1),
		"model.cell": "gru", "model.layers": int64(1), "model.embedding": int64(256), "model.hidden": int64(1024), "model.dropout": 0.0,
		"train.epochs": int64(3), "train.batch": int64(64), "train.lr": 1e-3, "train.clip_norm": 0.0, "train.schedule": "constant",
		"generate.prompt": "ROMEO: ", "generate.length": int64(1000), "generate.temperature": 1.0, "generate.top_k": int64(0), "generate.top_p": 1.0,
	} {
		got := r.last(key)
		if !reflect.DeepEqual(got.value, want) || !strings.HasPrefix(got.source, "embedded tutorial.yaml:") {
			t.Errorf("%s is %v by %s, want %v by tutorial.yaml", key, got.value, got.source, want)
		}
	}
	const text = "../../shared/corpus/tinyshakespeare.txt" // the same text, where this machine has it
	data, err := os.ReadFile(text)
	if err != nil {
		t.Skipf("the digest is not compared with the text: %v", err)
	}
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != r.Config.Corpus.SHA256 {
		t.Errorf("%s has sha256 %x, the config says %s", text, sum, r.Config.Corpus.SHA256)
	}
}

func TestNearest(t *testing.T) {
	for name, want := range map[string]string{
		"train.lrr": "train.lr", "TRAIN.LR": "train.lr", "train.batch_size": "train.batch", "batch": "train.batch", "hiden": "model.hidden",
		"prep.hidden": "model.hidden", "trian": "train", "corpus.source": "corpus.sources", "early_stop.patience": "train.early_stop.patience",
		"train.learning_rate": "train.lr", "learning_rate": "train.lr", "train.learning_rat": "train.lr", "model.units": "model.hidden",
		"generate.num_generate":  "generate.length",
		"train.checkpoint.every": "train.checkpoint.every_steps", "sweep.train.learning_rate": "sweep.train.lr", "train.grad_clip": "train.clip_norm",
		"train.keep_last": "train.checkpoint.keep_last", "checkpoint": "train.checkpoint", "Name": "name", "extend": "extends", "x": "name", "": "name",
	} {
		if got := nearestKey(name); got != want {
			t.Errorf("nearest of %q is %q, want %q", name, got, want)
		}
	}
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"", "ab", 2}, {"kitten", "sitting", 3}, {"flaw", "lawn", 2}, {"abc", "abc", 0}} {
		if got := levenshtein(c.a, c.b); got != c.want {
			t.Errorf("levenshtein(%q, %q) is %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

// TestDomainEnds tries both ends of every range, and the values beside them.
func TestDomainEnds(t *testing.T) {
	for i := range keys {
		k := &keys[i]
		switch d := k.domain.(type) {
		case whole:
			good := []int64{d.lo, d.hi}
			var bad []int64
			if d.lo > math.MinInt64 {
				bad = append(bad, d.lo-1)
			}
			if d.hi < math.MaxInt64 {
				bad = append(bad, d.hi+1)
			}
			for _, n := range good {
				if err := d.check(n); err != nil {
					t.Errorf("%s %v", k.name, err)
				}
			}
			for _, n := range bad {
				if d.check(n) == nil {
					t.Errorf("%s takes %d", k.name, n)
				}
			}
		case number:
			for x, good := range map[float64]bool{d.lo: !d.openLo, d.hi: !d.openHi, math.Nextafter(d.lo, -1): false, math.Nextafter(d.hi, 1e9): false,
				math.Nextafter(d.lo, 1e9): true, math.Nextafter(d.hi, -1): true, math.Inf(1): false, math.Inf(-1): false, math.NaN(): false} {
				if err := d.check(x); (err == nil) != good {
					t.Errorf("%s: %v: %v", k.name, x, err)
				}
			}
		}
	}
}
