package configs

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A deployment is a pod that stays.
type deployment struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string `yaml:"kind"`
	Metadata   meta   `yaml:"metadata"`
	Spec       struct {
		Replicas int               `yaml:"replicas"`
		Strategy map[string]string `yaml:"strategy"`
		Selector struct {
			MatchLabels map[string]string `yaml:"matchLabels"`
		} `yaml:"selector"`
		Template struct {
			Metadata struct {
				Labels      map[string]string `yaml:"labels"`
				Annotations map[string]string `yaml:"annotations"`
			} `yaml:"metadata"`
			Spec struct {
				Grace      int `yaml:"terminationGracePeriodSeconds"`
				Containers []struct {
					container `yaml:",inline"`
					Ports     []struct {
						Name string `yaml:"name"`
						Port int    `yaml:"containerPort"`
					} `yaml:"ports"`
					Liveness  probe `yaml:"livenessProbe"`
					Readiness probe `yaml:"readinessProbe"`
				} `yaml:"containers"`
				Volumes []struct {
					Name      string `yaml:"name"`
					ConfigMap meta   `yaml:"configMap"`
				} `yaml:"volumes"`
			} `yaml:"spec"`
		} `yaml:"template"`
	} `yaml:"spec"`
}

type probe struct {
	Get struct {
		Path string `yaml:"path"`
		Port string `yaml:"port"`
	} `yaml:"httpGet"`
	Period   int `yaml:"periodSeconds"`
	Failures int `yaml:"failureThreshold"`
}

// TestDeployDaemon: the pod and the unit that stay listen where their monitor asks.
func TestDeployDaemon(t *testing.T) {
	var d deployment
	decode(t, "deployment.yaml", &d)
	pod := d.Spec.Template.Spec
	if d.APIVersion != "apps/v1" || d.Kind != "Deployment" || d.Spec.Replicas != 1 || d.Spec.Strategy["type"] != "Recreate" || len(pod.Containers) != 1 ||
		d.Spec.Selector.MatchLabels["app"] != d.Spec.Template.Metadata.Labels["app"] || pod.Grace < 60 {
		t.Fatalf("deployment.yaml is %+v", d)
	}
	c := pod.Containers[0]
	if len(c.Args) == 0 || c.Args[0] != "retrain" || slices.Contains(c.Args, "--once") || c.Liveness.Get.Path != "/livez" || c.Readiness.Get.Path != "/healthz" ||
		c.Liveness.Get.Port != c.Ports[0].Name || c.Readiness.Get.Port != c.Ports[0].Name || c.VolumeMounts[0].Name != pod.Volumes[0].Name {
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
	if port := d.Spec.Template.Metadata.Annotations["prometheus.io/port"]; r.Config.Schedule.Listen != "0.0.0.0:"+port || c.Ports[0].Port != 9090 || port != "9090" {
		t.Errorf("it listens on %s, and Prometheus asks port %s", r.Config.Schedule.Listen, port)
	}

	service := unit(t, "quire-retrain-daemon.service")
	if command := service["Service.ExecStart"]; len(command) != 1 || strings.Contains(command[0], "--once") || !strings.HasPrefix(command[0], "/usr/local/bin/quire retrain ") {
		t.Errorf("the service runs %q", command)
	}
	if r, err = Load(Options{Environ: settings(service)}); err != nil || r.Config.Schedule.Listen != "127.0.0.1:9090" || service["Service.SuccessExitStatus"][0] != "75" ||
		service["Service.RestartPreventExitStatus"][0] != "2" {
		t.Errorf("the service is %v: %v", service, err)
	}
}

// TestDeployAlerts: the rules speak of metrics that there are.
func TestDeployAlerts(t *testing.T) {
	var rules struct {
		Groups []struct {
			Name  string `yaml:"name"`
			Rules []struct {
				Alert       string            `yaml:"alert"`
				Expr        string            `yaml:"expr"`
				For         string            `yaml:"for"`
				Labels      map[string]string `yaml:"labels"`
				Annotations map[string]string `yaml:"annotations"`
			} `yaml:"rules"`
		} `yaml:"groups"`
	}
	decode(t, "alerts.yaml", &rules)
	source, err := os.ReadFile(filepath.Join("..", "pipelines", "monitor", "metrics.go"))
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, r := range rules.Groups[0].Rules {
		if r.Alert == "" || r.Annotations["summary"] == "" || r.Labels["severity"] == "" {
			t.Errorf("the rule is %+v", r)
		}
		for _, name := range regexp.MustCompile(`quire_\w+`).FindAllString(r.Expr, -1) {
			if found++; !strings.Contains(string(source), `"`+strings.TrimPrefix(name, "quire_")+`"`) && !strings.Contains(string(source), `"`+name+`"`) {
				t.Errorf("%s: there is no metric %s", r.Alert, name)
			}
		}
	}
	if found != 3 {
		t.Errorf("the rules speak of %d metrics", found)
	}
}
