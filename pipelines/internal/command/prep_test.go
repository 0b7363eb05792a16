package command_test

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/quire-ml/quire/model/kernel"
)

const prepKeys = "set manifest_sha256 chars vocab sequences dropped_chars unigram_nats bigram_nats seconds"

func TestPrep(t *testing.T) {
	l := newLab(t)
	r := l.result(prepKeys, "prep")
	for key, want := range map[string]any{"set": filepath.Join(l.work, "set"), "chars": 3000.0, "skipped": false} {
		if r[key] != want {
			t.Errorf("%s is %v, want %v", key, r[key], want)
		}
	}
	parts := r["sequences"].(map[string]any)
	n := parts["train"].(float64) + parts["validation"].(float64)
	if n*11+r["dropped_chars"].(float64) != 3000 || parts["validation"].(float64) < 20 {
		t.Errorf("sequences %v and dropped_chars %v do not make 3000 characters", parts, r["dropped_chars"])
	}
	want := []string{".prep.json", "manifest.json", "train-00000-of-00001.tfrecord", "validation-00000-of-00001.tfrecord", "vocab.json"}
	if got := l.files(filepath.Join(l.work, "set")); !slices.Equal(got, want) {
		t.Errorf("files %v, want %v", got, want)
	}
	again := l.result(prepKeys, "prep")
	if again["skipped"] != true || again["manifest_sha256"] != r["manifest_sha256"] {
		t.Errorf("the second prep gives %v, the first %v", again, r)
	}
	if o := l.ok("prep"); !strings.Contains(o.stdout, "there already") {
		t.Errorf("the third prep does not say that the set is there: %v", o)
	}
}

// TestPrepEngines makes the same set by direct and prism, both ways.
func TestPrepEngines(t *testing.T) {
	l := newLab(t)
	for _, shards := range []string{"1", "3", "16"} {
		sums := map[any][]string{}
		for _, run := range []string{"direct files", "direct engine", "prism files", "prism engine"} {
			runner, way, _ := strings.Cut(run, " ")
			r := l.result(prepKeys, "prep", "--runner", runner, "--way", way, "--set", "prep.shards="+shards, "--out", filepath.Join(l.dir, runner+way+shards))
			sums[r["manifest_sha256"]] = append(sums[r["manifest_sha256"]], run)
		}
		if len(sums) != 1 {
			t.Errorf("%s shards: the manifests' sha256 are %v", shards, sums)
		}
	}
	l.fails(2, []string{`--way is "air"; use files or engine`}, "prep", "--way", "air")
}

// TestPrepTogether starts preps of one set at the same time: each ends well or
// says which other one makes the set, and there is one, whole.
func TestPrepTogether(t *testing.T) {
	l := newLab(t)
	l.write(l.corpus, text(3_000_000))
	var preps []*exec.Cmd
	for _, runner := range []string{"direct", "prism", "direct"} {
		c := l.child("prep", "--runner="+runner, "--set=prep.shards=8", "--quiet")
		c.Stderr = new(bytes.Buffer)
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		preps = append(preps, c)
	}
	good := 0
	for _, c := range preps {
		if err := c.Wait(); err == nil {
			good++
		} else if text := fmt.Sprint(c.Stderr); c.ProcessState.ExitCode() != 1 || !strings.Contains(text, "the set is being made by another") || !strings.Contains(text, "wait for it to end") {
			t.Errorf("exit code %d: %s", c.ProcessState.ExitCode(), text)
		}
	}
	if good == 0 {
		t.Error("none has ended well")
	}
	set := filepath.Join(l.work, "set")
	if r := l.result(prepKeys, "prep", "--set=prep.shards=8"); r["skipped"] != true {
		t.Errorf("the set is made again: %v", r)
	}
	l.ok("inspect", set)
	l.ok("prep", "--set=prep.shards=8", "--out", filepath.Join(l.dir, "alone"))
	l.sameSets("alone", filepath.Join("work", "set"))
}

// TestPrepOtherInputs refuses a finished set that came from others.
func TestPrepOtherInputs(t *testing.T) {
	l := newLab(t)
	first := l.result(prepKeys, "prep")
	out := filepath.Join(l.work, "set")
	l.fails(1, []string{out, "prep.seq_length: the set has 10, now 20", "--replace"}, "prep", "--set", "prep.seq_length=20")
	l.fails(1, []string{out, "prep.shards: the set has 1, now 3"}, "prep", "--set", "prep.shards=3")
	l.write(l.corpus, text(2000))
	l.fails(1, []string{out, "document text.txt", "--replace"}, "prep")
	if r := l.result(prepKeys, "prep", "--replace"); r["chars"] != 2000.0 {
		t.Errorf("the replaced set has %v characters, want 2000", r["chars"])
	}
	l.write(l.corpus, text(3000))
	if r := l.result(prepKeys, "prep", "--replace"); r["manifest_sha256"] != first["manifest_sha256"] {
		t.Errorf("made again, the set is another: %v, want %v", r, first)
	}
}

// TestBadCorpus gives prep and a round corpora that cannot become a set.
func TestBadCorpus(t *testing.T) {
	l := newLab(t)
	empty, short, invalid := filepath.Join(l.dir, "empty.txt"), filepath.Join(l.dir, "short.txt"), filepath.Join(l.dir, "invalid.txt")
	l.write(empty, "")
	l.write(short, "too short")
	l.write(invalid, text(500)+"\xff"+text(500))
	for _, c := range []struct {
		source string
		parts  []string
	}{
		{filepath.Join(l.dir, "missing.txt"), []string{"missing.txt", "no such file", "corpus.sources"}},
		{filepath.Join(l.dir, "*.none"), []string{"*.none", "no file matches", "corpus.sources"}},
		{empty, []string{"empty.txt", "0 bytes", "corpus.sources"}},
		{short, []string{"the corpus has 9;", "seq_length+1 = 11", "prep.seq_length"}},
		{invalid, []string{"invalid.txt", "byte 500", "0xff", "correct it, or use invalid_utf8 replace or unit byte; see corpus.encoding"}},
	} {
		for _, name := range []string{"prep", "run"} {
			l.fails(1, c.parts, name, "--set", fmt.Sprintf("corpus.sources=[%q]", c.source))
			for _, file := range l.files(l.work) {
				if strings.HasPrefix(file, "rounds/") || strings.HasSuffix(file, "/.prep.json") { // what has failed, and why; the mark of prep's folder
					continue
				}
				t.Errorf("%s of %s left %s", name, c.source, file)
			}
		}
	}
	l.fails(1, []string{"byte 500"}, "prep", "--runner", "prism", "--set", fmt.Sprintf("corpus.sources=[%q]", invalid))
	if r := l.result(prepKeys, "prep", "--set", fmt.Sprintf("corpus.sources=[%q]", invalid), "--set", "prep.invalid_utf8=replace"); r["chars"] != 1001.0 {
		t.Errorf("with replace: %v characters, want 1001", r["chars"])
	}
}

func TestSHA256(t *testing.T) {
	l := newLab(t)
	l.fails(1, []string{l.corpus, "sha256 is ", strings.Repeat("0", 64), "correct corpus.sha256"}, "prep", "--set", "corpus.sha256="+strings.Repeat("0", 64))
}

// TestFullDisk lets no file grow beyond a size, so that the write of a shard, of
// a checkpoint or of a pointer fails in the middle.
func TestFullDisk(t *testing.T) {
	l := newLab(t)
	limited := func(bytes int, args ...string) outcome {
		c := l.child(append(args, "--quiet")...)
		c.Env = append(c.Env, fmt.Sprintf("%s=%d", limitVariable, bytes))
		return l.finish(c)
	}
	set, run := filepath.Join(l.work, "set"), filepath.Join(l.work, "run")
	l.failed(limited(4000, "prep"), 1, set, "file too large")
	if names := l.files(set); !slices.Equal(names, []string{".prep.json"}) { // the mark of prep's folder
		t.Errorf("prep left %v", names)
	}
	l.failed(limited(1000, "prep"), 1, l.work)
	l.ok("prep")
	l.failed(limited(4000, "train"), 1, filepath.Join(run, "checkpoints"), "file too large")
	for _, name := range l.files(run) {
		if !slices.Contains([]string{"config.yaml", "metrics.jsonl", "run.json"}, name) {
			t.Errorf("train left %s", name)
		}
	}
	l.ok("train")
	before := l.read(filepath.Join(run, "latest.json"))
	l.failed(limited(200, "train", "--set", "train.epochs=3"), 1, run)
	if l.read(filepath.Join(run, "latest.json")) != before {
		t.Error("a failed write has changed latest.json")
	}
	l.ok("train", "--set", "train.epochs=3")
}

// newTutorial is a lab with the tutorial's config and corpus, which must lie
// beside the repository.
func newTutorial(t *testing.T) *lab {
	t.Helper()
	corpus, err := filepath.Abs("../../../../shared/corpus/tinyshakespeare.txt")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(corpus); err != nil {
		t.Skipf("the tutorial's text is not beside the repository: %v", err)
	}
	l := newLab(t)
	l.write(l.config, fmt.Sprintf("extends: tutorial\nworkdir: %q\ncorpus.sources: [%q]\n", l.work, corpus))
	l.corpus = corpus
	return l
}

// TestTutorial makes the tutorial's set and model, and takes a step.
func TestTutorial(t *testing.T) {
	l := newTutorial(t)
	r := l.result(prepKeys, "prep")
	parts := r["sequences"].(map[string]any)
	if r["chars"] != 1115394.0 || r["vocab"] != 65.0 || parts["train"] != 11043.0 || parts["validation"] != 0.0 {
		t.Errorf("chars %v, vocab %v, sequences %v; want 1115394, 65, 11043 and 0", r["chars"], r["vocab"], parts)
	}
	if u, b := r["unigram_nats"].(float64), r["bigram_nats"].(float64); math.Abs(u-3.3128) > 5e-5 || math.Abs(b-2.4526) > 5e-5 {
		t.Errorf("unigram %.4f, bigram %.4f nats; want 3.3128 and 2.4526", u, b)
	}
	for _, c := range []struct {
		cell       string
		parameters float64
	}{{"gru", 4021569}, {"lstm", 5334337}} {
		steps := 1
		if variant, err := kernel.Variant(); err != nil || variant == "generic" {
			steps = 0 // a step takes a minute
		}
		r := l.result(trainKeys, "train", "--set", "model.cell="+c.cell, "--set", fmt.Sprint("train.max_steps=", steps),
			"--set", fmt.Sprint("train.epochs=", steps), "--out", filepath.Join(l.dir, c.cell))
		if r["parameters"] != c.parameters || r["steps_per_epoch"] != 172.0 {
			t.Errorf("%s: %v parameters, %v steps an epoch; want %v and 172", c.cell, r["parameters"], r["steps_per_epoch"], c.parameters)
		}
		if loss, ok := r["train_nats"].(float64); steps > 0 && (!ok || math.Abs(loss-4.174) > 0.02) {
			t.Errorf("%s: the first loss is %v, want 4.174 ± 0.02", c.cell, r["train_nats"])
		}
	}
}

// TestFieldsAndKeys: an error that speaks of a field of prep names its key; one that
// speaks of another key with the same end does not.
func TestFieldsAndKeys(t *testing.T) {
	l := newLab(t)
	l.ok("prep")
	l.ok("train", "--set", "train.max_steps=2")
	l.fails(2, []string{"generate.unknown"}, "generate", "--prompt", "\u03a3", "--checkpoint", filepath.Join(l.work, "run"))
	o := l.run("train", "--set", "train.max_steps=2", "--set", "train.hidden=carry", "--set", "train.curriculum.seq_length=5", "--quiet")
	l.failed(o, 1, "train.curriculum.seq_length")
	if strings.Contains(o.stderr, "see prep.") {
		t.Errorf("the error names a key of prep: %v", o)
	}
}
