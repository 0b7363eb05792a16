package round

import (
	"context"
	"fmt"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/pipelines/stages"
	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/runners/workflow"
)

// Transform is a stage that makes the corpus of a round from the documents at
// corpus.sources, by a Beam pipeline on the round's runner. build adds steps that turn
// a PCollection<corpus.Document> into a PCollection<KV<string, []byte>>: the names and
// texts of the new documents. They lie in corpora/<key> below the workdir.
//
// The stage runs again when the sources, config or version change. config encodes to a
// JSON object, or is nil; raise version with every change of build's code. Rounds of
// an equal new corpus make no new set.
func Transform[C any](name string, version int, config C,
	build func(s beam.Scope, config C, docs beam.PCollection) beam.PCollection,
) Stage {
	return func(r *Stages) workflow.Node {
		return workflow.Stage[C, text.CorpusFacts]{Name: name, Version: version, Config: config,
			Inputs: []workflow.Input{SourcesArtifact}, Artifact: CorpusArtifact,
			Estimate: func(_ context.Context, _ C, task *workflow.Task) (workflow.Cost, error) {
				sources, err := SourcesArtifact.Of(task)
				return workflow.Cost{Bytes: sources.Bytes}, err
			},
			Run: func(ctx context.Context, config C, task *workflow.Task) (out workflow.Product[text.CorpusFacts], err error) {
				folder := "corpora/" + task.Key
				if task.Forced {
					if err := empty(ctx, task.Store, folder); err != nil {
						return out, err
					}
				}
				o := stages.TransformOptions{Out: store.Locate(r.Config.Workdir, folder), Runner: r.Options.Runner,
					Verbose: r.Options.Verbose}
				err = stages.Transform(ctx, r.sources, o, func(s beam.Scope, docs beam.PCollection) beam.PCollection {
					return build(s, config, docs)
				})
				if err != nil {
					return out, err
				}
				return r.Folder(ctx, task, folder)
			}}
	}
}

// Without leaves out shipped stages, by name. Stages that need their artifacts must
// be left out too, or other stages must make these.
func Without(names ...string) Stage {
	return func(*Stages) workflow.Node { return workflow.Without(names...) }
}

// Folder returns the product of a stage that has written a corpus to a folder of the
// task's store: every file is a document.
func (r *Stages) Folder(ctx context.Context, task *workflow.Task, folder string) (out workflow.Product[text.CorpusFacts], err error) {
	found, err := r.read(ctx, store.Path(folder), configs.Prep{}, task.Verify)
	if err != nil {
		return out, fmt.Errorf("round: the corpus that stage %s has made: %w", task.Stage, err)
	}
	if out, err = facts(found); err != nil {
		return out, err
	}
	out.Value.Folder = store.Path(folder)
	for i, d := range found.Documents {
		out.Files = append(out.Files, workflow.File{Name: folder + "/" + d.Name, SHA256: found.Digests[i]})
	}
	return out, nil
}

// empty deletes the objects of a folder.
func empty(ctx context.Context, st *store.Store, folder string) error {
	list, err := st.List(ctx, folder+"/")
	for _, info := range list {
		if err == nil {
			err = st.Delete(ctx, info.Name, "")
		}
	}
	return err
}

// facts returns the product of a stage whose corpus is found.
func facts(found *text.Corpus) (out workflow.Product[text.CorpusFacts], err error) {
	out.Value = found.Facts()
	out.Digest, err = found.Digest()
	return out, err
}

// documents returns the documents of the task's corpus.
func (r *Stages) documents(ctx context.Context, task *workflow.Task) (*text.Corpus, error) {
	c, err := CorpusArtifact.Of(task)
	switch {
	case err != nil:
		return nil, err
	case c.Folder == "" && r.corpus == nil:
		return nil, fmt.Errorf("round: stage %s: the corpus names no folder", task.Stage)
	case c.Folder == r.folder && r.corpus != nil:
		return r.corpus, nil
	}
	r.folder = c.Folder
	r.corpus, err = r.read(ctx, c.Folder, r.Config.Prep, task.Verify)
	return r.corpus, err
}

// read finds the documents of a folder below the workdir, and packs them as p says.
func (r *Stages) read(ctx context.Context, folder store.Path, p configs.Prep, verify bool) (*text.Corpus, error) {
	return text.FindPacked(ctx, configs.Corpus{Sources: []string{folder.In(r.Config.Workdir)}}, p, verify)
}
