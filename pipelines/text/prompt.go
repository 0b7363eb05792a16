package text

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/quire-ml/quire/transforms/corpus"
	"github.com/quire-ml/quire/transforms/dataset"
	"github.com/quire-ml/quire/transforms/vocab"
)

// inForm returns a text in the form of a set: in NFC, if the set is. A text that is not
// UTF-8 stays as it is: Encode's error names the place.
func inForm(text []byte, normalize string) []byte {
	if normalize == "nfc" && utf8.Valid(text) {
		return corpus.NFC(text)
	}
	return text
}

// ErrPrompt is wrapped by the error about a prompt with characters that the model does
// not know.
var ErrPrompt = errors.New("prompt")

// A PromptError lists the characters of a prompt that a model does not know. It wraps
// ErrPrompt and the first of them.
type PromptError struct {
	Lacking []*vocab.CharError // each once, at its first place

	vocab *vocab.Vocab
	unk   bool // they were to be read as [UNK], which the model has not
}

// mostListed is the number of characters that a PromptError spells out.
const mostListed = 10

// Error names the characters and their places.
func (e *PromptError) Error() string {
	end := ""
	if e.unk {
		end = ", and it has no [UNK] to read them as"
	}
	if n := len(e.Lacking); n > 1 {
		return fmt.Sprintf("text: %v: %d %s are not among the %d that the model knows%s: %s", ErrPrompt, n, e.vocab.Unit().Plural(), e.vocab.Size(), end, Places(e.Lacking))
	}
	return fmt.Sprintf("text: %v: %s is not one of the %d %s that the model knows%s", ErrPrompt, Places(e.Lacking), e.vocab.Size(), e.vocab.Unit().Plural(), end)
}

// Unwrap returns ErrPrompt and the first character.
func (e *PromptError) Unwrap() []error { return []error{ErrPrompt, e.Lacking[0]} }

// Unknown reports whether the model has [UNK], which can stand for the characters.
func (e *PromptError) Unknown() bool { return e.vocab.HasUnknown() }

// Places names characters that a vocabulary lacks, and their places: the first ten.
func Places(lacking []*vocab.CharError) string {
	var list []string
	for _, c := range lacking[:min(len(lacking), mostListed)] {
		list = append(list, c.Place())
	}
	if more := len(lacking) - len(list); more > 0 {
		list = append(list, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(list, ", ")
}

// A Prompt is a prompt as a model reads it.
type Prompt struct {
	Text []byte // in the form of the model's set, without what was left out
	IDs  []int32
	Lost []*vocab.CharError // characters that were left out, or are [UNK] in IDs; each once
}

// Prompt returns a prompt as the model reads it. unknown says what becomes of characters
// that the model does not know: error is an error that wraps ErrPrompt, skip leaves them
// out, unk reads them as [UNK] where the model has it. The empty word is error.
func (m *Model) Prompt(prompt, unknown string) (*Prompt, error) {
	return readPrompt(m.Vocab, m.Text([]byte(prompt)), unknown)
}

// CheckPrompt returns an error that wraps ErrPrompt where the model does not know all
// characters of a prompt.
func (m *Model) CheckPrompt(prompt string) error {
	_, err := m.Prompt(prompt, "")
	return err
}

// CheckPrompt returns an error that wraps ErrPrompt where a model of the set could not
// be given the prompt.
func CheckPrompt(set *dataset.Set, prompt, unknown string) error {
	_, err := readPrompt(set.Vocab(), inForm([]byte(prompt), set.Manifest().Normalize), unknown)
	return err
}

// readPrompt reads a prompt in the vocabulary's form.
func readPrompt(v *vocab.Vocab, prompt []byte, unknown string) (*Prompt, error) {
	known, lacking := v.Split(prompt)
	p := &Prompt{Text: prompt, Lost: lacking}
	switch {
	case len(lacking) == 0 || unknown == "unk" && v.HasUnknown():
	case unknown == "skip":
		p.Text = known
	default:
		return nil, &PromptError{Lacking: lacking, vocab: v, unk: unknown == "unk"}
	}
	var err error
	p.IDs, err = v.Encode(nil, p.Text)
	return p, err
}

// beginning is the number of characters that Beginning returns.
const beginning = 16

// Beginning returns the first characters of the training text of a set, up to one that
// the vocabulary has dropped: a prompt that fits any model of the set.
func Beginning(ctx context.Context, set *dataset.Set) (string, error) {
	data, err := set.Text("train", 0)
	if err != nil {
		return "", err
	}
	ids := make([]int32, min(beginning, data.Len()*int64(set.Manifest().SeqLength+1)))
	if err := data.ReadAt(ctx, 0, ids); err != nil {
		return "", err
	}
	var text []byte
	for _, id := range ids {
		if set.Vocab().HasUnknown() && id == 0 {
			break
		}
		text = set.Vocab().AppendText(text, id)
	}
	// In a set of bytes, the last character may be cut.
	for cut := range min(utf8.UTFMax, len(text)) {
		if whole := text[:len(text)-cut]; utf8.Valid(whole) {
			return string(whole), nil
		}
	}
	return string(text), nil
}
