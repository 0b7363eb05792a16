package engine

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	jobpb "github.com/apache/beam/sdks/v2/go/pkg/beam/model/jobmanagement_v1"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/options/jobopts"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/util/grpcx"
)

var (
	jobs          atomic.Int64
	prismEndpoint string // of the prism server in this process, "" before its first run
)

// flags sets the portable runners' global flags for one run, and returns a
// function that puts them back. Prism would leave its own endpoint there, for
// any runner that comes after it. The job gets a name to cancel it by.
func flags(runner string) (restore func()) {
	endpoint, environment, name := *jobopts.Endpoint, *jobopts.EnvironmentType, *jobopts.JobName
	own := runner == "prism" && endpoint == ""
	if own && prismEndpoint != "" {
		*jobopts.Endpoint = prismEndpoint
		if environment == "" {
			*jobopts.EnvironmentType = "loopback"
		}
	}
	if name == "" {
		*jobopts.JobName = fmt.Sprintf("quire-%d-%d", os.Getpid(), jobs.Add(1))
	}
	return func() {
		if own {
			prismEndpoint = *jobopts.Endpoint
		}
		*jobopts.Endpoint, *jobopts.EnvironmentType, *jobopts.JobName = endpoint, environment, name
	}
}

// cancelJob asks the job server at endpoint to cancel the jobs of a name. The
// driver is going away: what fails here is not worth more than the attempt.
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
