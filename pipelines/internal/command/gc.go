package command

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/pipelines/gc"
	"github.com/quire-ml/quire/pipelines/report"
	"github.com/quire-ml/quire/runners/store"
)

// GC is the command that removes what nothing of a workdir reaches any more.
func GC() *cobra.Command {
	var o common
	var remove, cache, all bool
	c := build(&o, "gc", "Remove what no round, model or pin that stays needs", gcHelp,
		`  gc --keep-last 7
  gc --keep-daily 14 --keep-weekly 8 --keep-monthly 12 --delete
  gc --keep-within 30d --keep-promotions 5 --keep-sweep 3c2b7a10 --delete
  gc --config nightly.yaml --delete --cache`, nil)
	c.RunE = func(c *cobra.Command, _ []string) error {
		r, err := o.load(gcFlags(c.Flags())...)
		if err != nil {
			return err
		}
		options, err := gc.Of(&r.Config)
		if err != nil {
			return err
		}
		options.Delete, options.Cache = remove, cache
		console := o.console(c)
		st, err := store.Open(c.Context(), r.Config.Workdir)
		if err != nil {
			return err
		}
		defer st.Close()
		res, err := gc.Run(c.Context(), st, options)
		var held *store.HeldError
		switch {
		case errors.As(err, &held):
			return fmt.Errorf("gc: process %d on %s removes already: %w", held.PID, held.Host, err)
		case err != nil && res != nil && res.Deleted:
			console.Warn("gc: stopped: %v; start it again to go on", res)
			return err
		case err != nil:
			return err
		}
		return o.print(c, res, func(w io.Writer) { printGC(w, res, all) })
	}
	f := c.Flags()
	for _, k := range gcKeys {
		f.String(k.flag, "", k.help)
	}
	f.BoolVar(&remove, "delete", false, "remove it; without, nothing is removed")
	f.BoolVar(&cache, "cache", false, "also this user's downloads and caches that are older than a day")
	f.BoolVar(&all, "all", false, "print every item; without, the smaller ones that go are summed up")
	return c
}

const gcHelp = `Gc shows what goes and what stays, and why; --delete removes what goes.

Flags, or the section gc of the config, say which rounds stay. A round stays that one of them
keeps, as in restic's forget: the last n; the last of each of the last n days, weeks or months
that have a round, in schedule.timezone; all within a time before the newest round. Only rounds
count whose model was judged. With them stays what they reach: sets, runs, outcomes. The model
in service stays in any case, those to which rollbacks lead (--keep-promotions), pinned runs,
named sweeps, and what a round, a training or a sweep uses that runs or was interrupted.

Files that quire has not made stay, and are listed. Gc may run beside rounds. Killed, it is
started again. With a rule in the section gc, retrain does the same after a promoted round.`

// gcKeys are the flags that stand for keys of the section gc.
var gcKeys = []struct{ flag, key, help string }{
	{"keep-last", "gc.keep_last", "keep the newest rounds, so many"},
	{"keep-daily", "gc.keep_daily", "keep the last round of each of so many days"},
	{"keep-weekly", "gc.keep_weekly", "keep the last round of each of so many weeks"},
	{"keep-monthly", "gc.keep_monthly", "keep the last round of each of so many months"},
	{"keep-within", "gc.keep_within", "keep the rounds within a time before the newest, such as 30d or 2y5m7d3h"},
	{"keep-promotions", "gc.keep_promotions", "keep so many models that were in service (default 10)"},
	{"keep-sweep", "gc.keep_sweeps", "keep these sweeps: keys or their beginnings, between commas; or all"},
}

// gcFlags returns the flags that are set.
func gcFlags(f *pflag.FlagSet) (set []configs.Flag) {
	for _, k := range gcKeys {
		if f.Changed(k.flag) {
			value, _ := f.GetString(k.flag) // it is one
			set = append(set, configs.Flag{Name: "--" + k.flag, Key: k.key, Value: value})
		}
	}
	return set
}

// Of the items that go, fewer bytes than a share of all are summed up.
const gcShare = 1000

// printGC prints what goes, what stays and why, and the sums.
func printGC(w io.Writer, r *gc.Result, all bool) {
	goes := "goes"
	if r.Deleted {
		goes = "gone"
	}
	small, smallBytes := 0, int64(0)
	for _, it := range r.Goes {
		if !all && it.Kind != "round" && it.Bytes < r.GoesBytes/gcShare {
			small, smallBytes = small+1, smallBytes+it.Bytes
			continue
		}
		fmt.Fprintf(w, "%-5s  %-9s  %9s  %s\n", goes, it.Kind, report.Bytes(it.Bytes), it.Name)
	}
	if small > 0 {
		fmt.Fprintf(w, "%-5s  %-9s  %9s  %s; --all prints them\n", goes, "", report.Bytes(smallBytes), report.Count(small, "smaller item"))
	}
	for _, it := range r.Left {
		fmt.Fprintf(w, "%-5s  %-9s  %9s  %s: %s\n", "left", it.Kind, report.Bytes(it.Bytes), it.Name, strings.Join(it.Why, "; "))
	}
	var outcomes, outcomeBytes int64
	for _, it := range r.Stays {
		if it.Kind == "outcome" && !all {
			outcomes, outcomeBytes = outcomes+1, outcomeBytes+it.Bytes
			continue
		}
		fmt.Fprintf(w, "%-5s  %-9s  %9s  %s: %s\n", "stays", it.Kind, report.Bytes(it.Bytes), it.Name, reasons(it.Why, all))
	}
	if outcomes > 0 {
		fmt.Fprintf(w, "%-5s  %-9s  %9s  %s of these\n", "stays", "outcome", report.Bytes(outcomeBytes), report.Count(int(outcomes), "outcome"))
	}
	for _, f := range r.Foreign {
		fmt.Fprintf(w, "%-5s  %-9s  %9s  %s\n", "stays", "not ours", report.Bytes(f.Bytes), f.Name)
	}
	fmt.Fprintf(w, "\n%-8s  %s, %s\n%-8s  %s, and %s of others\n", goes, report.Bytes(r.GoesBytes), report.Count(len(r.Goes), "item"),
		"stays", report.Bytes(r.StaysBytes), report.Bytes(r.ForeignBytes))
	if !r.Deleted && len(r.Goes) > 0 {
		fmt.Fprintf(w, "nothing is removed yet: add --delete\n")
	}
}

// reasons prints the first reasons, or all.
func reasons(why []string, all bool) string {
	most := 2
	if all || len(why) <= most {
		return strings.Join(why, "; ")
	}
	return strings.Join(why[:most], "; ") + fmt.Sprintf("; and %s more", report.Count(len(why)-most, "reason"))
}
