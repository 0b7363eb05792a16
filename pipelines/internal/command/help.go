package command

import (
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// plainHelp makes help print a switch as "--json". Without it, pflag prints
// "--json[=true|false]" and indents every line for the longest of them.
func plainHelp(root *cobra.Command) {
	help := root.HelpFunc()
	root.SetHelpFunc(func(c *cobra.Command, args []string) {
		c.Flags().VisitAll(func(f *pflag.Flag) {
			if f.Value.Type() == "bool" {
				f.Value = boolSwitch{f.Value}
			}
		})
		help(c, args)
	})
}

// boolSwitch is a bool flag as help shows it. It replaces the flag's value when
// nothing but the help follows.
type boolSwitch struct{ pflag.Value }

func (boolSwitch) Type() string     { return "boolfunc" }
func (boolSwitch) IsBoolFlag() bool { return true }
