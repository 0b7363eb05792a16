package command

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/pipelines/receipt"
	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/runners/store"
)

// Replay is the command that writes a text again from its receipt.
func Replay() *cobra.Command {
	var o common
	var place string
	var texts textFlags
	c := build(&o, "replay RECEIPT", "Write a text again from its receipt, and prove that it is the same",
		`Replay reads a receipt (- is standard input) of generate or serve, finds the model by its
sha256, writes the text again and compares it with the digest in the receipt. The model is looked
for at --checkpoint, a file, a run or a workdir; without it, among the models that are or were in
service in the workdir, and in its runs. Exit code 1 says that the model is not there, or that the
text is another one.`,
		"  replay light.json\n  replay light.json --checkpoint model.safetensors --out light.txt\n  curl … | jq .choices[0].receipt | replay -", nil)
	c.Args = positional(1, 1)
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := texts.check(c); err != nil {
			return err
		}
		r, err := o.load()
		if err != nil {
			return err
		}
		wanted, err := readReceipt(c, args[0])
		if err != nil {
			return err
		}
		model, err := receipt.Find(c.Context(), wanted.SHA256, modelPlaces(r, place), func(err error) { o.warn(c, []error{err}) })
		if err != nil {
			return err
		}
		if err := spare(c, []outlet{textOutlet(texts.out)}, model.Path, o.config, args[0]); err != nil {
			return err
		}
		res, err := texts.write(c, &o, func(show func(int, []byte) error) (*text.GenerateResult, error) {
			return wanted.Replay(c.Context(), model, show)
		})
		if err != nil {
			return err
		}
		o.console(c).Line("replay: the text is the one of the receipt, bit for bit, by %s", model.Path)
		return o.print(c, res, func(io.Writer) {})
	}
	c.Flags().StringVar(&place, "checkpoint", "", "file of the model, a run or a workdir, or a gs:// URL of one (default: the config's workdir and train.out)")
	texts.add(c.Flags())
	return c
}

// modelPlaces are where a model is looked for by its digest.
func modelPlaces(r *configs.Resolved, given string) []string {
	if given != "" {
		return []string{given}
	}
	return []string{r.Config.Workdir, store.Locate(r.Config.Workdir, r.Config.Train.Out)}
}

// readReceipt reads the receipt in a file; - is standard input.
func readReceipt(c *cobra.Command, file string) (*receipt.Receipt, error) {
	data, err := await(c.Context(), func() ([]byte, error) {
		in := c.InOrStdin()
		if file != "-" {
			f, err := os.Open(file)
			if err != nil {
				return nil, err
			}
			defer f.Close()
			in = f
		}
		data, err := io.ReadAll(io.LimitReader(in, receipt.MaxBytes+1))
		if err == nil && len(data) > receipt.MaxBytes {
			err = errors.New("it is larger than any receipt")
		}
		return data, err
	})
	if err != nil {
		return nil, fmt.Errorf("command: %s: %w", file, err)
	}
	r, err := receipt.Decode(data)
	if err != nil {
		return nil, fmt.Errorf("command: %s: %w", file, err)
	}
	return r, nil
}
