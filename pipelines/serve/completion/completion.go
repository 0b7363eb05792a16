// Package completion is the wire of the completions API: requests, strictly decoded,
// answers and errors, in the shapes of OpenAI's legacy completions, with the extensions
// that vLLM has words for.
//
// A token is a character. A request is refused, with the field's name, where
//
//   - its JSON is not valid UTF-8, has half of a surrogate pair, a key twice or a rest
//     behind its end;
//   - a field is unknown, or one of the API's that this server would have to ignore: a
//     penalty, another best_of than n, a suffix. The same fields with the values that ask
//     for nothing are accepted, as clients send them;
//   - a value has another type, would lose something in being read, or is out of range.
//
// null stands for a field's default. The package knows no model: what is in a vocabulary
// is checked by its caller.
package completion

import (
	"maps"
	"math"
	"slices"
)

// Limits bound what a request may ask for.
type Limits struct {
	BodyBytes int64 // of a request's body
	Prompt    int   // characters of a prompt
	MaxTokens int   // characters of a text
	Choices   int   // texts: prompts times n
	Answer    int   // characters of all texts; each counts for the log-probabilities beside it too, see Weight
}

// Bounds of fields that do not depend on a server.
const (
	maxStops       = 16
	maxStopBytes   = 256
	maxLogprobs    = 5
	maxBias        = 100.0
	maxTemperature = 100.0
	maxPenalty     = 100.0
	defaultTokens  = 16
)

// A Prompt is a text, or ids of characters.
type Prompt struct {
	Text string
	IDs  []int32 // nil: Text is the prompt
}

// A Request asks for the continuation of prompts.
type Request struct {
	Model             string // empty: any
	Prompts           []Prompt
	MaxTokens         int // characters; 0, with Echo alone, scores the prompt
	Temperature       float64
	TopP              float64
	TopK              int // 0: off
	MinP              float64
	RepetitionPenalty float64 // 1: off
	LogitBias         map[int32]float64
	N                 int // texts of each prompt
	Stop              []string
	Seed              *int64 // nil: the server chooses
	Logprobs          int    // likeliest characters that are listed beside each; -1: no log-probabilities
	Echo              bool   // the answer begins with the prompt
	Stream            bool
	IncludeUsage      bool // a stream ends with what was used
}

// defaults returns a request with every field's default.
func defaults() *Request {
	return &Request{MaxTokens: defaultTokens, Temperature: 1, TopP: 1, RepetitionPenalty: 1, N: 1, Logprobs: -1}
}

// DecodeRequest returns the request of a body. The error names the first field that is
// wrong, in the order of the body.
func DecodeRequest(body []byte, l Limits) (*Request, *Error) {
	r := defaults()
	rest := inert{bestOf: -1}
	fields := r.fields(&rest, l)
	if err := object(body, func(name string) read { return fields[name] }); err != nil {
		return nil, err
	}
	return r, r.check(&rest, l)
}

// inert is what a request says in fields that are accepted where they ask for nothing.
type inert struct {
	text          string
	flag          bool
	bestOf        int
	streamOptions bool
}

// fields returns the reader of each field of a request.
func (r *Request) fields(rest *inert, l Limits) map[string]read {
	return map[string]read{
		"model":              into(&r.Model, text),
		"prompt":             into(&r.Prompts, prompts(l)),
		"max_tokens":         into(&r.MaxTokens, whole(0, l.MaxTokens)),
		"temperature":        into(&r.Temperature, number(0, maxTemperature)),
		"top_p":              into(&r.TopP, positive(1)),
		"top_k":              into(&r.TopK, whole(-1, math.MaxInt32)),
		"min_p":              into(&r.MinP, number(0, 1)),
		"repetition_penalty": into(&r.RepetitionPenalty, number(1/maxPenalty, maxPenalty)), // a smaller one makes logits infinite,
		"logit_bias":         into(&r.LogitBias, bias),
		"n":                  into(&r.N, whole(1, l.Choices)),
		"stop":               into(&r.Stop, stops),
		"seed":               into(&r.Seed, seed),
		"logprobs":           into(&r.Logprobs, whole(0, maxLogprobs)),
		"echo":               into(&r.Echo, boolean),
		"stream":             into(&r.Stream, boolean),
		"stream_options":     r.streamOptions(rest),

		// Fields of the API that clients send. They are accepted where they ask for nothing.
		"user":              into(&rest.text, text),
		"best_of":           into(&rest.bestOf, whole(1, l.Choices)),
		"presence_penalty":  zero,
		"frequency_penalty": zero,
		"suffix":            empty,
		"ignore_eos":        into(&rest.flag, boolean), // there is no end of a sequence that could be ignored
	}
}

// streamOptions reads stream_options.
func (r *Request) streamOptions(rest *inert) read {
	fields := map[string]read{"include_usage": into(&r.IncludeUsage, boolean), "include_obfuscation": off, "continuous_usage_stats": off}
	return func(v value) *Error {
		rest.streamOptions = true
		return object(v.raw, func(name string) read { return fields[name] })
	}
}

// Weight is what a character of the answer counts, in the place that it takes.
func (r *Request) Weight() int { return r.Logprobs + 2 }

// Fields returns the names of the fields of a request.
func Fields() []string {
	return slices.Sorted(maps.Keys(defaults().fields(&inert{}, Limits{})))
}

// check compares fields with each other.
func (r *Request) check(rest *inert, l Limits) *Error {
	r.TopK = max(r.TopK, 0)
	switch {
	case r.Prompts == nil:
		return refuse("prompt", "prompt is missing: a string, a list of strings, a list of ids or a list of lists of ids; "+
			"the empty string starts with a random character")
	case r.N > l.Choices/len(r.Prompts):
		return refuse("n", "%d prompts with n = %d are %d texts; a request may have %d", len(r.Prompts), r.N, len(r.Prompts)*r.N, l.Choices)
	case rest.bestOf >= 0 && rest.bestOf != r.N:
		return refuse("best_of", "best_of is %d and n is %d: the server returns every text that it writes; leave best_of out", rest.bestOf, r.N)
	case r.MaxTokens == 0 && !r.Echo:
		return refuse("max_tokens", "max_tokens is 0: nothing is asked for; with echo, 0 scores the prompt")
	case rest.streamOptions && !r.Stream:
		return refuse("stream_options", "stream_options is for a request with stream")
	}
	return nil
}

// A TokenizeRequest asks for the ids of a text.
type TokenizeRequest struct {
	Model string
	Text  *string // never nil
	Strs  bool    // the characters beside the ids
}

// DecodeTokenize returns the request of a body of /tokenize.
func DecodeTokenize(body []byte) (*TokenizeRequest, *Error) {
	r, rest := &TokenizeRequest{}, inert{}
	fields := map[string]read{"model": into(&r.Model, text), "prompt": into(&r.Text, pointer(text)),
		"return_token_strs": into(&r.Strs, boolean), "add_special_tokens": into(&rest.flag, boolean)} // there are no special tokens
	err := object(body, func(name string) read { return fields[name] })
	if err == nil && r.Text == nil {
		err = refuse("prompt", "prompt is missing: a string")
	}
	return r, err
}

// A DetokenizeRequest asks for the text of ids.
type DetokenizeRequest struct {
	Model string
	IDs   []int32 // never nil
}

// DecodeDetokenize returns the request of a body of /detokenize.
func DecodeDetokenize(body []byte, l Limits) (*DetokenizeRequest, *Error) {
	r := &DetokenizeRequest{}
	fields := map[string]read{"model": into(&r.Model, text), "tokens": into(&r.IDs, ids(l.Prompt))}
	err := object(body, func(name string) read { return fields[name] })
	if err == nil && r.IDs == nil {
		err = refuse("tokens", "tokens is missing: a list of ids")
	}
	return r, err
}
