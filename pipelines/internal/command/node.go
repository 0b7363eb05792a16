package command

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/quire-ml/quire/pipelines/device"
	"github.com/quire-ml/quire/pipelines/remote"
	"github.com/quire-ml/quire/pipelines/report"
	"github.com/quire-ml/quire/runners/node"
	"github.com/quire-ml/quire/runners/store"
)

// Node is the command by which a machine answers another one that asks whether stages of
// its rounds can run here.
func Node() *cobra.Command {
	var o common
	var request string
	c := build(&o, "node", "Answer another machine that runs stages here",
		`Node is what a round runs on the machine of the section node, before any work: it reads the
request that the round has written into the workdir, writes there, and prints which program
this is and on what it would train.`,
		"  node --request PATH",
		func(c *cobra.Command) error {
			if request == "" {
				return usage(c, errors.New("--request is missing; a round gives it"))
			}
			return attend(c, request, remote.Check)
		})
	c.Hidden = true
	addRequest(c, &request)
	return c
}

// addRequest adds the flag by which a round on another machine asks for a stage.
func addRequest(c *cobra.Command, request *string) {
	c.Flags().StringVar(request, "request", "", "do what a round on another machine asks for, in this object of the workdir")
	_ = c.Flags().MarkHidden("request") // the flag is there
}

// toldError is an error that the machine which asked for the job was told of.
type toldError struct{ error }

func (e toldError) Unwrap() error { return e.error }

// attend does the work of a request. The other machine reads how it ends from standard
// output, and may be gone meanwhile; see node.Attendant.
func attend(c *cobra.Command, request, stage string) error {
	ctx, a := node.Attend(c.Context(), c.InOrStdin(), raw(c.OutOrStdout()), raw(c.ErrOrStderr()))
	ctx = store.WithNotices(ctx, func(line string) { fmt.Fprintf(a.Console(), "quire: %s\n", line) })
	r, config, err := remote.Read(ctx, request, stage)
	var result []byte
	if err == nil {
		name, gpu, _ := device.Find()
		if gpu != "" {
			name = gpu
		}
		var made any
		if made, err = r.Do(ctx, config, name, report.NewConsole(a.Console(), false)); err == nil {
			result, err = json.Marshal(made)
		}
	}
	message := ""
	if err != nil {
		message = err.Error() + remedy(err)
	}
	a.End(result, remote.Ended(err, exitCode(err), message))
	if err != nil {
		return toldError{err}
	}
	return nil
}

// raw is where an output of Execute goes: its errors are not those of the job.
func raw(w io.Writer) io.Writer {
	if o, ok := w.(*output); ok {
		return o.w
	}
	return w
}
