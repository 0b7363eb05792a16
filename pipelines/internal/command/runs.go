package command

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/quire-ml/quire/pipelines/gate"
	"github.com/quire-ml/quire/pipelines/round"
	"github.com/quire-ml/quire/runners/workflow"
)

// Runs are the commands that read the records of rounds.
func Runs() *cobra.Command {
	c := &cobra.Command{Use: "runs", Short: "List, show and compare the rounds of a workdir, and watch a training", DisableFlagsInUseLine: true,
		Long: "Runs reads the records of rounds below the workdir, and the files of a run.",
		Args: positional(0, 0),
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() }}
	c.AddCommand(runsList(), runsShow(), runsDiff(), runsWatch())
	return c
}

func runsList() *cobra.Command {
	var o common
	return build(&o, "list", "List the rounds, the oldest first", "", "  runs list --config shakespeare",
		func(c *cobra.Command) error {
			r, err := o.load()
			if err != nil {
				return err
			}
			res, err := round.List(c.Context(), r.Config.Workdir)
			if err != nil {
				return err
			}
			o.warn(c, res.Damaged)
			return o.print(c, res, func(w io.Writer) { printRounds(w, res.Rounds) })
		})
}

func printRounds(w io.Writer, rounds []round.Summary) {
	fmt.Fprintf(w, "%-20s  %-20s  %9s  %-11s  %-9s  %s\n", "round", "began", "seconds", "exit", "nats/char", "ran")
	for _, r := range rounds {
		nats := "-"
		if r.NatsPerChar != nil {
			nats = fmt.Sprintf("%.4f", *r.NatsPerChar)
		}
		fmt.Fprintf(w, "%-20s  %-20s  %9.1f  %-11s  %-9s  %s\n",
			r.Round, r.Began.Format(time.RFC3339), r.Seconds, r.Exit, nats, strings.Join(r.Ran, " "))
	}
}

func runsShow() *cobra.Command {
	var o common
	c := build(&o, "show [ID | latest]", "Show a round, and what its sample comes from",
		`Show prints what a round did at each stage, and the way back from its sample: to the
checkpoint, the set and the source files. Without an ID, and with
latest, it shows the newest round.`,
		"  runs show 20261125T030000Z --config shakespeare", nil)
	c.Args, c.ValidArgsFunction = positional(0, 1), completeRounds(&o, 1)
	c.RunE = func(c *cobra.Command, args []string) error {
		r, err := o.load()
		if err != nil {
			return err
		}
		id := round.Newest
		if len(args) > 0 {
			id = args[0]
		}
		res, err := round.Show(c.Context(), r.Config.Workdir, id)
		if err != nil {
			return err
		}
		o.warn(c, res.Damaged)
		return o.print(c, res, func(w io.Writer) { printShown(w, res) })
	}
	return c
}

func printShown(w io.Writer, r *round.Shown) {
	fmt.Fprintf(w, "round     %s, %s\n", r.Round, r.Exit)
	fmt.Fprintf(w, "began     %s, took %s\n", r.Began.Format(time.RFC3339), minutes(r.Ended.Sub(r.Began).Seconds()))
	if r.Error != nil {
		fmt.Fprintf(w, "error     %s: %s\n", strings.TrimSpace(r.Error.Stage+" "+r.Error.Class), r.Error.Message)
	}
	decision, judged, _ := round.DecisionArtifact.Recorded(r.Record) // one that cannot be read has no findings
	for _, s := range r.Stages {
		if s.Live {
			continue
		}
		fmt.Fprintf(w, "\n%s: %s, key %s\n", s.Name, s.Action, s.Key)
		for _, why := range s.Reasons {
			fmt.Fprintf(w, "  because  %s\n", why)
		}
		if s.Digest != "" {
			fmt.Fprintf(w, "  made     %s %.12s, in %s\n", s.Artifact, s.Digest, minutes(s.Seconds))
		}
		for _, m := range round.Figures(s) {
			fmt.Fprintf(w, "  %-28s %v\n", m.Key, m.Value)
		}
		if judged != nil && s.Name == judged.Name {
			printChecks(w, decision.Checks)
		}
	}
	if len(r.Lineage) > 0 {
		fmt.Fprintf(w, "\nlineage of the sample\n")
	}
	for _, l := range r.Lineage {
		fmt.Fprintf(w, "  %-10s  %s  sha256 %s\n", l.What, l.Name, l.SHA256)
	}
}

// printChecks prints the findings of a gate, a line each.
func printChecks(w io.Writer, checks []gate.Check) {
	for _, k := range checks {
		verdict := "refused"
		if k.Passed {
			verdict = "passed"
		}
		fmt.Fprintf(w, "  %-7s  %-10s  %s\n", verdict, k.Name, k.Text)
	}
}

func runsDiff() *cobra.Command {
	var o common
	c := build(&o, "diff A B", "Compare two rounds: config and metrics side by side",
		"Diff compares two rounds by their IDs; latest is the newest round.",
		"  runs diff 20261124T030000Z 20261125T030000Z", nil)
	c.Args, c.ValidArgsFunction = positional(2, 2), completeRounds(&o, 2)
	c.RunE = func(c *cobra.Command, args []string) error {
		r, err := o.load()
		if err != nil {
			return err
		}
		res, err := round.Diff(c.Context(), r.Config.Workdir, args[0], args[1])
		if err != nil {
			return err
		}
		o.warn(c, res.Damaged)
		return o.print(c, res, func(w io.Writer) { printDiff(w, res) })
	}
	return c
}

func printDiff(w io.Writer, d *round.Comparison) {
	table := func(title string, rows []round.Compared) {
		width := len(title)
		for _, r := range rows {
			width = max(width, len(r.Key))
		}
		fmt.Fprintf(w, "%-*s  %-22s  %s\n", width, title, d.A, d.B)
		for _, r := range rows {
			fmt.Fprintf(w, "%-*s  %-22s  %s\n", width, r.Key, orDash(r.A), orDash(r.B))
		}
	}
	table("config", d.Config)
	fmt.Fprintln(w)
	table("metrics", d.Metrics)
}

func orDash(value any) string {
	if value == nil {
		return "-"
	}
	return fmt.Sprint(value)
}

// wrongStages turns an error about the names of stages into one of usage.
func wrongStages(c *cobra.Command, err error) error {
	if wrong, ok := err.(workflow.SelectionError); ok {
		return usage(c, wrong)
	}
	return err
}
