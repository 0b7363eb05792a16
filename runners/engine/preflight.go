package engine

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam/options/gcpopts"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/options/jobopts"
	"golang.org/x/oauth2/google"
	df "google.golang.org/api/dataflow/v1b3"

	"github.com/quire-ml/quire/configs/secret"
	"github.com/quire-ml/quire/runners/store"
)

// The caller's inputs that a Lack can name.
const (
	Out    = "out"
	Source = "source"
)

// A Lack is one thing that keeps a pipeline from running.
type Lack struct {
	Input string // Out or Source; empty: a flag of Beam's or this machine, and the text says what to do
	Text  string
}

// A UsageError lists everything that keeps a pipeline from running.
type UsageError struct {
	Runner string
	Lacks  []Lack // at least one
}

// Error returns one line.
func (e *UsageError) Error() string {
	if len(e.Lacks) == 1 {
		return fmt.Sprintf("engine: %s: %s", e.Runner, e.Lacks[0].Text)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "engine: %s: %d things are missing", e.Runner, len(e.Lacks))
	for i, l := range e.Lacks {
		fmt.Fprintf(&b, "%s (%d) %s", [...]string{":", ";"}[min(i, 1)], i+1, l.Text)
	}
	return b.String()
}

// Preflight checks, before any work, that a runner can run a pipeline that reads
// the sources and writes to out: files, folders or URLs. It returns a UsageError
// where flags or inputs are missing or wrong, and an error of the network where
// the job server does not answer.
func Preflight(ctx context.Context, runner, out string, sources []string) error {
	if err := Check(runner); err != nil {
		return err
	}
	var lacks []Lack
	switch runner {
	case "flink":
		lacks = append(onlyDataflow(), flinkLacks()...)
	case "dataflow":
		lacks = dataflowLacks(ctx, out, sources)
	default:
		lacks = onlyDataflow()
		if *jobopts.Async {
			lacks = append(lacks, flagLack("--async needs a job that outlives this process: use flink or dataflow"))
		}
	}
	if len(lacks) > 0 {
		return &UsageError{Runner: runner, Lacks: lacks}
	}
	if runner == "flink" {
		return probe(ctx, *jobopts.Endpoint)
	}
	return nil
}

// flagLack returns a Lack that says which of Beam's flags to set.
func flagLack(format string, args ...any) Lack { return Lack{Text: fmt.Sprintf(format, args...)} }

// onlyDataflow refuses flags that other runners ignore.
func onlyDataflow() (lacks []Lack) {
	for _, name := range []string{"dry_run", "template_location"} {
		if v := value(name); v != "" && v != "false" {
			lacks = append(lacks, flagLack("--%s is for dataflow", name))
		}
	}
	return lacks
}

func flinkLacks() (lacks []Lack) {
	if *jobopts.Endpoint == "" {
		return []Lack{flagLack("no job server: start one and give its address with --endpoint=host:port " +
			"(runners/engine/flink/start.sh brings up a small Flink)")}
	}
	if _, _, err := net.SplitHostPort(*jobopts.Endpoint); err != nil {
		return []Lack{flagLack("--endpoint=%s is not host:port, such as localhost:8099", *jobopts.Endpoint)}
	}
	switch env := flinkEnvironment(); {
	case env == "LOOPBACK" && *jobopts.Async:
		lacks = append(lacks, flagLack("--async needs workers other than this process: --environment_type=PROCESS"))
	case env == "DOCKER" && *jobopts.EnvironmentConfig == "":
		lacks = append(lacks, flagLack("--environment_type=DOCKER needs an image: --environment_config=IMAGE"))
	case env != "LOOPBACK" && env != "PROCESS" && env != "DOCKER" && env != "EXTERNAL":
		lacks = append(lacks, flagLack("--environment_type=%s is unknown: use LOOPBACK, PROCESS, DOCKER or EXTERNAL", *jobopts.EnvironmentType))
	}
	return lacks
}

func dataflowLacks(ctx context.Context, out string, sources []string) (lacks []Lack) {
	if project := gcpopts.GetProjectFromFlagOrEnvironment(ctx); project == "" {
		lacks = append(lacks, flagLack("no project: --project=ID"))
	}
	if gcpopts.GetRegion(ctx) == "" {
		lacks = append(lacks, flagLack("no region: --region=us-central1, or one near the bucket"))
	}
	if lack := bucketLack("staging_location", "no staging location: --staging_location=gs://BUCKET/FOLDER"); lack != "" {
		lacks = append(lacks, flagLack("%s", lack))
	}
	for _, name := range []string{"temp_location", "template_location"} {
		if lack := bucketLack(name, ""); lack != "" {
			lacks = append(lacks, flagLack("%s", lack))
		}
	}
	if !store.IsURL(out) {
		lacks = append(lacks, Lack{Out, fmt.Sprintf("the set would be at %s, where workers cannot write", out)})
	}
	for _, s := range sources {
		if !store.IsURL(s) {
			lacks = append(lacks, Lack{Source, fmt.Sprintf("source %s is on this machine, where workers cannot read", secret.URL(s))})
		}
	}
	if ModeOf("dataflow") != DryRun {
		if err := credentials(ctx); err != nil {
			lacks = append(lacks, flagLack("no credentials (%s): gcloud auth application-default login, or GOOGLE_APPLICATION_CREDENTIALS=KEY.json",
				blank.ReplaceAllString(err.Error(), " ")))
		}
		if lack := binaryLack(ctx); lack != "" {
			lacks = append(lacks, flagLack("%s", lack))
		}
	}
	if env := *jobopts.EnvironmentType; env != "" && !strings.EqualFold(env, "DOCKER") {
		lacks = append(lacks, flagLack("--environment_type is not for dataflow, whose workers are containers: "+
			"--sdk_container_image names another one"))
	}
	return lacks
}

// bucketLack says what is wrong with a flag that names a place in a bucket. It
// returns none where the flag is not set.
func bucketLack(name, none string) string {
	v := value(name)
	bucket, _, _ := strings.Cut(strings.TrimPrefix(v, "gs://"), "/")
	switch {
	case v == "":
		return none
	case !strings.HasPrefix(v, "gs://") || bucket == "":
		return fmt.Sprintf("--%s=%s is not in a bucket: want gs://BUCKET/FOLDER", name, v)
	}
	return ""
}

// credentials returns an error unless Google's libraries find credentials that
// work.
func credentials(ctx context.Context) error {
	ctx, stop := context.WithTimeout(ctx, answering)
	defer stop()
	c, err := google.FindDefaultCredentials(ctx, df.CloudPlatformScope)
	if err != nil {
		return err
	}
	_, err = c.TokenSource.Token()
	return err
}

// binaryLack says how to get a worker binary, where none is given and none can be
// built. Else it returns "".
func binaryLack(ctx context.Context) string {
	ctx, stop := context.WithTimeout(ctx, time.Minute)
	defer stop()
	arch := workerArch()
	how := fmt.Sprintf("CGO_ENABLED=0 GOOS=linux GOARCH=%s go build -tags nogpu -o worker ./pipelines/prep, then --worker_binary=worker", arch)
	if file := *jobopts.WorkerBinary; file != "" {
		if err := checkBinary(file, arch); err != nil {
			return fmt.Sprintf("--worker_binary: %s: %s", strings.TrimPrefix(err.Error(), "engine: "), how)
		}
		return ""
	}
	if ownBinary(arch) != "" {
		return ""
	}
	if _, err := exec.LookPath("go"); err != nil {
		return fmt.Sprintf("no worker binary for linux/%s: %s", arch, how)
	}
	if err := canBuild(ctx); err != nil {
		return fmt.Sprintf("no worker binary for linux/%s, and none can be built here (%s): %s", arch, err, how)
	}
	return ""
}
