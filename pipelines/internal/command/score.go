package command

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/pipelines/text"
)

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
