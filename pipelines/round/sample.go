package round

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/runners/workflow"
)

// PromptResult is the prompt of a round's sample.
type PromptResult struct {
	Text  string `json:"text"`
	Bytes []byte `json:"bytes,omitempty"` // in place of Text, where the prompt is not UTF-8
}

func (p PromptResult) text() string { return p.Text + string(p.Bytes) }

// SampleResult is the text at the end of a round.
type SampleResult struct {
	Text string `json:"text"`
	Seed int64  `json:"seed"`
}

// Prompt is the live stage that checks, before any training, that the characters of the
// prompt are in the text.
func (r *Stages) Prompt() workflow.Node {
	keys := []string{"generate.prompt"}
	if r.Config.Generate.Unknown != "error" { // a younger key
		keys = append(keys, "generate.unknown")
	}
	return stage[PromptResult]{Name: "prompt", Version: 1, Config: r.Config, Keys: keys,
		Inputs: []workflow.Input{SetArtifact}, Artifact: PromptArtifact, Live: true, OnDemand: true,
		Run: func(ctx context.Context, c *configs.Config, task *workflow.Task) (out workflow.Product[PromptResult], err error) {
			made, err := SetArtifact.Of(task)
			if err != nil {
				return out, err
			}
			before, err := r.promptBefore(ctx, task)
			if err != nil {
				return out, err
			}
			if before != nil {
				out.Value = *before
				return out, nil
			}
			prompt, err := r.prompt(ctx, made.Set.In(c.Workdir))
			if err != nil {
				return out, err
			}
			if out.Value.Text = prompt; !utf8.ValidString(prompt) {
				out.Value = PromptResult{Bytes: []byte(prompt)}
			}
			return out, nil
		}}
}

// promptBefore returns the prompt of the last round, nil where that was another one, or
// where the user's prompt has to be checked.
func (r *Stages) promptBefore(ctx context.Context, task *workflow.Task) (*PromptResult, error) {
	last, err := workflow.Latest(ctx, task.Store, func(error) {}) // the round itself has told of it
	if err != nil {
		return nil, err
	}
	before, s, err := PromptArtifact.Recorded(last)
	if s == nil || err != nil || s.Key != task.Key || before.text() != r.Config.Generate.Prompt && !r.Options.AnyPrompt {
		return nil, err
	}
	return &before, nil
}

// prompt returns the prompt of the config, or the beginning of the set's text.
func (r *Stages) prompt(ctx context.Context, at string) (string, error) {
	set, done, err := text.OpenSet(ctx, at)
	if err != nil {
		return "", err
	}
	defer done()
	prompt := r.Config.Generate.Prompt
	if err = text.CheckPrompt(set, prompt, r.Config.Generate.Unknown); err == nil || !r.Options.AnyPrompt {
		return prompt, err
	}
	begins, err := text.Beginning(ctx, set)
	if err == nil {
		r.Options.Console.Line("prompt: the text lacks characters of %q; the sample begins as the text does, with %q", prompt, begins)
	}
	return begins, err
}

// PromptOf returns the prompt of the newest round of a workdir on the set whose manifest
// has that sha256, or "" where no record has one.
func PromptOf(ctx context.Context, workdir, manifestSHA256 string) (string, error) {
	st, err := store.Open(ctx, workdir)
	if err != nil {
		return "", err
	}
	defer st.Close()
	records, err := workflow.Records(ctx, st, func(error) {}) // without a damaged one, the prompt is that of another round
	if err != nil {
		return "", err
	}
	for _, r := range slices.Backward(records) {
		set, _, err1 := SetArtifact.Recorded(r)
		prompt, _, err2 := PromptArtifact.Recorded(r)
		if err := errors.Join(err1, err2); err != nil {
			return "", err
		}
		if set.ManifestSHA256 == manifestSHA256 && prompt.text() != "" {
			return prompt.text(), nil
		}
	}
	return "", nil
}

// Sample is the stage that writes a text with the model.
func (r *Stages) Sample() workflow.Node {
	return stage[SampleResult]{Name: "sample", Version: 1, Limit: limit(r.Config.Round.LimitMinutes.Sample),
		Config: r.Config, Keys: r.Config.KeysOf(configs.Text),
		Inputs:   []workflow.Input{ModelArtifact},
		Uses:     []workflow.Input{PromptArtifact}, // of the config, or of the model's set
		Artifact: SampleArtifact,
		Run: func(ctx context.Context, c *configs.Config, task *workflow.Task) (out workflow.Product[SampleResult], err error) {
			m, err := r.open(ctx, task)
			if err != nil {
				return out, err
			}
			prompt, err := PromptArtifact.Of(task)
			if err != nil {
				return out, err
			}
			wanted := c.Generate
			wanted.Prompt = prompt.text()
			g, err := text.Generate(ctx, m, wanted, io.Discard)
			if err != nil {
				return out, err
			}
			out.Value = SampleResult{Text: strings.ToValidUTF8(g.Texts[0], "\uFFFD"), Seed: g.Seed}
			return out, nil
		}}
}
