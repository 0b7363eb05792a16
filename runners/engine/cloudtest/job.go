package cloudtest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"sync"

	pipepb "github.com/apache/beam/sdks/v2/go/pkg/beam/model/pipeline_v1"
	df "google.golang.org/api/dataflow/v1b3"
	"google.golang.org/protobuf/proto"
)

// A Job is a job that a client has created.
type Job struct {
	ID      string
	Request []byte // as sent

	job      *df.Job
	options  []byte // for the workers, as sent
	pipeline *pipepb.Pipeline
	binary   []byte

	ctx    context.Context // until the job has ended
	cancel context.CancelFunc
	wait   sync.WaitGroup
	done   chan struct{}

	mu      sync.Mutex
	current string // state
	err     error
	workers int
}

// Workers returns how many worker processes the job has had.
func (j *Job) Workers() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.workers
}

// Wait returns the job's last state.
func (j *Job) Wait() string {
	<-j.done
	return j.state().CurrentState
}

func (j *Job) state() *df.Job {
	j.mu.Lock()
	defer j.mu.Unlock()
	s := *j.job
	s.CurrentState = j.current
	return &s
}

// end ends the job, unless it has ended.
func (j *Job) end(state string, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.current != "JOB_STATE_RUNNING" {
		return
	}
	j.current, j.err = state, err
	j.cancel()
	close(j.done)
}

// messages returns Dataflow's messages about a failure: a worker's error, and a
// summary.
func (j *Job) messages() []*df.JobMessage {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.err == nil {
		return nil
	}
	return []*df.JobMessage{
		{Id: "1", MessageImportance: "JOB_MESSAGE_ERROR", MessageText: "Error received from SDK harness for instruction 1: " + j.err.Error()},
		{Id: "2", MessageImportance: "JOB_MESSAGE_ERROR",
			MessageText: "Workflow failed. Causes: The job failed because a work item has failed 4 times."},
	}
}

// create checks a job request and starts the job.
func (c *Cloud) create(project, region string, request []byte) (*Job, error) {
	j := &Job{Request: request, job: new(df.Job), done: make(chan struct{}), current: "JOB_STATE_RUNNING"}
	if err := json.Unmarshal(request, j.job); err != nil {
		return nil, err
	}
	if j.job.ProjectId != project {
		return nil, fmt.Errorf("the job is for project %q, the request for %q", j.job.ProjectId, project)
	}
	if err := c.check(j, region); err != nil {
		return nil, err
	}
	j.ctx, j.cancel = context.WithCancel(context.Background())
	c.mu.Lock()
	held := c.held
	j.ID = fmt.Sprintf("test-job-%d", len(c.jobs)+1)
	j.job.Id, j.job.Location = j.ID, region
	c.jobs = append(c.jobs, j)
	c.mu.Unlock()
	j.wait.Go(func() {
		select {
		case <-held:
		case <-j.ctx.Done():
			return
		}
		if err := c.run(j); err != nil {
			j.end("JOB_STATE_FAILED", err)
			return
		}
		j.end("JOB_STATE_DONE", nil)
	})
	return j, nil
}

// experiments are those of Dataflow's portable runner.
var experiments = []string{"beam_fn_api", "use_runner_v2", "use_unified_worker", "use_portable_job_submission"}

// check compares a job request with what is in the bucket, and takes the
// pipeline and the binary from there.
func (c *Cloud) check(j *Job, region string) error {
	var options struct {
		Options struct {
			PipelineURL, PipelineProtoHash, Region, TempLocation string
			Experiments                                          []string
		}
		GoOptions *struct{ Options map[string]string } `json:"beam:option:go_options:v1"`
	}
	e := j.job.Environment
	if e == nil || j.job.Type != "JOB_TYPE_BATCH" {
		return fmt.Errorf("the job has no environment, or type %q", j.job.Type)
	}
	if err := json.Unmarshal(e.SdkPipelineOptions, &options); err != nil {
		return fmt.Errorf("sdkPipelineOptions: %w", err)
	}
	o := options.Options
	if o.Region != region || o.TempLocation == "" || e.TempStoragePrefix != o.TempLocation || options.GoOptions == nil {
		return fmt.Errorf("region %q and temporary location %q are not those of the job, or the workers' options are missing",
			o.Region, o.TempLocation)
	}
	for _, x := range experiments {
		if !slices.Contains(o.Experiments, x) || !slices.Contains(e.Experiments, x) {
			return fmt.Errorf("experiment %s is missing", x)
		}
	}
	j.options = e.SdkPipelineOptions
	model, err := c.staged(o.PipelineURL, o.PipelineProtoHash)
	if err != nil {
		return fmt.Errorf("pipeline: %w", err)
	}
	j.pipeline = new(pipepb.Pipeline)
	if err := proto.Unmarshal(model, j.pipeline); err != nil {
		return fmt.Errorf("pipeline: %w", err)
	}
	if len(e.WorkerPools) != 1 || e.WorkerPools[0].Kind != "harness" || len(e.WorkerPools[0].Packages) != 1 {
		return fmt.Errorf("want one pool of workers of kind harness with one package")
	}
	return c.checkWorkers(j, e.WorkerPools[0])
}

// checkWorkers checks the pool of workers against the pipeline's environment.
func (c *Cloud) checkWorkers(j *Job, pool *df.WorkerPool) (err error) {
	p := pool.Packages[0]
	if p.Name != "worker" {
		return fmt.Errorf("the package is called %q, want worker", p.Name)
	}
	if j.binary, err = c.staged(p.Location, p.Sha256); err != nil {
		return fmt.Errorf("worker binary: %w", err)
	}
	f, err := elf.NewFile(bytes.NewReader(j.binary))
	if err != nil || f.Machine != elf.EM_X86_64 {
		return fmt.Errorf("the worker binary is not for linux/amd64: %v", err)
	}
	if len(j.pipeline.GetComponents().GetEnvironments()) != 1 || len(pool.SdkHarnessContainerImages) != 1 {
		return fmt.Errorf("want one environment and one image")
	}
	image := pool.SdkHarnessContainerImages[0]
	for id, e := range j.pipeline.GetComponents().GetEnvironments() {
		var docker pipepb.DockerPayload
		var artifact pipepb.ArtifactUrlPayload
		if err := proto.Unmarshal(e.GetPayload(), &docker); err != nil {
			return fmt.Errorf("environment: %w", err)
		}
		if len(e.GetDependencies()) != 1 {
			return fmt.Errorf("environment %s has %d dependencies, want the binary", id, len(e.GetDependencies()))
		}
		if err := proto.Unmarshal(e.GetDependencies()[0].GetTypePayload(), &artifact); err != nil {
			return fmt.Errorf("environment: %w", err)
		}
		switch {
		case e.GetUrn() != "beam:env:docker:v1" || docker.GetContainerImage() == "":
			return fmt.Errorf("environment %s is %s with image %q, want a container", id, e.GetUrn(), docker.GetContainerImage())
		case image.ContainerImage != docker.GetContainerImage() ||
			pool.WorkerHarnessContainerImage != image.ContainerImage || image.EnvironmentId != id:
			return fmt.Errorf("the pool's image %q is not the environment's %q", image.ContainerImage, docker.GetContainerImage())
		case artifact.GetUrl() != p.Location || artifact.GetSha256() != p.Sha256:
			return fmt.Errorf("environment %s has the binary %s, the pool %s", id, artifact.GetUrl(), p.Location)
		case !slices.Contains(image.Capabilities, "beam:protocol:multi_core_bundle_processing:v1") || image.UseSingleCorePerContainer:
			return fmt.Errorf("the image's workers use one core")
		}
	}
	return nil
}

// staged returns an object, or an error where its sha256 is not want.
func (c *Cloud) staged(url, want string) ([]byte, error) {
	data, err := c.object(url)
	if err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != want {
		return nil, fmt.Errorf("%s has the sha256 %x, the job says %s", url, sum, want)
	}
	return data, nil
}
