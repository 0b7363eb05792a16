package command

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/quire-ml/quire/pipelines/inspect"
)

// Inspect is the command that describes a checkpoint, a run, a set or a shard.
func Inspect() *cobra.Command {
	var o common
	var which string
	var first int
	var metrics, diff bool
	c := build(&o, "inspect [PATH]", "Describe a checkpoint, a run, a set or a shard",
		`Inspect verifies and describes the artifact at a path. Without a path it describes the
set at prep.out, else that of the latest round. A set's first sequences are shown as input
and target. --metrics shows the losses of a run or a checkpoint; --diff compares two
checkpoints: their settings, metrics and tensors.`,
		`  inspect work/quickstart/set
  inspect work/quickstart/run --which latest
  inspect work/quickstart/run --metrics
  inspect --diff work/a/run work/b/run --which step:500`, nil)
	c.Args = func(c *cobra.Command, args []string) error {
		switch {
		case metrics && diff:
			return usage(c, errors.New("--metrics and --diff exclude each other"))
		case diff && len(args) != 2:
			return usage(c, fmt.Errorf("--diff compares two checkpoints or runs, given are %d", len(args)))
		case diff:
			return nil
		}
		return arguments(c, args, 0, 1)
	}
	c.RunE = func(c *cobra.Command, args []string) error {
		r, err := o.load()
		if err != nil {
			return err
		}
		if err := checkWhich(c, which); err != nil {
			return err
		}
		var res *inspect.Result
		switch {
		case diff:
			res, err = inspect.Diff(c.Context(), args[0], args[1], which)
		case metrics:
			var path string
			if path, err = pathOr(args, func() (string, error) { return runOf(c, r, o.console(c)) }); err == nil {
				res, err = inspect.Metrics(c.Context(), path, which)
			}
		default:
			var path string
			if path, err = pathOr(args, func() (string, error) { return o.setOf(c, r, "", false) }); err == nil {
				res, err = inspect.Describe(c.Context(), path, which, first)
			}
		}
		if err != nil {
			return err
		}
		return o.print(c, res, func(w io.Writer) { printInspect(w, res) })
	}
	c.Flags().StringVar(&which, "which", "best", "checkpoint of a run directory: best, latest or step:N")
	complete(c, "which", completeWhich(&o))
	c.Flags().IntVar(&first, "first", 1, "sequences or records to show")
	c.Flags().BoolVar(&metrics, "metrics", false, "show the losses of a run or checkpoint (default: train.out, else the latest round's)")
	c.Flags().BoolVar(&diff, "diff", false, "compare two checkpoints or runs")
	return c
}

// pathOr returns the argument, if there is one.
func pathOr(args []string, otherwise func() (string, error)) (string, error) {
	if len(args) > 0 {
		return args[0], nil
	}
	return otherwise()
}
