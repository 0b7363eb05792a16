package command

import (
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/quire-ml/quire/pipelines/round"
)

// Quire is all commands in one.
func Quire() *cobra.Command { return Program("quire") }

// MainProgram runs Program as the whole program, under the name of its file.
func MainProgram(mine ...round.Stage) {
	Main(func() *cobra.Command { return Program(filepath.Base(os.Args[0]), mine...) })
}

// Program is all commands in one, called name. mine are stages that rounds have
// beside the shipped ones or in place of them.
func Program(name string, mine ...round.Stage) *cobra.Command {
	root := &cobra.Command{Use: name, Short: "Character-level language models from a corpus of text",
		Long: "Quire turns a corpus of text into a character-level RNN language model that is trained,\n" +
			"checked, promoted and used, on a laptop or on a cloud, by the same code and config file.",
		DisableSuggestions: true, // cobra's are lines of their own; unknownCommand gives the nearest
		RunE:               func(c *cobra.Command, _ []string) error { return c.Help() }}
	root.AddCommand(Run(mine...), Plan(mine...), Runs(), Report(), Prep(), Train(), Evaluate(), Generate(), Replay(), Score(), Inspect(), Promote(), Export(),
		retrain(mine...), Sweep(mine...), GC(), Serve(), Config(), Bench(), Version())
	root.AddCommand(Docs(), Node())
	return root
}
