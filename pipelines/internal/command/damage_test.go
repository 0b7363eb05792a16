package command_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// uses are commands that must notice that a file is damaged, and what their
// error says besides the file's name. A path is below the workdir.
var uses = []struct {
	file     string
	advice   string
	commands [][]string
}{
	{"set/manifest.json", "prep --replace", [][]string{{"prep"}, {"train"}, {"train", "--out", "elsewhere"}, {"evaluate"}, {"inspect"}}},
	{"set/vocab.json", "prep --replace", [][]string{{"prep"}, {"train"}, {"evaluate"}, {"inspect"}}},
	{"set/train-00000-of-00001.tfrecord", "prep --replace", [][]string{{"prep"}, {"inspect"}, {"inspect", "$"}}},
	{"set/validation-00000-of-00001.tfrecord", "prep --replace", [][]string{{"prep"}, {"train", "--out", "elsewhere"}, {"evaluate"}, {"inspect"}, {"inspect", "$"}}},
	{"run/latest.json", "intact copy", [][]string{{"train"}, {"generate", "--which", "latest"}, {"inspect", "RUN", "--which", "latest"}}},
	{"run/best.json", "intact copy", [][]string{{"train"}, {"generate"}, {"evaluate"}, {"inspect", "RUN"}}},
	{"run/run.json", "intact copy", [][]string{{"train"}, {"generate", "--which", "step:2"}, {"inspect", "RUN", "--which", "step:2"}}},
	{"run/checkpoints/step-00000002.safetensors", "intact copy", [][]string{{"train"}, {"generate"}, {"score", "--text", "the"}, {"evaluate"}, {"inspect", "$"}}},
	{"run/metrics.jsonl", "delete", [][]string{{"train"}}},
}

// places are bytes to damage: -1 is the last. Packages store, dataset and
// checkpoint damage every byte; here it is the commands that are tested.
func places(size int) []int {
	return []int{0, 1, size / 3, size / 2, size - 2, size - 1}
}

// TestDamage flips a byte, or cuts the last, in every file that commands rely
// on: one line with the file's name and what to do. (A
// training reads, and so verifies, no more of its shard than it needs:
// TestDamageMended.)
func TestDamage(t *testing.T) {
	l := newLab(t)
	l.ok("prep")
	l.ok("train", "--set", "train.max_steps=2")
	for _, u := range uses {
		path := filepath.Join(l.work, u.file)
		whole := l.read(path)
		var damaged []string
		for _, at := range places(len(whole)) {
			flipped := []byte(whole)
			flipped[at] ^= 0x04
			damaged = append(damaged, string(flipped))
		}
		damaged = append(damaged, whole[:len(whole)-1], whole[:len(whole)/2], "")
		if filepath.Base(path) == "metrics.jsonl" {
			damaged = []string{"x" + whole[1:], whole[:len(whole)-3]} // it has no digest: it is for reading, and for being cut back
		}
		for i, text := range damaged {
			l.write(path, text)
			for _, args := range u.commands {
				l.damagedRun(path, args, u.advice)
			}
			if t.Failed() {
				t.Fatalf("damage %d of %s", i, path)
			}
		}
		l.write(path, whole)
	}
	l.ok("train", "--set", "train.max_steps=2")
	l.ok("evaluate")
	l.ok("inspect")
}

// damagedRun runs a command that must name the damaged file; $ stands for its
// path and RUN for the run's. The file stays as it is.
func (l *lab) damagedRun(path string, args []string, advice string) {
	l.t.Helper()
	before := l.read(path)
	full := []string{args[0], "--set", "train.max_steps=2"}
	for _, a := range args[1:] {
		switch a {
		case "$":
			a = path
		case "RUN":
			a = filepath.Join(l.work, "run")
		}
		full = append(full, a)
	}
	l.fails(1, []string{path, advice}, full...)
	if l.read(path) != before {
		l.t.Errorf("%v has changed the damaged %s", full, path)
	}
}

// TestDamageMended follows the advice of the errors.
func TestDamageMended(t *testing.T) {
	l := newLab(t)
	first := l.result(prepKeys, "prep")["manifest_sha256"]
	shard, manifest := filepath.Join(l.work, "set", "train-00000-of-00001.tfrecord"), filepath.Join(l.work, "set", "manifest.json")
	text := []byte(l.read(shard))
	text[len(text)/2] ^= 1
	l.write(shard, string(text))
	l.fails(1, []string{shard}, "train")
	if got := l.result(prepKeys, "prep", "--replace")["manifest_sha256"]; got != first {
		t.Errorf("made again, the set has sha256 %v, want %v", got, first)
	}
	l.ok("inspect")
	l.write(manifest, "{}")
	l.fails(1, []string{manifest}, "prep")
	if got := l.result(prepKeys, "prep", "--replace")["manifest_sha256"]; got != first {
		t.Errorf("made again, the set has sha256 %v, want %v", got, first)
	}
	if err := os.Remove(shard); err != nil {
		t.Fatal(err)
	}
	if got := l.result(prepKeys, "prep")["manifest_sha256"]; got != first || l.read(shard) == "" {
		t.Errorf("with a shard made again, the set has sha256 %v, want %v", got, first)
	}

	l.ok("train")
	latest := filepath.Join(l.work, "run", "latest.json")
	want := l.read(latest)
	l.write(latest, want[1:])
	l.fails(1, []string{latest, "to start from zero, use train --fresh"}, "train")
	l.ok("train", "--fresh")
	if l.read(latest) != want {
		t.Error("trained again, latest.json is another")
	}
}

// fates say what damage of a file of a workdir does to a round that has nothing to do:
// it "stops" the round, which names the file; it "warns" of the file and goes on; or it
// is "unread". The first pattern that matches a name holds. KEY is the key that the stage
// has in this round, SHA256 the digest of the model in service.
var fates = []struct{ pattern, fate, advice string }{
	{"promoted.json", "stops", "delete it"},
	{"promotions/00000001-*.json", "stops", "intact copy"}, // the model to beat
	{"promotions/*.json", "unread", ""},                    // the history
	{"stages/*/KEY.json", "stops", "delete it"},
	{"sets/KEY/manifest.json", "stops", "or delete it"},
	{"sets/KEY/vocab.json", "stops", "or delete it"},
	{"sets/KEY/*.tfrecord", "stops", "or delete it"},
	{"sets/KEY/.prep.json", "unread", ""}, // prep reads it, where the manifest is gone
	{"runs/KEY/latest.json", "stops", "or delete it"},
	{"runs/KEY/best.json", "stops", "intact copy"},
	{"runs/KEY/checkpoints/step-00000060.safetensors", "stops", "intact copy"},
	{"promoted/SHA256.safetensors", "stops", "delete it"},
	{"promoted/*", "unread", ""}, // what was in service before
	{"rounds/latest.json", "warns", "delete it"},
	{"rounds/20251101T030000Z.json", "warns", "delete it"}, // the newest
	{"rounds/*.json", "unread", ""},                        // `runs list` warns
	{"rounds/*.html", "unread", ""},                        // for people
	{"stages/*/*.json", "unread", ""},                      // of other settings
	{"runs/KEY/checkpoints/*", "unread", ""},               // not the best
	{"runs/KEY/run.json", "unread", ""},                    // train reads it, to go on
	{"runs/KEY/*", "unread", ""},                           // for people and TensorBoard
	{"runs/*/*", "unread", ""},
	{"runs/*/checkpoints/*", "unread", ""},
	{"schedule/*", "unread", ""}, // retrain reads it
	{"schedule/slots/*", "unread", ""},
}

// fate returns the row of fates for a file, of a round with this record and promoted.json.
func fate(name, record, promoted string) (pattern, fate, advice string) {
	for _, f := range fates {
		parts := strings.Split(name, "/")
		for i := range parts {
			if key := strings.TrimSuffix(parts[i], ".json"); strings.Contains(record, `"key": "`+key+`"`) {
				parts[i] = strings.Replace(parts[i], key, "KEY", 1)
			}
			if sum := strings.TrimSuffix(parts[i], ".safetensors"); strings.Contains(promoted, `"sha256": "`+sum+`"`) {
				parts[i] = strings.Replace(parts[i], sum, "SHA256", 1)
			}
		}
		if ok, _ := filepath.Match(f.pattern, strings.Join(parts, "/")); ok {
			return f.pattern, f.fate, f.advice
		}
	}
	return "", "", ""
}

// TestDamagedFiles flips a byte in the middle of every file of a workdir: what a round
// needs stops it, what serves reports does not.
func TestDamagedFiles(t *testing.T) {
	l := newLab(t)
	l.result(runKeys, "run")
	better := []string{"--set", "train.lr=0.02"}
	l.slot("01", 0, better...)
	rounds := filepath.Join(l.work, "rounds")
	record, used := l.read(filepath.Join(rounds, "20251101T030000Z.json")), map[string]int{}
	promoted := l.read(filepath.Join(l.work, "promoted.json"))
	for _, name := range l.files(l.work) {
		path := filepath.Join(l.work, name)
		pattern, want, advice := fate(name, record, promoted)
		used[pattern]++
		kept := t.TempDir()
		if err := os.CopyFS(kept, os.DirFS(rounds)); err != nil {
			t.Fatal(err)
		}
		whole := l.read(path)
		flipped := []byte(whole)
		flipped[len(whole)/2] ^= 0x10
		l.write(path, string(flipped))
		if strings.HasPrefix(name, "rounds/2") && strings.HasSuffix(name, ".json") {
			o := l.ok("runs", "list")
			if strings.Count(o.stdout, "\n") != 2 || strings.Count(o.stderr, "WARNING: ") != 1 || !strings.Contains(o.stderr, path) {
				t.Errorf("the list without %s: %v", name, o)
			}
		}
		p := l.run(append(better, "plan", "--quiet")...)
		o := l.run(append(better, "run", "--quiet")...)
		got := "unread"
		switch {
		case o.code != 0:
			got = "stops"
		case strings.HasPrefix(o.stderr, "WARNING: "):
			got = "warns"
		}
		if named := strings.Contains(o.stderr, path) && strings.Contains(o.stderr, advice); got != want || named != (want != "unread") {
			t.Errorf("damage of %s %s the round, want %s, with %q: %v", name, got, want, advice, o)
		}
		if want == "stops" && (p.code != o.code || p.stderr != o.stderr) || want != "stops" && (p.code != 0 || strings.Contains(p.stderr, path) != (want == "warns")) {
			t.Errorf("damage of %s: %v", name, p)
		}
		l.write(path, whole)
		if err := errors.Join(os.RemoveAll(rounds), os.CopyFS(rounds, os.DirFS(kept))); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range fates {
		if used[f.pattern] == 0 {
			t.Errorf("no file is called %s", f.pattern)
		}
	}
	l.fails(2, []string{"generate.prompt", "'Z'"}, "generate", "--prompt", "Z")
}

// TestDamagedRound flips bytes at several places of what a round relies on.
func TestDamagedRound(t *testing.T) {
	l := newLab(t)
	r := l.result(runKeys, "run")
	outcomes, err := filepath.Glob(filepath.Join(l.work, "stages", "evaluate", "*.json"))
	if err != nil || len(outcomes) != 1 {
		t.Fatalf("outcomes of evaluate: %v, %v", outcomes, err)
	}
	for _, c := range [][2]string{
		{outcomes[0], "delete it"},
		{filepath.Join(l.work, "promoted.json"), "delete it"},
		{filepath.Join(r["set"].(string), "manifest.json"), "or delete it"},
		{filepath.Join(r["run"].(string), "latest.json"), "or delete it"},
		{filepath.Join(r["run"].(string), "best.json"), "intact copy"},
		{r["promoted"].(string), "intact copy"},
		{filepath.Join(r["set"].(string), "vocab.json"), "or delete it"},
	} {
		path, advice := c[0], c[1]
		whole := l.read(path)
		for _, at := range places(len(whole)) {
			flipped := []byte(whole)
			flipped[at] ^= 0x10
			l.write(path, string(flipped))
			l.fails(1, []string{path, advice}, "run")
		}
		l.write(path, whole)
	}
	if err := os.Remove(r["record"].(string)); err != nil {
		t.Fatal(err)
	}
	wantStages(t, l.ok("run"), "nothing to do") // what the stages made is kept apart from the records
}
