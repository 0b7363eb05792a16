package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/pipelines/report"
	"github.com/quire-ml/quire/pipelines/round"
	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/transforms/vocab"
)

// Generate is the command that writes text.
func Generate() *cobra.Command {
	var o common
	var m modelFlags
	var prompt promptFlags
	keys := configs.KeysOf("generate")
	values := make([]string, len(keys))
	c := build(&o, "generate", "Write text with a model", generateHelp, generateExamples,
		func(c *cobra.Command) error {
			var flags []configs.Flag
			for i, key := range keys {
				if name := flagName(key); key != "generate.prompt" && c.Flags().Changed(name) {
					flags = append(flags, configs.Flag{Key: key, Value: values[i], Name: "--" + name})
				}
			}
			r, err := o.load(flags...)
			if err != nil {
				return err
			}
			model, err := m.open(c, &o, r)
			if err != nil {
				return err
			}
			out := c.OutOrStdout()
			if o.json {
				out = c.ErrOrStderr()
			}
			if o.quiet && o.json {
				out = io.Discard
			}
			if given, err := prompt.read(c, &r.Config); err != nil {
				return err
			} else if !given {
				if err := fitPrompt(c.Context(), r, model, o.console(c)); err != nil {
					return err
				}
			}
			res, err := text.Generate(c.Context(), model, r.Config.Generate, out)
			var missing *vocab.CharError
			if errors.As(err, &missing) {
				return usage(c, err)
			}
			if err != nil {
				return err
			}
			fmt.Fprintln(out)
			return o.print(c, res, func(io.Writer) {})
		})
	m.add(c.Flags())
	complete(c, "which", completeWhich(&o))
	for i, key := range keys {
		if key != "generate.prompt" {
			c.Flags().StringVar(&values[i], flagName(key), "", key+" of the config")
		}
	}
	prompt.add(c.Flags())
	return c
}

const generateHelp = `Generate continues a prompt, character by character, and prints the text as it comes. The
same model, settings and seed give the same text everywhere. A prompt file is read as
corpus.encoding and corpus.newlines say, its last line end too. A model of bytes takes a prompt
of any bytes: from a file, or as the shell writes them, in bash $'\xff\xd7'.`

const generateExamples = `  generate --config shakespeare --prompt 'ROMEO: ' --length 500 --temperature 0.8
  generate --prompt-file opening.txt
  head -c 300 chapter.txt | generate --prompt-file -
  generate --prompt $'\xd7\x90'`

// promptFlags give a prompt of any bytes, which a config, being UTF-8, cannot hold.
type promptFlags struct{ text, file string }

func (p *promptFlags) add(f *pflag.FlagSet) {
	f.StringVar(&p.text, "prompt", "", "generate.prompt of the config, or any bytes")
	f.StringVar(&p.file, "prompt-file", "", "file of the prompt; - is standard input")
}

// read puts the prompt of the flags into the config. given is false where there is none.
func (p *promptFlags) read(c *cobra.Command, cfg *configs.Config) (given bool, err error) {
	text, file := c.Flags().Changed("prompt"), c.Flags().Changed("prompt-file")
	switch {
	case text && file:
		return true, usage(c, errors.New("--prompt and --prompt-file exclude each other"))
	case text:
		cfg.Generate.Prompt = p.text
	case file:
		data, err := readFile(c, cfg.Corpus, p.file)
		cfg.Generate.Prompt = string(data)
		return true, err
	}
	return text, nil
}

// fitPrompt replaces a default prompt with characters that the model does not know: by the
// prompt of the round that made the model, else by none.
func fitPrompt(ctx context.Context, r *configs.Resolved, m *text.Model, console *report.Console) error {
	prompt := r.Config.Generate.Prompt
	if !r.Shipped("generate.prompt") || m.CheckPrompt(prompt) == nil {
		return nil
	}
	other, err := round.PromptOf(ctx, r.Config.Workdir, m.Set)
	if err != nil || m.CheckPrompt(other) != nil {
		return err
	}
	r.Config.Generate.Prompt = other
	with := fmt.Sprintf("%q is the prompt", other)
	if other == "" {
		with = "the text starts with a random character"
	}
	console.Line("generate: the model lacks characters of %q, so %s; give another prompt with --prompt", prompt, with)
	return nil
}

// flagName is the flag that stands for a key of a section: generate.top_k is
// --top-k.
func flagName(key string) string {
	_, name, _ := strings.Cut(key, ".")
	return strings.ReplaceAll(name, "_", "-")
}
