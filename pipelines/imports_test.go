package pipelines_test

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/quire-ml/quire/"

// folders are the five questions that a package answers one of.
var folders = []string{"transforms", "model", "pipelines", "configs", "runners"}

const (
	beam     = "github.com/apache/beam/sdks/v2/go/"
	gorgonia = "gorgonia.org/"
	hm       = "github.com/chewxy/hm"
	cobra    = "github.com/spf13/cobra"
	pflag    = "github.com/spf13/pflag"
	purego   = "github.com/ebitengine/purego"
)

// mayImport is policy, not a description: do not edit it to make a build pass.
// First list: packages of this module. Second: third-party prefixes. The
// standard library is always allowed; "C" never.
var mayImport = map[string][2][]string{
	"transforms/vocab":     {},
	"transforms/tfrecord":  {},
	"transforms/tfexample": {},
	// norm takes accents off letters, so that texts of another normalisation have the same passages.
	"transforms/passage": {{}, {"golang.org/x/text/unicode/norm"}},
	// The threads of a DoFn, without Beam.
	"transforms/bundle": {},
	// The coder of elements, for the packages that have some.
	"transforms/opaque": {{}, {beam}},
	// Who is held out, for those that make a set, read it or read its text again. vocab for the unit of a character.
	"transforms/layout": {{"transforms/vocab"}, {}},
	// The set is read without Beam: training and Python read it alike.
	"transforms/dataset": {{"runners/store", "transforms/layout", "transforms/tfexample", "transforms/tfrecord", "transforms/vocab"}, {}},
	// Bytes become text, for documents and for what a model is asked of, without Beam.
	"transforms/charset": {{}, {"golang.org/x/text/encoding", "golang.org/x/text/transform"}},
	// norm is the NFC of prep.normalize.
	"transforms/corpus":     {{"configs/secret", "runners/store", "transforms/bundle", "transforms/charset", "transforms/opaque", "transforms/vocab"}, {beam, "github.com/bmatcuk/doublestar/v4", "golang.org/x/text/unicode/norm"}},
	"transforms/charseq":    {{"transforms/corpus", "transforms/tfexample", "transforms/vocab"}, {beam}},
	"transforms/shuffle":    {{"transforms/dataset"}, {beam}},
	"transforms/tfrecordio": {{"runners/store", "transforms/bundle", "transforms/dataset", "transforms/opaque", "transforms/tfexample", "transforms/tfrecord"}, {beam}},
	"transforms/prepare": {{"runners/store", "transforms/bundle", "transforms/charset", "transforms/charseq", "transforms/corpus", "transforms/dataset", "transforms/layout", "transforms/opaque", "transforms/shuffle",
		"transforms/tfrecordio", "transforms/vocab"}, {beam, "github.com/dustin/go-humanize"}},

	"model/kernel": {{}, {"golang.org/x/sys/cpu"}},
	"model/rnn":    {{"model/kernel"}, {}},
	// The blank import says that Gorgonia's dependency knows this Go; without it the program panics at start.
	"model/graph": {{"model/kernel", "model/rnn"}, {gorgonia, hm, "go4.org/unsafe/assume-no-moving-gc"}},
	// adam is a gorgonia.Solver: the other package that knows Gorgonia.
	"model/adam": {{"model/kernel"}, {gorgonia}},
	// decode draws the characters that it writes.
	"model/decode": {{"model/kernel", "model/rnn", "model/sample"}, {}},
	"model/sample": {},
	// The GPU: the same bytes. Only cuda knows purego, which opens the driver's library without C.
	"model/cuda": {{"model/kernel", "model/rnn"}, {purego}},
	// A stand-in for the driver, for tests alone: C addresses of Go functions, by purego too.
	"model/cuda/cudatest": {{"model/cuda/ptx"}, {purego}},
	// An interpreter of PTX, for tests alone. kernel rounds a fused multiply-add.
	"model/cuda/ptx": {{"model/kernel"}, {}},
	// rnn for the names and shapes of the parameters: a checkpoint gives a network its weights.
	"model/checkpoint": {{"model/rnn", "runners/store"}, {}},
	// run knows the files and steps of a training; train, which writes there, knows no store.
	"model/run": {{"model/checkpoint", "runners/store"}, {}},
	// kernel for the precision that a training passes on to its graph.
	"model/train": {{"model/adam", "model/checkpoint", "model/cuda", "model/decode", "model/graph", "model/kernel", "model/rnn", "model/run"}, {}},

	// Only configs knows viper, and the decoder below it; yaml finds the line of a key, which viper forgets.
	// go-cron reads schedule.cron, encoding has the names that corpus.encoding may be.
	"configs": {{"configs/secret"}, {"github.com/spf13/viper", "github.com/go-viper/mapstructure/v2", "go.yaml.in/yaml/v3", "github.com/netresearch/go-cron", "golang.org/x/text/encoding"}},
	// What no text shows of a URL, for all who write URLs: the settings, the sources, the stores.
	"configs/secret": {},

	// gax, api and grpc give the types of storage's errors and retries.
	"runners/store": {{"configs/secret"}, {"cloud.google.com/go/storage", "github.com/googleapis/gax-go/v2", "google.golang.org/api/", "google.golang.org/grpc/", "golang.org/x/oauth2", "golang.org/x/sys/unix"}},
	// A stand-in for Cloud Storage, for tests alone.
	"runners/store/gcstest": {},
	// A file system that loses what was not synced, for tests alone.
	"runners/store/crashtest": {},
	// The last two ask Google, before any work, for credentials and, afterwards, for a job's messages.
	// store says what a URL is.
	"runners/engine": {{"configs/secret", "runners/store"}, {beam, "golang.org/x/oauth2/google", "google.golang.org/api/dataflow/v1b3"}},
	// Stand-ins for Google Cloud and the means to start a small Flink, for tests alone.
	"runners/engine/cloudtest": {{"runners/store/gcstest"}, {beam, "google.golang.org/api/dataflow/v1b3", "google.golang.org/grpc", "google.golang.org/protobuf/proto"}},
	"runners/engine/flink":     {},
	// automemlimit knows the memory of a control group, of either version.
	"runners/memory": {{}, {"github.com/KimMachineGun/automemlimit/memlimit"}},
	// store says what passes, and what a URL is.
	// yaml for the manifest of a Job, a person's own too.
	"runners/node": {{"runners/store"}, {"go.yaml.in/yaml/v3"}},
	// A stand-in for a cluster, for tests alone: Kubernetes' own types refuse what its API would.
	"runners/node/kubetest": {{}, {"k8s.io/api/", "k8s.io/apimachinery/", "sigs.k8s.io/json", "sigs.k8s.io/yaml"}},
	"runners/schedule":      {{"runners/store"}, {}},
	// What is in use below a workdir, for those who make it and those who remove it.
	"runners/claim":    {{"runners/store"}, {}},
	"runners/workflow": {{"runners/claim", "runners/store"}, {}},

	// An event file of TensorBoard's is TFRecord frames of protocol buffers. gg and x/image draw pictures: lines, circles and
	// text are less than a plot library brings, and say which pixel has which value.
	"pipelines/report": {{"runners/store", "transforms/tfrecord"}, {"github.com/schollz/progressbar/v3", "golang.org/x/term",
		"google.golang.org/protobuf/encoding/protowire", "git.sr.ht/~sbinet/gg", "golang.org/x/image/font"}},
	// The look of pages, for those that are written and those that are served.
	"pipelines/look": {},
	// Configs of small corpora, and a stand-in for GPUs, for tests alone.
	"pipelines/internal/tiny": {{"configs", "model/checkpoint", "model/cuda", "model/cuda/cudatest", "model/rnn", "pipelines/device", "pipelines/report", "pipelines/text",
		"runners/store", "transforms/vocab"}, {}},
	"pipelines/text": {{"configs", "model/checkpoint", "model/decode", "model/rnn", "model/run", "model/sample", "model/train", "pipelines/report", "runners/memory", "runners/store",
		"transforms/charset", "transforms/corpus", "transforms/dataset", "transforms/passage", "transforms/vocab"}, {}},
	// Who is told of a round's news. workflow for the pauses between attempts.
	"pipelines/notice": {{"configs", "configs/secret", "runners/store", "runners/workflow"}, {}},
	// How a command answers over HTTP, for the nightly service and for the completions API; the metrics of both are Prometheus'.
	"pipelines/web": {{}, {"github.com/prometheus/client_golang/prometheus"}},
	// What trains, for training and for the measurement of it. kernel for the precision, which a GPU may lack.
	"pipelines/device": {{"model/cuda", "model/kernel"}, {}},
	// stages builds the Beam pipeline that it hands to the engine.
	"pipelines/stages": {{"configs", "model/checkpoint", "model/kernel", "model/rnn", "model/run", "model/train", "pipelines/device", "pipelines/report", "pipelines/text",
		"runners/engine", "runners/memory", "runners/store", "transforms/charset", "transforms/corpus", "transforms/dataset", "transforms/prepare", "transforms/vocab"}, {beam + "pkg/beam"}},
	// layout for the spans of an excerpt, prepare for the text of a set by split.
	"pipelines/gate": {{"configs", "model/decode", "model/sample", "model/train", "pipelines/report", "pipelines/text", "runners/store",
		"transforms/dataset", "transforms/layout", "transforms/prepare", "transforms/vocab"}, {}},
	// checkpoint for the copy that a promotion keeps.
	// claim holds a copy that no record names yet.
	"pipelines/promotion": {{"model/checkpoint", "pipelines/text", "runners/claim", "runners/store"}, {}},
	// charset and corpus: a text is read, part by part, as a document is. look for the page of a text. train for a model that learns from it.
	"pipelines/score": {{"configs", "model/decode", "model/train", "pipelines/look", "pipelines/text", "transforms/corpus", "transforms/vocab"}, {}},
	// run and promotion for where a model may be; sample for how it drew.
	"pipelines/receipt": {{"model/run", "model/sample", "pipelines/promotion", "pipelines/text", "runners/store"}, {}},
	// The stages of a round that a node runs, from both ends: train for its errors, run for the holder of a run.
	"pipelines/remote": {{"configs", "model/run", "model/train", "pipelines/report", "pipelines/stages", "pipelines/text", "pipelines/watch", "runners/node", "runners/store"}, {}},
	// kernel, engine, node, train, vocab: the variant that a record names, and the errors that have a class. Beam: a Transform's steps.
	"pipelines/round": {{"configs", "model/kernel", "model/run", "model/train", "pipelines/gate", "pipelines/gc", "pipelines/notice", "pipelines/promotion", "pipelines/remote", "pipelines/report", "pipelines/stages", "pipelines/text",
		"runners/engine", "runners/memory", "runners/node", "runners/schedule", "runners/store", "runners/workflow", "transforms/corpus", "transforms/dataset", "transforms/vocab"}, {beam + "pkg/beam"}},
	// gc knows the names of all that is made below a workdir, from those who make it.
	"pipelines/gc": {{"configs", "model/checkpoint", "model/run", "pipelines/promotion", "pipelines/remote", "pipelines/report", "pipelines/text", "runners/claim", "runners/schedule", "runners/store",
		"runners/workflow", "transforms/dataset", "transforms/prepare"}, {}},
	// workflow for the run that a round's record names.
	"pipelines/watch": {{"model/run", "pipelines/report", "runners/store", "runners/workflow"}, {}},
	"pipelines/sweep": {{"configs", "configs/secret", "model/run", "model/train", "pipelines/remote", "pipelines/report", "pipelines/round", "pipelines/stages", "pipelines/text", "runners/claim", "runners/engine", "runners/store", "runners/workflow"}, {}},
	// yaml reads the config of a run as any version wrote it, which the strict loader would refuse.
	"pipelines/page": {{"configs/secret", "model/run", "pipelines/look", "pipelines/report", "pipelines/round", "pipelines/text", "runners/store", "runners/workflow"}, {"go.yaml.in/yaml/v3"}},
	// The nightly service seen from outside: it reads what round, promotion, schedule and workflow have written.
	"pipelines/monitor": {{"pipelines/notice", "pipelines/promotion", "pipelines/round", "pipelines/web", "runners/schedule", "runners/store", "runners/workflow"},
		{"github.com/prometheus/client_golang/prometheus"}},
	"pipelines/inspect": {{"model/checkpoint", "model/train", "pipelines/report", "pipelines/text", "runners/store",
		"transforms/dataset", "transforms/tfexample", "transforms/tfrecord"}, {}},
	// A model for other programs. model/train for the losses that a checkpoint holds, round and workflow for the records that judged it.
	"pipelines/export": {{"configs", "model/checkpoint", "model/train", "pipelines/gate", "pipelines/report", "pipelines/round", "pipelines/text",
		"runners/store", "runners/workflow", "transforms/vocab"}, {}},
	// The wire of the completions API, without a model.
	"pipelines/serve/completion": {},
	// The page, which has the look of the reports.
	"pipelines/serve/page": {{"pipelines/look"}, {}},
	// decode and sample: each text of a request joins the batch with a sampler of its own. vocab for the unit of a character. prometheus has the figures.
	"pipelines/serve": {{"model/decode", "model/sample", "pipelines/receipt", "pipelines/report", "pipelines/serve/completion", "pipelines/serve/page", "pipelines/text", "pipelines/web", "runners/store", "transforms/vocab"}, {"github.com/prometheus/client_golang/prometheus"}},
	// kernel for the peak that a speed is compared with.
	"pipelines/bench": {{"model/cuda", "model/decode", "model/kernel", "model/rnn", "model/sample", "model/train", "pipelines/report", "runners/memory"}, {}},
	// command prints the plans of workflow, says which formats checkpoint, dataset and workflow read, and asks run what --which may be, kernel whether QUIRE_VARIANT can be had, rnn for the cell of bench, and cuda, train, store, corpus, prepare, dataset and vocab for errors that have an exit code or a remedy.
	"pipelines/internal/command": {{"configs", "model/checkpoint", "model/cuda", "model/kernel", "model/rnn", "model/run", "model/train",
		"pipelines/bench", "pipelines/device", "pipelines/export", "pipelines/gate", "pipelines/gc", "pipelines/inspect", "pipelines/monitor", "pipelines/notice", "pipelines/page", "pipelines/promotion", "pipelines/receipt", "pipelines/remote", "pipelines/report", "pipelines/round", "pipelines/score", "pipelines/serve", "pipelines/stages", "pipelines/sweep", "pipelines/text", "pipelines/watch", "pipelines/web",
		"runners/engine", "runners/memory", "runners/node", "runners/schedule", "runners/store", "runners/workflow", "transforms/corpus", "transforms/dataset", "transforms/prepare", "transforms/vocab"}, {cobra, pflag}},
	"pipelines/prep": {{"pipelines/internal/command"}, {}},
	// app is command for programs outside of this module; round for their stages.
	"pipelines/app":     {{"pipelines/internal/command", "pipelines/round"}, {}},
	"pipelines/quire":   {{"pipelines/app"}, {}},
	"pipelines/retrain": {{"pipelines/internal/command"}, {}},
	"pipelines/train":   {{"pipelines/internal/command"}, {}},
}

// TestImports parses files rather than asking the build, so it also covers what
// lies behind build tags.
func TestImports(t *testing.T) {
	seen := map[string]bool{}
	for _, file := range goFiles(t) {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		pkg := filepath.ToSlash(filepath.Dir(file))
		allowed, ok := mayImport[pkg]
		if !ok && !seen[pkg] {
			t.Errorf("%s: package %s is not in the table: a new package is a decision", file, pkg)
		}
		seen[pkg] = true
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", file), nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, spec := range f.Imports {
			path, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			if ok && !permitted(path, allowed) {
				t.Errorf("%s: %s may not import %s", file, pkg, path)
			}
		}
	}
	for pkg := range mayImport {
		if !seen[pkg] {
			t.Errorf("the table has %s, which is no package", pkg)
		}
	}
}

func permitted(path string, allowed [2][]string) bool {
	if path == "C" {
		return false
	}
	if ours, ok := strings.CutPrefix(path, module); ok {
		return slices.Contains(allowed[0], ours)
	}
	first, _, _ := strings.Cut(path, "/")
	if !strings.Contains(first, ".") {
		return true // the standard library
	}
	return slices.ContainsFunc(allowed[1], func(prefix string) bool {
		return path == prefix || strings.HasPrefix(path, strings.TrimSuffix(prefix, "/")+"/")
	})
}

// goFiles lists the Go files of the five folders, by their paths below the root.
func goFiles(t *testing.T) []string {
	t.Helper()
	var files []string
	for _, folder := range folders {
		err := fs.WalkDir(os.DirFS(".."), folder, func(path string, d fs.DirEntry, err error) error {
			switch name := d.Name(); {
			case err != nil:
				return err
			case d.IsDir() && (name == "testdata" || name[0] == '.' || name[0] == '_'):
				return fs.SkipDir
			case !d.IsDir() && strings.HasSuffix(name, ".go"):
				files = append(files, path)
			}
			return nil
		})
		if err != nil {
			t.Fatal(fmt.Errorf("list the files of %s: %w", folder, err))
		}
	}
	return files
}
