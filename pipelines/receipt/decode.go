package receipt

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/quire-ml/quire/model/sample"
	"github.com/quire-ml/quire/pipelines/text"
)

// MaxBytes is the size of the largest receipt that Decode takes.
const MaxBytes = 64 << 20

// maxLength is the largest length that a config may ask for.
const maxLength = 1_000_000_000

// Keys that a receipt, and each of its texts, has in any case.
var (
	receiptKeys = []string{"checkpoint_sha256", "prompt", "length", "temperature", "top_k", "top_p", "min_p", "repetition_penalty", "seed", "texts"}
	textKeys    = []string{"stream", "bytes", "sha256", "finish"}
)

// Decode reads a receipt. Another format, missing and unknown keys, more than one value, and
// values that no receipt has are errors.
func Decode(data []byte) (*Receipt, error) {
	r, err := decode(data)
	if err != nil {
		return nil, fmt.Errorf("receipt: %w", err)
	}
	return r, nil
}

func decode(data []byte) (*Receipt, error) {
	var given map[string]json.RawMessage
	if err := json.Unmarshal(data, &given); err != nil { // also where something follows the object
		return nil, inWords(err)
	}
	var format string
	if err := json.Unmarshal(given["format"], &format); format != Format {
		if err != nil && len(given["format"]) > 0 {
			return nil, fmt.Errorf("the format is %.80s, this program reads %s", given["format"], Format)
		}
		return nil, fmt.Errorf("the format is %q, this program reads %s", format, Format)
	}
	if err := strict(json.NewDecoder(bytes.NewReader(data))); err != nil {
		return nil, err
	}
	if err := has(given, receiptKeys); err != nil {
		return nil, err
	}
	r, d := new(Receipt), json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(r); err != nil {
		return nil, inWords(err)
	}
	var texts []map[string]json.RawMessage
	if err := json.Unmarshal(given["texts"], &texts); err != nil {
		return nil, inWords(err)
	}
	for i, t := range texts {
		if err := has(t, textKeys); err != nil {
			return nil, fmt.Errorf("text %d: %w", i, err)
		}
	}
	return r, r.check()
}

// strict returns an error for the first thing in a value of JSON that encoding/json reads in
// silence: null, which leaves a 0 or an empty text; a key in capitals, which stands for that
// in small letters; and a key that comes twice, of which the last counts.
func strict(d *json.Decoder) error {
	token, err := d.Token()
	switch {
	case err != nil:
		return err
	case token == nil:
		return fmt.Errorf("the value that ends at byte %d is null, which stands for nothing in a receipt", d.InputOffset())
	case token == json.Delim('['):
		for d.More() {
			if err := strict(d); err != nil {
				return err
			}
		}
		_, err = d.Token()
	case token == json.Delim('{'):
		for seen := map[string]bool{}; d.More(); {
			token, err := d.Token()
			if err != nil {
				return err
			}
			key := token.(string)
			switch {
			case key != strings.ToLower(key):
				return fmt.Errorf("unknown field %q", key)
			case seen[key]:
				return fmt.Errorf("field %q comes twice, the second time before byte %d", key, d.InputOffset())
			}
			seen[key] = true
			if err := strict(d); err != nil {
				return err
			}
		}
		_, err = d.Token()
	}
	return err
}

// has returns an error for the first key that is missing.
func has(object map[string]json.RawMessage, keys []string) error {
	for _, key := range keys {
		if _, ok := object[key]; !ok {
			return fmt.Errorf("it has no %s", key)
		}
	}
	return nil
}

// check returns an error for what no receipt has.
func (r *Receipt) check() error {
	switch {
	case !digest.MatchString(r.SHA256):
		return fmt.Errorf("checkpoint_sha256 is %.80q, want 64 hexadecimal digits", r.SHA256)
	case r.Length < 0 || r.Length > maxLength:
		return fmt.Errorf("length is %d, want 0 to %d", r.Length, maxLength)
	case r.RepetitionPenalty == 0:
		return errors.New("repetition_penalty is 0, want above 0; 1 is off")
	case len(r.PromptIDs) > 0 && r.Prompt != "":
		return errors.New("it has both a prompt and prompt_ids")
	case slices.Contains(r.Stop, ""):
		return errors.New("stop has an empty text, which ends no text")
	case len(r.Texts) == 0:
		return errors.New("it has no texts")
	}
	if _, err := sample.New(r.sampling(), r.Seed, 0); err != nil {
		return err
	}
	for i, t := range r.Texts {
		if err := r.checkText(t); err != nil {
			return fmt.Errorf("text %d: %w", i, err)
		}
	}
	return nil
}

var digest = regexp.MustCompile(`^[0-9a-f]{64}$`)

func (r *Receipt) checkText(t Text) error {
	switch {
	case !digest.MatchString(t.SHA256):
		return fmt.Errorf("sha256 is %.80q, want 64 hexadecimal digits", t.SHA256)
	case t.Finish != text.Whole && t.Finish != text.Stopped:
		return fmt.Errorf("finish is %.80q, want %s or %s", t.Finish, text.Whole, text.Stopped)
	case t.Finish == text.Stopped && len(r.Stop) == 0:
		return fmt.Errorf("finish is %s, and the receipt has no stop", t.Finish)
	case t.Bytes < 0:
		return fmt.Errorf("bytes is %d, want 0 or more", t.Bytes)
	case t.Finish == text.Whole && t.Bytes < r.Length:
		return fmt.Errorf("it has %d bytes, and a text whose finish is %s at least the length, %d", t.Bytes, text.Whole, r.Length)
	}
	return nil
}

// inWords returns an error of encoding/json without the names of Go's types.
func inWords(err error) error {
	var kind *json.UnmarshalTypeError
	if !errors.As(err, &kind) {
		return errors.New(strings.TrimPrefix(err.Error(), "json: "))
	}
	want := "an object"
	switch t := kind.Type; t.Kind() {
	case reflect.String:
		want = "a text"
	case reflect.Int, reflect.Int32, reflect.Int64:
		want = "a whole number in range"
	case reflect.Uint64:
		want = "a whole number, 0 or more, in range"
	case reflect.Float64:
		want = "a number in range"
	case reflect.Slice:
		want = "a list"
		if t.Elem().Kind() == reflect.Uint8 {
			want = "a text in base64"
		}
	}
	return fmt.Errorf("%s is a JSON %s, want %s", cmp.Or(kind.Field, "it"), kind.Value, want)
}
