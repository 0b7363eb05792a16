package node

import (
	"fmt"

	"github.com/quire-ml/quire/runners/store"
)

// A Reason is why a node cannot run jobs.
type Reason string

// Reasons.
const (
	NoLauncher    Reason = "no launcher"    // the command in front of quire is not on this machine
	Unreachable   Reason = "unreachable"    // the node does not answer
	Mute          Reason = "mute"           // something answers, and it is not quire
	NoProgram     Reason = "no program"     // there is no quire
	OtherBuild    Reason = "other build"    // there is another quire
	OtherPlatform Reason = "other platform" // this program cannot run there
	NotCopied     Reason = "not copied"     // this program cannot be brought there
	Full          Reason = "full"           // a disk there is full
	NoWorkdir     Reason = "no workdir"     // the workdir there is another folder, or none
	NoDevice      Reason = "no device"      // what is to train is not there
	Forbidden     Reason = "forbidden"      // this account may not do there what is needed
	BadTemplate   Reason = "bad template"   // the manifest of the Job is wrong
	NoNamespace   Reason = "no namespace"   // of a cluster
	NotStarted    Reason = "not started"    // a pod does not start, for a reason that does not pass
)

// A CheckError says, before any work, why a node cannot run jobs.
type CheckError struct {
	Node   string
	Reason Reason
	Said   string // by the node, or details
}

// Is reports whether an error may pass: a node that does not answer may do so later.
func (e *CheckError) Is(target error) bool {
	return target == store.ErrTransient && e.Reason == Unreachable
}

func (e *CheckError) Error() string {
	text := map[Reason]string{
		NoLauncher:    "it cannot be reached: the command that leads there is not on this machine",
		Unreachable:   "it does not answer",
		Mute:          "something there has answered that is not quire",
		NoProgram:     "there is no quire",
		OtherBuild:    "there is another quire than here",
		OtherPlatform: "this program cannot run there",
		NotCopied:     "this program cannot be brought there",
		Full:          "a disk there is full",
		NoWorkdir:     "the workdir is not the same there as here",
		NoDevice:      "it cannot train there",
		Forbidden:     "this account may not run Jobs there",
		BadTemplate:   "the manifest of the Job is wrong",
		NoNamespace:   "the cluster has no such namespace",
		NotStarted:    "no pod of the Job starts",
	}[e.Reason]
	if e.Said != "" {
		text += ": " + e.Said
	}
	return fmt.Sprintf("node: %s: %s", e.Node, text)
}
