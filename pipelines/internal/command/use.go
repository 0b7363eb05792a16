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
	"github.com/quire-ml/quire/pipelines/promotion"
	"github.com/quire-ml/quire/pipelines/report"
	"github.com/quire-ml/quire/pipelines/round"
	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/transforms/vocab"
)

// modelFlags say which checkpoint a command uses.
type modelFlags struct {
	checkpoint string
	which      string
}

func (m *modelFlags) add(f *pflag.FlagSet) {
	f.StringVar(&m.checkpoint, "checkpoint", "",
		"file or gs:// URL of a checkpoint or run (default: the promoted model, else train.out, else the latest round's)")
	f.StringVar(&m.which, "which", "best", "checkpoint of a run directory, not of the promoted model: best, latest or step:N")
}

// open reads the model: the one asked for, else the promoted one of the workdir, which
// has no --which, else that of a run.
func (m *modelFlags) open(c *cobra.Command, o *common, r *configs.Resolved) (*text.Model, error) {
	if err := checkWhich(c, m.which); err != nil {
		return nil, err
	}
	if m.checkpoint != "" {
		return text.OpenModel(c.Context(), m.checkpoint, m.which)
	}
	if !c.Flags().Changed("which") {
		model, err := promotion.Open(c.Context(), r.Config.Workdir)
		if !errors.Is(err, store.ErrNotExist) || errors.As(err, new(*promotion.ModelError)) {
			return model, err
		}
	}
	path, err := runOf(c, r, o.console(c))
	if err != nil {
		return nil, err
	}
	return text.OpenModel(c.Context(), path, m.which)
}

// Evaluate is the command that measures a model on a set.
func Evaluate() *cobra.Command {
	var o common
	var m modelFlags
	var split string
	c := build(&o, "evaluate", "Measure a model on a split of a set",
		`Evaluate prints the mean loss over a split of the set at prep.out, in nats and bits a
character, and the n-gram entropies above and below it. Where prep.out has no set, the set is
that of the round that made the model. The hidden is carried through each document.`,
		`  evaluate --config shakespeare
  evaluate --checkpoint work/run --which latest
  evaluate --set prep.out=sets/KEY --split train`,
		func(c *cobra.Command) error {
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
	m.add(c.Flags())
	c.Flags().StringVar(&split, "split", "", "train, validation or test (default validation, or train in a set without validation)")
	complete(c, "which", completeWhich(&o))
	return c
}

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

// Score is the command that measures a model on a text.
func Score() *cobra.Command {
	var o common
	var m modelFlags
	var given, file string
	var chars bool
	c := build(&o, "score", "Measure how well a model predicts a text",
		`Score prints the mean loss of a text of any length: --text, --file, or standard input.
A file is read as corpus.encoding and corpus.newlines say. The first character has no
prediction.`,
		"  score --file chapter.txt\n  score --text 'To be' --chars --json",
		func(c *cobra.Command) error {
			r, err := o.load()
			if err != nil {
				return err
			}
			data, err := readText(c, r.Config.Corpus, given, file)
			if err != nil {
				return err
			}
			model, err := m.open(c, &o, r)
			if err != nil {
				return err
			}
			res, err := text.Score(c.Context(), model, data, chars)
			if err != nil {
				return err
			}
			return o.print(c, res, func(w io.Writer) { printScore(w, model, data, res) })
		})
	m.add(c.Flags())
	complete(c, "which", completeWhich(&o))
	c.Flags().StringVar(&given, "text", "", "text to measure")
	c.Flags().StringVar(&file, "file", "", "file of the text; - is standard input (the default)")
	c.Flags().BoolVar(&chars, "chars", false, "also print each character's log-probability")
	return c
}

// readText returns the text that the flags name, a file read like one of the corpus.
func readText(c *cobra.Command, corpus configs.Corpus, given, file string) ([]byte, error) {
	switch {
	case c.Flags().Changed("text") && file != "":
		return nil, usage(c, errors.New("--text and --file exclude each other"))
	case c.Flags().Changed("text"):
		return []byte(given), nil
	}
	return readFile(c, corpus, file)
}

func printScore(w io.Writer, m *text.Model, scored []byte, r *text.ScoreResult) {
	if r.NatsPerChar == nil {
		fmt.Fprintln(w, "a text of fewer than two characters has nothing to predict")
		return
	}
	if ids, err := m.Vocab.Encode(nil, m.Text(scored)); err == nil && r.LogProbs != nil {
		for i, p := range r.LogProbs {
			logProb := "-"
			if p != nil {
				logProb = fmt.Sprintf("%.4f", *p)
			}
			fmt.Fprintf(w, "%-8q %9s\n", m.Vocab.AppendText(nil, ids[i]), logProb)
		}
	}
	fmt.Fprintf(w, "%.4f nats, %.4f bits a character over %d characters\n", *r.NatsPerChar, *r.BitsPerChar, r.Chars)
}
