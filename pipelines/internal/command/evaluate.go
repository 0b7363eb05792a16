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
	c := build(&o, "evaluate", "Measure a model on a split of a set",
		`Evaluate prints the mean loss over a split of the set at prep.out, in nats and bits a
character, and the n-gram entropies above and below it. Where prep.out has no set, the set is
that of the round that made the model. The hidden is carried through each document.`,
		`  evaluate --config shakespeare
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
			model, err := m.open(c, &o, r)
			if err != nil {
				return err
			}
			set, err := o.setOf(c, r, model.Set, false)
			if err != nil {
				return err
			}
			res, err := text.Evaluate(c.Context(), model, set, split)
			if err != nil {
				return err
			}
			return o.print(c, res, func(w io.Writer) { fmt.Fprintln(w, res) })
		})
	addRequest(c, &request)
	m.add(c.Flags())
	c.Flags().StringVar(&split, "split", "", "train, validation or test (default validation, or train in a set without validation)")
	complete(c, "which", completeWhich(&o))
	return c
}
