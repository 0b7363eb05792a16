package export

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strings"
	"unicode"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/model/train"
	"github.com/quire-ml/quire/pipelines/gate"
	"github.com/quire-ml/quire/pipelines/report"
	"github.com/quire-ml/quire/pipelines/text"
)

const (
	sampleLength = 500
	shownEpochs  = 20  // of a training, the last ones
	shownSources = 100 // of a set
)

// sampleTemperature draws the sample of a card.
const sampleTemperature = 0.8

// card returns README.md of a model.
func card(ctx context.Context, m *text.Model, p past) ([]byte, error) {
	b := &bytes.Buffer{}
	s := m.Weights.Shape
	cell := strings.ToUpper(string(s.Cell))
	fmt.Fprintf(b, "---\nlibrary_name: pytorch\npipeline_tag: text-generation\ntags:\n- quire\n- char-rnn\n- %s\n---\n\n", s.Cell)
	fmt.Fprintf(b, "# A character-level %s language model\n\n", cell)
	fmt.Fprintf(b, "%s of %s with %d hidden units, embeddings of %d, %s: %d parameters. ",
		cell, report.Count(s.Layers, "layer"), s.Hidden, s.Embedding, characters(m), s.Count())
	fmt.Fprintf(b, "[Quire](https://github.com/quire-ml/quire) trained it.\n\n")
	fmt.Fprintf(b, "Its licence follows from the text that it was trained on, which quire does not judge. "+
		"Who publishes the model adds `license:` to the first lines of this file.\n\n")
	fmt.Fprintf(b, "## Use\n\nPyTorch alone is needed:\n\n```python\nfrom modeling_quire import Quire\n\nmodel = Quire.from_pretrained(\".\")\n"+
		"print(model.generate(%[1]q))\nprint(model.score(model.generate(%[1]q, 20)))  # the log-probability of each character but the first\n```\n\n"+
		"Transformers loads it with `AutoModelForCausalLM` and `trust_remote_code=True`; it has no tokenizer of Transformers'.\n\n", opening(m))
	if err := losses(b, m); err != nil {
		return nil, err
	}
	judgement(b, p)
	if err := lineage(b, m, p); err != nil {
		return nil, err
	}
	if err := sample(ctx, b, m); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// characters says what a model reads and writes.
func characters(m *text.Model) string {
	kind := "characters"
	if m.Unit == "byte" {
		kind = "bytes"
	}
	text := fmt.Sprintf("%d %s", m.Vocab.Size(), kind)
	if m.Vocab.HasUnknown() {
		text += ", one of them `[UNK]` for all that are rare,"
	}
	if m.Normalize == "nfc" {
		text += " in Unicode's form NFC"
	}
	return text
}

// opening returns a prompt for the example, of characters that the model knows.
func opening(m *text.Model) string {
	for _, prompt := range []string{"The ", " ", "\n"} {
		if m.CheckPrompt(prompt) == nil {
			return prompt
		}
	}
	return "…"
}

// losses writes the losses of the training.
func losses(w io.Writer, m *text.Model) error {
	var past struct{ Epochs []train.EpochMetrics }
	if len(m.Metrics) > 0 {
		if err := json.Unmarshal(m.Metrics, &past); err != nil {
			return fmt.Errorf("export: %s: metrics: %w", m.Path, err)
		}
	}
	list := past.Epochs
	if len(list) == 0 {
		fmt.Fprintf(w, "## Losses\n\nNo epoch was finished.\n\n")
		return nil
	}
	fmt.Fprintf(w, "## Losses\n\nIn nats a character, of which %.4f are a bit.\n\n", math.Ln2)
	if n := len(list); n > shownEpochs {
		list = list[n-shownEpochs:]
		fmt.Fprintf(w, "The last %d of %d epochs:\n\n", shownEpochs, n)
	}
	fmt.Fprintf(w, "| epoch | step | training | validation |\n|---:|---:|---:|---:|\n")
	for _, e := range list {
		fmt.Fprintf(w, "| %d | %d | %.4f | %s |\n", e.Epoch, e.Step, e.TrainNats, number(e.Validation, "%.4f"))
	}
	if list[len(list)-1].Validation == nil {
		fmt.Fprintf(w, "\nA checkpoint is written before the validation of its epoch.\n")
	}
	fmt.Fprintln(w)
	return nil
}

// meanings say what the figures of the gate's checks are.
var meanings = map[string]string{
	"weights":   "weights that are not finite numbers",
	"loss":      "loss on the held-out text; below the limit, the unigram entropy",
	"gap":       "loss on the held-out text; not below the limit, or it would know that text by heart",
	"promoted":  "loss on the held-out text; below the limit, from the model before it",
	"utf8":      "share of a sample that is valid text; at least the limit",
	"loop":      "share of the samples that repeats itself",
	"coverage":  "share of the held-out text whose characters the samples use; at least the limit",
	"span":      "characters of the longest copied span of the samples",
	"copied_50": "share of the samples' 50-grams that are copied from the training text",
	"copied_20": "share of the samples' 20-grams that are copied from the training text",
	"leaked":    "share of the samples' 20-grams that are in the held-out text alone",
}

// judgement writes the figures of the gate. Its sentences may name paths of a machine, so
// they stay there.
func judgement(w io.Writer, p past) {
	fmt.Fprintf(w, "## The gate\n\n")
	if p.decision == nil {
		fmt.Fprintf(w, "No round is known that judged this model.\n\n")
		return
	}
	verdict := "did not pass"
	if p.decision.Passed {
		verdict = "passed"
	}
	fmt.Fprintf(w, "In round %s the model %s the gate.\n\n", span(p.round), verdict)
	fmt.Fprintf(w, "| check | verdict | figure | limit | the figure is |\n|---|---|---:|---:|---|\n")
	for _, k := range p.decision.Checks {
		fmt.Fprintf(w, "| %s | %s | %s | %s | %s |\n", strings.ReplaceAll(span(k.Name), "|", "\\|"), passed(k), number(k.Value, "%.4g"),
			number(k.Limit, "%.4g"), meanings[k.Name])
	}
	fmt.Fprintln(w)
}

func passed(k gate.Check) string {
	if k.Passed {
		return "passed"
	}
	return "refused"
}

// number is a figure, a dash for none.
func number(x *float64, format string) string {
	if x == nil {
		return "-"
	}
	return fmt.Sprintf(format, *x)
}

// lineage writes what the model comes from, by digests.
func lineage(w io.Writer, m *text.Model, p past) error {
	fmt.Fprintf(w, "## Lineage\n\nBy sha256:\n\n- checkpoint of step %d, epoch %d: %s\n", m.Step, m.Epoch, span(m.SHA256))
	fmt.Fprintf(w, "- manifest of the set that it was trained on: %s\n", span(m.Set))
	a, err := m.Ancestry()
	if err != nil {
		return err
	}
	if a != nil {
		for _, set := range a.Sets {
			fmt.Fprintf(w, "- manifest of a set that an ancestor was trained on: %s\n", span(set))
		}
		for _, from := range a.Unknown {
			fmt.Fprintf(w, "- an ancestor of which no more is known: %s\n", span(from))
		}
	}
	for _, s := range p.sources[:min(len(p.sources), shownSources)] {
		fmt.Fprintf(w, "- source %s: %s\n", span(s.Name), span(s.SHA256))
	}
	if more := len(p.sources) - shownSources; more > 0 {
		fmt.Fprintf(w, "- and %d more sources, which the manifest lists\n", more)
	}
	fmt.Fprintln(w)
	return nil
}

// sample writes a text that the model has written.
func sample(ctx context.Context, w io.Writer, m *text.Model) error {
	g := configs.Generate{Length: sampleLength, Temperature: sampleTemperature, TopP: 1}
	if m.CheckPrompt("\n") == nil {
		g.Prompt = "\n" // the beginning of a line
	}
	res, err := text.Generate(ctx, m, g, io.Discard)
	if err != nil {
		return err
	}
	written := visible(strings.TrimPrefix(res.Texts[0], "\n"))
	fence := strings.Repeat("`", max(3, longest(written)+1))
	fmt.Fprintf(w, "## Sample\n\n%d characters, drawn at temperature %g:\n\n%stext\n%s\n%s\n", sampleLength, g.Temperature, fence, written, fence)
	return nil
}

// span is a text of others as a code span of Markdown, in which nothing is markup.
func span(s string) string {
	s = strings.NewReplacer("\n", `\n`, "\t", `\t`).Replace(visible(s))
	fence := strings.Repeat("`", longest(s)+1)
	if strings.HasPrefix(s, "`") || strings.HasSuffix(s, "`") || strings.TrimSpace(s) == "" {
		s = " " + s + " "
	}
	return fence + s + fence
}

// longest returns the length of the longest run of backticks.
func longest(s string) (most int) {
	run := 0
	for _, c := range s {
		if c != '`' {
			run = 0
			continue
		}
		run++
		most = max(most, run)
	}
	return most
}

// visible writes characters that command a terminal or a browser, or that nobody sees, as
// escapes. Line ends and tabs stay.
func visible(s string) string {
	var b strings.Builder
	for _, c := range strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\r\n", "\n") {
		if c == '\n' || c == '\t' || unicode.IsGraphic(c) {
			b.WriteRune(c)
			continue
		}
		fmt.Fprintf(&b, `\u{%x}`, c)
	}
	return b.String()
}
