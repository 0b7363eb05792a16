package command

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/quire-ml/quire/pipelines/round"
	"github.com/quire-ml/quire/pipelines/sweep"
)

// Sweep is the command that tries the configs of a config's sweep section.
func Sweep(mine ...round.Stage) *cobra.Command {
	var o common
	var runner string
	var verbose bool
	c := build(&o, "sweep", "Train the trials of a config's sweep section, and say which is best",
		`Sweep trains and evaluates a model for each combination of the values in the section sweep,
as elements of a Beam pipeline, and writes a table, a picture and the best config. Trainings
of earlier sweeps and rounds are used again.

The best model is that of the lowest validation loss. Where its set has a test split
(prep.test.fraction above 0), the model's loss on the split is reported too, and that of
no other trial.

On a cluster the workdir is in gs://, or in a folder that all machines have at the same path.`,
		`  sweep --set sweep.train.lr=0.001,0.002,0.004
  sweep --set sweep.train.lr=0.001,0.002 --set 'sweep.model.hidden={from: 64, to: 256, by: x2}' --runner prism
  sweep --config grid.yaml --set sweep.pick=random --set sweep.trials=8`,
		func(c *cobra.Command) error {
			r, err := o.load()
			if err != nil {
				return err
			}
			trials, err := r.Trials()
			if err != nil {
				return err
			}
			if err := preflightRound(c, &r.Config, runner); err != nil {
				return err
			}
			console := o.console(c)
			o.begin(console, r)
			res, err := sweep.Run(c.Context(), r, trials, sweep.Options{Runner: runner, Verbose: verbose, Quiet: o.quiet,
				Config: o.config, Console: console, Stages: mine})
			if err != nil {
				return err
			}
			return o.print(c, res, func(w io.Writer) { printSweep(w, trials[res.Best.Trial-1].String(), r.Varied(), res) })
		})
	beamFlags(c, &runner)
	c.Flags().BoolVar(&verbose, "verbose", false, "show Beam's own log")
	return c
}

func printSweep(w io.Writer, best string, varied []string, r *sweep.Result) {
	fmt.Fprintf(w, "%5s  %8s  %8s  %10s", "trial", "nats", "step", "parameters")
	for _, key := range varied {
		fmt.Fprintf(w, "  %s", key)
	}
	fmt.Fprintln(w)
	for _, t := range r.Trials {
		nats, parameters := "diverged", ""
		if t.Nats != nil {
			nats, parameters = fmt.Sprintf("%.4f", *t.Nats), fmt.Sprint(t.Parameters)
		}
		fmt.Fprintf(w, "%5d  %8s  %8d  %10s", t.Trial, nats, t.Step, parameters)
		for _, key := range varied {
			fmt.Fprintf(w, "  %*v", len(key), t.Set[key])
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintf(w, "\nbest      trial %d, %s\n", r.Best.Trial, best)
	if r.Best.TestNats != nil {
		fmt.Fprintf(w, "test      %.4f nats a character\n", *r.Best.TestNats)
	}
	for _, line := range [][2]string{{"run", r.Best.Run}, {"config", r.Config}, {"table", r.Table}, {"picture", r.Picture}} {
		fmt.Fprintf(w, "%-9s %s\n", line[0], line[1])
	}
}
