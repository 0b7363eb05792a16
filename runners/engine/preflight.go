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
)

// A UsageError is what a run lacks: all of it.
type UsageError struct {
	Runner string
	Lacks  []string // each says what to do
}

// Error returns one line.
func (e *UsageError) Error() string {
	if len(e.Lacks) == 1 {
		return fmt.Sprintf("engine: %s: %s", e.Runner, e.Lacks[0])
	}
	var b strings.Builder
	fmt.Fprintf(&b, "engine: %s: %d things are missing", e.Runner, len(e.Lacks))
	for i, l := range e.Lacks {
		fmt.Fprintf(&b, "%s (%d) %s", [...]string{":", ";"}[min(i, 1)], i+1, l)
	}
	return b.String()
}

// Preflight looks, before any work, whether a pipeline can run on a runner that
// reads the sources and writes to out: files, folders or URLs. What the caller
// did not say is a UsageError; a job server that does not answer is another.
func Preflight(ctx context.Context, runner, out string, sources []string) error {
	if err := Check(runner); err != nil {
		return err
	}
	var lacks []string
	switch runner {
	case "flink":
		lacks = append(onlyDataflow(), flinkLacks()...)
	case "dataflow":
		lacks = dataflowLacks(ctx, out, sources)
	default:
		lacks = onlyDataflow()
		if *jobopts.Async {
			lacks = append(lacks, "--async needs a job that outlives this process: use --runner=flink or dataflow")
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

// onlyDataflow refuses what other runners would not notice.
func onlyDataflow() (lacks []string) {
	for _, name := range []string{"dry_run", "template_location"} {
		if v := value(name); v != "" && v != "false" {
			lacks = append(lacks, fmt.Sprintf("--%s is for --runner=dataflow", name))
		}
	}
	return lacks
}

func flinkLacks() (lacks []string) {
	if *jobopts.Endpoint == "" {
		return []string{"no job server: start one and give its address with --endpoint=host:port (runners/engine/flink/start.sh brings up a small Flink)"}
	}
	if _, _, err := net.SplitHostPort(*jobopts.Endpoint); err != nil {
		return []string{fmt.Sprintf("--endpoint=%s is not host:port, such as localhost:8099", *jobopts.Endpoint)}
	}
	switch env := flinkEnvironment(); {
	case env == "LOOPBACK" && *jobopts.Async:
		lacks = append(lacks, "--async needs workers other than this process: --environment_type=PROCESS")
	case env == "DOCKER" && *jobopts.EnvironmentConfig == "":
		lacks = append(lacks, "--environment_type=DOCKER needs an image: --environment_config=IMAGE")
	case env != "LOOPBACK" && env != "PROCESS" && env != "DOCKER" && env != "EXTERNAL":
		lacks = append(lacks, fmt.Sprintf("--environment_type=%s is unknown: use LOOPBACK, PROCESS, DOCKER or EXTERNAL", *jobopts.EnvironmentType))
	}
	return lacks
}

func dataflowLacks(ctx context.Context, out string, sources []string) (lacks []string) {
	if project := gcpopts.GetProjectFromFlagOrEnvironment(ctx); project == "" {
		lacks = append(lacks, "no project: --project=ID")
	}
	if gcpopts.GetRegion(ctx) == "" {
		lacks = append(lacks, "no region: --region=us-central1, or one near the bucket")
	}
	if lack := bucketLack("staging_location", "no staging location: --staging_location=gs://BUCKET/FOLDER"); lack != "" {
		lacks = append(lacks, lack)
	}
	for _, name := range []string{"temp_location", "template_location"} {
		if lack := bucketLack(name, ""); lack != "" {
			lacks = append(lacks, lack)
		}
	}
	if !strings.HasPrefix(out, "gs://") {
		lacks = append(lacks, fmt.Sprintf("the set would be at %s, where workers cannot write: --out=gs://BUCKET/FOLDER, or workdir=gs://…", out))
	}
	for _, s := range sources {
		if !strings.HasPrefix(s, "gs://") && !strings.HasPrefix(s, "https://") {
			lacks = append(lacks, fmt.Sprintf("source %s is on this machine, where workers cannot read: copy it to a bucket and name it with --set corpus.sources=gs://BUCKET/NAME", s))
		}
	}
	if ModeOf("dataflow") != DryRun {
		if err := credentials(ctx); err != nil {
			lacks = append(lacks, fmt.Sprintf("no credentials (%s): gcloud auth application-default login, or GOOGLE_APPLICATION_CREDENTIALS=KEY.json", blank.ReplaceAllString(err.Error(), " ")))
		}
		if lack := binaryLack(ctx); lack != "" {
			lacks = append(lacks, lack)
		}
	}
	if env := *jobopts.EnvironmentType; env != "" && !strings.EqualFold(env, "DOCKER") {
		lacks = append(lacks, "--environment_type is not for dataflow, whose workers are containers: --sdk_container_image names another one")
	}
	return lacks
}

// bucketLack returns what is wrong with a flag that names a place in a bucket;
// none is what to say where it is not set.
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

// credentials returns an error unless Google's libraries find some that work.
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

// binaryLack says what to do where there is no worker binary and none can be
// built.
func binaryLack(ctx context.Context) string {
	ctx, stop := context.WithTimeout(ctx, time.Minute)
	defer stop()
	arch := workerArch()
	how := fmt.Sprintf("CGO_ENABLED=0 GOOS=linux GOARCH=%s go build -o worker ./pipelines/prep, then --worker_binary=worker", arch)
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
