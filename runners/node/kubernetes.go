package node

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/quire-ml/quire/runners/store"
)

// KubernetesOptions are options of Kubernetes.
type KubernetesOptions struct {
	Template  []byte // manifest of the Job, in YAML
	Namespace string // empty: that of kubectl's context

	// Every is the time between two looks at the Job; 0 is 5 s.
	Every time.Duration
	// Patience is the time for which a pod may fail to start for a reason that does not pass
	// by itself, such as an image that cannot be pulled; 0 is 3 minutes.
	Patience time.Duration
	// Silence is the time without an answer of the cluster after which a job counts as
	// lost; 0 is 10 minutes.
	Silence time.Duration
}

// Kubernetes returns the node that runs jobs as Jobs of a cluster, by kubectl and its
// configuration.
//
// The Job of a stage is named for the stage's key and the run's place, so two machines
// that submit the same training make one Job, and one that starts again finds it. Its pods
// run the arguments of quire; the Job starts another pod where one is preempted, lost or
// fails. The machine that submits looks at the Job alone for how a pod fares; how far the
// training is, the run itself says. Where it is told to stop, it deletes the Job, and the
// pod saves.
func Kubernetes(o KubernetesOptions) Node {
	return &kubernetes{kubectl: "kubectl", template: o.Template, namespace: o.Namespace, every: orElse(o.Every, 5*time.Second),
		patience: orElse(o.Patience, 3*time.Minute), silence: orElse(o.Silence, 10*time.Minute)}
}

type kubernetes struct {
	kubectl                  string
	template                 []byte
	namespace                string
	every, patience, silence time.Duration
}

func (k *kubernetes) String() string {
	if k.namespace == "" {
		return "kubernetes"
	}
	return "kubernetes, namespace " + k.namespace
}

// Has implements Quiet.
func (k *kubernetes) Has(ctx context.Context, job Job) bool {
	found, err := k.find(ctx, jobName(job))
	return err == nil && found.job != nil && !found.job.ended()
}

// jobName is the name of the Job of a job. Runs of two workdirs may have the same key.
func jobName(job Job) string {
	at := job.Run
	if at == "" {
		at = strings.Join(job.Args, " ")
	}
	sum := sha256.Sum256([]byte(at))
	return fmt.Sprintf("quire-%s-%.20s-%x", job.Stage, strings.ToLower(job.Key), sum[:4])
}

// Check implements Node. It starts no pod, which may take minutes: the cluster says
// whether it would take the Job, and what this account may do.
func (k *kubernetes) Check(ctx context.Context, probe Job) ([]byte, error) {
	m, err := k.parse()
	if err != nil {
		return nil, err
	}
	for _, arg := range probe.Args {
		if file, err := url.PathUnescape(arg); err == nil && strings.HasPrefix(file, "/") && !m.mounts(file) {
			return nil, &CheckError{Node: k.String(), Reason: NoWorkdir, Said: "the workdir is a folder of this machine, and the container " +
				containerName + " of the Job has no volume at " + file[:strings.LastIndexByte(file, '/')]}
		}
	}
	data, err := k.fill(jobName(probe), probe.Args)
	if err != nil {
		return nil, err
	}
	if _, err := k.call(ctx, callTime, data, "apply", "--dry-run=server", "-f", "-"); err != nil {
		return nil, k.explain(err)
	}
	for _, words := range [][]string{{"list", "jobs"}, {"delete", "jobs"}, {"list", "pods"}, {"get", "pods", "--subresource=log"}} {
		out, err := k.call(ctx, callTime, nil, append([]string{"auth", "can-i"}, words...)...)
		if answer := strings.TrimSpace(string(out)); answer == "no" {
			return nil, &CheckError{Node: k.String(), Reason: Forbidden, Said: "this account may not " + strings.Join(words, " ")}
		}
		if err != nil {
			return nil, k.explain(err)
		}
	}
	return nil, nil
}

// Run implements Node.
func (k *kubernetes) Run(ctx context.Context, job Job, tell func(line string)) ([]byte, error) {
	v := &view{k: k, name: jobName(job), job: job, tell: tell, pods: map[string]bool{}, heard: time.Now()}
	result, err := v.begin(ctx)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, v.cancel(ctx)
	case err != nil || result != nil:
		return result, err
	}
	for {
		result, done, err := v.look(ctx)
		if ctx.Err() != nil {
			return nil, v.cancel(ctx)
		}
		if done {
			return result, err
		}
		if store.Wait(ctx, k.every) != nil {
			return nil, v.cancel(ctx)
		}
	}
}

// A view is what this machine sees of a Job.
type view struct {
	k    *kubernetes
	name string
	job  Job
	tell func(line string)

	heard time.Time       // the cluster has answered last
	away  bool            // it was told that the cluster does not answer
	pods  map[string]bool // that have ended, by name, and were told
	stuck time.Time       // since when a pod does not start for a reason that does not pass; zero: none is
	said  string          // the last reason for which a pod does not start
}

// say tells a line once.
func (v *view) say(format string, args ...any) {
	if line := fmt.Sprintf(format, args...); line != v.said {
		v.said = line
		v.tell("kubernetes: " + line)
	}
}

// begin makes the Job, unless it is there. It returns the result of one that has ended
// before, where that is what the job is to make.
func (v *view) begin(ctx context.Context) ([]byte, error) {
	found, err := v.k.find(ctx, v.name)
	if err != nil {
		return nil, v.k.explain(err)
	}
	switch {
	case found.job == nil:
		return nil, v.make(ctx)
	case !found.job.ended():
		v.say("the Job %s is there since %s: it is followed", v.name, found.job.Metadata.Created.UTC().Format(time.RFC3339))
		return nil, nil
	case found.job.has("Complete") && v.job.Made != nil && v.job.Made(ctx):
		if result, err := v.result(ctx, found); err == nil {
			v.say("the Job %s has ended before, and the workdir has what it made", v.name)
			return result, nil
		}
	}
	if err := v.k.remove(ctx, v.name); err != nil { // a Job is not started twice
		return nil, v.k.explain(err)
	}
	return nil, v.make(ctx)
}

// make makes the Job, unless another machine is quicker.
func (v *view) make(ctx context.Context) error {
	data, err := v.k.fill(v.name, v.job.Args)
	if err != nil {
		return err
	}
	_, err = v.k.call(ctx, callTime, data, "apply", "-f", "-")
	var e *kubectlError
	switch {
	case err == nil:
		v.say("the Job %s trains; its log: kubectl logs -f job/%s", v.name, v.name)
		return nil
	case errors.As(err, &e) && e.says("field is immutable", "(AlreadyExists)", "(Conflict)"):
		v.say("another machine has made the Job %s meanwhile: it is followed", v.name)
		return nil
	}
	return v.k.explain(err)
}

// look looks at the Job once and reports whether it has ended.
func (v *view) look(ctx context.Context) (result []byte, done bool, err error) {
	found, err := v.k.find(ctx, v.name)
	if err != nil {
		return nil, v.missed(err), v.lost(v.k.explain(err))
	}
	v.heard, v.away = time.Now(), false
	for _, p := range found.pods {
		if p.terminated() == nil || v.pods[p.Metadata.Name] {
			continue
		}
		v.pods[p.Metadata.Name] = true
		if final := v.podEnded(ctx, p); final != nil {
			_ = v.k.remove(ctx, v.name) // else its next pods end the same way, in time
			return nil, true, final
		}
	}
	switch {
	case found.job == nil:
		return nil, true, &ExitError{Node: v.k.String(), Stage: v.job.Stage, Code: Interrupted, Message: "the Job " + v.name + " was deleted"}
	case found.job.has("Complete"):
		result, err := v.result(ctx, found)
		return result, true, err
	case found.job.has("Failed"):
		return nil, true, v.failed(ctx, found)
	}
	if err := v.waiting(ctx, found); err != nil {
		_ = v.k.remove(ctx, v.name)
		return nil, true, err
	}
	return nil, false, nil
}

// missed notes that the cluster has not answered, and reports whether that is the end.
func (v *view) missed(err error) (lost bool) {
	if !v.k.passes(err) || time.Since(v.heard) > v.k.silence {
		return true
	}
	if !v.away {
		v.away = true
		v.tell(fmt.Sprintf("WARNING: %v; the Job goes on meanwhile", v.k.explain(err)))
	}
	return false
}

func (v *view) lost(err error) error {
	return &LostError{Node: v.k.String(), Stage: v.job.Stage, Err: err}
}

// result returns the result of a Job that is complete.
func (v *view) result(ctx context.Context, found *found) ([]byte, error) {
	for _, p := range found.pods {
		if t := p.terminated(); t == nil || t.ExitCode != 0 {
			continue
		}
		l, err := v.k.log(ctx, p.Metadata.Name)
		if err != nil {
			return nil, v.lost(v.k.explain(err))
		}
		if l.result != nil {
			return l.result, nil
		}
	}
	return nil, v.lost(errors.New("the Job is complete, and no log of its pods has the result; the next attempt asks again"))
}

// cancelTime is what a deletion takes beside the pod's own time to save.
const cancelTime = time.Minute

// cancel deletes the Job, and waits until its pod has saved and ended.
func (v *view) cancel(ctx context.Context) error {
	v.tell("kubernetes: deletes the Job " + v.name + "; its pod saves first")
	if err := v.k.remove(context.WithoutCancel(ctx), v.name); err != nil {
		return fmt.Errorf("%w; %w", ctx.Err(), v.lost(fmt.Errorf("it could not be deleted, which `kubectl delete job %s` does: %w", v.name, err)))
	}
	return &ExitError{Node: v.k.String(), Stage: v.job.Stage, Code: Interrupted}
}

// remove deletes a Job and waits for the end of its pods.
func (k *kubernetes) remove(ctx context.Context, name string) error {
	limit := k.grace() + cancelTime
	_, err := k.call(ctx, limit+callTime, nil, "delete", "job", name, "--ignore-not-found", "--cascade=foreground", "--wait=true",
		fmt.Sprintf("--timeout=%ds", int(limit.Seconds())))
	return err
}

// grace is the time that a pod has to save.
func (k *kubernetes) grace() time.Duration {
	var m struct {
		Spec struct {
			Template struct {
				Spec struct {
					Seconds *int `json:"terminationGracePeriodSeconds"`
				} `json:"spec"`
			} `json:"template"`
		} `json:"spec"`
	}
	if parsed, err := k.parse(); err == nil {
		if data, err := json.Marshal(parsed); err == nil && json.Unmarshal(data, &m) == nil && m.Spec.Template.Spec.Seconds != nil {
			return time.Duration(*m.Spec.Template.Spec.Seconds) * time.Second
		}
	}
	return 30 * time.Second // as Kubernetes has it
}
