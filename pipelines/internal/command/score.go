package command

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/pipelines/report"
	"github.com/quire-ml/quire/pipelines/score"
	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/runners/store"
)

// scoreFlags are the flags of score.
type scoreFlags struct {
	text, file    string
	chars         bool
	html, compare string
}

// Score is the command that measures models on texts.
func Score() *cobra.Command {
	var o common
	var m modelFlags
	var f scoreFlags
	c := build(&o, "score [FILE…]", "Measure how well a model predicts a text",
		`Score prints the mean loss of texts of any length: files, --text, or standard input. They are
read as corpus.encoding and corpus.newlines say, part by part. The hidden is carried from the first
character of a text to its last; the first has no prediction. --html writes the first 200,000
characters with their surprise as colour. --compare reads with a second model beside the first, and
shows the passages on which they differ most.`,
		"  score chapter.txt appendix.txt\n  score --text 'To be' --chars --json\n  score chapter.txt --html chapter.html\n"+
			"  score chapter.txt --checkpoint old.safetensors --compare new.safetensors", nil)
	c.Args = cobra.ArbitraryArgs
	c.RunE = func(c *cobra.Command, args []string) error {
		r, err := o.load()
		if err != nil {
			return err
		}
		inputs, err := f.inputs(c, args)
		if err != nil {
			return err
		}
		defer inputs[0].close()
		if err := inputs[0].open(c); err != nil { // a person who types is told before the model is read
			return err
		}
		models, err := f.models(c, &o, &m, r)
		if err != nil {
			return err
		}
		return f.score(c, &o, r.Config.Corpus, models, inputs)
	}
	m.add(c.Flags())
	complete(c, "which", completeWhich(&o))
	c.Flags().StringVar(&f.text, "text", "", "text to measure")
	c.Flags().StringVar(&f.file, "file", "", "file of the text; - is standard input (the default)")
	c.Flags().BoolVar(&f.chars, "chars", false, "also print each character's log-probability")
	c.Flags().StringVar(&f.html, "html", "", "file for a page of the texts with their surprise as colour")
	c.Flags().StringVar(&f.compare, "compare", "", "file or gs:// URL of a second checkpoint or run, which reads the same texts")
	return c
}

// inputs returns the texts that the flags and arguments name, not open.
func (f *scoreFlags) inputs(c *cobra.Command, args []string) ([]*input, error) {
	text, file := c.Flags().Changed("text"), f.file != ""
	switch {
	case text && file:
		return nil, usage(c, errors.New("--text and --file exclude each other"))
	case len(args) > 0 && (text || file):
		return nil, usage(c, errors.New("files as arguments exclude --text and --file"))
	case text:
		return []*input{{name: "--text", from: strings.NewReader(f.text)}}, nil
	case len(args) == 0:
		args = []string{f.file}
	}
	var list []*input
	for _, name := range args {
		list = append(list, &input{name: name})
	}
	return list, nil
}

// models returns the model of the flags, and with --compare the second.
func (f *scoreFlags) models(c *cobra.Command, o *common, m *modelFlags, r *configs.Resolved) ([]*text.Model, error) {
	first, err := m.open(c, o, r)
	if err != nil || f.compare == "" {
		return []*text.Model{first}, err
	}
	second, err := text.OpenModel(c.Context(), f.compare, m.which)
	return []*text.Model{first, second}, err
}

// An input is a text that a command reads.
type input struct {
	name string
	from io.Reader
	file io.Closer
}

// open waits for the beginning of the text. On a terminal it says that it does.
func (i *input) open(c *cobra.Command) error {
	if i.from != nil {
		return nil
	}
	typed := i.name == "" || i.name == "-"
	if typed && report.IsTerminal(c.InOrStdin()) {
		fmt.Fprintf(c.ErrOrStderr(), "quire: reads the text from standard input; Ctrl-D on a new line ends it\n")
	}
	opened, err := await(c.Context(), func() (*input, error) {
		n := &input{name: i.name, from: c.InOrStdin()}
		if typed {
			n.name = "standard input"
		} else {
			f, err := os.Open(i.name)
			if err != nil {
				return nil, err
			}
			n.from, n.file = f, f
		}
		b := bufio.NewReader(n.from)
		n.from = b
		if _, err := b.Peek(1); err != nil && !errors.Is(err, io.EOF) {
			n.close()
			return nil, err
		}
		return n, nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w; a text, not a file, is given by --text", err)
	}
	if err != nil {
		return fmt.Errorf("command: %s: %w", c.Name(), err)
	}
	*i = *opened
	i.from = &awaited{ctx: c.Context(), from: i.from}
	return nil
}

func (i *input) close() {
	if i.file != nil {
		i.file.Close()
	}
}

// awaited is a reader that a silent pipe does not hold up once ctx ends.
type awaited struct {
	ctx  context.Context
	from io.Reader
}

func (a *awaited) Read(p []byte) (int, error) {
	data, err := await(a.ctx, func() ([]byte, error) {
		buf := make([]byte, len(p)) // p is the caller's again when ctx ends
		n, err := a.from.Read(buf)
		if n > 0 && errors.Is(err, io.EOF) {
			err = nil // it comes again
		}
		return buf[:n], err
	})
	return copy(p, data), err
}

// scored is the loss of a text or of all, and of the second model.
type scored struct {
	Name        string           `json:"name,omitempty"`
	NatsPerChar *float64         `json:"nats_per_char"` // null for a text of fewer than two characters
	BitsPerChar *float64         `json:"bits_per_char"`
	Chars       int64            `json:"chars"`              // predicted characters: one less than a text has
	LogProbs    []*float64       `json:"log_probs,omitzero"` // with --chars
	Files       []*scored        `json:"files,omitempty"`
	Compared    *scored          `json:"compared,omitempty"` // the second model
	Checkpoint  store.Path       `json:"checkpoint,omitempty"`
	Most        *[]score.Passage `json:"most_different,omitempty"`
}

// set sets the loss.
func (s *scored) set(sum score.Sum) {
	s.NatsPerChar, s.BitsPerChar = sum.Mean()
	s.Chars = sum.Chars
}

// score measures the models on the texts and prints the result.
func (f *scoreFlags) score(c *cobra.Command, o *common, corpus configs.Corpus, models []*text.Model, inputs []*input) error {
	w := &scoreWriter{flags: f, json: o.json, out: c.OutOrStdout(), page: score.Page{Model: models[0].Path}, passages: &score.Passages{}}
	all, total := &scored{}, make([]score.Sum, len(models))
	if len(models) > 1 {
		all.Checkpoint, all.Compared = store.Path(models[0].Path), &scored{Checkpoint: store.Path(models[1].Path)}
	}
	for i, in := range inputs {
		if i > 0 {
			if err := in.open(c); err != nil {
				return err
			}
		}
		one, err := w.one(c.Context(), corpus, models, in, total)
		in.close()
		if err != nil {
			return fmt.Errorf("%s: %w", in.name, err)
		}
		all.Files = append(all.Files, one)
		if len(inputs) > 1 && !o.json {
			fmt.Fprintf(w.out, "%s: %s\n", in.name, w.line(one))
		}
	}
	all.set(total[0])
	if len(models) > 1 {
		all.Compared.set(total[1])
		most := w.passages.Most()
		all.Most = &most
	}
	if len(inputs) == 1 {
		all.LogProbs, all.Files = all.Files[0].LogProbs, nil
	}
	if f.html != "" {
		data, err := w.page.HTML()
		if err != nil {
			return err
		}
		if err := save(c.Context(), f.html, data); err != nil {
			return err
		}
	}
	return o.print(c, all, func(out io.Writer) { w.print(out, all) })
}

// scoreWriter is what becomes of the characters of a score.
type scoreWriter struct {
	flags    *scoreFlags
	json     bool
	out      io.Writer
	page     score.Page
	passages *score.Passages
}

// one measures the models on one text, and adds to the totals.
func (w *scoreWriter) one(ctx context.Context, corpus configs.Corpus, models []*text.Model, in *input, total []score.Sum) (*scored, error) {
	res := &scored{Name: in.name}
	if w.flags.chars && w.json {
		res.LogProbs = []*float64{}
	}
	w.page.Begin(in.name)
	w.passages.Begin(in.name)
	if in.name == "--text" {
		corpus = configs.Corpus{Encoding: "utf-8", Newlines: "keep"} // a shell writes it
	}
	sums, err := score.Text(ctx, models, in.from, corpus, func(c score.Char) error {
		var p *float64
		if c.Nats != nil {
			l := -c.Nats[0]
			p = &l
		}
		switch {
		case w.flags.chars && w.json:
			res.LogProbs = append(res.LogProbs, p)
		case w.flags.chars && p == nil:
			fmt.Fprintf(w.out, "%-8q %9s\n", c.Text, "-")
		case w.flags.chars:
			if _, err := fmt.Fprintf(w.out, "%-8q %9.4f\n", c.Text, *p); err != nil {
				return err
			}
		}
		if w.flags.html != "" {
			w.page.Add(c)
		}
		if len(models) > 1 {
			w.passages.Add(c)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for i, s := range sums {
		total[i].Nats += s.Nats
		total[i].Chars += s.Chars
	}
	res.set(sums[0])
	if len(models) > 1 {
		res.Compared = &scored{}
		res.Compared.set(sums[1])
	}
	w.page.End(w.line(res))
	return res, nil
}

// line is a loss in words.
func (w *scoreWriter) line(s *scored) string {
	switch {
	case s.NatsPerChar == nil:
		return "a text of fewer than two characters has nothing to predict"
	case s.Compared == nil:
		return fmt.Sprintf("%.4f nats, %.4f bits a character over %d characters", *s.NatsPerChar, *s.BitsPerChar, s.Chars)
	}
	return fmt.Sprintf("%.4f and %.4f nats, %.4f and %.4f bits a character over %d characters",
		*s.NatsPerChar, *s.Compared.NatsPerChar, *s.BitsPerChar, *s.Compared.BitsPerChar, s.Chars)
}

// print writes the result in words.
func (w *scoreWriter) print(out io.Writer, all *scored) {
	fmt.Fprintln(out, w.line(all))
	if all.Most == nil {
		return
	}
	fmt.Fprintf(out, "bits a character where %s and %s differ most:\n", all.Checkpoint, all.Compared.Checkpoint)
	for _, p := range *all.Most {
		fmt.Fprintf(out, "%8.4f %8.4f  %s, character %d: %q\n", p.Bits[0], p.Bits[1], p.File, p.At, p.Text)
	}
}
