package command

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/quire-ml/quire/pipelines/export"
)

// Export is the command that writes a model for other programs.
func Export() *cobra.Command {
	var o common
	var m modelFlags
	var replace bool
	c := build(&o, "export DIR", "Write a model in Hugging Face's layout",
		`Export writes a model to a folder or gs:// URL that PyTorch loads without quire: the weights
(model.safetensors), config.json, vocab.json, modeling_quire.py, and a model card (README.md) with
losses, the gate's figures, the lineage and a sample. The same model gives the same
bytes, judged by the same round.
A folder with other files is refused; with --replace they stay, and what an earlier export has
written is replaced, a card that was edited too.`,
		`  export exported
  export --checkpoint work/quickstart/run --which latest gs://bucket/models/newton
  export --replace exported && python exported/modeling_quire.py 'The '`, nil)
	c.Args = positional(1, 1)
	c.RunE = func(c *cobra.Command, args []string) error {
		r, err := o.load()
		if err != nil {
			return err
		}
		model, err := m.open(c, &o, r)
		if err != nil {
			return err
		}
		console := o.console(c)
		res, err := export.Folder(c.Context(), model, args[0], export.Options{Workdir: r.Config.Workdir, Replace: replace,
			Damaged: func(err error) { console.Warn("%v", err) }})
		if err != nil {
			return err
		}
		return o.print(c, res, func(w io.Writer) {
			fmt.Fprintf(w, "exported    %s\n", res.Folder)
			fmt.Fprintf(w, "checkpoint  %s, sha256 %s\n", res.Checkpoint, res.SHA256)
			fmt.Fprintf(w, "weights     %d parameters, sha256 %s\n", res.Parameters, res.Model)
		})
	}
	m.add(c.Flags())
	complete(c, "which", completeWhich(&o))
	c.Flags().BoolVar(&replace, "replace", false, "replace an earlier export; other files in DIR stay")
	return c
}
