package command

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/quire-ml/quire/pipelines/gate"
	"github.com/quire-ml/quire/pipelines/round"
)

// Run is the command that takes a corpus all the way to a sample.
func Run(mine ...round.Stage) *cobra.Command {
	var o common
	var f roundFlags
	var runner string
	var verbose bool
	c := build(&o, "run", "One round: prep, train, evaluate, gate, promote, sample",
		"Run takes a corpus all the way to a model that writes text. It skips what is already done\nand says why. Without --config it learns from a text that Go itself ships.",
		"  run\n  run --config shakespeare\n  run --set corpus.sources=book.txt --set workdir=work/book",
		func(c *cobra.Command) error {
			r, err := o.load()
			if err != nil {
				return err
			}
			if err := preflight(c, &r.Config, runner, r.Config.Workdir); err != nil {
				return err
			}
			if err := waits(c, runner); err != nil {
				return err
			}
			options := round.Options{Runner: runner, Verbose: verbose, Config: r.YAML(), Console: o.console(c), Stages: mine}
			o.begin(options.Console, r)
			f.set(&options)
			res, err := round.Run(c.Context(), &r.Config, options)
			if err != nil && !errors.Is(err, gate.ErrRefused) {
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
	for _, line := range [][2]string{{"set", r.Set}, {"run", r.Run}, {"promoted", r.Promoted}, {"record", r.Record}} {
		if line[1] != "" {
			fmt.Fprintf(w, "%-9s %s\n", line[0], line[1])
		}
	}
}

// Config is the command that prints the resolved config.
func Config() *cobra.Command {
	var o common
	c := build(&o, "config", "Print the resolved config",
		"Config prints every key with its value. `config explain KEY` says who set it, its default,\nits range and its meaning.",
		"  config --config shakespeare\n  config explain train.lr --set train.lr=0.002",
		func(c *cobra.Command) error {
			r, err := o.load()
			if err != nil {
				return err
			}
			return o.print(c, r.Values(), func(w io.Writer) { fmt.Fprintf(w, "%s", r.YAML()) })
		})
	var e common
	explain := build(&e, "explain KEY", "Say who set a key, its default, its range and its meaning", "", "  config explain train.lr", nil)
	explain.Args = func(c *cobra.Command, args []string) error {
		if err := cobra.ExactArgs(1)(c, args); err != nil {
			return usage(c, err)
		}
		return nil
	}
	explain.RunE = func(c *cobra.Command, args []string) error {
		r, err := e.load()
		if err != nil {
			return err
		}
		text, err := r.Explain(args[0])
		if err != nil {
			return err
		}
		return e.print(c, map[string]string{"key": args[0], "explanation": text}, func(w io.Writer) { fmt.Fprintln(w, text) })
	}
	c.AddCommand(explain)
	return c
}
