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
				Spec struct {
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
				} `yaml:"spec"`
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
	pod := j.Spec.JobTemplate.Spec.Template.Spec
	if j.APIVersion != "batch/v1" || j.Kind != "CronJob" || j.Metadata.Name == "" || j.Spec.ConcurrencyPolicy != "Forbid" || pod.RestartPolicy != "Never" ||
		len(pod.Containers) != 1 || pod.TerminationGracePeriodSeconds < 60 {
		t.Fatalf("cronjob.yaml is %+v", j)
	}
	checkContainer(t, pod.Containers[0], j.Spec.Schedule, j.Spec.TimeZone)
	rule := j.Spec.JobTemplate.Spec.PodFailurePolicy.Rules[0]
	if rule.Action != "FailJob" || rule.OnExitCodes.Operator != "In" || rule.OnExitCodes.ContainerName != pod.Containers[0].Name ||
		!slices.Equal(rule.OnExitCodes.Values, []int{2, 3}) {
		t.Errorf("the rule is %+v", rule)
	}
	if m, v := pod.Containers[0].VolumeMounts, pod.Volumes; len(m) != 1 || len(v) != 1 || m[0].Name != v[0].Name || v[0].ConfigMap.Name == "" ||
		!strings.HasPrefix(pod.Containers[0].Args[3], m[0].MountPath) {
		t.Errorf("mounts %+v, volumes %+v", m, v)
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
	if want := "/jobs/" + run.Metadata.Name + ":run"; !strings.HasSuffix(job.HTTPTarget.URI, want) || job.HTTPTarget.HTTPMethod != "POST" ||
		job.HTTPTarget.OAuthToken["serviceAccountEmail"] != task.ServiceAccountName {
		t.Errorf("the scheduler's job is %+v, want it to post to %s", job, want)
	}
}

// unitKeys are the keys of systemd's that the examples may have, by section.
var unitKeys = map[string][]string{
	"Unit": {"Description", "Wants", "After"},
	"Service": {"Type", "ExecStart", "Environment", "StateDirectory", "CacheDirectory", "DynamicUser", "SuccessExitStatus", "Restart", "RestartForceExitStatus",
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
	var environ []string
	for _, e := range service["Service.Environment"] {
		if strings.HasPrefix(e, variablePrefix) {
			environ = append(environ, e)
		}
	}
	if _, err := Load(Options{Environ: environ}); err != nil {
		t.Error(err)
	}
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skipf("systemd does not read the units itself: %v", err)
	}
	if out, err := exec.Command(analyze, "calendar", timer["Timer.OnCalendar"][0]).CombinedOutput(); err != nil {
		t.Errorf("systemd-analyze calendar: %v\n%s", err, out)
	}
}
