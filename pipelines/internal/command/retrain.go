package command

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/pipelines/report"
	"github.com/quire-ml/quire/pipelines/round"
	"github.com/quire-ml/quire/runners/schedule"
)

// Retrain is the command that runs rounds on a schedule.
func Retrain() *cobra.Command { return retrain() }

func retrain(mine ...round.Stage) *cobra.Command {
	var o common
	var runner, slot, listen string
	var once, again, list, reset, verbose bool
	c := build(&o, "retrain", "Rounds on a schedule", retrainHelp,
		`  retrain --config shakespeare --set 'schedule.cron=0 3 * * *' --set schedule.timezone=Europe/Berlin
  retrain --config shakespeare --listen :9090
  retrain --once --slot 2025-11-24T03:00:00+01:00
  retrain --list
  retrain --once --again`, nil)
	c.RunE = func(c *cobra.Command, _ []string) error {
		var flags []configs.Flag
		if listen != "" {
			flags = append(flags, configs.Flag{Key: "schedule.listen", Value: listen, Name: "--listen"})
		}
		r, err := o.load(flags...)
		if err != nil {
			return err
		}
		var at time.Time
		switch {
		case list && (once || reset) || once && reset:
			return usage(c, errors.New("--once, --list and --reset exclude each other"))
		case !once && (again || slot != ""):
			return usage(c, errors.New("--slot and --again are for --once"))
		case listen != "" && (once || list || reset):
			return usage(c, errors.New("--listen is for rounds on a schedule, without --once, --list and --reset"))
		case slot != "":
			if at, err = schedule.ParseSlot(slot); err != nil {
				return usage(c, err)
			}
		}
		if list || reset {
			return slots(c, &o, r, reset)
		}
		if err := preflightRound(c, &r.Config, runner); err != nil {
			return err
		}
		options := round.Options{Runner: runner, Verbose: verbose, Config: r.Portable(), Console: o.console(c), Stages: mine,
			AnyPrompt: r.Shipped("generate.prompt"), Remedy: remedy, Final: lostGPU, Report: reportOf}
		if !once {
			return daemon(c.Context(), &r.Config, options)
		}
		return oneSlot(c, &o, r, options, at, again)
	}
	beamFlags(c, &runner)
	c.Flags().BoolVar(&verbose, "verbose", false, "show Beam's own log")
	c.Flags().BoolVar(&once, "once", false, "run the round of one slot and end")
	c.Flags().BoolVar(&again, "again", false, "with --once: run the slot although it has run, has failed or was skipped")
	c.Flags().BoolVar(&list, "list", false, "list the slots that ran, failed or were skipped, and end")
	c.Flags().BoolVar(&reset, "reset", false, "let the schedule start over with the next slot, and end")
	c.Flags().StringVar(&listen, "listen", "", "answer /healthz, /livez and /metrics at HOST:PORT, or :PORT for this machine alone (schedule.listen)")
	c.Flags().StringVar(&slot, "slot", "", "with --once: the slot, 2025-11-24T03:00:00+01:00 or 20251124T020000Z (default: the last)")
	return c
}

const retrainHelp = `Retrain stays and runs a round at each slot of the config's schedule. SIGTERM ends it with
exit code 75 when a round that runs has saved; started again, it goes on. Several may run,
on any machines: a slot is run once.

--listen answers over HTTP: /metrics for Prometheus, /healthz with 200 or with 503 and what is
wrong, /livez likewise for the process alone. :9090 is for this machine; 0.0.0.0:9090 is for
all; port 0 is a free one.

--once runs the round of one slot, for a cron job of Kubernetes, a systemd timer or a job of
a cloud: that of --slot, or the last that came. The exit code is that of the slot: 0 done or
skipped, 1 failed, 3 the gate refused. A slot that was decided before is not run again, and
has its exit code again; --again runs it once more. A slot that another process runs is
waited for. An error that may pass, such as no network, is tried again for an hour at most,
or for half of the time to the next slot.

--list shows the slots. --reset helps where a wrong clock has decided slots that have not come,
or where schedule/state.json is damaged: it forgets them, and keeps what has run.`

// oneSlot runs the round of a slot.
func oneSlot(c *cobra.Command, o *common, r *configs.Resolved, options round.Options, at time.Time, again bool) error {
	res, err := round.RetrainOnce(c.Context(), &r.Config, options, at, again)
	var none *schedule.NoSlotError
	var future *schedule.FutureError
	switch {
	case errors.As(err, &none), errors.As(err, &future):
		return usage(c, err)
	case res == nil:
		return err
	}
	return errors.Join(o.print(c, res, func(w io.Writer) { printSlot(w, res) }), err)
}

// slots lists the slots of a workdir, or resets them.
func slots(c *cobra.Command, o *common, r *configs.Resolved, reset bool) error {
	options := round.Options{Console: o.console(c)}
	if reset {
		res, err := round.ResetSlots(c.Context(), &r.Config, options)
		if err != nil {
			return err
		}
		return o.print(c, res, func(w io.Writer) { printReset(w, res) })
	}
	res, err := round.Slots(c.Context(), &r.Config, options)
	if err != nil {
		return err
	}
	o.warn(c, res.Damaged)
	return o.print(c, res, func(w io.Writer) { printSlots(w, res) })
}

func printSlots(w io.Writer, r *round.SlotsResult) {
	fmt.Fprintf(w, "%-16s  %-7s  %-9s  %-18s  %s\n", "slot", "status", "exit", "round", "reason")
	for _, s := range r.Slots {
		fmt.Fprintf(w, "%-16s  %-7s  %-9s  %-18s  %s\n", s.Slot, s.Status, cmp.Or(s.Exit, "-"), cmp.Or(s.Round, "-"), below(58, s.Reason))
	}
	if r.Running != "" {
		fmt.Fprintf(w, "%-16s  running  -          -                   by %s\n", r.Running, r.Holder)
	}
	if r.Next != "" {
		fmt.Fprintf(w, "%-16s  next\n", r.Next)
	}
}

// below returns a text whose lines after the first are indented by n columns.
func below(n int, text string) string {
	return strings.ReplaceAll(text, "\n", "\n"+strings.Repeat(" ", n))
}

func printReset(w io.Writer, r *round.ResetResult) {
	fmt.Fprintf(w, "deleted   the records of %s that had not come\n", report.Count(len(r.Deleted), "slot"))
	if r.Left != "" {
		fmt.Fprintf(w, "left      slot %s, whose scheduler died; to run it: retrain --once --slot %s\n", r.Left, r.Left)
	}
	fmt.Fprintf(w, "next      %s\n", cmp.Or(r.Next, "none"))
}

func printSlot(w io.Writer, r *round.RetrainResult) {
	fmt.Fprintf(w, "slot      %s\nstatus    %s\n", r.Slot, r.Status)
	if r.Reason != "" {
		fmt.Fprintf(w, "reason    %s\n", below(10, r.Reason))
	}
	if r.Round != "" {
		fmt.Fprintf(w, "round     %s\n", r.Round)
	}
}
