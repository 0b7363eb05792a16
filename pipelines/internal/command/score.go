package command

import (
	"bufio"
	"compress/flate"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/model/train"
	"github.com/quire-ml/quire/pipelines/report"
	"github.com/quire-ml/quire/pipelines/score"
	"github.com/quire-ml/quire/pipelines/text"
)

// scoreFlags are the flags of score.
type scoreFlags struct {
	text, file    string
	chars         bool
	html, compare string
	adapt         float64 // 0: nothing is learned
}

// Score is the command that measures models on texts.
func Score() *cobra.Command {
	var o common
	var m modelFlags
	var f scoreFlags
	c := build(&o, "score [FILE…]", "Measure how well a model predicts a text",
		`Score prints the mean loss of texts of any length: files, --text, or standard input. They are
read as corpus.encoding and corpus.newlines say, part by part, and decompressed where their names
end in .gz. The hidden is carried from the first character of a text to its last; the first has no
prediction. --html writes the first 200,000 characters with their surprise as colour. --compare
reads with a second model beside the first, and shows the passages on which they differ most.

--adapt LR gives a second figure beside the plain one: of a copy of the model that goes on learning
while it reads (dynamic evaluation). It predicts `+strconv.Itoa(train.AdaptChars)+` characters, then takes one step down
the gradient of their mean loss at that rate, and so on: no character is predicted by a model that
has learned from it. Each text begins with the model as the checkpoint has it. No file changes.`,
		"  score chapter.txt appendix.txt\n  score --text 'To be' --chars --json\n  score chapter.txt --html chapter.html\n"+
			"  score chapter.txt --checkpoint old.safetensors --compare new.safetensors\n  score chapter.txt --adapt 0.1", nil)
	c.Args = cobra.ArbitraryArgs
	c.RunE = func(c *cobra.Command, args []string) error {
		r, err := o.load()
		if err != nil {
			return err
		}
		if err := f.checkRate(c); err != nil {
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
		if err := f.spare(c, &o, models, inputs); err != nil {
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
	c.Flags().Float64Var(&f.adapt, "adapt", 0, "learning rate, such as 0.1, of a copy that learns from the text, for a second figure")
	c.Flags().StringVar(&f.compare, "compare", "", "file or gs:// URL of a second checkpoint or run, which reads the same texts")
	complete(c, "adapt", cobra.FixedCompletions([]string{"0.03", "0.1", "0.3"}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

// checkRate refuses a rate at which no model learns.
func (f *scoreFlags) checkRate(c *cobra.Command) error {
	if !c.Flags().Changed("adapt") {
		return nil
	}
	if err := score.CheckRate(f.adapt); err != nil {
		return usage(c, fmt.Errorf("--adapt: %w; 0.1 is one to begin with", err))
	}
	return nil
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

// spare refuses a page in place of what the command reads.
func (f *scoreFlags) spare(c *cobra.Command, o *common, models []*text.Model, inputs []*input) error {
	reads := []string{o.config}
	for _, m := range models {
		reads = append(reads, m.Path)
	}
	for _, in := range inputs {
		reads = append(reads, in.name)
	}
	return spare(c, []outlet{pageOutlet(f.html)}, reads...)
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
		if strings.HasSuffix(n.name, ".gz") {
			z, err := gzip.NewReader(n.from)
			if err != nil {
				n.close()
				return nil, fmt.Errorf("%s: %w", n.name, unzipError(err))
			}
			n.from = unzipped{z}
		}
		b := bufio.NewReader(n.from)
		n.from = b
		if _, err := b.Peek(1); err != nil && err != io.EOF {
			n.close()
			return nil, fmt.Errorf("%s: %w", n.name, err)
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

// unzipped reads a compressed text.
type unzipped struct{ *gzip.Reader }

// Read reads the next bytes of the text.
func (u unzipped) Read(p []byte) (int, error) {
	n, err := u.Reader.Read(p)
	if err != nil && err != io.EOF {
		err = unzipError(err)
	}
	return n, err
}

// unzipError says what is wrong with compressed bytes. An error of the disk stays as it is.
func unzipError(err error) error {
	switch {
	case errors.Is(err, gzip.ErrHeader):
		return fmt.Errorf("it is not in the format of gzip: %w", err)
	case errors.Is(err, io.EOF):
		return fmt.Errorf("it is empty, and not in the format of gzip: %w", err)
	case errors.Is(err, gzip.ErrChecksum), errors.Is(err, io.ErrUnexpectedEOF), errors.As(err, new(flate.CorruptInputError)):
		return fmt.Errorf("damaged or cut off: %w", err)
	}
	return err
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
