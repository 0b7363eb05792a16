package command

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"github.com/quire-ml/quire/model/checkpoint"
	"github.com/quire-ml/quire/model/kernel"
	"github.com/quire-ml/quire/pipelines/report"
	"github.com/quire-ml/quire/runners/workflow"
	"github.com/quire-ml/quire/transforms/dataset"
)

// versionResult is the facts of a program on a machine.
type versionResult struct {
	Version  string            `json:"version"`  // of the module; (devel) for a build of a working tree
	Revision string            `json:"revision"` // of the source; empty where the build did not note it, as with go run
	Modified bool              `json:"modified"` // the source had changes beside the revision
	Go       string            `json:"go"`
	Platform string            `json:"platform"`
	Kernels  string            `json:"kernels"` // the variant in use
	Device   string            `json:"device"`
	Threads  int               `json:"threads"`
	Formats  map[string]string `json:"formats"` // set, checkpoint, record: the formats that this program reads
}

// version returns the facts of this program on this machine.
func version() (*versionResult, error) {
	variant, err := kernel.Variant()
	if err != nil {
		return nil, err
	}
	v := &versionResult{Version: "unknown", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
		Kernels: variant, Device: device, Threads: runtime.GOMAXPROCS(0),
		Formats: map[string]string{"set": dataset.Format, "checkpoint": checkpoint.Format, "record": workflow.RecordFormat}}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v, nil
	}
	v.Version = info.Main.Version
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Revision = s.Value
		case "vcs.modified":
			v.Modified = s.Value == "true"
		}
	}
	return v, nil
}

// String is the same in words, a line for each fact.
func (v *versionResult) String() string {
	revision := v.Revision
	switch {
	case revision == "":
		revision = "unknown: built by go run, or with -buildvcs=false"
	case v.Modified:
		revision += ", modified"
	}
	return strings.Join([]string{
		"quire     " + v.Version,
		"revision  " + revision,
		"go        " + v.Go + " " + v.Platform,
		"kernels   " + v.Kernels,
		"device    " + v.Device + ", " + report.Count(v.Threads, "thread"),
		"formats   " + strings.Join([]string{v.Formats["set"], v.Formats["checkpoint"], v.Formats["record"]}, ", "),
	}, "\n")
}

// Version is the command that says which program this is.
func Version() *cobra.Command {
	var o common
	return build(&o, "version", "Print the version, the kernels, the device and the formats",
		`Version prints the module's version and revision, the Go that built it, the kernels and the
device that it computes with, and the formats of sets, checkpoints and records that it reads.`,
		"  version\n  version --json",
		func(c *cobra.Command) error {
			v, err := version()
			if err != nil {
				return err
			}
			return o.print(c, v, func(w io.Writer) { fmt.Fprintln(w, v) })
		})
}

// addVersion gives a program the flag --version.
func addVersion(c *cobra.Command) {
	if v, err := version(); err == nil {
		c.Version = v.String()
		c.SetVersionTemplate("{{.Version}}\n")
	}
}
