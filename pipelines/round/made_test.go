package round

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/pipelines/internal/tiny"
	"github.com/quire-ml/quire/runners/workflow"
)

// TestFind: a set is the one of the manifest, else of the settings, else the newest; a model
// that of the settings, else the newest. The records have every kind of config: the same, one
// of an earlier program that lacks a key, and others.
func TestFind(t *testing.T) {
	c := tiny.Config(t, tiny.Line(), "train.seed=7")
	at := time.Date(2026, 11, 24, 3, 0, 0, 0, time.UTC)
	record := func(id, set, run string, change func(config map[string]any)) workflow.Record {
		at = at.Add(time.Hour)
		data, err := json.Marshal(c)
		config := map[string]any{}
		if err == nil {
			err = json.Unmarshal(data, &config)
		}
		change(config)
		if err == nil {
			data, err = json.Marshal(config)
		}
		if err != nil {
			t.Fatal(err)
		}
		r := workflow.Record{Round: id, Began: at, Ended: at, Exit: "done", Config: data}
		if set != "" {
			r.Stages = append(r.Stages, value("prep", "set", `{"set":"sets/`+set+`","manifest_sha256":"`+set+`"}`))
		}
		if run != "" {
			r.Stages = append(r.Stages, value("train", "model", `{"run":"runs/`+run+`"}`))
		}
		return r
	}
	younger := "" // a key that earlier programs did not know, and that c leaves at its default
	for key, effect := range configs.Effects() {
		if effect == configs.Data && !slices.Contains(c.KeysOf(configs.Data), key) && key != "corpus.sources" {
			younger = key
		}
	}
	if younger == "" {
		t.Fatal("every key of the data is in every stage key")
	}
	c.Workdir = keep(t,
		record("a", "sa", "ra", func(map[string]any) {}),
		record("b", "sb", "rb", func(m map[string]any) { delete(m, younger) }),
		record("c", "sc", "rc", func(m map[string]any) { m["train.seed"] = 8 }),
		record("d", "sd", "rd", func(m map[string]any) { m["corpus.sources"] = []string{"elsewhere"} }),
		record("e", "se", "", func(m map[string]any) { m["prep.seq_length"] = 11 }),
		record("f", "", "", func(map[string]any) {}))
	other := *c
	other.Prep.SeqLength = 99
	other.Train.Seed = 99
	empty := *c
	empty.Workdir = t.TempDir()
	for _, test := range []struct {
		what     string
		c        *configs.Config
		manifest string
		set, run string // rounds
		same     bool
	}{
		{"the settings of rounds", c, "", "c", "b", true},
		{"settings of no round", &other, "", "e", "d", false},
		{"a manifest", &other, "sa", "a", "d", false},
		{"a manifest of no round", c, "none", "c", "b", true},
		{"no rounds", &empty, "", "", "", false},
	} {
		none := func(err error) { t.Errorf("%s: %v", test.what, err) }
		set, err1 := FindSet(t.Context(), test.c, test.manifest, none)
		model, err2 := FindModel(t.Context(), test.c, none)
		if err1 != nil || err2 != nil || (set == nil) != (test.set == "") || (model == nil) != (test.run == "") {
			t.Errorf("%s: %+v, %v, %+v, %v", test.what, set, err1, model, err2)
			continue
		}
		if set == nil {
			continue
		}
		if set.Round != test.set || set.Set != c.Workdir+"/sets/s"+test.set || set.Exit != "done" || test.manifest == "" && set.Same != test.same {
			t.Errorf("%s: the set is %+v, want that of %s", test.what, set, test.set)
		}
		if model.Round != test.run || model.Run != c.Workdir+"/runs/r"+test.run || model.Same != test.same {
			t.Errorf("%s: the model is %+v, want that of %s", test.what, model, test.run)
		}
	}
}
