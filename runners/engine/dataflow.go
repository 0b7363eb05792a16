package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	beamlog "github.com/apache/beam/sdks/v2/go/pkg/beam/log"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/options/gcpopts"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/runners/dataflow"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/runners/dataflow/dataflowlib"
	df "google.golang.org/api/dataflow/v1b3"
)

func init() {
	// Paths of this machine mean nothing to a worker or in the console.
	dataflow.DontUseFlagAsPipelineOption("worker_binary")
}

// answering is how long Dataflow may take to answer a question.
const answering = 30 * time.Second

// Staging returns --staging_location.
func Staging() string { return strings.TrimSuffix(value("staging_location"), "/") }

// dataflowFlags completes the flags of a run on Dataflow.
func dataflowFlags(ctx context.Context) (restore func(), err error) {
	if ModeOf("dataflow") == DryRun {
		return func() {}, nil // nothing is sent
	}
	return workerFlag(ctx)
}

// A printed logger keeps the job request that the Dataflow runner logs. A dry run
// gives the request in no other way.
type printed struct {
	beamlog.Logger
	job json.RawMessage
}

// Log keeps a JSON object and passes everything else on.
func (p *printed) Log(ctx context.Context, sev beamlog.Severity, depth int, msg string) {
	if strings.HasPrefix(msg, "{") && json.Valid([]byte(msg)) {
		p.job = json.RawMessage(msg)
		return
	}
	p.Logger.Log(ctx, sev, depth+1, msg)
}

// jobID returns the ID of a submitted job. The result of a template is a nil pointer
// in an interface, whose methods panic.
func jobID(res beam.PipelineResult) string {
	if res == nil || ModeOf("dataflow") == Template {
		return ""
	}
	return res.JobID()
}

// explain adds the cause to the error of a Dataflow job, which says only that the job
// failed.
func explain(ctx context.Context, id string, err error) error {
	ctx, stop := context.WithTimeout(ctx, answering)
	defer stop()
	client, e := dataflowlib.NewClient(ctx, value("dataflow_endpoint"))
	if e != nil {
		return fmt.Errorf("%w (its messages cannot be read: %w)", err, e)
	}
	list, e := client.Projects.Locations.Jobs.Messages.List(gcpopts.GetProjectFromFlagOrEnvironment(ctx), gcpopts.GetRegion(ctx), id).
		MinimumImportance("JOB_MESSAGE_ERROR").Context(ctx).Do()
	if e != nil {
		return fmt.Errorf("%w (its messages cannot be read: %w)", err, e)
	}
	cause := ""
	for _, m := range list.JobMessages {
		// The last messages sum up. The cause is in a worker's message.
		if cause == "" || strings.Contains(m.MessageText, "caused by:") || !strings.Contains(cause, "caused by:") {
			cause = m.MessageText
		}
	}
	if cause == "" {
		return err
	}
	return fmt.Errorf("%w: %s", err, rootCause(cause))
}

// cancelDataflow asks Dataflow to cancel the job of a name.
func cancelDataflow(name string) error {
	ctx, stop := context.WithTimeout(context.Background(), answering)
	defer stop()
	client, err := dataflowlib.NewClient(ctx, value("dataflow_endpoint"))
	if err != nil {
		return err
	}
	project, region := gcpopts.GetProjectFromFlagOrEnvironment(ctx), gcpopts.GetRegion(ctx)
	job, err := dataflowlib.GetRunningJobByName(client, project, region, name)
	if err != nil {
		return err
	}
	_, err = client.Projects.Locations.Jobs.Update(project, region, job.Id, &df.Job{RequestedState: "JOB_STATE_CANCELLED"}).Context(ctx).Do()
	return err
}

// interrupted is the error of a run on Dataflow that ctx has ended.
func interrupted(ctx context.Context, name string) error {
	if err := cancelDataflow(name); err != nil {
		return fmt.Errorf("engine: dataflow: %w; job %s could not be cancelled (%s): if it runs, cancel it with gcloud dataflow jobs cancel",
			ctx.Err(), name, rootCause(err.Error()))
	}
	return fmt.Errorf("engine: dataflow: %w; job %s was asked to cancel", ctx.Err(), name)
}
