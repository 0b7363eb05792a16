package kubetest_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	batch "k8s.io/api/batch/v1"

	"github.com/quire-ml/quire/runners/node/kubetest"
)

func example(t *testing.T, name string, v any) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "..", "configs", "deploy", name))
	if err == nil {
		err = kubetest.Decode(data, v)
	}
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// TestDeploy has the API's types decode the examples strictly, and its rules.
func TestDeploy(t *testing.T) {
	for _, name := range []string{"train-job.yaml", "gpu-job.yaml"} {
		var j batch.Job
		example(t, name, &j)
		if err := kubetest.Validate(&j); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	var c batch.CronJob
	example(t, "cronjob.yaml", &c)
	j := batch.Job{ObjectMeta: c.ObjectMeta, Spec: c.Spec.JobTemplate.Spec}
	if err := kubetest.Validate(&j); err != nil {
		t.Errorf("cronjob.yaml: %v", err)
	}
}

// TestRefused has manifests that the API refuses.
func TestRefused(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("..", "..", "..", "configs", "deploy", "train-job.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ old, with, want string }{
		{"backoffLimit: 6", "backofflimit: 6", `unknown field "spec.backofflimit"`},
		{"backoffLimit: 6", "backoffLimit: six", "cannot unmarshal string"},
		{"backoffLimit: 6", "backoffLimit: 6\n  backoffLimit: 7", `key "backoffLimit" already set in map`},
		{"backoffLimit: 6", "backoffLimit: -6", "spec.backoffLimit: Invalid value: -6"},
		{"memory: 2Gi", "memory: 2 GB", "quantities must match"},
		{"memory: 2Gi", "memory: 8Gi", `Invalid value: "8Gi": must be less than or equal to memory limit of 4Gi`},
		{"name: quire-train", "name: quire_train", "metadata.name: Invalid value"},
		{"restartPolicy: Never", "restartPolicy: OnFailure", `only "Never" is supported when podFailurePolicy is specified`},
		{"values: [2, 3]", "values: [3, 2]", "must be ordered"},
		{"values: [2, 3]", "values: [0]", "must not be 0"},
		{"values: [75]}", "values: []}", "at least one value is required"},
		{"action: FailJob", "action: Fail", `Unsupported value: "Fail"`},
		{"operator: In, values: [75]", "operator: Is, values: [75]", `Unsupported value: "Is"`},
		{`status: "True"`, `status: "Yes"`, `Unsupported value: "Yes"`},
		{"containerName: quire", "containerName: other", "must be one of the container"},
		{"image: quire:gpu", "image: ''", "image: Required value"},
		{"restartPolicy: Never", "priority: 0", "restartPolicy: Required value"},
	} {
		text := string(data)
		if !strings.Contains(text, c.old) {
			t.Fatalf("the example has no %q", c.old)
		}
		var j batch.Job
		err := kubetest.Decode([]byte(strings.Replace(text, c.old, c.with, 1)), &j)
		if err == nil {
			err = kubetest.Validate(&j)
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.with, err, c.want)
		}
	}
}

// TestNotLinked: the program has nothing of Kubernetes in it.
func TestNotLinked(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "github.com/quire-ml/quire/pipelines/quire").Output()
	if err != nil {
		t.Skipf("the packages of the program cannot be listed: %v", err)
	}
	for name := range strings.Lines(string(out)) {
		if strings.HasPrefix(name, "k8s.io/") || strings.HasPrefix(name, "sigs.k8s.io/") {
			t.Errorf("the program links %s", name)
		}
	}
}
