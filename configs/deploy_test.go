package configs

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// What the examples of configs/deploy have: every key of theirs must be one of
// these, so that a misspelt one shows.
type (
	meta struct {
		Name string `yaml:"name"`
	}
	variable struct {
		Name  string `yaml:"name"`
		Value string `yaml:"value"`
	}
	container struct {
		Name         string                       `yaml:"name"`
		Image        string                       `yaml:"image"`
		Args         []string                     `yaml:"args"`
		Env          []variable                   `yaml:"env"`
		Resources    map[string]map[string]string `yaml:"resources"`
		VolumeMounts []struct {
			Name      string `yaml:"name"`
			MountPath string `yaml:"mountPath"`
			ReadOnly  bool   `yaml:"readOnly"`
		} `yaml:"volumeMounts"`
	}
	// A jobSpec is what a Job has, and what a CronJob makes Jobs of.
	jobSpec struct {
		BackoffLimit     int `yaml:"backoffLimit"`
		PodFailurePolicy struct {
			Rules []struct {
				Action      string `yaml:"action"`
				OnExitCodes struct {
					ContainerName string `yaml:"containerName"`
					Operator      string `yaml:"operator"`
					Values        []int  `yaml:"values"`
				} `yaml:"onExitCodes"`
			} `yaml:"rules"`
		} `yaml:"podFailurePolicy"`
		Template struct {
			Spec struct {
				RestartPolicy                 string      `yaml:"restartPolicy"`
				TerminationGracePeriodSeconds int         `yaml:"terminationGracePeriodSeconds"`
				Containers                    []container `yaml:"containers"`
				Volumes                       []struct {
					Name      string `yaml:"name"`
					ConfigMap meta   `yaml:"configMap"`
				} `yaml:"volumes"`
			} `yaml:"spec"`
		} `yaml:"template"`
	}
	job struct {
		APIVersion string  `yaml:"apiVersion"`
		Kind       string  `yaml:"kind"`
		Metadata   meta    `yaml:"metadata"`
		Spec       jobSpec `yaml:"spec"`
	}
	cronJob struct {
		APIVersion string `yaml:"apiVersion"`
		Kind       string `yaml:"kind"`
		Metadata   meta   `yaml:"metadata"`
		Spec       struct {
			Schedule                   string `yaml:"schedule"`
			TimeZone                   string `yaml:"timeZone"`
			ConcurrencyPolicy          string `yaml:"concurrencyPolicy"`
			StartingDeadlineSeconds    int    `yaml:"startingDeadlineSeconds"`
			SuccessfulJobsHistoryLimit int    `yaml:"successfulJobsHistoryLimit"`
			FailedJobsHistoryLimit     int    `yaml:"failedJobsHistoryLimit"`
			JobTemplate                struct {
				Spec jobSpec `yaml:"spec"`
			} `yaml:"jobTemplate"`
		} `yaml:"spec"`
	}
	runJob struct {
		APIVersion string `yaml:"apiVersion"`
		Kind       string `yaml:"kind"`
		Metadata   meta   `yaml:"metadata"`
		Spec       struct {
			Template struct {
				Spec struct {
					TaskCount int `yaml:"taskCount"`
					Template  struct {
						Spec struct {
							MaxRetries         int         `yaml:"maxRetries"`
							TimeoutSeconds     int         `yaml:"timeoutSeconds"`
							ServiceAccountName string      `yaml:"serviceAccountName"`
							Containers         []container `yaml:"containers"`
						} `yaml:"spec"`
					} `yaml:"template"`
				} `yaml:"spec"`
			} `yaml:"template"`
		} `yaml:"spec"`
	}
	schedulerJob struct {
		Name            string         `yaml:"name"`
		Schedule        string         `yaml:"schedule"`
		TimeZone        string         `yaml:"timeZone"`
		AttemptDeadline string         `yaml:"attemptDeadline"`
		RetryConfig     map[string]int `yaml:"retryConfig"`
		HTTPTarget      struct {
			URI        string            `yaml:"uri"`
			HTTPMethod string            `yaml:"httpMethod"`
			OAuthToken map[string]string `yaml:"oauthToken"`
		} `yaml:"httpTarget"`
	}
)

// decode reads the documents of an example strictly.
func decode(t *testing.T, name string, documents ...any) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("deploy", name))
	if err != nil {
		t.Fatal(err)
	}
	d := yaml.NewDecoder(bytes.NewReader(data))
	d.KnownFields(true)
	for i, v := range documents {
		if err := d.Decode(v); err != nil {
			t.Fatalf("%s: document %d: %v", name, i, err)
		}
	}
	if err := d.Decode(new(any)); err != io.EOF {
		t.Errorf("%s has more than %d documents: %v", name, len(documents), err)
	}
}

// checkContainer says that a container runs one slot, that its variables are those of
// keys, and that they say the same as the platform's schedule.
func checkContainer(t *testing.T, c container, schedule, zone string) {
	t.Helper()
	if len(c.Args) < 2 || c.Args[0] != "retrain" || c.Args[1] != "--once" || c.Image == "" {
		t.Errorf("the container is %+v", c)
	}
	var environ []string
	for _, v := range c.Env {
		environ = append(environ, v.Name+"="+v.Value)
	}
	r, err := Load(Options{Environ: environ})
	if err != nil {
		t.Fatal(err)
	}
	if s := r.Config.Schedule; s.Cron != schedule || s.Timezone != zone || !strings.HasPrefix(r.Config.Workdir, "gs://") {
		t.Errorf("the config has the schedule %+v and the workdir %s, the platform %s in %s", s, r.Config.Workdir, schedule, zone)
	}
}

func TestDeployKubernetes(t *testing.T) {
	var j cronJob
	decode(t, "cronjob.yaml", &j)
	if j.APIVersion != "batch/v1" || j.Kind != "CronJob" || j.Metadata.Name == "" || j.Spec.ConcurrencyPolicy != "Forbid" {
		t.Fatalf("cronjob.yaml is %+v", j)
	}
	c := checkPod(t, j.Spec.JobTemplate.Spec)
	checkContainer(t, c, j.Spec.Schedule, j.Spec.TimeZone)
	checkImage(t, "cpu", c.Image)
}

// checkPod says that a pod ends softly, is repeated where that helps and has its config,
// and returns its container.
func checkPod(t *testing.T, s jobSpec) container {
	t.Helper()
	pod := s.Template.Spec
	if pod.RestartPolicy != "Never" || len(pod.Containers) != 1 || pod.TerminationGracePeriodSeconds < 60 {
		t.Fatalf("the pod is %+v", pod)
	}
	c := pod.Containers[0]
	rule := s.PodFailurePolicy.Rules[0]
	if rule.Action != "FailJob" || rule.OnExitCodes.Operator != "In" || rule.OnExitCodes.ContainerName != c.Name ||
		!slices.Equal(rule.OnExitCodes.Values, []int{2, 3}) {
		t.Errorf("the rule is %+v", rule)
	}
	at := slices.Index(c.Args, "--config") + 1
	if m, v := c.VolumeMounts, pod.Volumes; len(m) != 1 || len(v) != 1 || m[0].Name != v[0].Name || v[0].ConfigMap.Name == "" ||
		at == 0 || !strings.HasPrefix(c.Args[at], m[0].MountPath) {
		t.Errorf("mounts %+v, volumes %+v", m, v)
	}
	return c
}

// TestDeployGPU: a Job on a node with a GPU, which its config asks for, and the image.
func TestDeployGPU(t *testing.T) {
	var j job
	decode(t, "gpu-job.yaml", &j)
	c := checkPod(t, j.Spec)
	if j.APIVersion != "batch/v1" || j.Kind != "Job" || c.Args[0] != "run" || c.Resources["limits"]["nvidia.com/gpu"] != "1" {
		t.Errorf("gpu-job.yaml is %+v", j)
	}
	var environ []string
	for _, v := range c.Env {
		if strings.HasPrefix(v.Name, variablePrefix) {
			environ = append(environ, v.Name+"="+v.Value)
		}
	}
	checkGPU(t, environ)
	checkImage(t, "gpu", c.Image)
}

// checkGPU says that the variables of a deployment ask for a GPU.
func checkGPU(t *testing.T, environ []string) {
	t.Helper()
	r, err := Load(Options{Environ: environ})
	if err != nil {
		t.Fatal(err)
	}
	if r.Config.Train.Device != "gpu" {
		t.Errorf("%v trains on %s", environ, r.Config.Train.Device)
	}
}

func TestDeployGoogle(t *testing.T) {
	var run runJob
	var job schedulerJob
	decode(t, "cloud-scheduler.yaml", &run, &job)
	task := run.Spec.Template.Spec.Template.Spec
	if run.APIVersion != "run.googleapis.com/v1" || run.Kind != "Job" || run.Spec.Template.Spec.TaskCount != 1 || len(task.Containers) != 1 {
		t.Fatalf("the job is %+v", run)
	}
	checkContainer(t, task.Containers[0], job.Schedule, job.TimeZone)
	checkImage(t, "cpu", task.Containers[0].Image)
	if want := "/jobs/" + run.Metadata.Name + ":run"; !strings.HasSuffix(job.HTTPTarget.URI, want) || job.HTTPTarget.HTTPMethod != "POST" ||
		job.HTTPTarget.OAuthToken["serviceAccountEmail"] != task.ServiceAccountName {
		t.Errorf("the scheduler's job is %+v, want it to post to %s", job, want)
	}
}

// unitKeys are the keys of systemd's that the examples may have, by section.
var unitKeys = map[string][]string{
	"Unit": {"Description", "Wants", "After"},
	"Service": {"Type", "ExecStart", "Environment", "StateDirectory", "CacheDirectory", "DynamicUser", "SuccessExitStatus", "Restart", "RestartForceExitStatus", "RestartPreventExitStatus",
		"RestartSec", "TimeoutStartSec", "TimeoutStopSec", "Nice"},
	"Timer":   {"OnCalendar", "Persistent", "AccuracySec"},
	"Install": {"WantedBy"},
}

var unitLine = regexp.MustCompile(`^([A-Z][A-Za-z]*)=(\S.*)$`)

// unit reads a unit file of systemd's: its values by section and key.
func unit(t *testing.T, name string) map[string][]string {
	t.Helper()
	f, err := os.Open(filepath.Join("deploy", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	values, section := map[string][]string{}, ""
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		line := lines.Text()
		m := unitLine.FindStringSubmatch(line)
		switch {
		case line == "" || line[0] == '#':
		case line[0] == '[' && unitKeys[strings.Trim(line, "[]")] != nil:
			section = strings.Trim(line, "[]")
		case m == nil || !slices.Contains(unitKeys[section], m[1]):
			t.Errorf("%s:%d: %q is no key of section %q", name, n, line, section)
		default:
			values[section+"."+m[1]] = append(values[section+"."+m[1]], m[2])
		}
	}
	return values
}

func TestDeploySystemd(t *testing.T) {
	service, timer := unit(t, "quire-retrain.service"), unit(t, "quire-retrain.timer")
	if command := service["Service.ExecStart"]; len(command) != 1 || !strings.HasPrefix(command[0], "/usr/local/bin/quire retrain --once ") {
		t.Errorf("the service runs %q", command)
	}
	// A restart on exit code 1 would repeat a failed slot's code for ever, and a refused model is no success.
	if service["Service.Restart"][0] != "on-abnormal" || service["Service.RestartForceExitStatus"][0] != "75" ||
		service["Service.SuccessExitStatus"] != nil || service["Service.Type"][0] != "oneshot" {
		t.Errorf("the service is %v", service)
	}
	if timer["Timer.OnCalendar"][0] != "*-*-* 03:00:00 Europe/Berlin" || timer["Install.WantedBy"][0] != "timers.target" {
		t.Errorf("the timer is %v", timer)
	}
	if _, err := Load(Options{Environ: settings(service)}); err != nil {
		t.Error(err)
	}
	onGPU := unit(t, "quire-gpu.service")
	if command := onGPU["Service.ExecStart"]; len(command) != 1 || !strings.HasPrefix(command[0], "/usr/local/bin/quire run ") {
		t.Errorf("the service of a GPU runs %q", command)
	}
	if onGPU["Service.Restart"][0] != "on-abnormal" || onGPU["Service.RestartForceExitStatus"][0] != "75" || onGPU["Service.Type"][0] != "oneshot" {
		t.Errorf("the service of a GPU is %v", onGPU)
	}
	checkGPU(t, settings(onGPU))
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skipf("systemd does not read the units itself: %v", err)
	}
	if out, err := exec.Command(analyze, "calendar", timer["Timer.OnCalendar"][0]).CombinedOutput(); err != nil {
		t.Errorf("systemd-analyze calendar: %v\n%s", err, out)
	}
}

// settings are the variables of a unit that set keys.
func settings(unit map[string][]string) (environ []string) {
	for _, e := range unit["Service.Environment"] {
		if strings.HasPrefix(e, variablePrefix) {
			environ = append(environ, e)
		}
	}
	return environ
}
