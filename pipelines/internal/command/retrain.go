package command

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/quire-ml/quire/pipelines/round"
	"github.com/quire-ml/quire/runners/schedule"
)

// Retrain is the command that runs rounds on a schedule.
func Retrain() *cobra.Command { return retrain() }

func retrain(mine ...round.Stage) *cobra.Command {
	var o common
	var runner, slot string
	var once, verbose bool
	c := build(&o, "retrain", "Rounds on a schedule",
		"Retrain stays and runs a round at each slot of the config's schedule. SIGTERM ends it with\nexit code 75 when a round that runs has saved; started again, it goes on. Several may run,\non any machines: a slot is run once.\n\n--once runs the round of one slot, for a cron job of Kubernetes, a systemd timer or a job of\na cloud: that of --slot, or the last that came. A slot that was decided before is skipped.",
		"  retrain --config shakespeare --set 'schedule.cron=0 3 * * *' --set schedule.timezone=Europe/Berlin\n  retrain --once --slot 2026-11-24T03:00:00+01:00", nil)
	c.RunE = func(c *cobra.Command, _ []string) error {
		r, err := o.load()
		if err != nil {
			return err
		}
		var at time.Time
		if slot != "" {
			if !once {
				return usage(c, errors.New("--slot is for --once"))
			}
			if at, err = schedule.ParseSlot(slot); err != nil {
				return usage(c, err)
			}
		}
		if err := preflight(c, &r.Config, runner, r.Config.Workdir); err != nil {
			return err
		}
		if err := waits(c, runner); err != nil {
			return err
		}
		options := round.Options{Runner: runner, Verbose: verbose, Config: r.YAML(), Console: o.console(c), Stages: mine,
			AnyPrompt: r.Shipped("generate.prompt")}
		if !once {
			return round.Retrain(c.Context(), &r.Config, options)
		}
		res, err := round.RetrainOnce(c.Context(), &r.Config, options, at)
		var none *schedule.NoSlotError
		switch {
		case errors.As(err, &none):
			return usage(c, err)
		case res == nil:
			return err
		}
		return errors.Join(o.print(c, res, func(w io.Writer) { printSlot(w, res) }), err)
	}
	beamFlags(c, &runner)
	c.Flags().BoolVar(&verbose, "verbose", false, "show Beam's own log")
	c.Flags().BoolVar(&once, "once", false, "run the round of one slot and end")
	c.Flags().StringVar(&slot, "slot", "", "with --once: the slot's time, 2026-11-24T03:00:00+01:00 or 20261124T020000Z (default: the last that came)")
	return c
}

func printSlot(w io.Writer, r *round.RetrainResult) {
	fmt.Fprintf(w, "slot      %s\nstatus    %s\n", r.Slot, r.Status)
	if r.Reason != "" {
		fmt.Fprintf(w, "reason    %s\n", r.Reason)
	}
	if r.Round != "" {
		fmt.Fprintf(w, "round     %s\n", r.Round)
	}
}
