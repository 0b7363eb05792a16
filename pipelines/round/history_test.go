package round

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quire-ml/quire/pipelines/internal/tiny"
	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/runners/workflow"
)

// keep writes records into a new workdir.
func keep(t *testing.T, records ...workflow.Record) (workdir string) {
	t.Helper()
	workdir = t.TempDir()
	st, err := store.Open(t.Context(), workdir)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	for _, r := range records {
		r.Format = workflow.RecordFormat
		data, err := store.MarshalSealed(r)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := st.Put(t.Context(), workflow.RecordName(r.Round), data); err != nil {
			t.Fatal(err)
		}
	}
	return workdir
}

// value is the record of a stage that ran.
func value(stage, artifact, text string) workflow.StageRecord {
	return workflow.StageRecord{Name: stage, Action: workflow.ActionRun, Key: "key", Artifact: artifact, Digest: "digest of " + stage,
		Value: json.RawMessage(text)}
}

func TestList(t *testing.T) {
	at := time.Date(2026, 11, 24, 3, 0, 0, 0, time.UTC)
	corpus, skipped := value("corpus", "corpus", `{}`), value("promote", "promotion", `{"checkpoint":"runs/a/checkpoints/step-1.safetensors"}`)
	corpus.Live, skipped.Action = true, workflow.ActionSkip
	promoted := skipped
	promoted.Action = workflow.ActionRun
	workdir := keep(t,
		workflow.Record{Round: "b", Began: at, Ended: at.Add(90 * time.Second), Exit: "done", Config: json.RawMessage(`{}`),
			Stages: []workflow.StageRecord{corpus, value("train", "model", `{}`), value("evaluate", "evaluation", `{"nats_per_char":1.25}`), promoted}},
		workflow.Record{Round: "a", Began: at.Add(time.Hour), Ended: at.Add(time.Hour), Exit: "user", Config: json.RawMessage(`{}`),
			Stages: []workflow.StageRecord{corpus, skipped}},
		workflow.Record{Round: "c", Began: at.Add(2 * time.Hour), Ended: at.Add(2 * time.Hour), Exit: "refused", Config: json.RawMessage(`{}`),
			Stages: []workflow.StageRecord{value("promote", "promotion", `{"checkpoint":""}`)}})
	list, err := List(t.Context(), workdir)
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(list.Rounds)
	want := `[{"round":"b","began":"2026-11-24T03:00:00Z","seconds":90,"exit":"done","ran":["train","evaluate","promote"],"nats_per_char":1.25,"promoted":true},` +
		`{"round":"a","began":"2026-11-24T04:00:00Z","seconds":0,"exit":"user","ran":[],"nats_per_char":null,"promoted":false},` +
		`{"round":"c","began":"2026-11-24T05:00:00Z","seconds":0,"exit":"refused","ran":["promote"],"nats_per_char":null,"promoted":false}]`
	if err != nil || string(got) != want {
		t.Errorf("the list is\n%s, %v, want\n%s", got, err, want)
	}
	if list, err := List(t.Context(), t.TempDir()); err != nil || list.Rounds == nil || len(list.Rounds) != 0 {
		t.Errorf("the list of an empty workdir is %+v, %v", list, err)
	}
}

func TestDiff(t *testing.T) {
	drift := value("drift", "drift", `{"chars":1}`)
	drift.Live = true
	workdir := keep(t,
		workflow.Record{Round: "a", Exit: "done", Config: json.RawMessage(`{"name":"x","train.lr":0.02,"gone":true}`),
			Stages: []workflow.StageRecord{drift, value("train", "model", `{"step":68,"run":"runs/a","validation_nats":null,"parts":{"last":2.5}}`)}},
		workflow.Record{Round: "b", Exit: "done", Config: json.RawMessage(`{"name":"x","train.lr":0.01,"new":["s"]}`),
			Stages: []workflow.StageRecord{value("train", "model", `{"step":68,"validation_nats":1.5}`), value("mine", "mine", `{"n":3}`)}},
		workflow.Record{Round: "c", Exit: "done", Config: json.RawMessage(`[]`)})
	d, err := Diff(t.Context(), workdir, "a", "b")
	got, merr := json.Marshal(d)
	want := `{"a":"a","b":"b","config":[{"key":"gone","a":true,"b":null},{"key":"new","a":null,"b":["s"]},{"key":"train.lr","a":0.02,"b":0.01}],` +
		`"metrics":[{"key":"mine.n","a":null,"b":3},{"key":"train.parts.last","a":2.5,"b":null},{"key":"train.step","a":68,"b":68},{"key":"train.validation_nats","a":null,"b":1.5}]}`
	if err != nil || merr != nil || string(got) != want {
		t.Errorf("the comparison is\n%s, %v, want\n%s", got, err, want)
	}
	if _, err := Diff(t.Context(), workdir, "a", "c"); err == nil || !strings.HasPrefix(err.Error(), "round: round c: config: ") {
		t.Errorf("a config that is no object: %v", err)
	}
	if _, err := Diff(t.Context(), workdir, "a", "z"); err == nil || !strings.HasSuffix(err.Error(), "; `runs list` lists the rounds that there are") {
		t.Errorf("an unknown round: %v", err)
	}
}

// TestLineage: a sample leads to the checkpoint, the set and the documents. The
// manifest has them where the record lists too many of them.
func TestLineage(t *testing.T) {
	c := tiny.Documents(t, map[string]string{"a.txt": tiny.Line(), "b.txt": "that is"}, "train.epochs=1")
	o := quiet(Without("gate", "promote"))
	o.ID = "first"
	done(t, c, o)
	shown, err := Show(t.Context(), c.Workdir, "first")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, a := range shown.Lineage {
		got = append(got, a.What+" "+a.Name)
	}
	r := shown.Record
	want := []string{"sample stages/sample/" + r.Stage("sample").Key + ".json",
		"checkpoint runs/" + r.Stage("train").Key + "/checkpoints/step-00000034.safetensors",
		"set sets/" + r.Stage("prep").Key, "source a.txt", "source b.txt"}
	if !slices.Equal(got, want) || shown.Lineage[4].SHA256 != "f21d85913f8c67175ccdfff8145b2fb2cf0df133c0657b4d87f498a88043070d" {
		t.Errorf("the lineage is %q, want %q", got, want)
	}
	for _, id := range []string{"", "latest"} {
		newest, err := Show(t.Context(), c.Workdir, id)
		if err != nil || newest.Round != "first" {
			t.Errorf("the newest round is %+v, %v", newest, err)
		}
	}
	st, err := store.Open(t.Context(), c.Workdir)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	unexpected := func(err error) { t.Error(err) }
	r.Stage("corpus").Value = json.RawMessage(`{"documents":2,"bytes":1687}`)
	again, err := lineage(t.Context(), st, r, unexpected)
	if err != nil || !slices.Equal(again, shown.Lineage) {
		t.Errorf("by the manifest the lineage is %+v, %v, want %+v", again, err, shown.Lineage)
	}
	manifest := filepath.Join(c.Workdir, "sets", r.Stage("prep").Key, "manifest.json")
	if err := os.WriteFile(manifest, []byte("{"), 0o666); err != nil {
		t.Fatal(err)
	}
	var damage error
	if short, err := lineage(t.Context(), st, r, func(err error) { damage = err }); err != nil || !slices.Equal(short, shown.Lineage[:3]) ||
		damage == nil || !strings.Contains(damage.Error(), manifest) {
		t.Errorf("with a damaged manifest the lineage is %+v, %v, the damage %v", short, err, damage)
	}
	if err := os.Remove(manifest); err != nil {
		t.Fatal(err)
	}
	if short, err := lineage(t.Context(), st, r, unexpected); err != nil || !slices.Equal(short, shown.Lineage[:3]) {
		t.Errorf("without the manifest the lineage is %+v, %v", short, err)
	}
	r.Stage("train").Value = json.RawMessage(`"text"`)
	if _, err := lineage(t.Context(), st, r, unexpected); err == nil || !strings.HasPrefix(err.Error(), "workflow: round first: stage train: value of model: ") {
		t.Errorf("a value that is no result of train: %v", err)
	}
	if _, err := Show(t.Context(), t.TempDir(), ""); err == nil || !strings.HasSuffix(err.Error(), "has no rounds yet; run one") {
		t.Errorf("a workdir without rounds: %v", err)
	}
}

// TestDamagedRecord: every flipped byte of a record shows, with its place. It stops who
// asks for this round; the list has the others.
func TestDamagedRecord(t *testing.T) {
	workdir := keep(t, workflow.Record{Round: "a", Exit: "done", Config: json.RawMessage(`{}`)},
		workflow.Record{Round: "b", Exit: "done", Config: json.RawMessage(`{}`)})
	file := filepath.Join(workdir, "rounds", "a.json")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for i := range data {
		data[i] ^= 1
		if err := os.WriteFile(file, data, 0o666); err != nil {
			t.Fatal(err)
		}
		data[i] ^= 1
		list, err := List(t.Context(), workdir)
		if err != nil || len(list.Rounds) != 1 || list.Rounds[0].Round != "b" || len(list.Damaged) != 1 || !strings.Contains(list.Damaged[0].Error(), file) {
			t.Fatalf("byte %d: the list is %+v, %v", i, list, err)
		}
		if _, err := Show(t.Context(), workdir, "a"); err == nil || !strings.Contains(err.Error(), file) {
			t.Fatalf("byte %d: %v", i, err)
		}
	}
}

// TestOldRecord opens a round that revision 596fe11 made of the same text and config.
// The stages have the keys that they had then, and make the same model.
func TestOldRecord(t *testing.T) {
	const id, prepKey, trainKey = "20261126T012140Z", "9f6d835bba806d0deb1b", "4011bf2b3b9f14c94120"
	c := tiny.Config(t, tiny.Line(), learned...)
	if err := os.CopyFS(c.Workdir, os.DirFS("testdata/596fe11")); err != nil {
		t.Fatal(err)
	}
	list, err := List(t.Context(), c.Workdir)
	if err != nil || len(list.Rounds) != 1 || *list.Rounds[0].NatsPerChar != 0.12569178840029666 || !list.Rounds[0].Promoted {
		t.Fatalf("the rounds are %+v, %v", list, err)
	}
	shown, err := Show(t.Context(), c.Workdir, id)
	if err != nil || len(shown.Lineage) != 4 || shown.Lineage[3].Name != "book.txt" {
		t.Errorf("the round is %+v, %v", shown, err)
	}
	plan := planned(t, c, quiet())
	if want := filepath.Join(c.Workdir, "stages/prep", prepKey+".json") + " is missing"; !slices.Equal(plan["prep"], []string{want}) {
		t.Errorf("prep runs for %q, want %q", plan["prep"], want)
	}
	res := done(t, c, quiet())
	if filepath.Base(res.Set) != prepKey || filepath.Base(res.Run) != trainKey {
		t.Errorf("the set is %s, the run %s, want %s and %s", res.Set, res.Run, prepKey, trainKey)
	}
	d, err := Diff(t.Context(), c.Workdir, id, "latest")
	if err != nil || d.A != id || d.B != res.Round {
		t.Fatal(err)
	}
	for _, m := range d.Metrics {
		if m.Key == "evaluate.nats_per_char" && fmt.Sprint(m.A, m.B) != "0.12569178840029666 0.12569178840029666" {
			t.Errorf("the loss was %v, and is %v", m.A, m.B)
		}
	}
}
