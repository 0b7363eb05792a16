package command

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/model/run"
	"github.com/quire-ml/quire/pipelines/report"
	"github.com/quire-ml/quire/pipelines/round"
	"github.com/quire-ml/quire/runners/store"
)

// Completions are asked for by the shell, through cobra's hidden command. They
// read the config and the workdir and change nothing. An error gives none.

// completeConfig offers the embedded configs; the shell adds files.
func completeConfig(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return configs.Names(), cobra.ShellCompDirectiveDefault
}

// completeSet offers the keys of the config. Values are left to the person: bash takes what
// stands behind = for a word of its own.
func completeSet(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	return keysWith(typed, "="), cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}

// completeKey offers the keys of the config for the first argument.
func completeKey(_ *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return keysWith(typed, ""), cobra.ShellCompDirectiveNoFileComp
}

// keysWith lists the keys that begin with prefix, with what follows each.
func keysWith(prefix, suffix string) (list []string) {
	for key, meaning := range configs.Meanings() {
		if strings.HasPrefix(key, prefix) {
			list = append(list, cobra.CompletionWithDesc(key+suffix, meaning))
		}
	}
	return list
}

// completeRounds offers the ids of the workdir's rounds, the newest first.
func completeRounds(o *common, most int) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		r, err := o.load()
		if err != nil || len(args) >= most {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		list, err := round.List(c.Context(), r.Config.Workdir)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var ids []string
		for _, s := range slices.Backward(list.Rounds) {
			ids = append(ids, cobra.CompletionWithDesc(s.Round, s.Exit))
		}
		return ids, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
	}
}

// completeWhich offers best, latest, and the steps of the run: --checkpoint, or the
// first argument of a command without that flag, else train.out or the latest round's.
func completeWhich(o *common) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		which := []string{"best", "latest"}
		var dir string
		if f := c.Flag("checkpoint"); f != nil {
			dir = f.Value.String() // export's argument is no run
		} else if len(args) > 0 {
			dir = args[0]
		}
		if dir == "" {
			r, err := o.load()
			if err != nil {
				return which, cobra.ShellCompDirectiveNoFileComp
			}
			if dir, err = runOf(c, r, report.NewConsole(io.Discard, true)); err != nil {
				return which, cobra.ShellCompDirectiveNoFileComp
			}
		}
		st, err := store.Open(c.Context(), dir)
		if err != nil {
			return which, cobra.ShellCompDirectiveNoFileComp
		}
		defer st.Close()
		if saved, err := run.Checkpoints(c.Context(), st); err == nil {
			for _, p := range saved {
				which = append(which, fmt.Sprintf("step:%d", p.Step))
			}
		}
		return which, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
	}
}

// complete registers the completion of a flag that the command has.
func complete(c *cobra.Command, flag string, f cobra.CompletionFunc) {
	if err := c.RegisterFlagCompletionFunc(flag, f); err != nil {
		panic(fmt.Sprintf("command: %v", err)) // no such flag
	}
}
