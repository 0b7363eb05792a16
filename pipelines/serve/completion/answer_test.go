package completion_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/quire-ml/quire/pipelines/serve/completion"
)

// TestAnswer compares answers with the JSON that clients of the API read.
func TestAnswer(t *testing.T) {
	reason, p := "stop", -0.5
	whole := completion.Answer{ID: "cmpl-1", Object: "text_completion", Created: 7, Model: "m", SystemFingerprint: "f",
		Choices: []completion.Choice{{Index: 1, Text: "ab", FinishReason: &reason, Receipt: map[string]int{"seed": 3},
			Logprobs: &completion.Logprobs{Tokens: []string{"a", "b"}, TokenLogprobs: []*float64{nil, &p}, TextOffset: []int{0, 1},
				TopLogprobs: []map[string]float64{nil, {"b": p}}}}},
		Usage: &completion.Usage{PromptTokens: 1, CompletionTokens: 2, TotalTokens: 3}}
	part := completion.Answer{ID: "cmpl-1", Object: "text_completion", Model: "m", Choices: []completion.Choice{{Text: "a"}}}
	counted := part
	counted.Usage = (*completion.Usage)(nil)
	last := counted
	last.Choices = []completion.Choice{}
	last.Usage = &completion.Usage{}
	for _, c := range []struct {
		name   string
		answer completion.Answer
		want   string
	}{
		{"a whole answer", whole, `{"id":"cmpl-1","object":"text_completion","created":7,"model":"m","system_fingerprint":"f","choices":[{"index":1,"text":"ab",` +
			`"logprobs":{"tokens":["a","b"],"token_logprobs":[null,-0.5],"top_logprobs":[null,{"b":-0.5}],"text_offset":[0,1]},` +
			`"finish_reason":"stop","receipt":{"seed":3}}],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}`},
		{"a part of a stream", part, `{"id":"cmpl-1","object":"text_completion","created":0,"model":"m","system_fingerprint":"",` +
			`"choices":[{"index":0,"text":"a","logprobs":null,"finish_reason":null}]}`},
		{"a part of a stream that ends with usage", counted, `{"id":"cmpl-1","object":"text_completion","created":0,"model":"m","system_fingerprint":"",` +
			`"choices":[{"index":0,"text":"a","logprobs":null,"finish_reason":null}],"usage":null}`},
		{"the last part of it", last, `{"id":"cmpl-1","object":"text_completion","created":0,"model":"m","system_fingerprint":"",` +
			`"choices":[],"usage":{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}}`},
	} {
		data, err := json.Marshal(c.answer)
		if err != nil || string(data) != c.want {
			t.Errorf("%s: %s, %v, want %s", c.name, data, err, c.want)
		}
	}
}

// TestErrorText: an error is its message, and never shows more of a request than a few words.
func TestErrorText(t *testing.T) {
	long := strings.Repeat("prompt ", 1000)
	for _, body := range []string{`{"prompt":"a","seed":"` + long + `"}`, `{"prompt":"a","` + long + `":1}`, `"` + long + `"`, `{"prompt":[` + long + `]}`,
		`{"prompt":["a",["` + long + `"]]}`, `{"prompt":"a","logit_bias":{"` + long + `":1}}`, `{"prompt":"a","stop":{"` + long + `":1}}`} {
		_, err := completion.DecodeRequest([]byte(body), limits)
		var wrong *completion.Error
		if !errors.As(err, &wrong) || wrong.Error() != wrong.Message || strings.Count(wrong.Message, "prompt ") > 9 || len(wrong.Message) > 300 {
			t.Errorf("%.40s: %v", body, err)
		}
	}
}

// TestWeight: log-probabilities take a place in the answer too.
func TestWeight(t *testing.T) {
	for body, want := range map[string]int{`{"prompt":"a"}`: 1, `{"prompt":"a","logprobs":0}`: 2, `{"prompt":"a","logprobs":5}`: 7} {
		r, err := completion.DecodeRequest([]byte(body), limits)
		if err != nil || r.Weight() != want {
			t.Errorf("%s weighs %d, want %d (%v)", body, r.Weight(), want, err)
		}
	}
}
