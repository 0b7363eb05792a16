package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/model/train"
	"github.com/quire-ml/quire/pipelines/report"
	"github.com/quire-ml/quire/pipelines/score"
	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/runners/store"
)

// scored is the loss of a text or of all, and of the second model.
type scored struct {
	Name        string           `json:"name,omitempty"`
	NatsPerChar *float64         `json:"nats_per_char"` // null for a text of fewer than two characters
	BitsPerChar *float64         `json:"bits_per_char"`
	Chars       int64            `json:"chars"`              // predicted characters: one less than a text has
	LogProbs    []*float64       `json:"log_probs,omitzero"` // with --chars
	Adapted     *adapted         `json:"adapted,omitempty"`  // with --adapt: the model that learns
	Files       []*scored        `json:"files,omitempty"`
	Compared    *scored          `json:"compared,omitempty"` // the second model
	Checkpoint  store.Path       `json:"checkpoint,omitempty"`
	Most        *[]score.Passage `json:"most_different,omitempty"`
}

// adapted is the loss of a model that learns from the text, over the same characters.
type adapted struct {
	LR           float64    `json:"lr"`
	PassageChars int        `json:"passage_chars"` // learned from at once, after they were predicted
	NatsPerChar  *float64   `json:"nats_per_char"`
	BitsPerChar  *float64   `json:"bits_per_char"`
	LogProbs     []*float64 `json:"log_probs,omitzero"`
}

// score measures the models on the texts and prints the result.
func (f *scoreFlags) score(c *cobra.Command, o *common, corpus configs.Corpus, models []*text.Model, inputs []*input) error {
	w := &scoreWriter{flags: f, models: models, json: o.json, out: c.OutOrStdout(),
		page: score.Page{Model: models[0].Path}, passages: &score.Passages{}}
	all, total := &scored{}, make([]score.Sum, w.readers())
	if len(models) > 1 {
		all.Checkpoint, all.Compared = store.Path(models[0].Path), &scored{Checkpoint: store.Path(models[1].Path)}
		w.page.Compared = models[1].Path
	}
	for i, in := range inputs {
		if i > 0 {
			if err := in.open(c); err != nil {
				return err
			}
		}
		one, err := w.one(c.Context(), corpus, in, total)
		in.close()
		if err != nil {
			return fmt.Errorf("%s: %w", in.name, err)
		}
		all.Files = append(all.Files, one)
		if len(inputs) > 1 && !o.json {
			fmt.Fprintf(w.out, "%s: %s\n", in.name, w.line(one))
		}
	}
	w.set(all, total)
	if len(models) > 1 {
		most := w.passages.Most()
		all.Most, w.page.Most = &most, most
	}
	if len(inputs) == 1 {
		all.LogProbs, all.Adapted, all.Files = all.Files[0].LogProbs, all.Files[0].Adapted, nil
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
	if a := all.Adapted; a != nil && a.NatsPerChar != nil && *a.NatsPerChar > *all.NatsPerChar {
		o.console(c).Warn("score: the model that learns does worse than the one that does not; a smaller --adapt may do better")
	}
	return o.print(c, all, func(out io.Writer) { w.print(out, all) })
}

// scoreWriter is what becomes of the characters of a score.
type scoreWriter struct {
	flags    *scoreFlags
	models   []*text.Model
	json     bool
	out      io.Writer
	page     score.Page
	passages *score.Passages
	listed   int // characters whose log-probability the result has
}

// readers returns the number of models that read: those that are given, and as many that
// learn.
func (w *scoreWriter) readers() int {
	if w.flags.adapt > 0 {
		return 2 * len(w.models)
	}
	return len(w.models)
}

// mostListed bounds the memory of a result with log-probabilities, to some 500 MB.
const mostListed = 4 << 20

// one measures the models on one text, and adds to the totals.
func (w *scoreWriter) one(ctx context.Context, corpus configs.Corpus, in *input, total []score.Sum) (*scored, error) {
	res := &scored{Name: in.name}
	if len(w.models) > 1 {
		res.Compared = &scored{}
	}
	w.set(res, make([]score.Sum, w.readers()))
	if w.flags.chars && w.json {
		res.LogProbs = []*float64{}
		if res.Adapted != nil {
			res.Adapted.LogProbs = []*float64{}
		}
	}
	w.page.Begin(in.name)
	w.passages.Begin(in.name)
	if in.name == "--text" {
		corpus = configs.Corpus{Encoding: "utf-8", Newlines: "keep"} // a shell writes it
	}
	visit := func(c score.Char) error {
		if w.flags.html != "" {
			w.page.Add(c)
		}
		if len(w.models) > 1 {
			w.passages.Add(c)
		}
		if !w.flags.chars {
			return nil
		}
		return w.char(c, res)
	}
	var sums []score.Sum
	var err error
	if w.flags.adapt > 0 {
		sums, err = score.Adapt(ctx, w.models, in.from, corpus, w.flags.adapt, visit)
	} else {
		sums, err = score.Text(ctx, w.models, in.from, corpus, visit)
	}
	var form *text.FormError
	if in.name == "--text" && errors.As(err, &form) {
		err = form.Unwrap() // no setting changes how it is read
	}
	if err != nil {
		return nil, err
	}
	for i, s := range sums {
		total[i].Nats += s.Nats
		total[i].Chars += s.Chars
	}
	w.set(res, sums)
	w.page.End(w.line(res))
	return res, nil
}

// char notes or prints the log-probability of a character: the first model's, and that of
// the copy that learns.
func (w *scoreWriter) char(c score.Char, res *scored) error {
	var list []*float64
	for i := 0; i < w.readers(); i += len(w.models) {
		var p *float64
		if c.Nats != nil {
			l := -c.Nats[i]
			p = &l
		}
		list = append(list, p)
	}
	if w.json {
		if w.listed++; w.listed > mostListed {
			return fmt.Errorf("command: score: --chars with --json lists at most %d characters, which are held in memory; without --json there is no limit", mostListed)
		}
		res.LogProbs = append(res.LogProbs, list[0])
		if res.Adapted != nil {
			res.Adapted.LogProbs = append(res.Adapted.LogProbs, list[1])
		}
		return nil
	}
	line := fmt.Sprintf("%-8q", c.Text)
	for _, p := range list {
		if p == nil {
			line += fmt.Sprintf(" %9s", "-")
		} else {
			line += fmt.Sprintf(" %9.4f", *p)
		}
	}
	_, err := fmt.Fprintln(w.out, line)
	return err
}

// set sets the losses, which are those of the models and then of those that learn.
func (w *scoreWriter) set(s *scored, sums []score.Sum) {
	for i, s := range []*scored{s, s.Compared}[:len(w.models)] {
		s.NatsPerChar, s.BitsPerChar = sums[i].Mean()
		s.Chars = sums[i].Chars
		if w.flags.adapt == 0 {
			continue
		}
		if s.Adapted == nil {
			s.Adapted = &adapted{LR: w.flags.adapt, PassageChars: train.AdaptChars}
		}
		s.Adapted.NatsPerChar, s.Adapted.BitsPerChar = sums[len(w.models)+i].Mean()
	}
}

// line is a loss in words.
func (w *scoreWriter) line(s *scored) string {
	if s.NatsPerChar == nil {
		return "a text of fewer than two characters has nothing to predict"
	}
	var nats, bits, learnedNats, learnedBits []string
	figure := func(x *float64) string { return fmt.Sprintf("%.4f", *x) }
	for _, m := range []*scored{s, s.Compared}[:len(w.models)] {
		nats, bits = append(nats, figure(m.NatsPerChar)), append(bits, figure(m.BitsPerChar))
		if a := m.Adapted; a != nil {
			learnedNats, learnedBits = append(learnedNats, figure(a.NatsPerChar)), append(learnedBits, figure(a.BitsPerChar))
		}
	}
	line := fmt.Sprintf("%s nats, %s bits a character over %s", strings.Join(nats, " and "), strings.Join(bits, " and "),
		report.Count(int(s.Chars), "character"))
	if s.Adapted != nil {
		line += fmt.Sprintf("; learning at %g: %s nats, %s bits", s.Adapted.LR,
			strings.Join(learnedNats, " and "), strings.Join(learnedBits, " and "))
	}
	return line
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
