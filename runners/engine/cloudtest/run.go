package cloudtest

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"

	fnpb "github.com/apache/beam/sdks/v2/go/pkg/beam/model/fnexecution_v1"
	pipepb "github.com/apache/beam/sdks/v2/go/pkg/beam/model/pipeline_v1"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/runners/universal/runnerlib"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// run runs a job from the objects in the bucket.
func (c *Cloud) run(j *Job) (err error) {
	dir, err := os.MkdirTemp("", "cloudtest-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	binary, options := filepath.Join(dir, "worker"), filepath.Join(dir, "options.json")
	if err := os.WriteFile(binary, j.binary, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(options, j.options, 0o600); err != nil {
		return err
	}
	p, err := newPool(j, binary, options)
	if err != nil {
		return err
	}
	defer p.close()
	external, err := proto.Marshal(&pipepb.ExternalPayload{Endpoint: &pipepb.ApiServiceDescriptor{Url: p.address}})
	if err != nil {
		return err
	}
	pipeline := proto.Clone(j.pipeline).(*pipepb.Pipeline)
	for _, e := range pipeline.GetComponents().GetEnvironments() {
		e.Urn, e.Payload = "beam:env:external:v1", external
	}
	if err := runnerlib.UpdateGoEnvironmentWorker(binary, pipeline); err != nil {
		return err
	}
	prepared, endpoint, token, err := runnerlib.Prepare(j.ctx, c.runner, pipeline, &runnerlib.JobOptions{Name: j.job.Name})
	if err != nil {
		return err
	}
	if token, err = runnerlib.Stage(j.ctx, prepared, endpoint, binary, token); err != nil {
		return err
	}
	id, err := runnerlib.Submit(j.ctx, c.runner, prepared, token)
	if err != nil {
		return err
	}
	return runnerlib.WaitForCompletion(j.ctx, c.runner, id)
}

// A pool starts the workers of a job.
type pool struct {
	fnpb.UnimplementedBeamFnExternalWorkerPoolServer
	job             *Job
	binary, options string
	address         string
	server          *grpc.Server

	mu      sync.Mutex
	workers map[string]*exec.Cmd
}

func newPool(j *Job, binary, options string) (*pool, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &pool{job: j, binary: binary, options: options, address: l.Addr().String(), server: grpc.NewServer(), workers: map[string]*exec.Cmd{}}
	fnpb.RegisterBeamFnExternalWorkerPoolServer(p.server, p)
	go p.server.Serve(l)
	return p, nil
}

// StartWorker starts a worker with the command line of Dataflow's container.
func (p *pool) StartWorker(_ context.Context, r *fnpb.StartWorkerRequest) (*fnpb.StartWorkerResponse, error) {
	cmd := exec.Command(p.binary, "--worker=true", "--id="+r.GetWorkerId(),
		"--logging_endpoint="+r.GetLoggingEndpoint().GetUrl(), "--control_endpoint="+r.GetControlEndpoint().GetUrl())
	cmd.Env = append(os.Environ(), "PIPELINE_OPTIONS_FILE="+p.options)
	if err := cmd.Start(); err != nil {
		return &fnpb.StartWorkerResponse{Error: err.Error()}, nil
	}
	p.mu.Lock()
	p.workers[r.GetWorkerId()] = cmd
	p.mu.Unlock()
	p.job.mu.Lock()
	p.job.workers++
	p.job.mu.Unlock()
	return &fnpb.StartWorkerResponse{}, nil
}

// StopWorker ends a worker.
func (p *pool) StopWorker(_ context.Context, r *fnpb.StopWorkerRequest) (*fnpb.StopWorkerResponse, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	cmd, ok := p.workers[r.GetWorkerId()]
	if !ok {
		return &fnpb.StopWorkerResponse{Error: fmt.Sprintf("there is no worker %q", r.GetWorkerId())}, nil
	}
	end(cmd)
	delete(p.workers, r.GetWorkerId())
	return &fnpb.StopWorkerResponse{}, nil
}

func (p *pool) close() {
	p.server.Stop()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, cmd := range p.workers {
		end(cmd)
	}
}

// end kills a worker: a worker whose control stream has ended does not end by itself.
func end(cmd *exec.Cmd) {
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}
