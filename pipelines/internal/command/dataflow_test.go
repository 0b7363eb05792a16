package command_test

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quire-ml/quire/runners/engine/cloudtest"
)

// Dataflow has a flag --update of its own.
var update = flag.Bool("update_golden", false, "rewrite golden files")

// A cloudLab is a lab whose corpus and sets are in the stand-in's bucket.
type cloudLab struct {
	*lab
	cloud *cloudtest.Cloud
}

func newCloudLab(t *testing.T) cloudLab {
	t.Helper()
	if testing.Short() {
		t.Skip("the stand-in for Google Cloud takes 200 MB a job for the worker's binary")
	}
	l := cloudLab{newLab(t), cloudtest.New(t)}
	l.cloud.Storage.Set("bucket", "corpus/text.txt", []byte(text(3000)))
	return l
}

// on is a command on the stand-in's Dataflow, not started.
func (l cloudLab) on(name string, args ...string) *exec.Cmd {
	l.t.Helper()
	self, err := os.Executable()
	if err != nil {
		l.t.Fatal(err)
	}
	return l.child(append([]string{name, "--runner=dataflow", "--dataflow_endpoint=" + l.cloud.URL, "--worker_binary=" + self,
		"--project=" + cloudtest.Project, "--region=us-central1", "--staging_location=gs://bucket/staging", "--job_name=" + name + "-test", "--sdk_container_image=quire.test/worker:1",
		"--set", `corpus.sources=["gs://bucket/corpus/text.txt"]`, "--json", "--quiet"}, args...)...)
}

// command is prep on the stand-in's Dataflow, not started.
func (l cloudLab) command(args ...string) *exec.Cmd {
	l.t.Helper()
	return l.on("prep", append([]string{"--set", "prep.shards=3", "--out=gs://bucket/set"}, args...)...)
}

// prep runs a command that ends with this code, and returns its result or its
// error.
func (l cloudLab) prep(code int, c *exec.Cmd) (result map[string]any, message string) {
	l.t.Helper()
	o := l.finish(c)
	var errors []string
	for line := range strings.SplitSeq(strings.TrimSpace(o.stderr), "\n") {
		if line != "" && !strings.HasPrefix(line, "store: STORAGE_EMULATOR_HOST") {
			errors = append(errors, line)
		}
	}
	if o.code != code || len(errors) > 1 || (code == 0) != (len(errors) == 0) {
		l.t.Fatalf("want exit code %d\n%v", code, o)
	}
	if code == 0 {
		return l.parse("set", o), ""
	}
	return nil, errors[0]
}

// local is the same set made here.
func (l cloudLab) local() map[string]any {
	l.t.Helper()
	return l.result(prepKeys, "prep", "--set", "prep.shards=3")
}

// sameSet compares the set in the bucket with the local one, but for the mark of a folder,
// which a job that nobody waits for does not write.
func (l cloudLab) sameSet(local map[string]any) {
	l.t.Helper()
	dir := local["set"].(string)
	for _, name := range l.files(dir) {
		if name == ".prep.json" {
			continue
		}
		got, ok := l.cloud.Storage.Object("bucket", "set/"+name)
		if !ok || !bytes.Equal(got, []byte(l.read(filepath.Join(dir, name)))) {
			l.t.Errorf("%s in the bucket has %d bytes (%v), not those of %s", name, len(got), ok, dir)
		}
	}
	for _, line := range l.cloud.Storage.Log() {
		if strings.Contains(line, "upload bucket/set/.parts/") {
			return
		}
	}
	l.t.Error("no part was written to the bucket")
}

// names lists the objects below a prefix that a log of requests knows.
func (l cloudLab) names(prefix string) (names []string) {
	for _, line := range l.cloud.Storage.Log() {
		name, ok := strings.CutPrefix(strings.Fields(line)[1], "bucket/")
		if _, there := l.cloud.Storage.Object("bucket", name); ok && there && strings.HasPrefix(name, prefix) && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

func TestDataflow(t *testing.T) {
	l := newCloudLab(t)
	local := l.local()
	r, _ := l.prep(0, l.command("--num_workers=2", "--worker_machine_type=n1-standard-4", "--no_use_public_ips", `--labels={"app":"quire"}`))
	if r["manifest_sha256"] != local["manifest_sha256"] {
		t.Errorf("the manifest's sha256 is %v, on direct %v", r["manifest_sha256"], local["manifest_sha256"])
	}
	l.sameSet(local)
	if left := l.names("set/.parts"); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	jobs := l.cloud.Jobs()
	if len(jobs) != 1 || jobs[0].Workers() < 1 {
		t.Fatalf("%d jobs", len(jobs))
	}
	golden(t, filepath.Join("testdata", "dataflow-job.json"), maskJob(t, jobs[0].Request))
	dry, _ := l.prep(0, l.command("--dry_run", "--num_workers=2", "--worker_machine_type=n1-standard-4", "--no_use_public_ips", `--labels={"app":"quire"}`))
	request, err := json.Marshal(dry["submitted"].(map[string]any)["request"])
	if err != nil {
		t.Fatal(err)
	}
	golden(t, filepath.Join("testdata", "dataflow-dry-run.json"), maskJob(t, request))
	if n := len(l.cloud.Jobs()); n != 1 {
		t.Errorf("%d jobs after a dry run", n)
	}
}

var masks = []*regexp.Regexp{
	regexp.MustCompile(`(staging/)go-\d+-\d+`),
	regexp.MustCompile(`("(?:sha256|pipelineProtoHash)": ")[0-9a-f]{64}`),
}

// maskJob indents a job request and masks what changes from run to run.
func maskJob(t *testing.T, request []byte) []byte {
	t.Helper()
	var job map[string]any
	if err := json.Unmarshal(request, &job); err != nil {
		t.Fatal(err)
	}
	// The display data come in the order of a map.
	data := job["environment"].(map[string]any)["sdkPipelineOptions"].(map[string]any)["display_data"].([]any)
	key := func(v any) string { return v.(map[string]any)["key"].(string) }
	slices.SortFunc(data, func(a, b any) int { return strings.Compare(key(a), key(b)) })
	text, err := json.MarshalIndent(job, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range masks {
		text = m.ReplaceAll(text, []byte("${1}MASKED"))
	}
	return append(text, '\n')
}

// golden compares got with a file.
func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, got, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not what was sent (go test -update_golden rewrites it):\n%s", file, got)
	}
}

// TestDataflowSweep trains trials on workers, whose workdir is the bucket.
func TestDataflowSweep(t *testing.T) {
	l := newCloudLab(t)
	o := l.finish(l.on("sweep", append(sweepArgs[1:], "--set", "workdir=gs://bucket/work")...))
	r := l.parse(sweepKeys, o)
	table := strings.TrimPrefix(r["table"].(string), "gs://bucket/")
	got, ok := l.cloud.Storage.Object("bucket", table)
	if want := l.swept(); !ok || string(got) != want {
		t.Errorf("the table %s is %q (%v), on direct %q", table, got, ok, want)
	}
	if n := len(l.cloud.Jobs()); n != 2 {
		t.Errorf("%d jobs, want one of prep and one of the trials", n)
	}
}

// TestDataflowAsync does not wait for the set, and finds it later.
func TestDataflowAsync(t *testing.T) {
	l := newCloudLab(t)
	local := l.local()
	release := l.cloud.Hold()
	r, _ := l.prep(0, l.command("--async", "--way=files"))
	if s := r["submitted"].(map[string]any); s["mode"] != "async" || s["id"] != "test-job-1" || s["name"] != "prep-test" {
		t.Errorf("submitted %v", s)
	}
	release()
	if state := l.cloud.Jobs()[0].Wait(); state != "JOB_STATE_DONE" {
		t.Fatal(state)
	}
	if left := l.names("set/.parts"); len(left) == 0 {
		t.Error("the job has cleaned up by itself, which this test does not expect")
	}
	l.sameSet(local)
	again, _ := l.prep(0, l.command())
	if again["skipped"] != true || again["manifest_sha256"] != local["manifest_sha256"] {
		t.Errorf("the second prep gives %v", again)
	}
	if left := l.names("set/.parts"); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// TestDataflowTemplate stores a job, which a second step runs.
func TestDataflowTemplate(t *testing.T) {
	l := newCloudLab(t)
	r, _ := l.prep(0, l.command("--template_location=gs://bucket/templates/prep"))
	if s := r["submitted"].(map[string]any); s["mode"] != "template" || s["template"] != "gs://bucket/templates/prep" {
		t.Errorf("submitted %v", s)
	}
	if len(l.cloud.Jobs()) != 0 {
		t.Fatal("a template has created a job")
	}
	job, err := l.cloud.Launch("gs://bucket/templates/prep", "us-central1")
	if err != nil {
		t.Fatal(err)
	}
	if state := job.Wait(); state != "JOB_STATE_DONE" {
		t.Fatal(state)
	}
	l.sameSet(l.local())
}

// TestDataflowGoRun submits the job as the README does, by go run, which makes a
// program that needs this machine's libraries where it has a C compiler: then the
// worker is built beside it.
func TestDataflowGoRun(t *testing.T) {
	if os.Getenv("CI") == "" {
		t.Skip("builds the program twice, which takes minutes: set CI=true")
	}
	l := newCloudLab(t)
	c := l.command()
	args := slices.DeleteFunc(c.Args[2:], func(a string) bool { return strings.HasPrefix(a, "--worker_binary") })
	goRun := exec.Command("go", append([]string{"run", "./pipelines/prep"}, args...)...)
	goRun.Dir, goRun.Env = filepath.Join("..", "..", ".."), c.Env
	if r, _ := l.prep(0, goRun); r["manifest_sha256"] != l.local()["manifest_sha256"] {
		t.Errorf("the manifest is another: %v", r)
	}
}

// TestDataflowFails shows what a worker said, which the client does not know.
func TestDataflowFails(t *testing.T) {
	l := newCloudLab(t)
	l.cloud.Storage.Set("bucket", "corpus/text.txt", []byte(text(10)))
	_, message := l.prep(1, l.command())
	for _, part := range []string{"dataflow", "test-job-1 failed", "seq_length+1 = 11 characters, and the corpus has 10", "prep.seq_length"} {
		if !strings.Contains(message, part) {
			t.Errorf("the error has no %q: %s", part, message)
		}
	}
	if left := l.names("set/"); !slices.Equal(left, []string{"set/.prep.json"}) { // the mark stays
		t.Errorf("left: %v", left)
	}
}

// TestDataflowInterrupt cancels the job of a prep that is interrupted.
func TestDataflowInterrupt(t *testing.T) {
	l := newCloudLab(t)
	defer l.cloud.Hold()()
	c := l.command()
	var stderr bytes.Buffer
	c.Stderr = &stderr
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); len(l.cloud.Jobs()) == 0 && time.Now().Before(deadline); {
		time.Sleep(20 * time.Millisecond)
	}
	if len(l.cloud.Jobs()) != 1 {
		t.Fatal("no job within a minute")
	}
	if err := c.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait()
	if c.ProcessState.ExitCode() != 75 || !strings.Contains(stderr.String(), "job prep-test was asked to cancel") {
		t.Errorf("exit code %d, stderr %s", c.ProcessState.ExitCode(), stderr.String())
	}
	if state := l.cloud.Jobs()[0].Wait(); state != "JOB_STATE_CANCELLED" {
		t.Errorf("the job is %s", state)
	}
}

// TestDataflowDownload copies a corpus from the web to where workers read.
func TestDataflowDownload(t *testing.T) {
	l := newCloudLab(t)
	web := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(text(3000))) }))
	defer web.Close()
	cert := filepath.Join(l.dir, "cert.pem")
	l.write(cert, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: web.Certificate().Raw})))
	c := l.command("--set", `corpus.sources=["`+web.URL+`/text.txt"]`)
	c.Env = append(c.Env, "SSL_CERT_FILE="+cert, "XDG_CACHE_HOME="+l.dir)
	if r, _ := l.prep(0, c); r["manifest_sha256"] != l.local()["manifest_sha256"] {
		t.Errorf("the manifest is another: %v", r)
	}
}

// TestDataflowLacks says all that is missing in one line, before any work.
func TestDataflowLacks(t *testing.T) {
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", filepath.Join(t.TempDir(), "none.json"))
	t.Setenv("CLOUDSDK_COMPUTE_REGION", "")
	t.Setenv("PATH", "")
	l := newLab(t)
	script := filepath.Join(l.dir, "worker.sh")
	l.write(script, "#!/bin/sh\n")
	l.failed(l.finish(l.child("prep", "--runner=dataflow", "--worker_binary="+script, "--quiet")), 2,
		"7 things are missing", "--project", "--region", "--staging_location=gs://", "--out=gs://", l.corpus, "corpus.sources=gs://",
		"none.json", "gcloud auth application-default login", "worker.sh", "CGO_ENABLED=0 GOOS=linux GOARCH=amd64 go build", "prep --help")
	l.failed(l.finish(l.child("prep", "--runner=dataflow", "--dry_run", "--quiet")), 2, "5 things are missing", "--project")
	l.failed(l.finish(l.child("run", "--runner=dataflow", "--quiet")), 2, "things are missing", l.work)
	for _, name := range []string{"--dry_run", "--template_location=gs://b/t", "--async"} {
		l.failed(l.finish(l.child("prep", name, "--quiet")), 2, strings.Split(name, "=")[0], "dataflow")
	}
	if names := l.files(l.work); len(names) != 0 {
		t.Errorf("left: %v", names)
	}
}
