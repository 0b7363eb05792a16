package round_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"strings"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/pipelines/report"
	"github.com/quire-ml/quire/pipelines/round"
	"github.com/quire-ml/quire/pipelines/stages"
	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/runners/workflow"
	"github.com/quire-ml/quire/transforms/corpus"
)

// book writes a text into a new folder.
func book() (dir, file string) {
	dir, err := os.MkdirTemp("", "quire")
	if err != nil {
		log.Fatal(err)
	}
	file = filepath.Join(dir, "book.txt")
	var text []byte
	for i := range 200 {
		text = fmt.Appendf(text, "%d sheep and one wolf. ", i%7)
	}
	if err := os.WriteFile(file, text, 0o666); err != nil {
		log.Fatal(err)
	}
	return dir, file
}

// A pipeline of one's own from stages: prepare once, train models of two sizes
// on the same set, write with the better one.
func Example() {
	ctx := context.Background()
	dir, file := book()
	defer os.RemoveAll(dir)
	console := report.NewConsole(os.Stderr, true)

	load := func(set ...string) *configs.Config {
		r, err := configs.Load(configs.Options{Config: "quickstart", Set: append(set, "corpus.sources="+file, "workdir="+dir,
			"prep.seq_length=20", "train.batch=8", "train.epochs=8", "train.lr=0.01", "generate.prompt=3 sheep", "generate.length=30", "generate.temperature=0.5")})
		if err != nil {
			log.Fatal(err)
		}
		return &r.Config
	}
	found, err := text.FindCorpus(ctx, load().Corpus, false)
	if err != nil {
		log.Fatal(err)
	}
	set := filepath.Join(dir, "set")
	prep, err := stages.Prep(ctx, load(), found, stages.PrepOptions{Out: set, Runner: "direct", Console: console})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%d characters, %d different, %d sequences to train on\n", prep.Chars, prep.Vocab, prep.Sequences.Train)

	var best *stages.TrainResult
	for _, hidden := range []string{"8", "32"} {
		res, err := stages.Train(ctx, load("model.embedding=8", "model.hidden="+hidden),
			stages.TrainOptions{Set: set, Out: filepath.Join(dir, "hidden"+hidden), Console: console})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("hidden %s: %.2f nats a character\n", hidden, *res.ValidationNats)
		if best == nil || *res.ValidationNats < *best.ValidationNats {
			best = res
		}
	}

	m, err := text.OpenModel(ctx, string(best.Run), "best")
	if err != nil {
		log.Fatal(err)
	}
	text, err := text.Generate(ctx, m, load().Generate, io.Discard)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%q\n", text.Texts[0])
	// Output:
	// 4400 characters, 20 different, 188 sequences to train on
	// hidden 8: 0.19 nats a character
	// hidden 32: 0.11 nats a character
	// "3 sheep and one wolf. 5 sheep and one"
}

func init() { beam.RegisterDoFn(&shearFn{}) }

// shearFn takes the wolves out of a document.
type shearFn struct{}

func (*shearFn) ProcessElement(d corpus.Document, text []byte) (string, []byte) {
	return d.Name, bytes.ReplaceAll(text, []byte(" and one wolf"), nil)
}

// shear is a Beam transform from documents to names and texts.
func shear(s beam.Scope, _ any, docs beam.PCollection) beam.PCollection {
	return beam.ParDo(s, &shearFn{}, corpus.ReadAll(s, docs))
}

// A stage before prep: a Beam transform makes another corpus of the sources.
func Example_transform() {
	dir, file := book()
	defer os.RemoveAll(dir)
	r, err := configs.Load(configs.Options{Config: "quickstart", Set: []string{"corpus.sources=" + file, "workdir=" + dir, "prep.seq_length=20"}})
	if err != nil {
		log.Fatal(err)
	}
	options := round.Options{Runner: "direct", Console: report.NewConsole(os.Stderr, true), To: "prep",
		Stages: []round.Stage{round.Transform("shear", 1, any(nil), shear)}}
	res, err := round.Run(context.Background(), &r.Config, options)
	if err != nil {
		log.Fatal(err)
	}
	var sheared text.CorpusFacts
	if err := json.Unmarshal(res.Stages["shear"], &sheared); err != nil {
		log.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(string(sheared.Folder), "book.txt"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%d bytes: %s…\n", sheared.Bytes, data[:28])
	// Output: 1800 bytes: 0 sheep. 1 sheep. 2 sheep. 3…
}

// A stage beside the shipped ones: it counts the sheep in the sample, and is
// skipped as long as neither the sample nor its config changes.
func Example_stage() {
	ctx := context.Background()
	dir, file := book()
	defer os.RemoveAll(dir)
	r, err := configs.Load(configs.Options{Config: "quickstart", Set: []string{"corpus.sources=" + file, "workdir=" + dir,
		"prep.seq_length=20", "model.embedding=8", "model.hidden=16", "train.batch=8", "train.epochs=4", "train.lr=0.01", "generate.prompt=3 sheep",
		"generate.length=60"}})
	if err != nil {
		log.Fatal(err)
	}

	type config struct {
		Word string `json:"word"`
	}
	type count struct {
		Times int `json:"times"`
	}
	counted := workflow.Stage[config, count]{
		Name: "count", Version: 1, Config: config{Word: "sheep"},
		Inputs: []workflow.Input{round.SampleArtifact}, Artifact: "count",
		Run: func(_ context.Context, c config, task *workflow.Task) (out workflow.Product[count], err error) {
			sample, err := round.SampleArtifact.Of(task)
			out.Value.Times = strings.Count(sample.Text, c.Word)
			return out, err
		},
	}
	mine := func(*round.Stages) workflow.Node { return counted }
	options := round.Options{Runner: "direct", Console: report.NewConsole(os.Stderr, true), Stages: []round.Stage{mine}}
	res, err := round.Run(ctx, &r.Config, options)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("count: %s\n", res.Stages["count"])

	counted.Config.Word = "wolf"
	plan, err := round.Plan(ctx, &r.Config, options)
	if err != nil {
		log.Fatal(err)
	}
	for _, s := range plan.Stages {
		if s.Action == workflow.ActionRun {
			fmt.Println(s.Name, s.Reasons)
		}
	}
	// Output:
	// count: {"times":3}
	// count [word: "sheep" → "wolf"]
}
