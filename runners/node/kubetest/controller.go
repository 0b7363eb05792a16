package kubetest

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// backoff is the time before a pod that takes the place of a failed one. A real cluster
// waits 10 s and more.
const backoff = 50 * time.Millisecond

// control is the controller of a Job: it makes pods until one succeeds, or the policy says
// that the Job has failed.
func (c *Cluster) control(j *job) {
	defer close(j.done)
	c.mu.Lock()
	defer c.mu.Unlock()
	for !j.deleted {
		if c.refused != "" {
			c.event(j.Name, "FailedCreate", "Error creating: pods is forbidden: "+c.refused)
			c.wait()
			continue
		}
		p := c.newPod(j)
		if !c.startPod(j, p) {
			return
		}
		if c.judge(j, p) {
			return
		}
		c.mu.Unlock()
		time.Sleep(backoff)
		c.mu.Lock()
	}
}

// newPod makes the next pod of a Job. The caller has the lock.
func (c *Cluster) newPod(j *job) *pod {
	c.made++
	p := &pod{Pod: &core.Pod{TypeMeta: meta.TypeMeta{Kind: "Pod", APIVersion: "v1"}, ObjectMeta: meta.ObjectMeta{
		Name: fmt.Sprintf("%s-%05d", j.Name, c.made), Namespace: j.Namespace, Labels: j.Spec.Template.Labels,
		CreationTimestamp: meta.NewTime(time.Now())}, Spec: j.Spec.Template.Spec}}
	p.Status.Phase = core.PodPending
	j.pods = append(j.pods, p)
	j.Status.Active = 1
	c.change.Broadcast()
	return p
}

// startPod starts the container of a pod, and waits until it has ended. The caller has the
// lock. It is false where the Job was deleted before.
func (c *Cluster) startPod(j *job, p *pod) bool {
	for !j.deleted && (c.unschedulable != "" || c.unpullable != "" || c.broken != "") {
		c.pend(p)
		c.wait()
	}
	if j.deleted {
		return false
	}
	p.Status.Conditions = []core.PodCondition{{Type: core.PodScheduled, Status: core.ConditionTrue}}
	container := p.Spec.Containers[0]
	var args []string
	for _, a := range container.Args {
		if strings.Contains(strings.ReplaceAll(a, "$$(", ""), "$(") {
			c.t.Errorf("kubetest: the argument %q has a variable, which a kubelet would put in", a)
		}
		args = append(args, strings.ReplaceAll(a, "$$(", "$("))
	}
	cmd := c.start(args)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if cmd.Env == nil {
		cmd.Env = os.Environ()
	}
	for _, e := range container.Env {
		cmd.Env = append(cmd.Env, e.Name+"="+e.Value)
	}
	out := &podWriter{c, p}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		c.t.Errorf("kubetest: %v", err)
		return false
	}
	p.c = cmd
	c.runs++
	c.most = max(c.most, c.runs)
	p.Status.Phase = core.PodRunning
	p.Status.ContainerStatuses = []core.ContainerStatus{{Name: container.Name, State: core.ContainerState{Running: &core.ContainerStateRunning{}}}}
	c.change.Broadcast()
	c.mu.Unlock()
	_ = cmd.Wait()
	c.mu.Lock()
	p.c = nil
	c.runs--
	j.Status.Active = 0
	c.finish(p, cmd)
	c.change.Broadcast()
	return true
}

// A podWriter writes the log of a pod.
type podWriter struct {
	c *Cluster
	p *pod
}

func (w *podWriter) Write(b []byte) (int, error) {
	w.c.mu.Lock()
	defer w.c.mu.Unlock()
	return w.p.log.Write(b)
}

// pend says why a pod does not start. The caller has the lock.
func (c *Cluster) pend(p *pod) {
	p.Status.Conditions, p.Status.ContainerStatuses = nil, nil
	if c.unschedulable != "" {
		p.Status.Conditions = []core.PodCondition{{Type: core.PodScheduled, Status: core.ConditionFalse, Reason: core.PodReasonUnschedulable,
			Message: c.unschedulable}}
		c.event(p.Name, "FailedScheduling", c.unschedulable)
		return
	}
	p.Status.Conditions = []core.PodCondition{{Type: core.PodScheduled, Status: core.ConditionTrue}}
	w := &core.ContainerStateWaiting{Reason: "ContainerCreating"}
	if c.unpullable != "" {
		w = &core.ContainerStateWaiting{Reason: "ImagePullBackOff", Message: c.unpullable}
	} else {
		c.event(p.Name, "FailedMount", c.broken)
	}
	p.Status.ContainerStatuses = []core.ContainerStatus{{Name: p.Spec.Containers[0].Name, State: core.ContainerState{Waiting: w}}}
}

// finish notes how the process of a pod has ended.
func (c *Cluster) finish(p *pod, cmd *exec.Cmd) {
	p.Status.Phase = core.PodFailed
	if p.lost {
		p.Status.Conditions = append(p.Status.Conditions, core.PodCondition{Type: core.DisruptionTarget, Status: core.ConditionTrue, Reason: "DeletionByPodGC",
			Message: "PodGC: node no longer exists"})
		p.Status.ContainerStatuses = nil
		return
	}
	code, reason := int32(cmd.ProcessState.ExitCode()), "Error"
	if s, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && s.Signaled() {
		code = 128 + int32(s.Signal())
		if s.Signal() == syscall.SIGKILL {
			reason = "OOMKilled"
		}
	}
	if code == 0 {
		p.Status.Phase, reason = core.PodSucceeded, "Completed"
	}
	p.Status.ContainerStatuses = []core.ContainerStatus{{Name: p.Spec.Containers[0].Name,
		State: core.ContainerState{Terminated: &core.ContainerStateTerminated{ExitCode: code, Reason: reason}}}}
}

// judge applies a Job's policy to a pod that has ended, and reports whether the Job has.
// The caller has the lock.
func (c *Cluster) judge(j *job, p *pod) (ended bool) {
	if j.deleted {
		return true
	}
	if p.Status.Phase == core.PodSucceeded {
		j.Status.Succeeded = 1
		j.end(batch.JobComplete, "CompletionsReached", "Reached expected number of succeeded pods")
		return true
	}
	switch action, rule := decide(j.Spec.PodFailurePolicy, p); action {
	case batch.PodFailurePolicyActionIgnore:
		return false
	case batch.PodFailurePolicyActionFailJob:
		j.Status.Failed++
		j.end(batch.JobFailed, "PodFailurePolicy", fmt.Sprintf("Container quire for pod %s/%s failed with exit code %d matching FailJob rule at index %d",
			p.Namespace, p.Name, p.Status.ContainerStatuses[0].State.Terminated.ExitCode, rule))
		return true
	}
	j.Status.Failed++
	j.failed++
	if limit := j.Spec.BackoffLimit; limit != nil && j.failed > *limit {
		j.end(batch.JobFailed, "BackoffLimitExceeded", "Job has reached the specified backoff limit")
		return true
	}
	return false
}

func (j *job) end(kind batch.JobConditionType, reason, message string) {
	j.Status.Conditions = append(j.Status.Conditions, batch.JobCondition{Type: kind, Status: core.ConditionTrue, Reason: reason, Message: message})
}

// decide returns the action of the first rule that a failed pod meets.
func decide(policy *batch.PodFailurePolicy, p *pod) (batch.PodFailurePolicyAction, int) {
	if policy == nil {
		return batch.PodFailurePolicyActionCount, -1
	}
	for i, r := range policy.Rules {
		if r.OnExitCodes != nil && meetsCode(r.OnExitCodes, p) || slices.ContainsFunc(r.OnPodConditions, func(want batch.PodFailurePolicyOnPodConditionsPattern) bool {
			return slices.ContainsFunc(p.Status.Conditions, func(c core.PodCondition) bool { return c.Type == want.Type && c.Status == want.Status })
		}) {
			return r.Action, i
		}
	}
	return batch.PodFailurePolicyActionCount, -1
}

func meetsCode(r *batch.PodFailurePolicyOnExitCodesRequirement, p *pod) bool {
	for _, s := range p.Status.ContainerStatuses {
		t := s.State.Terminated
		if t == nil || t.ExitCode == 0 || r.ContainerName != nil && *r.ContainerName != s.Name {
			continue
		}
		if slices.Contains(r.Values, t.ExitCode) == (r.Operator == batch.PodFailurePolicyOnExitCodesOpIn) {
			return true
		}
	}
	return false
}

// remove deletes a Job: its pod gets SIGTERM, and after its grace period SIGKILL. It
// returns when the pod has ended. The caller has the lock.
func (c *Cluster) remove(key string) {
	j := c.jobs[key]
	if j == nil {
		return
	}
	j.deleted = true
	c.change.Broadcast()
	grace := 30 * time.Second
	if s := j.Spec.Template.Spec.TerminationGracePeriodSeconds; s != nil {
		grace = time.Duration(*s) * time.Second
	}
	j.signal(syscall.SIGTERM)
	kill := time.AfterFunc(grace, func() { c.set(func() { j.signal(syscall.SIGKILL) }) })
	c.mu.Unlock()
	<-j.done
	c.mu.Lock()
	kill.Stop()
	if c.jobs[key] == j {
		delete(c.jobs, key)
	}
}

// may reports whether the account may do something: "create jobs".
func (c *Cluster) may(what string) bool {
	return !slices.Contains(c.forbidden, strings.TrimSpace(what))
}
