package node

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// An object is a Job, a pod or an event, as far as it is looked at.
type object struct {
	Kind     string
	Metadata struct {
		Name    string
		Created time.Time `json:"creationTimestamp"`
	}
	Spec struct {
		BackoffLimit *int
	}
	Status struct {
		Active, Failed    int // of a Job: pods
		Reason, Message   string
		Phase             string // of a pod
		Conditions        []condition
		ContainerStatuses []struct {
			Name  string
			State struct {
				Waiting    *waiting
				Terminated *terminated
			}
		}
	}
	Reason, Message string // of an event
}

type condition struct{ Type, Status, Reason, Message string }

type waiting struct{ Reason, Message string }

type terminated struct {
	ExitCode        int
	Reason, Message string
}

// has reports whether a condition holds.
func (o *object) has(kind string) bool { return o.condition(kind) != nil }

// condition returns a condition that holds.
func (o *object) condition(kind string) *condition {
	for i, c := range o.Status.Conditions {
		if c.Type == kind && c.Status == "True" {
			return &o.Status.Conditions[i]
		}
	}
	return nil
}

// ended reports whether a Job is complete or has failed.
func (o *object) ended() bool { return o.has("Complete") || o.has("Failed") }

// terminated returns how the container of a pod has ended; nil: it has not.
func (o *object) terminated() *terminated {
	for _, c := range o.Status.ContainerStatuses {
		if c.Name == containerName {
			return c.State.Terminated
		}
	}
	if o.Status.Phase == "Failed" { // before its container began, or without a word of its node
		return &terminated{ExitCode: -1, Reason: o.Status.Reason, Message: o.Status.Message}
	}
	return nil
}

// found is a Job and its pods, the oldest first.
type found struct {
	job  *object // nil: there is none
	pods []*object
}

// find looks for a Job.
func (k *kubernetes) find(ctx context.Context, name string) (*found, error) {
	out, err := k.call(ctx, callTime, nil, "get", "jobs,pods", "-l", jobLabel+"="+name, "-o", "json")
	if err != nil {
		return nil, err
	}
	list, err := objects("get", out)
	if err != nil {
		return nil, err
	}
	f := &found{}
	for _, o := range list {
		switch {
		case o.Kind == "Pod":
			f.pods = append(f.pods, o)
		case o.Kind == "Job" && o.Metadata.Name == name:
			f.job = o
		}
	}
	slices.SortStableFunc(f.pods, func(a, b *object) int {
		return cmp.Or(a.Metadata.Created.Compare(b.Metadata.Created), strings.Compare(a.Metadata.Name, b.Metadata.Name))
	})
	return f, nil
}

// objects decodes a list.
func objects(verb string, out []byte) ([]*object, error) {
	var list struct{ Items []*object }
	if err := json.Unmarshal(out, &list); err != nil {
		return nil, &kubectlError{verb: verb, said: fmt.Sprintf("its output is no list: %v", err), err: err}
	}
	return list.Items, nil
}

// logLines is the number of last lines of a pod's log that are read.
const logLines = 200

// A podLog is the end of a pod's log.
type podLog struct {
	ended  *Control // nil: the job has not said how it ended
	result []byte   // the line before; nil: there is none
	said   string   // the last lines for people
}

// log reads the end of a pod's log, in which the lines of both outputs are mixed.
func (k *kubernetes) log(ctx context.Context, pod string) (*podLog, error) {
	out, err := k.call(ctx, callTime, nil, "logs", pod, "-c", containerName, fmt.Sprintf("--tail=%d", logLines))
	if err != nil {
		return nil, err
	}
	return parseLog(out), nil
}

func parseLog(out []byte) *podLog {
	l := &podLog{}
	var said []string
	for line := range bytes.Lines(out) {
		line = bytes.TrimSpace(line)
		c, ok := ParseControl(line)
		switch {
		case ok && c.Word == Ended:
			l.ended = &c
		case ok || len(line) == 0:
		case line[0] == '{' && json.Valid(line):
			l.result = bytes.Clone(line)
		default:
			said = append(said, string(line))
		}
	}
	l.said = strings.Join(said[max(0, len(said)-saidLines):], "; ")
	return l
}

// final are the classes of errors with which every other pod would end, too.
var final = []string{ClassDiverged, ClassFull, string(OtherBuild), string(NoWorkdir), string(NoDevice), string(Full)}

// podEnded tells how a pod has ended, and returns the error of the job where other pods
// would end the same way.
func (v *view) podEnded(ctx context.Context, p *object) error {
	t := p.terminated()
	if t.ExitCode == 0 {
		return nil
	}
	if p.has("DisruptionTarget") || t.ExitCode == Interrupted {
		why := "was told to stop, and has saved"
		if c := p.condition("DisruptionTarget"); c != nil {
			why = "was taken from its node (" + oneLine(c.Reason+" "+c.Message) + ")"
		}
		v.tell(fmt.Sprintf("kubernetes: pod %s %s; the Job starts another, which goes on", p.Metadata.Name, why))
		return nil
	}
	e := v.exit(ctx, p)
	if slices.Contains(final, e.Class) {
		return e
	}
	v.tell(fmt.Sprintf("WARNING: kubernetes: pod %s has failed: %s", p.Metadata.Name, e.Message))
	return nil
}

// exit returns the error of a pod that has failed.
func (v *view) exit(ctx context.Context, p *object) *ExitError {
	t := p.terminated()
	e := &ExitError{Node: v.k.String(), Stage: v.job.Stage, Code: t.ExitCode, Message: oneLine(fmt.Sprintf("exit code %d %s %s", t.ExitCode, t.Reason, t.Message))}
	if t.Reason == "OOMKilled" {
		e.Message += ": it has taken more memory than limits.memory of its container"
	}
	l, err := v.k.log(ctx, p.Metadata.Name)
	switch {
	case err != nil:
		e.Message += fmt.Sprintf("; its log cannot be read: %v", err)
	case l.ended != nil:
		e.Code, e.Class, e.Step = l.ended.Code, l.ended.Class, l.ended.Step
		e.Message = cmp.Or(l.ended.Message, e.Message)
	case l.said != "":
		e.Message += "; its log ends with: " + l.said
	}
	return e
}

// failed returns the error of a Job that has failed: that of its last pod.
func (v *view) failed(ctx context.Context, found *found) error {
	c := found.job.condition("Failed")
	for _, p := range slices.Backward(found.pods) {
		if t := p.terminated(); t == nil || t.ExitCode == 0 {
			continue
		}
		e := v.exit(ctx, p)
		if c.Reason == "BackoffLimitExceeded" {
			e.Message = fmt.Sprintf("%d pods have failed, the last with: %s", max(1, found.job.Status.Failed), e.Message)
		}
		return e
	}
	return &ExitError{Node: v.k.String(), Stage: v.job.Stage, Code: 1, Message: oneLine(fmt.Sprintf("the Job %s has failed: %s: %s", v.name, c.Reason, c.Message))}
}

// lasting are the reasons of a container that does not start which do not pass by
// themselves.
var lasting = []string{"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "CreateContainerConfigError", "CreateContainerError",
	"RunContainerError", "FailedCreate"}

// waiting tells why no pod starts, and returns an error where the reason has not passed
// for long enough.
func (v *view) waiting(ctx context.Context, found *found) error {
	reason, message := v.reason(ctx, found)
	if !slices.Contains(lasting, reason) {
		v.stuck = time.Time{}
		if reason != "" {
			v.say("no pod runs yet: %s: %s", reason, message)
		}
		return nil
	}
	if v.stuck.IsZero() {
		v.stuck = time.Now()
	}
	if time.Since(v.stuck) >= v.k.patience {
		return &CheckError{Node: v.k.String(), Reason: NotStarted, Said: oneLine(reason + ": " + message)}
	}
	v.say("no pod runs yet: %s: %s", reason, message)
	return nil
}

// reason returns why no pod of a Job runs; empty: one does, or it is too early to tell.
func (v *view) reason(ctx context.Context, found *found) (reason, message string) {
	if s := found.job.condition("Suspended"); s != nil {
		return "Suspended", oneLine(s.Message)
	}
	var last *object // that has not ended
	for _, p := range found.pods {
		if p.terminated() == nil {
			last = p
		}
	}
	if last == nil {
		if found.job.Status.Active > 0 || time.Since(found.job.Metadata.Created) < v.k.every {
			return "", ""
		}
		return v.events(ctx, v.name)
	}
	if last.Status.Phase != "Pending" {
		return "", ""
	}
	for _, c := range last.Status.Conditions {
		if c.Type == "PodScheduled" && c.Status == "False" {
			return c.Reason, oneLine(c.Message)
		}
	}
	for _, c := range last.Status.ContainerStatuses {
		if w := c.State.Waiting; w != nil && w.Reason != "" && w.Reason != "ContainerCreating" && w.Reason != "PodInitializing" {
			return w.Reason, oneLine(w.Message)
		}
	}
	return v.events(ctx, last.Metadata.Name)
}

// events returns the last warning about an object: a volume that cannot be mounted, a quota.
func (v *view) events(ctx context.Context, name string) (reason, message string) {
	out, err := v.k.call(ctx, callTime, nil, "get", "events", "--field-selector", "involvedObject.name="+name+",type=Warning", "-o", "json")
	if err != nil {
		return "", "" // an account may see pods and no events
	}
	list, err := objects("get", out)
	if err != nil || len(list) == 0 {
		return "", ""
	}
	e := list[len(list)-1]
	return e.Reason, oneLine(e.Message)
}
