package command

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// meant are the settings that take what is often given as an argument, by command.
var meant = map[string]string{
	"run": "--set corpus.sources=", "plan": "--set corpus.sources=", "prep": "--set corpus.sources=",
	"generate": "--prompt ",
}

// arguments refuses fewer arguments than least, and more than most.
func arguments(c *cobra.Command, args []string, least, most int) error {
	if len(args) < least {
		return usage(c, fmt.Errorf("an argument is missing: `%s`", c.UseLine()))
	}
	if len(args) <= most {
		return nil
	}
	extra := args[most]
	if strings.Contains(extra, "://") {
		extra = "URL" // which may have a secret
	}
	if most == 0 && c.HasAvailableSubCommands() {
		return noCommand(c, extra, fmt.Errorf("%q is no command of `%s`", extra, c.CommandPath()))
	}
	err := fmt.Errorf("%q is an argument too many for `%s`", extra, c.CommandPath())
	if setting := meant[c.Name()]; setting != "" {
		err = fmt.Errorf("%w; give it as %s%q", err, setting, extra)
	}
	return usage(c, err)
}

// positional is a command's check of its arguments.
func positional(least, most int) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error { return arguments(c, args, least, most) }
}
