package remote_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/quire-ml/quire/runners/node/kubetest"
)

// newCluster is a cluster whose pods are quire, and see the lab's folder.
func newCluster(t *testing.T, l *lab) *kubetest.Cluster {
	t.Helper()
	c := kubetest.New(t, func(args []string) *exec.Cmd {
		c := exec.Command(os.Args[0], args...)
		c.Env = append(os.Environ(), childVariable+"=1")
		return c
	})
	template, err := os.ReadFile(filepath.Join("..", "..", "configs", "deploy", "train-job.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	l.write("job.yaml", strings.NewReplacer("image: quire:gpu", "image: quire:gpu\n          volumeMounts: [{name: work, mountPath: "+l.dir+"}]",
		"restartPolicy: Never", "restartPolicy: Never\n      volumes: [{name: work, hostPath: {path: "+l.dir+"}}]").Replace(string(template)))
	l.write("tiny.yaml", l.read("tiny.yaml")+"node: {kind: kubernetes, template: job.yaml, namespace: ml}\n")
	return c
}

// trains waits until a process other than these trains, and returns it.
func (l *lab) trains(but ...int) (pid int) {
	l.t.Helper()
	until(l.t, "somebody trains", func() bool {
		pid = l.trainer()
		for _, other := range but {
			if pid == other {
				return false
			}
		}
		return pid != 0
	})
	return pid
}

// TestKubernetesRound: a round that trains in a cluster leaves the bytes of one here, though its
// pod is preempted, its node is lost, and the machine that has submitted it dies.
func TestKubernetesRound(t *testing.T) {
	here := newLab(t, 8, nil)
	here.ok("run")
	l := newLab(t, 8, nil)
	c := newCluster(t, l)
	if plan := l.ok("plan").stdout.String(); !strings.Contains(plan, " on kubernetes, namespace ml") {
		t.Errorf("the plan does not say where:\n%s", plan)
	}
	first := l.start("run")
	one := l.trains()
	_ = first.Process.Signal(syscall.SIGKILL)
	first.end()
	c.Preempt()
	two := l.trains(one)
	c.LoseNode()
	three := l.trains(one, two)
	second := l.ok("run", "--json")
	said := second.stderr.String()
	for _, want := range []string{"kubernetes: the Job quire-train-", "watch: "} {
		if !strings.Contains(said, want) {
			t.Errorf("the round does not say %q:\n%s", want, said)
		}
	}
	names, pods := c.Jobs()
	if len(names) != 1 || pods != 3 {
		t.Errorf("%d pods of the Jobs %v, trainers %d, %d, %d:\n%s", pods, names, one, two, three, said)
	}
	same(t, l.made(), here.made())
}

// TestKubernetesSweep: a sweep whose trials train in a cluster, two at a time, has the files of
// one here.
func TestKubernetesSweep(t *testing.T) {
	const section = "sweep: {train.lr: [0.005, 0.01, 0.02]}\n"
	here := newLab(t, 1, nil)
	here.write("tiny.yaml", here.read("tiny.yaml")+section)
	here.ok("sweep")
	l := newLab(t, 1, nil)
	c := newCluster(t, l)
	l.write("tiny.yaml", strings.Replace(l.read("tiny.yaml"), "namespace: ml", "namespace: ml, parallel: 2", 1)+section)
	said := l.ok("sweep").stderr.String()
	if !strings.Contains(said, "sweep: 3 trials to run on kubernetes, namespace ml, 2 at a time") {
		t.Errorf("the sweep does not say where:\n%s", said)
	}
	if names, pods := c.Jobs(); len(names) != 3 || pods != 3 {
		t.Errorf("%d pods of the Jobs %v", pods, names)
	}
	if most := c.Most(); most != 2 {
		t.Errorf("%d pods ran at a time, want 2", most)
	}
	got := l.made()
	for name := range got {
		got[name] = strings.ReplaceAll(got[name], l.dir, here.dir) // best.yaml names the config
	}
	same(t, got, here.made())
	if again := l.ok("sweep").stderr.String(); strings.Contains(again, "to run on") {
		t.Errorf("a sweep with nothing to do:\n%s", again)
	}
	l.write("tiny.yaml", strings.Replace(l.read("tiny.yaml"), "0.02]", "0.02, 0.03]", 1))
	c.Forbid("list pods")
	if s := l.start("sweep"); s.end() != 1 || !strings.Contains(s.stderr.String(), "this account may not list pods; ask for a role") {
		t.Errorf("a sweep that the cluster refuses: %s", s.stderr.String())
	}
}

// TestKubernetesStopped: a round that is told to stop deletes its Job, whose training is saved;
// the next one goes on.
func TestKubernetesStopped(t *testing.T) {
	l := newLab(t, 8, nil)
	c := newCluster(t, l)
	s := l.start("run")
	l.trains()
	_ = s.Process.Signal(syscall.SIGTERM)
	if code := s.end(); code != 75 {
		t.Errorf("exit code %d: %s", code, s.stderr.String())
	}
	if names, _ := c.Jobs(); len(names) != 0 || l.trainer() != 0 {
		t.Errorf("the Jobs %v are left", names)
	}
}
