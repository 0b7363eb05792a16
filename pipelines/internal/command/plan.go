package command

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/quire-ml/quire/pipelines/gate"
	"github.com/quire-ml/quire/pipelines/report"
	"github.com/quire-ml/quire/pipelines/round"
	"github.com/quire-ml/quire/runners/workflow"
)

// roundFlags say which stages of a round run.
type roundFlags struct {
	from, to string
	force    []string
	verify   bool
}

func (r *roundFlags) add(f *pflag.FlagSet) {
	f.StringVar(&r.from, "from", "", "the first stage: those before it must be done already")
	f.StringVar(&r.to, "to", "", "the last stage: those after it are left out")
	f.StringArrayVar(&r.force, "force", nil, "run this stage although it is done, and replace its damaged files (repeatable)")
	f.BoolVar(&r.verify, "verify", false, "read the corpus and all artifacts, not only what seems changed, and download https sources")
}

// set puts the flags into the options of a round.
func (r *roundFlags) set(o *round.Options) {
	o.From, o.To, o.Force, o.Verify = r.from, r.to, r.force, r.verify
}

// Plan is the command that says what a round would do.
func Plan(mine ...round.Stage) *cobra.Command {
	var o common
	var f roundFlags
	c := build(&o, "plan", "Say what a round would do, and why",
		`Plan prints for each stage whether run, with the same config and flags, would run or skip
it, why, on which node, and in what time by earlier rounds. It reads the corpus, and downloads it if
necessary. It makes nothing. Files of a workdir that are missing would be made again. A file
that is damaged stops the round, and the plan. Where the gate would refuse the model, as far as that
is known before the round, the exit code is 3, as that of run.`,
		"  plan --config shakespeare\n  plan --set train.lr=0.002 --to evaluate",
		func(c *cobra.Command) error {
			r, err := o.load()
			if err != nil {
				return err
			}
			options := round.Options{Console: o.console(c), Stages: mine, AnyPrompt: r.Shipped("generate.prompt")}
			f.set(&options)
			plan, err := round.Plan(c.Context(), &r.Config, options)
			refused := errors.Is(err, gate.ErrRefused)
			if err != nil && !refused && plan != nil && !o.json {
				printPlan(c.OutOrStdout(), plan) // up to the stage that stops
			}
			if err != nil && !refused || plan == nil {
				return wrongStages(c, err)
			}
			return errors.Join(o.print(c, plan, func(w io.Writer) { printPlan(w, plan) }), err)
		})
	f.add(c.Flags())
	return c
}

func printPlan(w io.Writer, p *workflow.Plan) {
	for _, s := range p.Stages {
		for i, why := range s.Reasons {
			if i == 0 {
				fmt.Fprintf(w, "%-9s %-4s  %s\n", s.Name, s.Action, why)
			} else {
				fmt.Fprintf(w, "%15s %s\n", "", why)
			}
		}
		if s.Action == workflow.ActionRun {
			if s.On != "" {
				fmt.Fprintf(w, "%15s on %s\n", "", s.On)
			}
			if text := costs(s); text != "" {
				fmt.Fprintf(w, "%15s %s\n", "", text)
			}
		}
	}
}

// costs says what a stage has to do, and in what time; empty where that is not
// known.
func costs(s workflow.PlanStage) string {
	text := ""
	if s.Cost != nil && s.Cost.Bytes > 0 {
		text = fmt.Sprintf("%d bytes to read", s.Cost.Bytes)
	}
	if s.Cost != nil && s.Cost.Steps > 0 {
		text = report.Count(int(s.Cost.Steps-s.Cost.Done), "step")
		if s.Cost.Done > 0 {
			text += fmt.Sprintf(", after %d that are done", s.Cost.Done)
		}
	}
	if s.Seconds != nil {
		if text != "" {
			text += ", "
		}
		text += "about " + minutes(*s.Seconds) + ", as in earlier rounds"
	}
	return text
}

// minutes is a time for a person.
func minutes(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	if d < time.Minute {
		return fmt.Sprintf("%.1f seconds", d.Seconds())
	}
	return fmt.Sprintf("%.1f minutes", d.Minutes())
}
