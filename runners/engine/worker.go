package engine

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/apache/beam/sdks/v2/go/container/tools"
	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/util/grpcx"
)

// Init makes Beam usable. In a process that a runner started as its worker,
// Init does the work and does not return: Dataflow's container starts this
// binary with --worker; Flink, with the environment PROCESS or an image whose
// entry point this binary is, with --id and --provision_endpoint. Elsewhere it
// leaves the flags alone, and the log package; slog's default handler gets a
// filter in front of it that keeps Beam's records away. Call it once, after all
// init functions and before building a pipeline.
func Init() {
	args := os.Args[1:]
	if id, provision, ok := bootArgs(args); ok {
		fmt.Fprintln(os.Stderr, "engine: worker:", boot(id, provision))
		os.Exit(1) // as Beam does in its worker: there is no command to return to
	}
	if isWorker(args) {
		flag.Parse()
		beam.Init()
		return
	}
	defer filterLogs() // after the logs are back
	defer keepLogs()()
	beam.Init()
}

// isWorker reports whether args ask for worker mode.
func isWorker(args []string) bool {
	for _, a := range args {
		if a == "--" {
			return false
		}
		name, value, set := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(a, "-"), "-"), "=")
		if strings.HasPrefix(a, "-") && name == "worker" && (!set || value == "true" || value == "1") {
			return true
		}
	}
	return false
}

// bootArgs returns the flags of a Beam boot loader, if args are those.
func bootArgs(args []string) (id, provision string, ok bool) {
	f := flag.NewFlagSet("boot", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.StringVar(&id, "id", "", "")
	f.StringVar(&provision, "provision_endpoint", "", "")
	for _, unused := range []string{"logging_endpoint", "artifact_endpoint", "control_endpoint", "semi_persist_dir"} {
		f.String(unused, "", "")
	}
	if err := f.Parse(args); err != nil || f.NArg() > 0 || id == "" || provision == "" {
		return "", "", false
	}
	return strings.Trim(id, "'"), provision, true // prism has quotes inside the value
}

// boot asks the provision service for a worker's options and becomes that worker, as
// Beam's own boot loader would with a copy of this binary. It returns only on an
// error.
func boot(id, provision string) error {
	go followParent(os.Getppid())
	info, err := tools.ProvisionInfo(grpcx.WriteWorkerID(context.Background(), id), provision)
	if err != nil {
		return fmt.Errorf("%s: provision service at %s: %w", id, provision, err)
	}
	options, err := tools.ProtoToJSON(info.GetPipelineOptions())
	if err != nil {
		return fmt.Errorf("%s: pipeline options: %w", id, err)
	}
	for name, value := range map[string]string{
		"RUNNER_CAPABILITIES":   strings.Join(info.GetRunnerCapabilities(), " "),
		"STATUS_ENDPOINT":       info.GetStatusEndpoint().GetUrl(),
		"PIPELINE_OPTIONS_FILE": "",
	} {
		if err := os.Setenv(name, value); err != nil {
			return fmt.Errorf("%s: %w", id, err)
		}
	}
	for name, value := range map[string]string{
		"worker": "true", "id": id, "options": options,
		"logging_endpoint": info.GetLoggingEndpoint().GetUrl(), "control_endpoint": info.GetControlEndpoint().GetUrl(),
	} {
		if err := flag.Set(name, value); err != nil {
			return fmt.Errorf("%s: --%s: %w", id, name, err)
		}
	}
	beam.Init()
	return fmt.Errorf("%s: Beam has not taken over", id)
}

// followParent ends the process when its parent is gone. A killed task manager cannot
// stop its workers, and a worker whose control stream ends without an error would
// wait for ever.
func followParent(parent int) {
	for os.Getppid() == parent {
		time.Sleep(500 * time.Millisecond)
	}
	fmt.Fprintln(os.Stderr, "engine: worker: the process that started it is gone")
	os.Exit(1)
}
