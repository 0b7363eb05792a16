package command

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

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
	explain.Args, explain.ValidArgsFunction = positional(1, 1), completeKey
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
