package completion_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/quire-ml/quire/pipelines/serve/completion"
)

// taken says which values each field takes, of one of each type of JSON.
var taken = map[string]string{
	"model": "string", "user": "string", "stop": "string empty",
	"prompt": "string list", "suffix": "",
	"max_tokens": "one", "temperature": "zero one half", "top_p": "one half", "top_k": "zero one", "min_p": "zero one half",
	"repetition_penalty": "one half", "n": "one", "seed": "zero one minus", "logprobs": "zero one", "best_of": "one",
	"presence_penalty": "zero", "frequency_penalty": "zero",
	"echo": "true false", "stream": "true false", "ignore_eos": "true false",
	"logit_bias": "object", "stream_options": "",
}

var values = map[string]string{"string": `"x"`, "zero": "0", "one": "1", "half": "0.5", "true": "true", "false": "false", "object": "{}",
	"empty": "[]", "list": "[3]", "nested": "[[[]]]", "minus": "-5", "huge": "1e300"}

// TestTypes gives every field a value of every type.
func TestTypes(t *testing.T) {
	for _, field := range completion.Fields() {
		want, ok := taken[field]
		if !ok {
			t.Errorf("the test knows nothing of %s", field)
		}
		for name, value := range values {
			body := fmt.Sprintf(`{"prompt":"a",%q:%s}`, field, value)
			if field == "prompt" {
				body = fmt.Sprintf(`{"prompt":%s}`, value)
			}
			r, err := completion.DecodeRequest([]byte(body), limits)
			if (err == nil) != contains(want, name) {
				t.Errorf("%s: %+v, %v", body, r, err)
			}
			if err != nil && err.Param != field && field != "stream_options" {
				t.Errorf("%s: the error is about %q", body, err.Param)
			}
		}
	}
}

func contains(list, word string) bool {
	for _, w := range strings.Fields(list) {
		if w == word {
			return true
		}
	}
	return false
}

// TestNull: null is a field's default, in every field, and no field's name is forgotten.
func TestNull(t *testing.T) {
	want := request(func(*completion.Request) {})
	for _, field := range completion.Fields() {
		if field == "prompt" {
			continue
		}
		r, err := completion.DecodeRequest(fmt.Appendf(nil, `{%q:null,"prompt":"a"}`, field), limits)
		if err != nil || !reflect.DeepEqual(r, want) {
			t.Errorf("%s: %+v, %v", field, r, err)
		}
		for _, other := range []string{strings.ToUpper(field), field + " ", strings.Replace(field, "_", "-", 1)} {
			if other == field {
				continue
			}
			if _, err := completion.DecodeRequest(fmt.Appendf(nil, `{%q:null,"prompt":"a"}`, other), limits); err == nil {
				t.Errorf("%s is taken", other)
			}
		}
	}
}

// FuzzDecodeTokens: a body of the other two routes is refused or gives what it names.
func FuzzDecodeTokens(f *testing.F) {
	f.Add([]byte(`{"prompt":"ab","return_token_strs":true}`))
	f.Add([]byte(`{"tokens":[1,2,3],"model":"m"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if r, err := completion.DecodeTokenize(data); err == nil && (r.Text == nil || len(*r.Text) > len(data)) {
			t.Errorf("%s gives %+v", data, r)
		}
		r, err := completion.DecodeDetokenize(data, limits)
		if err == nil && (r.IDs == nil || len(r.IDs) > limits.Prompt) {
			t.Errorf("%s gives %+v", data, r)
		}
		if err == nil {
			for _, id := range r.IDs {
				if id < 0 {
					t.Errorf("%s gives the id %d", data, id)
				}
			}
		}
	})
}
