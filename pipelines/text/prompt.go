package text

import (
	"context"
	"fmt"
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

// CheckPrompt returns an error that wraps ErrPrompt where the model has no ids for a
// prompt's characters.
func (m *Model) CheckPrompt(prompt string) error {
	_, err := encodePrompt(m.Vocab, m.Text([]byte(prompt)))
	return err
}

// CheckPrompt returns an error that wraps ErrPrompt where a model of the set could not
// be given the prompt.
func CheckPrompt(set *dataset.Set, prompt string) error {
	_, err := encodePrompt(set.Vocab(), inForm([]byte(prompt), set.Manifest().Normalize))
	return err
}

// encodePrompt returns the ids of a prompt in the vocabulary's form.
func encodePrompt(v *vocab.Vocab, prompt []byte) ([]int32, error) {
	ids, err := v.Encode(nil, prompt)
	if err != nil {
		return nil, fmt.Errorf("text: %w: %w", ErrPrompt, err)
	}
	return ids, nil
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
