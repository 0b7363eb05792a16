package command_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/model/kernel"
	"github.com/quire-ml/quire/runners/workflow"
)

// other is a value of a key that differs from its value in the config of a lab.
type other struct {
	key, value string
	with       []string // keys that are set before and after
}

// others has another value for every key. TestEffects trains with each, and
// TestPlanChanges and TestPlanNoEffect plan a round with each.
func others(l *lab) []other {
	carry := []string{"train.hidden=carry"}
	return []other{
		{key: "name", value: "other"}, {key: "workdir", value: filepath.Join(l.dir, "other")},
		{key: "corpus.sources", value: filepath.Join(l.dir, "other.txt")}, {key: "corpus.sha256", value: fmt.Sprintf("%x", sha256.Sum256([]byte(text(3000))))},
		{key: "corpus.encoding", value: "windows-1252"}, {key: "corpus.newlines", value: "lf"},
		{key: "corpus.records", value: "line"},

		{key: "prep.out", value: "other"}, {key: "prep.seq_length", value: "11"}, {key: "prep.stride", value: "5"}, {key: "prep.unit", value: "byte"},
		{key: "prep.normalize", value: "nfc"}, {key: "prep.invalid_utf8", value: "replace"}, {key: "prep.min_count", value: "2"}, {key: "prep.pack", value: "newline"},
		{key: "prep.validation.fraction", value: "0.2"}, {key: "prep.validation.by", value: "block"}, {key: "prep.test.fraction", value: "0.1"},
		{key: "prep.seed", value: "2"}, {key: "prep.shards", value: "2"},

		{key: "model.cell", value: "lstm"}, {key: "model.layers", value: "2"}, {key: "model.embedding", value: "5"}, {key: "model.hidden", value: "9"},
		{key: "model.dropout", value: "0.5"}, {key: "model.input_dropout", value: "0.5"}, {key: "model.weight_dropout", value: "0.5"},
		{key: "model.embedding_range", value: "0.4"},

		{key: "train.out", value: "elsewhere"}, {key: "train.from", value: "start"}, {key: "train.epochs", value: "3"}, {key: "train.max_steps", value: "9"},
		{key: "train.batch", value: "4"}, {key: "train.hidden", value: "carry"}, {key: "train.lr", value: "0.02"}, {key: "train.schedule", value: "cosine"},
		{key: "train.warmup_steps", value: "5"}, {key: "train.clip_norm", value: "0.1"}, {key: "train.weight_decay", value: "0.1"},
		{key: "train.average", value: "0.9"}, {key: "train.seed", value: "2"}, {key: "train.curriculum.seq_length", value: "5", with: carry},
		{key: "train.curriculum.epochs", value: "2", with: append(carry, "train.curriculum.seq_length=5")},
		{key: "train.curriculum.sampling", value: "0.5"}, {key: "train.device", value: "cpu"}, {key: "train.precision", value: "bf16"},
		{key: "train.log_every", value: "7"}, {key: "train.checkpoint.every_steps", value: "7"}, {key: "train.checkpoint.every_minutes", value: "0.00001"},
		{key: "train.checkpoint.keep_last", value: "7"}, {key: "train.checkpoint.keep_best", value: "false"},
		{key: "train.early_stop.patience", value: "1"},

		{key: "generate.prompt", value: "of "}, {key: "generate.length", value: "31"}, {key: "generate.temperature", value: "0.5"},
		{key: "generate.top_k", value: "3"}, {key: "generate.top_p", value: "0.9"}, {key: "generate.seed", value: "1"},
		{key: "generate.unknown", value: "unk"}, {key: "generate.num", value: "3"}, {key: "generate.stop", value: "e"}, {key: "generate.min_p", value: "0.5"},
		{key: "generate.repetition_penalty", value: "1.5"}, {key: "generate.ban", value: "e"},

		{key: "gate.margin", value: "0.01"}, {key: "gate.max_gap", value: "0.5"}, {key: "gate.samples", value: "16"}, {key: "gate.length", value: "60"},
		{key: "gate.temperature", value: "0.6"}, {key: "gate.max_loop", value: "0.3"}, {key: "gate.min_coverage", value: "0.7"}, {key: "gate.max_span", value: "90"},
		{key: "gate.max_copied_20", value: "0.3"}, {key: "gate.max_copied_50", value: "0.3"}, {key: "gate.max_leaked", value: "0.3"},

		{key: "schedule.cron", value: "0 4 * * *"}, {key: "schedule.timezone", value: "Europe/Berlin"}, {key: "schedule.overlap", value: "buffer_one"},
		{key: "schedule.catch_up", value: "none"}, {key: "round.attempts", value: "7"}, {key: "round.pause_seconds", value: "7"},
		{key: "round.limit_minutes.prep", value: "7"}, {key: "round.limit_minutes.train", value: "7"}, {key: "round.limit_minutes.evaluate", value: "7"},
		{key: "round.limit_minutes.gate", value: "7"}, {key: "round.limit_minutes.sample", value: "7"}, {key: "notify.command", value: "true"},
		{key: "node.kind", value: "command", with: []string{"node.launch=env", "node.stages=[]"}}, {key: "node.launch", value: "env"},
		{key: "node.stages", value: "evaluate"}, {key: "node.binary", value: "copy"}, {key: "node.template", value: "job.yaml"},
		{key: "node.namespace", value: "ml"}, {key: "node.parallel", value: "7"},
		{key: "notify.webhook", value: "http://127.0.0.1:1/"}, {key: "gc.keep_last", value: "7"}, {key: "gc.keep_daily", value: "7"},
		{key: "gc.keep_weekly", value: "7"}, {key: "gc.keep_monthly", value: "7"}, {key: "gc.keep_within", value: "7d"},
		{key: "gc.keep_promotions", value: "7"}, {key: "gc.keep_sweeps", value: "all"}, {key: "sweep.pick", value: "random"}, {key: "sweep.trials", value: "7"}, {key: "sweep.seed", value: "7"},
		{key: "schedule.listen", value: ":0"}, {key: "notify.secret", value: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}, {key: "notify.after_slots", value: "7"},
	}
}

// set returns the flags of settings.
func set(settings ...string) []string {
	var args []string
	for _, s := range settings {
		args = append(args, "--set", s)
	}
	return args
}

// value returns a key of a resolved config as JSON.
func (l *lab) value(key string, settings ...string) string {
	l.t.Helper()
	r, err := configs.Load(configs.Options{Config: l.config, Set: settings})
	if err != nil {
		l.t.Fatal(err)
	}
	data, err := json.Marshal(r.Values())
	if err != nil {
		l.t.Fatal(err)
	}
	return string(workflow.Flatten(data)[key])
}

// trained makes the set and trains. It returns the digest of the set, and by the
// name of a checkpoint, one at every step, the digest of its tensors.
func (l *lab) trained(run string, settings ...string) (manifest string, tensors map[string]string) {
	l.t.Helper()
	args := append(set("train.out="+run, "train.checkpoint.every_steps=1", "train.checkpoint.keep_last=1000"), set(settings...)...)
	var made struct {
		Manifest string `json:"manifest_sha256"`
		Run      string `json:"run"`
	}
	for _, name := range []string{"prep", "train"} {
		if err := json.Unmarshal([]byte(l.ok(append([]string{name, "--json", "--quiet", "--replace"}, args...)...).stdout), &made); err != nil {
			l.t.Fatal(err)
		}
	}
	files, err := filepath.Glob(filepath.Join(made.Run, "checkpoints", "*"))
	if err != nil || len(files) == 0 {
		l.t.Fatalf("%v: %d checkpoints, %v", settings, len(files), err)
	}
	tensors = map[string]string{}
	for _, f := range files {
		tensors[filepath.Base(f)] = tensorDigest(l.t, f)
	}
	return made.Manifest, tensors
}

// sameTensors counts the steps at which two trainings have a checkpoint, and those
// of them at which the tensors are equal.
func sameTensors(a, b map[string]string) (common, equal int) {
	for name, digest := range a {
		if d, ok := b[name]; ok {
			common++
			if d == digest {
				equal++
			}
		}
	}
	return common, equal
}

// TestEffects changes each key alone, and compares the set and the weights of
// every step with the column effect of the table.
func TestEffects(t *testing.T) {
	l := newLab(t)
	l.write(l.corpus, text(400))
	l.write(filepath.Join(l.dir, "other.txt"), text(401))
	l.trained("start", "train.seed=5")
	left := configs.Effects()
	for i, o := range others(l) {
		effect := left[o.key]
		delete(left, o.key)
		change := o.key + "=" + o.value
		if o.key == "train.precision" && kernel.BF16.Check() != nil {
			continue // this processor has no bf16
		}
		if o.key == "corpus.sha256" {
			change = fmt.Sprintf("corpus.sha256=%x", sha256.Sum256([]byte(text(400))))
		}
		set, tensors := l.trained("base-"+strings.Trim(strings.Join(o.with, "-"), "[]"), o.with...)
		nowSet, now := l.trained(fmt.Sprint("run-", i), append(slices.Clone(o.with), change)...)
		common, equal := sameTensors(tensors, now)
		switch {
		case effect == configs.Data && nowSet == set:
			t.Errorf("%s has the effect %s, but with %s the set is the same", o.key, effect, o.value)
		case effect == configs.Data:
		case nowSet != set:
			t.Errorf("%s has the effect %s, but with %s the set is another", o.key, effect, o.value)
		case effect == configs.Weights && common > 0 && equal == common:
			t.Errorf("%s has the effect %s, but with %s all %d steps have the same weights", o.key, effect, o.value, common)
		case effect != configs.Weights && (common == 0 || equal != common):
			t.Errorf("%s has the effect %s, but with %s only %d of %d steps have the same weights", o.key, effect, o.value, equal, common)
		}
	}
	if len(left) > 0 {
		t.Errorf("the test has no other value for %v", slices.Sorted(maps.Keys(left)))
	}
}

// TestMoreEpochs: a training that is continued with more epochs ends with the
// weights of a straight one, or is refused with the reason.
func TestMoreEpochs(t *testing.T) {
	for _, test := range []struct {
		settings []string
		follower string
	}{
		{[]string{"name=constant"}, ""},
		{[]string{"train.schedule=plateau"}, ""},
		{[]string{"train.hidden=carry", "train.curriculum.seq_length=5", "train.curriculum.epochs=2"}, ""},
		{[]string{"train.curriculum.sampling=1"}, "train.curriculum.sampling"},
		{[]string{"train.schedule=cosine"}, "train.schedule"},
	} {
		l := newLab(t)
		l.write(l.corpus, text(400))
		l.trained("run", append(test.settings, "train.epochs=2")...)
		_, straight := l.trained("straight", append(test.settings, "train.epochs=6")...)
		args := append([]string{"train"}, set(append(test.settings, "train.epochs=6", "train.checkpoint.every_steps=1", "train.checkpoint.keep_last=1000")...)...)
		if test.follower != "" {
			l.fails(1, []string{"train.epochs: the run has 2, now 6", test.follower + " follows a course over train.epochs", "use another train.out", "or --replace to start from zero"}, args...)
			continue
		}
		l.ok(args...)
		_, continued := l.trained("run", append(test.settings, "train.epochs=6")...)
		if !maps.Equal(continued, straight) {
			common, equal := sameTensors(continued, straight)
			t.Errorf("%v: of %d and %d checkpoints, %d are common and %d equal", test.settings, len(continued), len(straight), common, equal)
		}
	}
}
