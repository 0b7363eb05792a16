package engine

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"flag"
	"strings"
	"time"

	jobpb "github.com/apache/beam/sdks/v2/go/pkg/beam/model/jobmanagement_v1"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/options/jobopts"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/util/grpcx"
)

// A Mode says when a run returns. Beam's flags choose it.
type Mode string

// The modes.
const (
	Wait     Mode = "wait"     // when the pipeline is done
	Async    Mode = "async"    // when the job is submitted: --async
	Template Mode = "template" // when the job is stored for later: --template_location
	DryRun   Mode = "dry_run"  // when the job is made, and sent nowhere: --dry_run
)

// ModeOf returns the mode of the next run on a runner.
func ModeOf(runner string) Mode {
	switch {
	case runner == "dataflow" && value("dry_run") == "true":
		return DryRun
	case runner == "dataflow" && value("template_location") != "":
		return Template
	case (runner == "dataflow" || runner == "flink") && *jobopts.Async:
		return Async
	}
	return Wait
}

// A Job describes a pipeline that was handed to a runner.
type Job struct {
	Mode     Mode            `json:"mode"`
	Name     string          `json:"name"`
	ID       string          `json:"id,omitempty"`       // on Dataflow, of a job that runs on
	Template string          `json:"template,omitempty"` // where it is stored
	Request  json.RawMessage `json:"request,omitempty"`  // of a dry run: the request that Dataflow would get
}

// value returns the value of a flag of Beam's.
func value(name string) string {
	if f := flag.Lookup(name); f != nil {
		return f.Value.String()
	}
	return ""
}

var prismEndpoint string // of the prism server in this process, "" before its first run

// flags sets the runners' global flags for one run, and returns a function that
// puts them back. The job gets a name, by which cancelJob finds it.
func flags(ctx context.Context, runner string) (restore func(), err error) {
	undo := keepFlags()
	if *jobopts.JobName == "" {
		*jobopts.JobName = "quire-" + strings.ToLower(rand.Text()[:12])
	}
	restore = undo
	switch runner {
	case "prism":
		if *jobopts.Endpoint == "" {
			restore = func() {
				// Prism leaves its own endpoint, for any runner that comes after it.
				prismEndpoint = *jobopts.Endpoint
				undo()
			}
			*jobopts.Endpoint = prismEndpoint
			if prismEndpoint != "" && *jobopts.EnvironmentType == "" {
				*jobopts.EnvironmentType = "LOOPBACK"
			}
		}
	case "flink":
		var done func()
		if done, err = flinkFlags(ctx); err == nil {
			restore = func() { done(); undo() }
		}
	case "dataflow":
		var done func()
		if done, err = dataflowFlags(ctx); err == nil {
			restore = func() { done(); undo() }
		}
	}
	if err != nil {
		undo()
		return nil, err
	}
	return restore, nil
}

// keepFlags returns a function that puts the flags that a run changes back.
func keepFlags() (restore func()) {
	all := []*string{jobopts.Endpoint, jobopts.EnvironmentType, jobopts.EnvironmentConfig, jobopts.JobName, jobopts.WorkerBinary}
	var values []string
	for _, f := range all {
		values = append(values, *f)
	}
	return func() {
		for i, f := range all {
			*f = values[i]
		}
	}
}

// cancelJob asks the job server at endpoint to cancel the jobs of a name. It ignores
// errors: this process is about to end.
func cancelJob(endpoint, name string) {
	if endpoint == "" {
		return
	}
	ctx, stop := context.WithTimeout(context.Background(), 5*time.Second)
	defer stop()
	cc, err := grpcx.Dial(ctx, endpoint, 5*time.Second)
	if err != nil {
		return
	}
	defer cc.Close()
	client := jobpb.NewJobServiceClient(cc)
	list, err := client.GetJobs(ctx, &jobpb.GetJobsRequest{})
	if err != nil {
		return
	}
	for _, j := range list.GetJobInfo() {
		if j.GetJobName() == name {
			client.Cancel(ctx, &jobpb.CancelJobRequest{JobId: j.GetJobId()})
		}
	}
}
