package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	jobpb "github.com/apache/beam/sdks/v2/go/pkg/beam/model/jobmanagement_v1"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/options/jobopts"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/util/grpcx"
)

// probing is how long a job server may take to answer; a new one is slow. (Tests
// lower it.)
var probing = 20 * time.Second

// flinkFlags completes the flags of a run on Flink. Workers are
//
//	LOOPBACK  this process: where the job server is on this machine
//	PROCESS   processes of this binary, started by the task managers: elsewhere,
//	          and needed for two or more task managers, which would give their
//	          loopback workers one name
//	DOCKER    containers
//
// and --environment_type chooses another. The binary must have the same path on
// every machine; --environment_config='{"command":"PATH"}' names another one.
func flinkFlags(ctx context.Context) (restore func(), err error) {
	if err := probe(ctx, *jobopts.Endpoint); err != nil {
		return nil, err
	}
	*jobopts.EnvironmentType = flinkEnvironment()
	none := func() {}
	if *jobopts.EnvironmentType != "PROCESS" {
		if *jobopts.EnvironmentType == "DOCKER" {
			return workerFlag(ctx)
		}
		return none, nil
	}
	if *jobopts.EnvironmentConfig == "" {
		self, err := os.Executable()
		if err != nil {
			return nil, fmt.Errorf("engine: flink: this program's path: %w", err)
		}
		config, err := json.Marshal(map[string]string{"command": self})
		if err != nil {
			return nil, fmt.Errorf("engine: flink: %w", err)
		}
		*jobopts.EnvironmentConfig = string(config)
	}
	if *jobopts.WorkerBinary != "" {
		return none, nil
	}
	// The binary is on the workers' disks already. So each job stages an empty file,
	// not a hundred megabytes.
	empty, err := os.CreateTemp("", "quire-empty-*")
	if err != nil {
		return nil, fmt.Errorf("engine: flink: %w", err)
	}
	restore = func() { os.Remove(empty.Name()) }
	if err := empty.Close(); err != nil {
		restore()
		return nil, fmt.Errorf("engine: flink: %w", err)
	}
	*jobopts.WorkerBinary = empty.Name()
	return restore, nil
}

// flinkEnvironment returns the type of a Flink worker's environment.
func flinkEnvironment() string {
	switch {
	case *jobopts.EnvironmentType != "":
		return strings.ToUpper(*jobopts.EnvironmentType)
	case isLocal(*jobopts.Endpoint):
		return "LOOPBACK"
	}
	return "PROCESS"
}

// inProcess reports whether a runner's workers are in this process.
func inProcess(runner string) bool {
	switch runner {
	case "direct":
		return true
	case "prism":
		return *jobopts.EnvironmentType == "" || strings.EqualFold(*jobopts.EnvironmentType, "LOOPBACK")
	case "flink":
		return flinkEnvironment() == "LOOPBACK"
	}
	return false
}

// isLocal reports whether an endpoint is on this machine.
func isLocal(endpoint string) bool {
	host, _, err := net.SplitHostPort(endpoint)
	ip := net.ParseIP(host)
	return err == nil && (host == "localhost" || ip != nil && ip.IsLoopback())
}

// probe returns an error where no Beam job server answers at endpoint. Beam
// itself would try for two minutes.
func probe(ctx context.Context, endpoint string) error {
	ctx, stop := context.WithTimeout(ctx, probing)
	defer stop()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", endpoint)
	if err != nil {
		return fmt.Errorf("engine: flink: no job server at --endpoint=%s: %w; "+
			"start one (runners/engine/flink/start.sh brings up a small Flink) or correct the address", endpoint, err)
	}
	conn.Close()
	cc, err := grpcx.Dial(ctx, endpoint, probing)
	if err == nil {
		defer cc.Close()
		_, err = jobpb.NewJobServiceClient(cc).GetJobs(ctx, &jobpb.GetJobsRequest{})
	}
	if err != nil {
		return fmt.Errorf("engine: flink: --endpoint=%s is no Beam job server: %s; "+
			"give the job server's port (8099 by default), not that of Flink's own pages", endpoint, rootCause(err.Error()))
	}
	return nil
}
