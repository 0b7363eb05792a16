package command

import (
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// plainHelp makes help print a switch as "--json". Without it, pflag prints
// "--json[=true|false]" and indents every line for the longest of them.
func plainHelp(root *cobra.Command) {
	help := root.HelpFunc()
	helpOfUnknown(root)
	root.SetHelpFunc(func(c *cobra.Command, args []string) {
		c.Flags().VisitAll(func(f *pflag.Flag) {
			if f.Value.Type() == "bool" {
				f.Value = boolSwitch{f.Value}
			}
		})
		help(c, args)
	})
}

// helpOfUnknown makes the command help refuse an unknown command, with the nearest. cobra's
// says a line, prints the help of all commands, and succeeds.
func helpOfUnknown(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	for _, help := range root.Commands() {
		if help.Name() != "help" {
			continue
		}
		known := help.Run
		help.Run, help.RunE = nil, func(c *cobra.Command, args []string) error {
			parent, rest, err := root.Find(args)
			if err == nil && len(rest) == 0 {
				known(c, args)
				return nil
			}
			if len(rest) == 0 {
				parent, rest = root, args
			}
			return noCommand(parent, rest[0], fmt.Errorf("no help for %q: it is no command of %q", rest[0], parent.CommandPath()))
		}
	}
}

// boolSwitch is a bool flag as help shows it. It replaces the flag's value when
// nothing but the help follows.
type boolSwitch struct{ pflag.Value }

func (boolSwitch) Type() string     { return "boolfunc" }
func (boolSwitch) IsBoolFlag() bool { return true }
