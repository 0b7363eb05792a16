package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quire-ml/quire/runners/node/kubetest"
	"github.com/quire-ml/quire/runners/store"
)

// A kube is a cluster whose containers run a shell script: its first words are those that
// Job's arguments name, its other words the arguments.
type kube struct {
	*kubetest.Cluster
	t    *testing.T
	dir  string // in which the script runs
	node Node

	mu    sync.Mutex
	lines []string // that were told
}

// newKube makes a cluster. Its pods run the script with the variables of a pod: N is the
// number of the pod, from 1.
func newKube(t *testing.T, script string) *kube {
	t.Helper()
	k := &kube{t: t, dir: t.TempDir()}
	n := 0
	k.Cluster = kubetest.New(t, func(args []string) *exec.Cmd {
		n++
		c := exec.Command("/bin/sh", append([]string{"-c", script, "sh"}, args...)...)
		c.Dir, c.Env = k.dir, append(os.Environ(), fmt.Sprintf("N=%d", n))
		return c
	})
	k.node = k.of(KubernetesOptions{})
	return k
}

// of returns the node of the cluster with these options.
func (k *kube) of(o KubernetesOptions) Node {
	k.t.Helper()
	if o.Template == nil {
		data, err := os.ReadFile(filepath.Join("..", "..", "configs", "deploy", "train-job.yaml"))
		if err != nil {
			k.t.Fatal(err)
		}
		o.Template = data
	}
	o.Every = 50 * time.Millisecond
	return Kubernetes(o)
}

var training = Job{Stage: "train", Key: "c4a999a0c4ff265bf84e", Args: []string{"train", "--request", "gs://bucket/work/requests/$(ab).json", "--json"},
	Run: "gs://bucket/work/runs/c4a999a0c4ff265bf84e"}

func (k *kube) tell(line string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.lines = append(k.lines, line)
}

// told reports whether a line was told that has this part.
func (k *kube) told(part string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.ContainsFunc(k.lines, func(l string) bool { return strings.Contains(l, part) })
}

func (k *kube) wants(parts ...string) {
	k.t.Helper()
	for _, part := range parts {
		if !k.told(part) {
			k.t.Errorf("no line with %q in\n%s", part, strings.Join(k.lines, "\n"))
		}
	}
}

func (k *kube) run(ctx context.Context) ([]byte, error) { return k.node.Run(ctx, training, k.tell) }

// ends are shell words that end a job as an Attendant does.
func ended(fields string) string { return `echo '{"quire":{"word":"ended"` + fields + `}}'` }

// TestKubernetes runs a job: the arguments come through, other lines of the log are no
// result, and the name of the Job is that of the run.
func TestKubernetes(t *testing.T) {
	k := newKube(t, `echo '{"quire":{"word":"began","host":"pod","pid":1}}'; echo "a line {" >&2; printf '%s\n' "$@" >args
echo '{"step":3}'; `+ended(""))
	if _, err := k.node.Check(t.Context(), training); err != nil {
		t.Fatal(err)
	}
	if names, pods := k.Jobs(); len(names) != 0 || pods != 0 {
		t.Errorf("the check has made %v", names)
	}
	result, err := k.run(t.Context())
	if err != nil || string(result) != `{"step":3}` {
		t.Fatalf("%s, %v", result, err)
	}
	if got, err := os.ReadFile(filepath.Join(k.dir, "args")); err != nil ||
		string(got) != strings.Join(training.Args, "\n")+"\n" {
		t.Errorf("the arguments are %q, %v", got, err)
	}
	names, pods := k.Jobs()
	if pods != 1 || len(names) != 1 || !strings.HasPrefix(names[0], "quire-train-c4a999a0c4ff265bf84e-") || len(names[0]) > 63 {
		t.Errorf("%d pods of Jobs %v", pods, names)
	}
	k.wants("the Job " + names[0] + " trains; its log: kubectl logs -f job/")
	other := training
	other.Run = "gs://other/work/runs/c4a999a0c4ff265bf84e"
	if jobName(other) == jobName(training) {
		t.Error("the same key in two workdirs has one Job")
	}
}

// TestKubernetesGoesOn: pods that are preempted, lost or killed have successors; a result comes
// from the last.
func TestKubernetesGoesOn(t *testing.T) {
	k := newKube(t, `trap 'echo saved >>log; exit 75' TERM
echo "$N" >>log; if [ "$N" = 4 ]; then echo '{"pod":4}'; `+ended("")+`; exit 0; fi
while :; do sleep 0.05; done`)
	done := make(chan error, 1)
	var result []byte
	go func() {
		var err error
		result, err = k.run(t.Context())
		done <- err
	}()
	begun := func(n int) {
		t.Helper()
		k.until(func() bool {
			data, _ := os.ReadFile(filepath.Join(k.dir, "log"))
			return strings.Count(string(data), fmt.Sprint(n)+"\n") > 0
		})
	}
	begun(1)
	k.Preempt()
	begun(2)
	k.LoseNode()
	begun(3)
	k.Kill()
	if err := <-done; err != nil || string(result) != `{"pod":4}` {
		t.Fatalf("%s, %v", result, err)
	}
	if data, _ := os.ReadFile(filepath.Join(k.dir, "log")); string(data) != "1\nsaved\n2\n3\n4\n" {
		t.Errorf("the pods wrote %q", data)
	}
	k.wants("was told to stop, and has saved; the Job starts another, which goes on", "was taken from its node (DeletionByPodGC PodGC: node no longer exists)",
		"has failed: exit code 137 OOMKilled: it has taken more memory than limits.memory")
}

// until waits for a condition.
func (k *kube) until(ok func() bool) {
	k.t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !ok(); {
		if time.Now().After(deadline) {
			k.t.Fatal("it does not come to that within 2 minutes")
		}
		_ = store.Wait(k.t.Context(), 10*time.Millisecond)
	}
}

// TestKubernetesFails: a job that fails has the class and the words of its log, and one that
// would fail again is not tried again.
func TestKubernetesFails(t *testing.T) {
	for what, c := range map[string]struct {
		script string
		want   ExitError
		pods   int
	}{
		"it diverged": {ended(`,"code":1,"class":"diverged","message":"the loss is NaN","step":21`) + `; exit 1`,
			ExitError{Code: 1, Class: ClassDiverged, Message: "the loss is NaN", Step: 21}, 1},
		"another quire": {ended(`,"code":1,"class":"other build","message":"it is v1"`) + `; exit 1`,
			ExitError{Code: 1, Class: string(OtherBuild), Message: "it is v1"}, 1},
		"wrong config": {ended(`,"code":2,"message":"no GPU"`) + `; exit 2`, ExitError{Code: 2, Message: "no GPU"}, 1},
		"no image of quire": {`echo no such; echo command >&2; exit 127`,
			ExitError{Code: 127, Message: "7 pods have failed, the last with: exit code 127 Error; its log ends with: no such; command"}, 7},
	} {
		k := newKube(t, c.script)
		_, err := k.run(t.Context())
		var failed *ExitError
		c.want.Node, c.want.Stage = "kubernetes", "train"
		if !errors.As(err, &failed) || *failed != c.want {
			t.Errorf("%s: %+v, want %+v", what, err, c.want)
		}
		calls := strings.Join(k.Calls(), "\n")
		if deleted := strings.Contains(calls, "delete job"); deleted != (c.want.Class != "") {
			t.Errorf("%s: the calls are\n%s", what, calls)
		}
		if n := strings.Count(strings.Join(k.lines, "\n"), "has failed: "); n < c.pods-1 {
			t.Errorf("%s: %d pods were told, want %d\n%s", what, n, c.pods, strings.Join(k.lines, "\n"))
		}
	}
}

// TestKubernetesCancelled: the end of the context deletes the Job, whose pod saves first.
func TestKubernetesCancelled(t *testing.T) {
	k := newKube(t, `trap 'sleep 0.2; echo saved >log; exit 75' TERM; echo began >log; while :; do sleep 0.05; done`)
	ctx, cancel := context.WithCancel(t.Context())
	k.cancelWhen(cancel)
	_, err := k.run(ctx)
	var failed *ExitError
	if !errors.As(err, &failed) || failed.Code != Interrupted {
		t.Errorf("%v", err)
	}
	if data, _ := os.ReadFile(filepath.Join(k.dir, "log")); string(data) != "saved\n" {
		t.Errorf("the pod has %q", data)
	}
	if names, _ := k.Jobs(); len(names) != 0 {
		t.Errorf("the Jobs %v are left", names)
	}

	ctx, cancel = context.WithCancel(t.Context())
	_ = os.Remove(filepath.Join(k.dir, "log"))
	k.cancelWhen(func() {
		k.Down("The connection to the server was refused - did you specify the right host or port?")
		cancel()
	})
	var lost *LostError
	if _, err = k.run(ctx); !errors.Is(err, context.Canceled) || !errors.As(err, &lost) || !strings.Contains(err.Error(), "kubectl delete job quire-train-") {
		t.Errorf("the cluster does not answer when the Job is to be deleted: %v", err)
	}
}

// cancelWhen calls cancel once the pod has begun.
func (k *kube) cancelWhen(cancel func()) {
	go func() {
		for k.t.Context().Err() == nil {
			if data, _ := os.ReadFile(filepath.Join(k.dir, "log")); string(data) == "began\n" {
				cancel()
				return
			}
			_ = store.Wait(k.t.Context(), 10*time.Millisecond)
		}
	}()
}

// TestKubernetesFound: a machine that starts again, and a second one, follow the Job that is
// there; one that has ended is made again.
func TestKubernetesFound(t *testing.T) {
	k := newKube(t, `echo "$N" >>log; while [ ! -e go ]; do sleep 0.02; done; echo "{\"pod\":$N}"; `+ended(""))
	var group sync.WaitGroup
	for i := range 3 { // the first dies without a word
		ctx, cancel := context.WithCancel(t.Context())
		job := training
		job.Args = append(slices.Clone(training.Args), fmt.Sprint(i)) // another machine, another request
		v := &view{k: k.node.(*kubernetes), name: jobName(job), job: job, tell: k.tell, pods: map[string]bool{}}
		if i == 0 {
			if _, err := v.begin(ctx); err != nil {
				t.Fatal(err)
			}
			k.until(func() bool { _, pods := k.Jobs(); return pods == 1 })
			cancel()
			continue
		}
		group.Go(func() {
			defer cancel()
			if result, err := k.node.Run(ctx, job, k.tell); err != nil || string(result) != `{"pod":1}` {
				t.Errorf("submitter %d: %s, %v", i, result, err)
			}
		})
	}
	k.until(func() bool {
		k.mu.Lock()
		defer k.mu.Unlock()
		return strings.Count(strings.Join(k.lines, "\n"), "is there since 20") == 2
	})
	if err := os.WriteFile(filepath.Join(k.dir, "go"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	group.Wait()
	if result, err := k.run(t.Context()); err != nil || string(result) != `{"pod":2}` {
		t.Errorf("after its end: %s, %v", result, err)
	}
	job := training
	for _, c := range []struct {
		made bool
		want string
	}{{true, `{"pod":2}`}, {false, `{"pod":3}`}} {
		job.Made = func(context.Context) bool { return c.made }
		if k.node.(Quiet).Has(t.Context(), job) {
			t.Error("a Job that has ended is there")
		}
		if result, err := k.node.Run(t.Context(), job, k.tell); err != nil || string(result) != c.want {
			t.Errorf("after its end, made %v: %s, %v", c.made, result, err)
		}
	}
	if names, _ := k.Jobs(); len(names) != 1 {
		t.Errorf("the Jobs are %v", names)
	}
}

// TestKubernetesRace: of two machines that make the Job at a time, with other arguments, one
// makes it and both follow it.
func TestKubernetesRace(t *testing.T) {
	k := newKube(t, `while [ ! -e go ]; do sleep 0.02; done; echo "{\"arg\":\"$1\"}"; `+ended(""))
	view := func(arg string) *view {
		job := training
		job.Args = []string{arg}
		return &view{k: k.node.(*kubernetes), name: jobName(job), job: job, tell: k.tell, pods: map[string]bool{}}
	}
	for _, arg := range []string{"first", "second", "first"} { // none has seen a Job
		if err := view(arg).make(t.Context()); err != nil {
			t.Errorf("%s: %v", arg, err)
		}
	}
	k.wants("another machine has made the Job")
	if err := os.WriteFile(filepath.Join(k.dir, "go"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	v := view("second")
	k.until(func() bool {
		result, done, err := v.look(t.Context())
		if done && (err != nil || string(result) != `{"arg":"first"}`) {
			t.Errorf("%s, %v", result, err)
		}
		return done
	})
}

// TestParseLog has logs whose lines are mixed.
func TestParseLog(t *testing.T) {
	began, alive, end := `{"quire":{"word":"began","pid":1}}`, `{"quire":{"word":"alive"}}`, `{"quire":{"word":"ended","code":1,"class":"held","message":"held"}}`
	for log, want := range map[string]podLog{
		strings.Join([]string{began, "a", "{no result", "b", "c", `{"step":1}`, end}, "\n"): {result: []byte(`{"step":1}`), said: "{no result; b; c"},
		strings.Join([]string{began, alive, end, "late", ""}, "\n"):                         {said: "late"},
		"": {},
	} {
		l := parseLog([]byte(log))
		if string(l.result) != string(want.result) || l.said != want.said || (l.ended != nil) != (log != "") {
			t.Errorf("%q: %+v, want %+v", log, l, want)
		}
	}
}

// TestKubernetesWaits tells why no pod runs, and gives up where that does not pass.
func TestKubernetesWaits(t *testing.T) {
	k := newKube(t, `echo '{"pod":1}'; `+ended(""))
	done := make(chan error, 1)
	wait := func(set func(string), why, line string) {
		t.Helper()
		set(why)
		go func() {
			_, err := k.run(t.Context())
			done <- err
		}()
		k.until(func() bool { return k.told(line) })
		set("")
		if err := <-done; err != nil {
			t.Errorf("%s: %v", why, err)
		}
	}
	const noGPU = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
	wait(k.Unschedulable, noGPU, "no pod runs yet: Unschedulable: "+noGPU)
	wait(k.Unmountable, `secret "gcs" not found`, `no pod runs yet: FailedMount: secret "gcs" not found`)
	wait(k.Refuse, "exceeded quota: gpus", "no pod runs yet: FailedCreate: Error creating: pods is forbidden: exceeded quota: gpus")

	const noImage = `Back-off pulling image "quire:gpu": ErrImagePull: not found`
	wait(k.Unpullable, noImage, "no pod runs yet: ImagePullBackOff: "+noImage)
	k.Unpullable(noImage)
	k.node = k.of(KubernetesOptions{Patience: 100 * time.Millisecond})
	_, err := k.run(t.Context())
	var check *CheckError
	if !errors.As(err, &check) || check.Reason != NotStarted || !strings.Contains(err.Error(), "ImagePullBackOff: "+noImage) {
		t.Errorf("no image: %v", err)
	}
	if names, _ := k.Jobs(); len(names) != 0 {
		t.Errorf("the Jobs %v are left", names)
	}
}

// TestKubernetesAway: a cluster that does not answer for a while is waited for, and then the
// job is lost, which may pass.
func TestKubernetesAway(t *testing.T) {
	const refused = "The connection to the server 10.0.0.1:6443 was refused - did you specify the right host or port?"
	k := newKube(t, `while [ ! -e go ]; do sleep 0.02; done; echo '{"pod":1}'; `+ended(""))
	done := make(chan error, 1)
	go func() {
		_, err := k.run(t.Context())
		done <- err
	}()
	k.until(func() bool { _, pods := k.Jobs(); return pods == 1 })
	k.Down(refused)
	k.until(func() bool { return k.told("WARNING: node: kubernetes: it does not answer: kubectl get: " + refused) })
	k.Down("")
	if err := os.WriteFile(filepath.Join(k.dir, "go"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	k = newKube(t, `sleep 60`)
	k.node = k.of(KubernetesOptions{Silence: 100 * time.Millisecond})
	go func() {
		_, err := k.run(t.Context())
		done <- err
	}()
	k.until(func() bool { _, pods := k.Jobs(); return pods == 1 })
	k.Down(refused)
	var lost *LostError
	if err := <-done; !errors.As(err, &lost) || !errors.Is(err, store.ErrTransient) {
		t.Errorf("it never answers again: %v", err)
	}
	k.Down("")
	v := &view{k: k.of(KubernetesOptions{}).(*kubernetes), name: jobName(training), job: training, tell: k.tell, pods: map[string]bool{}}
	if _, done, err := v.look(t.Context()); done || err != nil || time.Since(v.heard) > time.Minute {
		t.Errorf("it answers: done %v, %v, heard %v", done, err, v.heard)
	}
	k.Forbid("list jobs")
	if _, done, err := v.look(t.Context()); !done || !errors.As(err, &lost) || !strings.Contains(err.Error(), "cannot list resource") {
		t.Errorf("it must not look any more: done %v, %v", done, err)
	}
}

// TestKubernetesDeleted: a Job that somebody deletes has ended.
func TestKubernetesDeleted(t *testing.T) {
	k := newKube(t, `trap 'exit 75' TERM; echo began >log; while :; do sleep 0.05; done`)
	k.cancelWhen(func() {
		_, _ = k.node.(*kubernetes).call(context.Background(), callTime, nil, "delete", "job", jobName(training))
	})
	_, err := k.run(t.Context())
	var failed *ExitError
	if !errors.As(err, &failed) || failed.Code != Interrupted || !strings.Contains(failed.Message, "was deleted") {
		t.Errorf("%v", err)
	}
}

// TestKubernetesCheck says before any work what is missing.
func TestKubernetesCheck(t *testing.T) {
	for what, c := range map[string]struct {
		reason Reason
		said   string
		set    func(k *kube)
	}{
		"create":    {Forbidden, `cannot create resource "jobs"`, func(k *kube) { k.Forbid("create jobs") }},
		"delete":    {Forbidden, "this account may not delete jobs", func(k *kube) { k.Forbid("delete jobs") }},
		"logs":      {Forbidden, "this account may not get pods --subresource=log", func(k *kube) { k.Forbid("get pods/log") }},
		"down":      {Unreachable, "no such host", func(k *kube) { k.Down("Unable to connect to the server: dial tcp: lookup k8s: no such host") }},
		"namespace": {NoNamespace, kubetest.NoNamespace, func(k *kube) { k.node = k.of(KubernetesOptions{Namespace: kubetest.NoNamespace}) }},
		"kubectl":   {NoLauncher, "executable file not found", func(k *kube) { k.t.Setenv("PATH", "/nowhere") }},
		"field": {BadTemplate, `unknown field "spec.template.spec.restartpolicy"`, func(k *kube) {
			k.node = k.of(KubernetesOptions{Template: k.edited("restartPolicy: Never", "restartPolicy: Never\n      restartpolicy: Never")})
		}},
		"rule": {BadTemplate, "must be one of the container", func(k *kube) {
			k.node = k.of(KubernetesOptions{Template: k.edited("containerName: quire", "containerName: other")})
		}},
	} {
		k := newKube(t, `exit 1`)
		c.set(k)
		_, err := k.node.Check(t.Context(), training)
		var check *CheckError
		if !errors.As(err, &check) || check.Reason != c.reason || !strings.Contains(err.Error(), c.said) {
			t.Errorf("%s: %v, want %s, %s", what, err, c.reason, c.said)
		}
	}
}

// edited is the shipped template with a change.
func (k *kube) edited(old, with string) []byte {
	k.t.Helper()
	text := string(k.node.(*kubernetes).template)
	if !strings.Contains(text, old) {
		k.t.Fatalf("the template has no %q", old)
	}
	return []byte(strings.Replace(text, old, with, 1))
}

// TestTemplate has a template of one's own: where the arguments go, what is kept, and what is
// refused before kubectl is asked.
func TestTemplate(t *testing.T) {
	k := &kube{t: t}
	k.node = k.of(KubernetesOptions{})
	node := func(template []byte) *kubernetes {
		return Kubernetes(KubernetesOptions{Template: template}).(*kubernetes)
	}
	own := node(k.edited("image: quire:gpu", `image: quire:own
          command: [nice, quire]
          args: [before, "{args}", after]
          volumeMounts: [{name: work, mountPath: /work/}]`))
	data, err := own.fill("a-name", []string{"train", "x$(Y)"})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"args":["before","train","x$$(Y)","after"]`, `"image":"quire:own"`, `"command":["nice","quire"]`, `"name":"a-name"`,
		`"template":{"metadata":{"labels":{"quire-job":"a-name"}}`, `"terminationGracePeriodSeconds":120`} {
		if !strings.Contains(string(data), want) {
			t.Errorf("no %s in %s", want, data)
		}
	}
	if g := own.grace(); g != 2*time.Minute {
		t.Errorf("the pod has %v to save", g)
	}
	for file, want := range map[string]bool{"/work/a/requests/x.json": true, "/workshop/x.json": false, "/work": true} {
		m, err := own.parse()
		if err != nil || m.mounts(file) != want {
			t.Errorf("%s is on a volume: %v, %v", file, !want, err)
		}
	}
	local := training
	local.Args = []string{"node", "--request", "/data/work/requests/x.json"}
	if _, err := own.Check(t.Context(), local); err == nil || !strings.Contains(err.Error(), "has no volume at /data/work/requests") {
		t.Errorf("a workdir that no pod sees: %v", err)
	}
	for _, c := range []struct{ old, with, want string }{
		{"kind: Job", "kind: Pod", "it is a Pod of batch/v1, want a Job of batch/v1"},
		{"restartPolicy: Never", "restartPolicy: OnFailure", "restartPolicy is OnFailure, want Never"},
		{"- name: quire\n", "- name: main\n", "has none called quire"},
		{"image: quire:gpu", "image: quire:gpu\n          args: [train]", `has args without the element "{args}"`},
		{"kind: Job", "kind: Job\n---\nkind: ConfigMap", "it has more than one document"},
		{"spec:\n", "spec: 3\nspecs:\n", "spec is missing, or no object"},
		{"kind: Job", "kind: Job\nkind: Job", "it is no YAML"},
	} {
		_, err := node(k.edited(c.old, c.with)).fill("a-name", nil)
		var check *CheckError
		if !errors.As(err, &check) || check.Reason != BadTemplate || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.with, err, c.want)
		}
	}
}
