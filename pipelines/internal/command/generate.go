package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/pipelines/receipt"
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
	var texts textFlags
	var stop, ban []string
	var receiptFile string
	keys := configs.KeysOf("generate")
	values := make([]string, len(keys))
	c := build(&o, "generate", "Write text with a model", generateHelp, generateExamples,
		func(c *cobra.Command) error {
			if err := texts.check(c, "receipt", "prompt-file"); err != nil {
				return err
			}
			r, err := o.load(keyFlags(c, keys, values)...)
			if err != nil {
				return err
			}
			if c.Flags().Changed("stop") {
				r.Config.Generate.Stop = stop
			}
			model, err := m.open(c, &o, r)
			if err != nil {
				return err
			}
			if err := cmp.Or(spare(c, []outlet{textOutlet(texts.out), receiptOutlet(receiptFile)}, model.Path, o.config, prompt.file),
				checkBan(c, r, model, ban), checkStop(c, &r.Config.Generate, model, o.console(c))); err != nil {
				return err
			}
			q, err := prompt.request(c, r, model, o.console(c))
			if err != nil {
				return err
			}
			res, err := texts.write(c, &o, func(show func(int, []byte) error) (*text.GenerateResult, error) {
				return model.Write(c.Context(), q, show)
			})
			if err != nil {
				return err
			}
			if err := saveReceipt(c.Context(), receiptFile, receipt.Of(model, q, res)); err != nil {
				return err
			}
			return o.print(c, res, func(io.Writer) {})
		})
	m.add(c.Flags())
	complete(c, "which", completeWhich(&o))
	for i, key := range keys {
		if !ownFlag[key] {
			c.Flags().StringVar(&values[i], flagName(key), "", key+" of the config")
		}
	}
	complete(c, "unknown", cobra.FixedCompletions([]string{"error", "skip", "unk"}, cobra.ShellCompDirectiveNoFileComp))
	c.Flags().StringArrayVar(&stop, "stop", nil, "in place of generate.stop of the config: the text ends before this (repeatable)")
	c.Flags().StringArrayVar(&ban, "ban", nil, "in place of generate.ban of the config: characters that are never drawn (repeatable); for a model of bytes, bytes")
	c.Flags().StringVar(&receiptFile, "receipt", "", "file for the receipt, from which replay makes the text again")
	prompt.add(c.Flags())
	texts.add(c.Flags())
	return c
}

// checkBan puts the ban of the flags, which may be any bytes, into the config, and refuses
// one that cannot work.
func checkBan(c *cobra.Command, r *configs.Resolved, model *text.Model, ban []string) error {
	if c.Flags().Changed("ban") {
		r.Config.Generate.Ban = strings.Join(ban, "")
	} else {
		ban = []string{r.Config.Generate.Ban}
	}
	for _, one := range ban {
		if err := model.CheckBan(one); err != nil {
			return usage(c, err)
		}
	}
	return nil
}

// checkStop refuses an empty stop string of the flags, and warns of those that no text of the
// model has.
func checkStop(c *cobra.Command, g *configs.Generate, model *text.Model, console *report.Console) error {
	for _, stop := range g.Stop {
		if stop == "" {
			return usage(c, errors.New("--stop: a stop string is empty; give a text, or leave the flag out"))
		}
		lacking := model.CheckStop(stop)
		if drawn := g.Unknown == "unk" && model.Vocab.HasUnknown() && strings.ContainsAny(stop, vocab.Unknown); len(lacking) > 0 && !drawn {
			console.Warn("generate: no text ends before the stop string %q: the model lacks %s", stop, text.Places(lacking))
		}
	}
	return nil
}

// keyFlags are the flags that were given for keys.
func keyFlags(c *cobra.Command, keys, values []string) (flags []configs.Flag) {
	for i, key := range keys {
		if name := flagName(key); !ownFlag[key] && c.Flags().Changed(name) {
			flags = append(flags, configs.Flag{Key: key, Value: values[i], Name: "--" + name})
		}
	}
	return flags
}

// saveReceipt writes a receipt to a file, if one is named.
func saveReceipt(ctx context.Context, file string, r *receipt.Receipt) error {
	if file == "" {
		return nil
	}
	data, err := r.Encode()
	if err != nil {
		return err
	}
	return save(ctx, file, data)
}

// ownFlag are the keys whose flags take values of their own.
var ownFlag = map[string]bool{"generate.prompt": true, "generate.stop": true, "generate.ban": true}

const generateHelp = `Generate continues a prompt, character by character. On a terminal, and with --stream, the text
appears as it comes; else it is printed when it is complete. The same model, settings and seed
give the same text everywhere, and text 3 of --num 8 is text 3 of --num 64. A prompt file is read
as corpus.encoding and corpus.newlines say, its last line end too. A model of bytes takes a prompt
of any bytes: from a file, or as the shell writes them, in bash $'\xff\xd7'. Its text is
exact in a file and a pipe, with no line end added; with --num, a line of dashes still stands between
two texts. With --json, "bytes" has the bytes of each of its texts in base64.

A text ends before a stop string, which is not printed. [UNK] is drawn with --unknown unk alone.
--receipt notes the model's sha256, the settings and the digest of the text: replay proves that
the text came of them.`

const generateExamples = `  generate --config shakespeare --prompt 'ROMEO: ' --length 500 --temperature 0.8
  generate --prompt-file opening.txt --num 8 --min-p 0.05 --stop $'\n\n'
  head -c 300 chapter.txt | generate --prompt-file -
  generate --prompt 'Light ' --out light.txt --receipt light.json
  generate --prompt $'\xd7\x90'`

// promptFlags give a prompt of any bytes, which a config, being UTF-8, cannot hold.
type promptFlags struct{ text, file string }

func (p *promptFlags) add(f *pflag.FlagSet) {
	f.StringVar(&p.text, "prompt", "", "generate.prompt of the config, or any bytes")
	f.StringVar(&p.file, "prompt-file", "", "file of the prompt; - is standard input")
}

// request returns what the model is asked for, by the flags and the config.
func (p *promptFlags) request(c *cobra.Command, r *configs.Resolved, model *text.Model, console *report.Console) (*text.Request, error) {
	given, err := p.read(c, &r.Config)
	if err != nil {
		return nil, err
	}
	if !given {
		if err := fitPrompt(c.Context(), r, model, console); err != nil {
			return nil, err
		}
	}
	q, err := model.Request(r.Config.Generate)
	var missing *vocab.CharError
	if errors.As(err, &missing) || errors.Is(err, text.ErrBan) {
		return nil, usage(c, err)
	}
	if err != nil {
		return nil, err
	}
	if lost := q.Prompt.Lost; len(lost) > 0 {
		become := "left out"
		if r.Config.Generate.Unknown == "unk" {
			become = "[UNK]"
		}
		console.Line("generate: characters of the prompt that the model lacks are %s: %s", become, text.Places(lost))
	}
	return q, nil
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
	if _, err := m.Prompt(prompt, r.Config.Generate.Unknown); !r.Shipped("generate.prompt") || err == nil {
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
