package command

import (
	"cmp"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/quire-ml/quire/pipelines/promotion"
)

// Promote is the command that changes the model in service by hand.
func Promote() *cobra.Command {
	var o common
	var which string
	var rollback, history bool
	c := build(&o, "promote CHECKPOINT", "Change the model in service by hand",
		`Promote puts a checkpoint into service without asking the gate; --rollback puts the one back
that was in service before, and again, the one before that. A model that is replaced by hand
is withdrawn: rounds do not bring it back. --history lists the promotions, the last one first.
Every model that was in service has a copy in promoted/, below workdir: its run may go.`,
		"  promote work/quickstart/runs/3c2b…\n  promote --rollback\n  promote --history", nil)
	c.Args = func(c *cobra.Command, args []string) error {
		want := 1
		if rollback || history {
			want = 0
		}
		if rollback && history {
			return usage(c, errors.New("--rollback and --history exclude each other"))
		}
		return arguments(c, args, want, want)
	}
	c.RunE = func(c *cobra.Command, args []string) error {
		r, err := o.load()
		if err != nil {
			return err
		}
		if err := checkWhich(c, which); err != nil {
			return err
		}
		workdir := r.Config.Workdir
		if history {
			var damaged []error
			all, err := promotion.History(c.Context(), workdir, func(err error) { damaged = append(damaged, err) })
			o.warn(c, damaged)
			if err != nil {
				return err
			}
			return o.print(c, map[string]any{"promotions": all}, func(w io.Writer) { printHistory(w, all) })
		}
		var res *promotion.Result
		if rollback {
			res, err = promotion.Rollback(c.Context(), workdir)
		} else {
			res, err = promotion.Promote(c.Context(), workdir, args[0], which)
		}
		if err != nil {
			return err
		}
		return o.print(c, res, func(w io.Writer) {
			fmt.Fprintf(w, "promoted  %s\n", res.Promoted)
			if res.Previous != "" {
				fmt.Fprintf(w, "previous  %s\n", res.Previous)
			}
		})
	}
	c.Flags().StringVar(&which, "which", "best", "checkpoint of a run directory: best, latest or step:N")
	complete(c, "which", completeWhich(&o))
	c.Flags().BoolVar(&rollback, "rollback", false, "put the model back that was in service before")
	c.Flags().BoolVar(&history, "history", false, "list the promotions")
	return c
}

func printHistory(w io.Writer, all []promotion.Promoted) {
	for _, p := range all {
		by := "by " + p.By
		if p.At != "" {
			by += " at " + p.At
		}
		fmt.Fprintf(w, "%4d  %s  %.12s  %s\n", p.Number, cmp.Or(p.From, p.Checkpoint), p.SHA256, by)
	}
}
