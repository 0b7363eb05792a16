package command

import (
	"errors"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/quire-ml/quire/pipelines/watch"
	"github.com/quire-ml/quire/runners/store"
)

// watchIdle is for how long a run is watched that nobody trains any more: a machine that a
// cloud has taken back has another in its place within minutes.
const watchIdle = 5 * time.Minute

func runsWatch() *cobra.Command {
	var o common
	var once bool
	c := build(&o, "watch [RUN]", "Show the progress of a training that runs anywhere, from its files alone",
		`Watch shows who trains a run, since when, how far it is, its losses, its speed and the time of
its last sign of life, until the training ends. It reads the files of the run, so the training may
be on another machine; it changes nothing. RUN is the folder or gs:// URL of a run, its key in
the workdir or the beginning of one, or the id of a round; without it, the run that was written
last. Where nobody trains and steps are left, it says who was the last and ends with exit code 1;
a training that it has seen live is given 5 minutes to go on elsewhere. In a bucket it takes 30
requests a minute, and 5 where nothing changes.`,
		"  runs watch --config shakespeare\n  runs watch gs://bucket/work/run --once --json", nil)
	c.Flags().BoolVar(&once, "once", false, "look once")
	c.Args, c.ValidArgsFunction = positional(0, 1), completeRuns(&o)
	c.RunE = func(c *cobra.Command, args []string) error {
		r, err := o.load()
		if err != nil {
			return err
		}
		name := ""
		if len(args) > 0 {
			name = args[0]
		}
		path, err := watch.Find(c.Context(), r.Config.Workdir, r.Config.Train.Out, name)
		if err != nil {
			return err
		}
		st, err := store.Open(c.Context(), path)
		if err != nil {
			return err
		}
		defer st.Close()
		look, err := watchRun(c, &o, st, once)
		if look == nil || err != nil && !errors.As(err, new(*watch.NobodyError)) {
			return err
		}
		return errors.Join(o.print(c, look, look.Print), err)
	}
	return c
}

// watchRun looks at a run until its training ends, or once.
func watchRun(c *cobra.Command, o *common, st *store.Store, once bool) (*watch.Look, error) {
	if !once {
		return watch.Follow(c.Context(), st, watch.Options{Console: o.console(c), Idle: watchIdle})
	}
	w := watch.New(st)
	w.Damaged = func(err error) { o.console(c).Warn("watch: %v", err) }
	look, err := w.Look(c.Context())
	if err == nil && look.State != watch.Training && look.State != watch.Ended {
		err = &watch.NobodyError{Look: look}
	}
	return look, err
}

// watchRemedy is remedy for a run that nobody trains, and for one that there is not.
func watchRemedy(err error) string {
	var nobody *watch.NobodyError
	var found *watch.FindError
	switch {
	case errors.As(err, &nobody) && nobody.Look.State != watch.Diverged:
		return "; start `run`, or what began it, again to go on"
	case nobody != nil && !strings.Contains(nobody.Look.Reason, "train.lr"):
		return "; use a smaller train.lr, or train.clip_norm: 1"
	case errors.As(err, &found) && found.Name == "":
		return "; a run begins when its training does: `plan` says what comes before"
	case found != nil:
		if advice := workdirRemedy(found.Name); advice != "" {
			return advice
		}
		return "; `runs list` lists the rounds, and without an argument the newest run is watched"
	}
	return ""
}

// completeRuns offers the keys of the workdir's runs, the newest first, and its rounds; the
// shell adds folders.
func completeRuns(o *common) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
		r, err := o.load()
		if err != nil || len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		st, err := store.Open(c.Context(), r.Config.Workdir)
		if err != nil {
			return nil, cobra.ShellCompDirectiveDefault
		}
		defer st.Close()
		var names []string
		if all, err := watch.Runs(c.Context(), st); err == nil {
			for _, one := range all {
				names = append(names, cobra.CompletionWithDesc(one.Key, "written "+one.Changed.UTC().Format(time.RFC3339)))
			}
		}
		rounds, _ := completeRounds(o, 1)(c, args, word)
		return append(names, rounds...), cobra.ShellCompDirectiveDefault | cobra.ShellCompDirectiveKeepOrder
	}
}
