// Package cloudtest is a stand-in for the parts of Google Cloud that Beam's
// Dataflow runner uses, for tests.
//
//	client ── binary, pipeline ──► Cloud Storage (package gcstest)
//	   │                                  │
//	   ├── signed key ──► token           ▼
//	   └── job request ─► Dataflow ── checks ── prism ── processes of the staged binary
//
// The stand-in checks a new job against the bucket's objects. A job that fails the
// checks is refused with status 400, which the client shows. The stand-in runs the job
// from the bucket alone: the staged pipeline, by workers that are processes of the
// staged binary, with the options in the job. So a pipeline that needs more from the
// process that made it fails.
//
// Fusion, scaling, containers, permissions, quotas and retries are Dataflow's alone.
package cloudtest

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	jobpb "github.com/apache/beam/sdks/v2/go/pkg/beam/model/jobmanagement_v1"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/runners/prism"
	df "google.golang.org/api/dataflow/v1b3"

	"github.com/quire-ml/quire/runners/store/gcstest"
)

// Project is the project of the key.
const Project = "test-project"

// A Cloud is one stand-in. It is safe for concurrent use.
type Cloud struct {
	Storage *gcstest.Server
	URL     string // of Dataflow, with a slash: --dataflow_endpoint

	t      testing.TB
	runner jobpb.JobServiceClient
	token  string // what the key is exchanged for

	mu   sync.Mutex
	jobs []*Job
	held chan struct{} // closed: jobs run
}

// New starts a stand-in, and points the environment's STORAGE_EMULATOR_HOST and
// GOOGLE_APPLICATION_CREDENTIALS to it until the test ends.
func New(t testing.TB) *Cloud {
	t.Helper()
	c := &Cloud{Storage: gcstest.New(t), t: t, token: rand.Text(), held: make(chan struct{})}
	close(c.held)
	h := httptest.NewServer(c)
	c.URL = h.URL + "/"
	t.Cleanup(func() {
		h.CloseClientConnections()
		h.Close()
		for _, j := range c.Jobs() {
			j.end("JOB_STATE_CANCELLED", nil)
			j.wait.Wait()
		}
	})
	var err error
	if c.runner, err = prism.CreateJobServer(t.Context(), prism.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", c.key())
	return c
}

// key writes a key of a service account that only this stand-in accepts.
func (c *Cloud) key() string {
	c.t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		c.t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		c.t.Fatal(err)
	}
	text, err := json.Marshal(map[string]string{
		"type": "service_account", "project_id": Project, "private_key_id": "1", "client_id": "1",
		"private_key":  string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
		"client_email": "test@" + Project + ".example", "token_uri": c.URL + "token",
	})
	if err != nil {
		c.t.Fatal(err)
	}
	file := filepath.Join(c.t.TempDir(), "key.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		c.t.Fatal(err)
	}
	return file
}

// Hold keeps jobs from running until the function that it returns is called.
func (c *Cloud) Hold() (release func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	held := make(chan struct{})
	c.held = held
	return sync.OnceFunc(func() { close(held) })
}

// Jobs returns the jobs so far.
func (c *Cloud) Jobs() []*Job {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]*Job(nil), c.jobs...)
}

// Launch creates a job from a template in the bucket, as Dataflow does for a user.
func (c *Cloud) Launch(url, region string) (*Job, error) {
	text, err := c.object(url)
	if err != nil {
		return nil, err
	}
	return c.create(Project, region, text)
}

// object returns the bytes of the object at a gs:// URL.
func (c *Cloud) object(url string) ([]byte, error) {
	bucket, name, _ := strings.Cut(strings.TrimPrefix(url, "gs://"), "/")
	data, ok := c.Storage.Object(bucket, name)
	if !ok || !strings.HasPrefix(url, "gs://") {
		return nil, fmt.Errorf("there is no object %q", url)
	}
	return data, nil
}

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client is gone: nobody to tell
}

func refuse(w http.ResponseWriter, status int, text string) {
	reply(w, status, map[string]any{"error": map[string]any{"code": status, "message": text}})
}

// ServeHTTP is the token endpoint and Dataflow:
//
//	POST token
//	v1b3/projects/PROJECT/locations/REGION/jobs[/ID[/metrics or /messages]]
func (c *Cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client went away
	}
	if r.URL.Path == "/token" {
		if !strings.Contains(string(body), "assertion=") {
			refuse(w, http.StatusBadRequest, "want a signed assertion")
			return
		}
		reply(w, http.StatusOK, map[string]any{"access_token": c.token, "token_type": "Bearer", "expires_in": 3600})
		return
	}
	if r.Header.Get("Authorization") != "Bearer "+c.token {
		refuse(w, http.StatusUnauthorized, "Request had invalid authentication credentials.")
		return
	}
	p := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	if len(p) < 6 || p[0] != "v1b3" || p[1] != "projects" || p[3] != "locations" || p[5] != "jobs" {
		refuse(w, http.StatusNotImplemented, "the stand-in does not know "+r.Method+" "+r.URL.Path)
		return
	}
	if len(p) > 6 {
		c.serveJob(w, r, p[6:], body)
		return
	}
	if r.Method == http.MethodGet {
		c.list(w)
		return
	}
	j, err := c.create(p[2], p[4], body)
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	reply(w, http.StatusOK, j.state())
}

// list returns the jobs that run.
func (c *Cloud) list(w http.ResponseWriter) {
	var l df.ListJobsResponse
	for _, j := range c.Jobs() {
		if s := j.state(); s.CurrentState == "JOB_STATE_RUNNING" {
			l.Jobs = append(l.Jobs, s)
		}
	}
	reply(w, http.StatusOK, &l)
}

// serveJob answers a request about one job.
func (c *Cloud) serveJob(w http.ResponseWriter, r *http.Request, p []string, body []byte) {
	var job *Job
	for _, j := range c.Jobs() {
		if j.ID == p[0] {
			job = j
		}
	}
	what := strings.Join(p[1:], "/")
	switch {
	case job == nil:
		refuse(w, http.StatusNotFound, "there is no job "+p[0])
	case r.Method == http.MethodPut:
		var asked df.Job
		if err := json.Unmarshal(body, &asked); err != nil || asked.RequestedState != "JOB_STATE_CANCELLED" {
			refuse(w, http.StatusBadRequest, "the stand-in can only cancel a job")
			return
		}
		job.end(asked.RequestedState, nil)
		reply(w, http.StatusOK, job.state())
	case what == "metrics":
		reply(w, http.StatusOK, &df.JobMetrics{MetricTime: "2026-01-01T00:00:00Z"})
	case what == "messages":
		reply(w, http.StatusOK, &df.ListJobMessagesResponse{JobMessages: job.messages()})
	case what == "":
		// The client asks every 30 seconds: the answer to the first question
		// waits for the job's end.
		select {
		case <-job.done:
		case <-r.Context().Done():
		}
		reply(w, http.StatusOK, job.state())
	default:
		refuse(w, http.StatusNotImplemented, "the stand-in does not know "+r.URL.Path)
	}
}
