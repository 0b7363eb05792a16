package round

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/quire-ml/quire/model/checkpoint"
	"github.com/quire-ml/quire/pipelines/gate"
	"github.com/quire-ml/quire/pipelines/internal/tiny"
	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/runners/workflow"
)

// TestReplaced replaces the gate by a jury: its verdict is the round's, whatever the
// stage is called.
func TestReplaced(t *testing.T) {
	c := tiny.Config(t, tiny.Line(), "train.epochs=6", "train.lr=0.02")
	for _, passes := range []bool{false, true} {
		jury := func(*Stages) workflow.Node {
			return workflow.Stage[map[string]bool, gate.Result]{Name: "jury", Version: 1, Config: map[string]bool{"passes": passes},
				Inputs: []workflow.Input{ModelArtifact}, Artifact: DecisionArtifact,
				Run: func(context.Context, map[string]bool, *workflow.Task) (out workflow.Product[gate.Result], err error) {
					out.Value = gate.Result{Passed: passes, Reason: "no applause"}
					return out, nil
				}}
		}
		res, err := Run(t.Context(), c, Options{Runner: "direct", Console: tiny.Console(), Stages: []Stage{jury}})
		if res == nil || errors.Is(err, gate.ErrRefused) == passes || (res.Promoted != "") != passes || res.Stages["gate"] != nil {
			t.Errorf("passes %v: %+v, %v", passes, res, err)
		}
		if !passes && !strings.HasSuffix(err.Error(), "no applause") {
			t.Errorf("the error is %v", err)
		}
	}
}

// TestFolder makes the corpus by a stage that is no Transform: a fetch. The set has
// its documents, and the lineage of the sample its own sources.
func TestFolder(t *testing.T) {
	c := tiny.Config(t, tiny.Line(), "train.epochs=1")
	fetch := func(r *Stages) workflow.Node {
		return workflow.Stage[any, text.CorpusFacts]{Name: "fetch", Version: 1, Artifact: CorpusArtifact,
			Run: func(ctx context.Context, _ any, task *workflow.Task) (out workflow.Product[text.CorpusFacts], err error) {
				folder := "corpora/" + task.Key
				if _, err := task.Store.Put(ctx, folder+"/sub/fetched.txt", []byte(tiny.Line()+"!")); err != nil {
					return out, err
				}
				return r.Folder(ctx, task, folder)
			}}
	}
	options := Options{Runner: "direct", Console: tiny.Console(), To: "sample", Stages: []Stage{fetch, Without("promote", "gate", "drift")}}
	res, err := Run(t.Context(), c, options)
	if err != nil {
		t.Fatal(err)
	}
	var made text.CorpusFacts
	if err := json.Unmarshal(res.Stages["fetch"], &made); err != nil || made.Documents != 1 || made.Listed[0].Name != "sub/fetched.txt" {
		t.Errorf("the corpus is %+v, %v", made, err)
	}
	if _, err := os.Stat(made.Folder.In("") + "/sub/fetched.txt"); err != nil || filepath.Dir(string(made.Folder)) != c.Workdir+"/corpora" {
		t.Errorf("%s: %v", made.Folder, err)
	}
	shown, err := Show(t.Context(), c.Workdir, "")
	if err != nil || shown.Lineage[3].Name != "sub/fetched.txt" {
		t.Errorf("the lineage is %+v, %v", shown.Lineage, err)
	}
	plan, err := Plan(t.Context(), c, options)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range plan.Stages {
		names = append(names, s.Name)
		if s.Action != workflow.ActionSkip {
			t.Errorf("%s runs again: %v", s.Name, s.Reasons)
		}
	}
	if !slices.Equal(names, []string{"fetch", "prep", "train", "evaluate", "sample"}) {
		t.Errorf("the stages are %v", names)
	}
}

// TestFolderPacked packs the documents that a stage makes, and not the sources that it
// makes them of.
func TestFolderPacked(t *testing.T) {
	c := tiny.Documents(t, map[string]string{"a.txt": tiny.Line(), "b.txt": "or not"}, "prep.pack=blank_line")
	var sources int
	fetch := func(r *Stages) workflow.Node {
		return workflow.Stage[any, text.CorpusFacts]{Name: "fetch", Version: 1, Inputs: []workflow.Input{SourcesArtifact}, Artifact: CorpusArtifact,
			Run: func(ctx context.Context, _ any, task *workflow.Task) (out workflow.Product[text.CorpusFacts], err error) {
				sources = len(r.sources.Documents)
				folder := "corpora/" + task.Key
				for _, name := range []string{"x.txt", "y.txt"} {
					if _, err := task.Store.Put(ctx, folder+"/"+name, []byte(tiny.Line())); err != nil {
						return out, err
					}
				}
				return r.Folder(ctx, task, folder)
			}}
	}
	res, err := Run(t.Context(), c, Options{Runner: "direct", Console: tiny.Console(), To: "prep", Stages: []Stage{fetch}})
	if err != nil {
		t.Fatal(err)
	}
	if sources != 2 {
		t.Errorf("the stage sees %d documents, want 2", sources)
	}
	data, err := os.ReadFile(filepath.Join(res.Set, "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"name": "packed"`, `"records": 2`, `"pack": "blank_line"`} {
		if !strings.Contains(string(data), want) {
			t.Errorf("the manifest has no %s: %s", want, data)
		}
	}
}

// TestOtherModel: a checkpoint that is replaced while the gate judges it is not promoted,
// though its file is intact.
func TestOtherModel(t *testing.T) {
	c := tiny.Config(t, tiny.Line())
	jury := func(*Stages) workflow.Node {
		return workflow.Stage[struct{}, gate.Result]{Name: "jury", Version: 1, Inputs: []workflow.Input{ModelArtifact}, Artifact: DecisionArtifact,
			Run: func(ctx context.Context, _ struct{}, task *workflow.Task) (out workflow.Product[gate.Result], err error) {
				run, err := ModelArtifact.Of(task)
				if err != nil {
					return out, err
				}
				judged, err := checkpoint.Read(ctx, task.Store, string(run.Best))
				if err != nil {
					return out, err
				}
				other := *judged
				other.Tensors = slices.Clone(judged.Tensors)
				other.Tensors[0].Data = slices.Clone(judged.Tensors[0].Data)
				other.Tensors[0].Data[0]++
				at, err := task.Store.Sub("elsewhere")
				if err != nil {
					return out, err
				}
				p, err := checkpoint.Save(ctx, at, &other)
				if err != nil {
					return out, err
				}
				out.Value = gate.Result{Passed: true, Reason: "applause"}
				return out, os.Rename(filepath.Join(c.Workdir, "elsewhere", p.Name), filepath.Join(c.Workdir, string(run.Best)))
			}}
	}
	_, err := Run(t.Context(), c, Options{Runner: "direct", Console: tiny.Console(), Stages: []Stage{jury, Without("evaluate")}})
	if !errors.Is(err, store.ErrDamaged) || !strings.Contains(err.Error(), "when the round began") {
		t.Errorf("the error is %v", err)
	}
	if _, err := os.Stat(filepath.Join(c.Workdir, "promoted.json")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("promoted.json: %v", err)
	}
}

// TestOtherJudged: what a gate has judged is promoted, and nothing else.
func TestOtherJudged(t *testing.T) {
	c := tiny.Config(t, tiny.Line(), "train.epochs=1")
	jury := func(*Stages) workflow.Node {
		return workflow.Stage[struct{}, gate.Result]{Name: "jury", Version: 1, Inputs: []workflow.Input{ModelArtifact}, Artifact: DecisionArtifact,
			Run: func(context.Context, struct{}, *workflow.Task) (out workflow.Product[gate.Result], err error) {
				out.Value = gate.Result{Passed: true, Reason: "applause", SHA256: strings.Repeat("0", 64)}
				return out, nil
			}}
	}
	_, err := Run(t.Context(), c, Options{Runner: "direct", Console: tiny.Console(), Stages: []Stage{jury, Without("evaluate")}})
	if !errors.Is(err, store.ErrDamaged) || !strings.Contains(err.Error(), "the model that was judged has 000000") {
		t.Errorf("the error is %v", err)
	}
	if _, err := os.Stat(filepath.Join(c.Workdir, "promoted.json")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("promoted.json: %v", err)
	}
}
