package watch

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/runners/store/gcstest"
	"github.com/quire-ml/quire/runners/workflow"
)

const (
	keyA = "c4a999a0c4ff265bf84e"
	keyB = "c4a9dddddddddddddddd"
)

// workdir has two runs of rounds, one by hand, and the records of two rounds, of which one
// came to a model. The runs are written in the order of names.
func workdir(t *testing.T, url string, names ...string) *store.Store {
	t.Helper()
	st, err := store.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	last := time.Time{}
	for _, name := range names {
		for changed := last; !changed.After(last); { // file systems keep coarse times
			if err := st.Replace(t.Context(), name, []byte("{}")); err != nil {
				t.Fatal(err)
			}
			info, err := st.Stat(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			changed = info.Changed
		}
		info, _ := st.Stat(t.Context(), name)
		last = info.Changed
	}
	for id, stages := range map[string][]workflow.StageRecord{
		"20261126T030000Z": {{Name: "train", Artifact: "model", Digest: "d", Value: json.RawMessage(`{"run":"runs/` + keyA + `","step":3}`)}},
		"20261127T030000Z": {{Name: "prep", Artifact: "set", Digest: "d"}},
	} {
		r := workflow.Record{Format: workflow.RecordFormat, Round: id, Exit: "failed", Stages: stages}
		data, err := store.MarshalSealed(r)
		if err == nil {
			_, err = st.Put(t.Context(), workflow.RecordName(id), data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return st
}

// TestFind finds runs in a folder and in a bucket.
func TestFind(t *testing.T) {
	gcstest.New(t)
	a, b, own := "runs/"+keyA+"/run.json", "runs/"+keyB+"/run.json", "run/run.json"
	for _, url := range []string{t.TempDir(), "gs://bucket/work"} {
		st := workdir(t, url, own, a, b, "runs/"+keyA+"/metrics.jsonl", "runs/"+keyA+"/checkpoints/run.json")
		for name, want := range map[string]string{
			"":                 "runs/" + keyB,
			keyA:               "runs/" + keyA,
			keyA[:5]:           "runs/" + keyA,
			"20261126T030000Z": "runs/" + keyA,
		} {
			if got, err := Find(t.Context(), url, "run", name); err != nil || got != st.Join(want) {
				t.Errorf("%s: Find(%q) is %s, %v, want %s", url, name, got, err, st.Join(want))
			}
		}
		for name, want := range map[string]string{
			"c4a9":             "2 runs have keys that begin so: " + keyA + ", " + keyB,
			"20261127T030000Z": "this round has no model: it ended before (failed)",
			"20261128T030000Z": "no run, key of a run or round of " + url + " is called so",
			"abcd":             "is called so",
		} {
			var none *FindError
			if got, err := Find(t.Context(), url, "run", name); !errors.As(err, &none) || none.Name != name || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: Find(%q) is %q, %v, want %q", url, name, got, err, want)
			}
		}
		for _, name := range []string{"gs://other/run", "some/run", "/a/run"} { // as they are
			if got, err := Find(t.Context(), url, "run", name); err != nil || got != name {
				t.Errorf("%s: Find(%q) is %s, %v", url, name, got, err)
			}
		}
		if all, err := Runs(t.Context(), st); err != nil || len(all) != 2 || all[0].Key != keyB || all[1].Key != keyA {
			t.Errorf("%s: runs %v, %v", url, all, err)
		}
	}
	later := t.TempDir()
	st := workdir(t, later, a, b, own)
	if got, err := Find(t.Context(), later, "run", ""); err != nil || got != st.Join("run") {
		t.Errorf("the run by hand is the newest: %s, %v", got, err)
	}
	if got, err := Find(t.Context(), t.TempDir(), "run", ""); err == nil || !strings.Contains(err.Error(), "has no runs yet") {
		t.Errorf("an empty workdir: %q, %v", got, err)
	}
}

// TestPrint has a training in words.
func TestPrint(t *testing.T) {
	l := newLab(t, t.TempDir())
	l.saved = []int64{25}
	l.hold(7)
	l.write(30)
	var out bytes.Buffer
	l.look().Print(&out)
	for _, want := range []string{"state     training: epoch 2/4  step 30/100  loss 2.700  validation 2.750  1000 chars/s  ",
		"holder    process 7 on gpu1 trains since 20", "last sign 20",
		"losses    training loss 2.7500 nats a character, validation 2.7500\n", "best      2.0400 nats",
		"saved     step 25: " + l.st.Join("checkpoints/step-00000025.safetensors") + "\n", "sample    text 1\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}
