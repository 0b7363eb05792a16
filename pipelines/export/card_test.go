package export_test

import (
	"context"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/model/rnn"
	"github.com/quire-ml/quire/pipelines/export"
	"github.com/quire-ml/quire/pipelines/gate"
	"github.com/quire-ml/quire/pipelines/internal/tiny"
	"github.com/quire-ml/quire/pipelines/round"
	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/runners/workflow"
	"github.com/quire-ml/quire/transforms/vocab"
)

// hostile is the name of a document that would be markup in a card, and breaks its line.
const hostile = "a`b <script>|\n- [x](http:y) \u202e.txt"

// TestCard: the card has the figures and the sources of the oldest round that judged the
// model, none of its sentences, and names of files as they are.
func TestCard(t *testing.T) {
	c := tiny.Documents(t, map[string]string{hostile: tiny.Line(), "z.txt": tiny.Line()}, "train.epochs=1")
	value, limit := 1.25, 2.5
	verdict := func(passed bool) round.Stage {
		return func(*round.Stages) workflow.Node {
			return workflow.Stage[map[string]bool, gate.Result]{Name: "gate", Version: 1, Config: map[string]bool{"passed": passed},
				Inputs: []workflow.Input{round.ModelArtifact}, Artifact: round.DecisionArtifact,
				Run: func(ctx context.Context, _ map[string]bool, task *workflow.Task) (out workflow.Product[gate.Result], err error) {
					made, err := round.ModelArtifact.Of(task)
					if err != nil {
						return out, err
					}
					m, err := text.OpenModel(ctx, filepath.Join(c.Workdir, string(made.Best)), "best")
					if err != nil {
						return out, err
					}
					out.Value = gate.Result{Passed: passed, SHA256: m.SHA256, Checks: []gate.Check{
						{Name: "loss", Passed: true, Value: &value, Limit: &limit, Text: "/home/somebody"}, {Name: "set", Passed: passed, Text: "sentence"}}}
					return out, nil
				}}
		}
	}
	var first *round.Result
	for _, passed := range []bool{true, false} {
		res, _ := round.Run(t.Context(), c, round.Options{Runner: "direct", Console: tiny.Console(), ID: fmt.Sprint("r", passed),
			Stages: []round.Stage{verdict(passed), round.Without("promote", "drift", "sample")}})
		if res == nil {
			t.Fatal("no round")
		}
		if first == nil {
			first = res
		}
	}
	m := open(t, first.Run)
	dir := t.TempDir()
	damaged := func(err error) { t.Error(err) }
	res, err := export.Folder(t.Context(), m, dir, export.Options{Workdir: c.Workdir, Damaged: damaged})
	if err != nil {
		t.Fatal(err)
	}
	card := contents(t, dir)["README.md"]
	for _, want := range []string{"In round `rtrue` the model passed the gate.\n", "| `loss` | passed | 1.25 | 2.5 | loss on the held-out text; below the limit, the unigram entropy |\n",
		"| `set` | passed | - | - |  |\n", "- source ``a`b <script>|\\n- [x](http:y) \\u{202e}.txt``: `", "- source `z.txt`: `",
		"- manifest of the set that it was trained on: `" + m.Set + "`\n"} {
		if !strings.Contains(card, want) {
			t.Errorf("the card lacks %q: %s", want, card)
		}
	}
	if strings.Contains(card, "somebody") || strings.Contains(card, "sentence") || strings.Contains(card, "\n- [x]") || res.Round != "rtrue" {
		t.Errorf("the card of round %s is %s", res.Round, card)
	}
	if n := strings.Count(card, "- source "); n != 2 {
		t.Errorf("the card has %d sources: %s", n, card)
	}
	foreign := t.TempDir()
	if res, err := export.Folder(t.Context(), small(t), foreign, export.Options{Workdir: c.Workdir, Damaged: damaged}); err != nil || res.Round != "" {
		t.Errorf("a model that no round has made: %+v, %v", res, err)
	}
	if card := contents(t, foreign)["README.md"]; !strings.Contains(card, "No round is known") || strings.Contains(card, "- source ") {
		t.Errorf("the card of a model that no round has made is %s", card)
	}
	elsewhere := t.TempDir()
	if _, err := export.Folder(t.Context(), m, elsewhere, export.Options{Workdir: t.TempDir(), Damaged: damaged}); err != nil {
		t.Fatal(err)
	}
	found, alone := contents(t, dir), contents(t, elsewhere)
	if found["README.md"] == alone["README.md"] {
		t.Error("a card without rounds is that with one")
	}
	delete(found, "README.md")
	delete(alone, "README.md")
	if !maps.Equal(found, alone) {
		t.Error("the rounds are in other files than the card")
	}
}

// TestFence: a sample of backticks and control characters stays in its block, which ends
// with the card.
func TestFence(t *testing.T) {
	k := kind{unit: vocab.Rune, normalize: "none", known: "`\n\x1b\u202e"}
	m := open(t, save(t, k, rnn.Shape{Cell: rnn.GRU, Layers: 1, Embedding: 2, Hidden: 2}))
	dir := t.TempDir()
	if _, err := export.Folder(t.Context(), m, dir, export.Options{}); err != nil {
		t.Fatal(err)
	}
	card := contents(t, dir)["README.md"]
	_, block, _ := strings.Cut(card, "temperature 0.8:\n\n")
	fence, sample, _ := strings.Cut(block, "text\n")
	sample, ok := strings.CutSuffix(sample, "\n"+fence+"\n")
	if !ok || strings.Trim(fence, "`") != "" || len(fence) < 3 || strings.Contains(sample, fence) || !strings.Contains(sample, fence[1:]) {
		t.Errorf("between fences of %q: %q", fence, sample)
	}
	if !strings.Contains(sample, `\u{1b}`) || !strings.Contains(sample, `\u{202e}`) || strings.ContainsAny(sample, "\x1b\u202e") {
		t.Errorf("the sample is %q", sample)
	}
}

// TestBytes: a sample of bytes that are no text, and line ends of Windows, are text in the card,
// and a training without a finished epoch has no losses.
func TestBytes(t *testing.T) {
	k := kind{unit: vocab.Byte, normalize: "none", known: "\xff\r\n"}
	m := open(t, save(t, k, rnn.Shape{Cell: rnn.GRU, Layers: 1, Embedding: 2, Hidden: 2}))
	m.Metrics = nil
	dir := t.TempDir()
	if _, err := export.Folder(t.Context(), m, dir, export.Options{}); err != nil {
		t.Fatal(err)
	}
	card := contents(t, dir)["README.md"]
	g := configs.Generate{Prompt: "\n", Length: 500, Temperature: 0.8, TopP: 1}
	res, err := text.Generate(t.Context(), m, g, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	alone := strings.Count(res.Texts[0], "\r") - strings.Count(res.Texts[0], "\r\n")
	if !utf8.ValidString(card) || !strings.Contains(card, "\uFFFD") || strings.Contains(card, "\r") || strings.Count(card, `\u{d}`) != alone || alone == 0 {
		t.Errorf("the text is %q, the card %q", res.Texts[0], card)
	}
	if !strings.Contains(card, "## Losses\n\nNo epoch was finished.\n") {
		t.Errorf("the card is %s", card)
	}
}
