package command

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/quire-ml/quire/pipelines/round"
)

// Run is the command that takes a corpus all the way to a sample.
func Run(mine ...round.Stage) *cobra.Command {
	var o common
	var f roundFlags
	var runner string
	var verbose bool
	c := build(&o, "run", "One round: prep, train, evaluate, gate, promote, sample",
		`Run takes a corpus all the way to a model that writes text. It skips finished
stages and says why. It writes sets, runs, records and promoted.json below workdir. Without
--config it learns from a text that Go itself ships.`,
		"  run\n  run --config shakespeare\n  run --set corpus.sources=book.txt --set workdir=work/book",
		func(c *cobra.Command) error {
			r, err := o.load()
			if err != nil {
				return err
			}
			if err := preflightRound(c, &r.Config, runner); err != nil {
				return err
			}
			options := round.Options{Runner: runner, Verbose: verbose, Config: r.Portable(), Console: o.console(c), Stages: mine,
				AnyPrompt: r.Shipped("generate.prompt"), Remedy: remedy, Report: reportOf}
			o.begin(options.Console, r)
			f.set(&options)
			res, err := round.Run(c.Context(), &r.Config, options)
			if res == nil {
				return wrongStages(c, err)
			}
			return errors.Join(o.print(c, res, func(w io.Writer) { printRound(w, res) }), err)
		})
	f.add(c.Flags()) // before Beam's, which has flags of some of these names
	beamFlags(c, &runner)
	c.Flags().BoolVar(&verbose, "verbose", false, "show Beam's own log")
	return c
}

func printRound(w io.Writer, r *round.Result) {
	if r.Sample != "" {
		fmt.Fprintf(w, "\n%s\n\n", r.Sample)
	}
	for _, line := range [][2]string{{"set", r.Set}, {"run", r.Run}, {"promoted", r.Promoted}, {"record", r.Record}, {"report", r.Report}} {
		if line[1] != "" {
			fmt.Fprintf(w, "%-9s %s\n", line[0], line[1])
		}
	}
}
