package command

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/quire-ml/quire/pipelines/remote"
	"github.com/quire-ml/quire/pipelines/text"
)

// Evaluate is the command that measures a model on a set.
func Evaluate() *cobra.Command {
	var o common
	var m modelFlags
	var split, request string
	var window int
	c := build(&o, "evaluate", "Measure a model on a split of a set",
		`Evaluate prints the mean loss over a split of the set at prep.out, in nats and bits a
character, and the n-gram entropies above and below it. Where prep.out has no set, the set is
that of the round that made the model. The hidden is carried through each document.

--window N gives a second figure beside it, over the same characters: the text of each document is
cut into windows of N characters, and the hidden is zero at the start of each. So a window reads N
characters and predicts the N that follow its first one; the last of a document may be shorter.
With N = 256 it is nanoGPT's protocol, which measures windows drawn at random; these are all of
the text, one after the other, so the figure has no noise. Where the sequences of a set overlap,
or are blocks (prep.validation.by: block), they are its documents here: N is at most prep.seq_length.`,
		`  evaluate --config shakespeare
  evaluate --config shakespeare --window 256
  evaluate --checkpoint work/run --which latest
  evaluate --set prep.out=sets/KEY --split train`,
		func(c *cobra.Command) error {
			if request != "" {
				return attend(c, request, remote.Evaluate)
			}
			r, err := o.load()
			if err != nil {
				return err
			}
			if c.Flags().Changed("window") {
				if err := text.CheckWindow(window); err != nil {
					return usage(c, fmt.Errorf("--window: %w; 256 is nanoGPT's", err))
				}
			}
			model, err := m.open(c, &o, r)
			if err != nil {
				return err
			}
			set, err := o.setOf(c, r, model.Set, false)
			if err != nil {
				return err
			}
			res, err := text.EvaluateWindows(c.Context(), model, set, split, window)
			if err != nil {
				return err
			}
			return o.print(c, res, func(w io.Writer) { fmt.Fprintln(w, res) })
		})
	addRequest(c, &request)
	m.add(c.Flags())
	c.Flags().StringVar(&split, "split", "", "train, validation or test (default validation, or train in a set without validation)")
	c.Flags().IntVar(&window, "window", 0, "characters of windows read from nothing, such as 256, for a second figure")
	complete(c, "window", cobra.FixedCompletions([]string{"256"}, cobra.ShellCompDirectiveNoFileComp))
	complete(c, "split", cobra.FixedCompletions([]string{"train", "validation", "test"}, cobra.ShellCompDirectiveNoFileComp))
	complete(c, "which", completeWhich(&o))
	return c
}
