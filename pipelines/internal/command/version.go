package command

import (
	"cmp"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"github.com/quire-ml/quire/model/checkpoint"
	"github.com/quire-ml/quire/model/kernel"
	"github.com/quire-ml/quire/pipelines/device"
	"github.com/quire-ml/quire/pipelines/receipt"
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
	Device   string            `json:"device"`  // gpu where there is one that can be used, else cpu
	GPU      string            `json:"gpu"`     // its name and driver; empty for none
	Lacks    string            `json:"lacks"`   // why there is none
	Threads  int               `json:"threads"`
	Formats  map[string]string `json:"formats"` // set, checkpoint, record, receipt: the formats that this program reads
}

// release is the version of a build that has no other: the linker sets it, see
// configs/deploy/Dockerfile.
var release string

// named returns the version of a program: of its release, else of its module.
func named(info *debug.BuildInfo) string { return cmp.Or(release, info.Main.Version) }

// version returns the facts of this program on this machine. It asks the driver for a
// GPU, which takes a part of a second where there is one.
func version() (*versionResult, error) {
	variant, err := kernel.Variant()
	if err != nil {
		return nil, err
	}
	v := &versionResult{Version: "unknown", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
		Kernels: variant, Threads: runtime.GOMAXPROCS(0),
		Formats: map[string]string{"set": dataset.Format, "checkpoint": checkpoint.Format, "record": workflow.RecordFormat,
			"receipt": receipt.Format}}
	v.Device, v.GPU, v.Lacks = device.Find()
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v, nil
	}
	v.Version = named(info)
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
		"gpu       " + cmp.Or(v.GPU, "none: "+v.Lacks),
		"formats   " + strings.Join([]string{v.Formats["set"], v.Formats["checkpoint"], v.Formats["record"], v.Formats["receipt"]}, ", "),
	}, "\n")
}

// Version is the command that says which program this is.
func Version() *cobra.Command {
	var o common
	return build(&o, "version", "Print the version, the kernels, the device and the formats",
		`Version prints the module's version and revision, the Go that built it, the kernels and the
device that train.device auto takes, the GPU and its driver, and the formats of sets, checkpoints,
records and receipts that it reads.`,
		"  version\n  version --json",
		func(c *cobra.Command) error {
			v, err := version()
			if err != nil {
				return err
			}
			return o.print(c, v, func(w io.Writer) { fmt.Fprintln(w, v) })
		})
}

// The driver is asked when the text is printed, not when a program starts.
func init() { cobra.AddTemplateFunc("facts", version) }

// addVersion gives a program the flag --version.
func addVersion(c *cobra.Command) {
	c.Version = "version" // any text gives the program the flag
	c.SetVersionTemplate("{{facts}}\n")
}
