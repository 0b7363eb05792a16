package completion_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/quire-ml/quire/pipelines/serve/completion"
)

var limits = completion.Limits{BodyBytes: 1 << 20, Prompt: 1000, MaxTokens: 500, Choices: 8}

func request(change func(r *completion.Request)) *completion.Request {
	r := &completion.Request{Prompts: []completion.Prompt{{Text: "a"}}, MaxTokens: 16, Temperature: 1, TopP: 1, RepetitionPenalty: 1, N: 1, Logprobs: -1}
	change(r)
	return r
}

func ptr[T any](x T) *T { return &x }

func TestDecodeRequest(t *testing.T) {
	type R = completion.Request
	for body, change := range map[string]func(r *R){
		`{"prompt":"a"}`:                             func(*R) {},
		" {\n\"prompt\" : \"a\" } \n":                func(*R) {},
		`{"prompt":"a","model":"m"}`:                 func(r *R) { r.Model = "m" },
		`{"prompt":""}`:                              func(r *R) { r.Prompts[0].Text = "" },
		`{"prompt":"\ud83d\ude00\\ud83d\u0000"}`:     func(r *R) { r.Prompts[0].Text = "\U0001f600\\ud83d\x00" },
		`{"prompt":["a","b"]}`:                       func(r *R) { r.Prompts = []completion.Prompt{{Text: "a"}, {Text: "b"}} },
		`{"prompt":[1,2,2147483647]}`:                func(r *R) { r.Prompts = []completion.Prompt{{IDs: []int32{1, 2, math.MaxInt32}}} },
		`{"prompt":[[1],[]]}`:                        func(r *R) { r.Prompts = []completion.Prompt{{IDs: []int32{1}}, {IDs: []int32{}}} },
		`{"prompt":"a","max_tokens":500}`:            func(r *R) { r.MaxTokens = 500 },
		`{"prompt":"a","max_tokens":null}`:           func(*R) {},
		`{"prompt":"a","max_tokens":0,"echo":true}`:  func(r *R) { r.MaxTokens, r.Echo = 0, true },
		`{"prompt":"a","max_tokens":1.0}`:            func(r *R) { r.MaxTokens = 1 },
		`{"prompt":"a","max_tokens":1e2}`:            func(r *R) { r.MaxTokens = 100 },
		`{"prompt":"a","temperature":0,"top_p":0.5}`: func(r *R) { r.Temperature, r.TopP = 0, 0.5 },
		`{"prompt":"a","top_k":-1}`:                  func(*R) {},
		`{"prompt":"a","top_k":7,"min_p":0.1,"repetition_penalty":1.2}`: func(r *R) {
			r.TopK, r.MinP, r.RepetitionPenalty = 7, 0.1, 1.2
		},
		`{"prompt":"a","logit_bias":{"5":-100,"0":3}}`:                            func(r *R) { r.LogitBias = map[int32]float64{5: -100, 0: 3} },
		`{"prompt":"a","n":8}`:                                                    func(r *R) { r.N = 8 },
		`{"prompt":"a","stop":"\n"}`:                                              func(r *R) { r.Stop = []string{"\n"} },
		`{"prompt":"a","stop":["x","yz"]}`:                                        func(r *R) { r.Stop = []string{"x", "yz"} },
		`{"prompt":"a","stop":[]}`:                                                func(*R) {},
		`{"prompt":"a","seed":9.007199254740992e15}`:                              func(r *R) { r.Seed = ptr[int64](1 << 53) },
		`{"prompt":"a","seed":-9223372036854775808}`:                              func(r *R) { r.Seed = ptr[int64](math.MinInt64) },
		`{"prompt":"a","logprobs":0}`:                                             func(r *R) { r.Logprobs = 0 },
		`{"prompt":"a","stream":true,"stream_options":{"include_usage":true}}`:    func(r *R) { r.Stream, r.IncludeUsage = true, true },
		`{"prompt":"a","stream":true,"stream_options":{"include_usage":null}}`:    func(r *R) { r.Stream = true },
		`{"prompt":"a","stream_options":null,"user":"u","suffix":"","best_of":1}`: func(*R) {},
		`{"prompt":"a","presence_penalty":0,"frequency_penalty":0.0}`:             func(*R) {},
		`{"prompt":"a","n":2,"best_of":2,"ignore_eos":true}`:                      func(r *R) { r.N = 2 },
	} {
		got, err := completion.DecodeRequest([]byte(body), limits)
		if err != nil {
			t.Errorf("%s: %v", body, err)
		} else if want := request(change); !reflect.DeepEqual(got, want) {
			t.Errorf("%s gives %+v, want %+v", body, got, want)
		}
	}
}

// refusals are bodies, the field that is to blame, and words of the message.
var refusals = []struct{ body, param, words string }{
	{``, "", "no valid JSON"},
	{`{"prompt":"a"`, "", "no valid JSON"},
	{`{"prompt":"a"} x`, "", "no valid JSON"},
	{`{"prompt":"a"}{}`, "", "no valid JSON"},
	{`[]`, "", "no JSON object"},
	{`null`, "", "no JSON object"},
	{"{\"prompt\":\"\ufffd\xff\"}", "", "not valid UTF-8 at byte 14"},
	{`{"prompt":"\ud83d"}`, "", "half of a surrogate pair at byte 11"},
	{`{"prompt":"\ude00\ud83d"}`, "", "half of a surrogate pair at byte 11"},
	{`{"prompt":"\ud83d\u0041"}`, "", "half of a surrogate pair"},
	{`{"pr\ud800":1}`, "", "half of a surrogate pair"},
	{`{}`, "prompt", "prompt is missing"},
	{`{"prompt":null}`, "prompt", "prompt is missing"},
	{`{"prompt":"a","prompt":"b"}`, "prompt", "given twice"},
	{`{"prompt":"a","seed":null,"seed":1}`, "seed", "given twice"},
	{`{"Prompt":"a"}`, "Prompt", `unknown field "Prompt"`},
	{`{"prompt":"a","messages":null}`, "messages", "unknown field"},
	{`{"prompt":"a","` + strings.Repeat("k", 1000) + `":1}`, strings.Repeat("k", 60) + "…", "unknown field"},
	{`{"prompt":7}`, "prompt", "prompt is 7, want"},
	{`{"prompt":{}}`, "prompt", "prompt is {}, want"},
	{`{"prompt":[]}`, "prompt", "an empty list"},
	{`{"prompt":["a",1]}`, "prompt", "prompt is 1, want"},
	{`{"prompt":["a",[1]]}`, "prompt", "texts and lists of ids"},
	{`{"prompt":[[1],"a"]}`, "prompt", "texts and lists of ids"},
	{`{"prompt":["a",null]}`, "prompt", "prompt is null"},
	{`{"prompt":[1,-1]}`, "prompt", "prompt is -1, want"},
	{`{"prompt":[2147483648]}`, "prompt", "prompt is 2147483648, want"},
	{`{"prompt":[1.5]}`, "prompt", "prompt is 1.5, want"},
	{`{"prompt":[[[1]]]}`, "prompt", "prompt is [1], want"},
	{`{"prompt":["a","a","a","a","a","a","a","a","a"]}`, "prompt", "9 prompts, a request may have 8 texts"},
	{`{"prompt":[` + strings.Repeat("1,", 1000) + `1]}`, "prompt", "1001 elements"},
	{`{"prompt":["a","b"],"n":5}`, "n", "10 texts"},
	{`{"prompt":"a","n":0}`, "n", "from 1 to 8"},
	{`{"prompt":"a","n":2147483648}`, "n", "from 1 to 8"},
	{`{"prompt":"a","max_tokens":0}`, "max_tokens", "nothing is asked for"},
	{`{"prompt":"a","max_tokens":-1}`, "max_tokens", "from 0 to 500"},
	{`{"prompt":"a","max_tokens":501}`, "max_tokens", "from 0 to 500"},
	{`{"prompt":"a","max_tokens":"16"}`, "max_tokens", "from 0 to 500"},
	{`{"prompt":"a","max_tokens":1.5}`, "max_tokens", "from 0 to 500"},
	{`{"prompt":"a","max_tokens":1e400}`, "max_tokens", "from 0 to 500"},
	{`{"prompt":"a","max_tokens":true}`, "max_tokens", "from 0 to 500"},
	{`{"prompt":"a","temperature":-0.1}`, "temperature", "from 0 to 100"},
	{`{"prompt":"a","temperature":NaN}`, "", "no valid JSON"},
	{`{"prompt":"a","temperature":"NaN"}`, "temperature", "from 0 to 100"},
	{`{"prompt":"a","temperature":1e999}`, "temperature", "from 0 to 100"},
	{`{"prompt":"a","top_p":0}`, "top_p", "above 0, up to 1"},
	{`{"prompt":"a","top_p":1.01}`, "top_p", "above 0, up to 1"},
	{`{"prompt":"a","top_k":-2}`, "top_k", "from -1"},
	{`{"prompt":"a","min_p":1.1}`, "min_p", "from 0 to 1"},
	{`{"prompt":"a","repetition_penalty":0}`, "repetition_penalty", "from 0.01 to 100"},
	{`{"prompt":"a","repetition_penalty":1e-40}`, "repetition_penalty", "from 0.01 to 100"},
	{`{"prompt":"a","logit_bias":[]}`, "logit_bias", "an object of ids"},
	{`{"prompt":"a","logit_bias":{"x":1}}`, "x", "unknown field"},
	{`{"prompt":"a","logit_bias":{"01":1}}`, "01", "unknown field"},
	{`{"prompt":"a","logit_bias":{"1":101}}`, "logit_bias", "from -100 to 100"},
	{`{"prompt":"a","logit_bias":{"1":1,"1":2}}`, "1", "given twice"},
	{`{"prompt":"a","stop":""}`, "stop", "empty string"},
	{`{"prompt":"a","stop":1}`, "stop", "a string or a list"},
	{`{"prompt":"a","stop":["a",null]}`, "stop", "a string or a list"},
	{`{"prompt":"a","stop":"` + strings.Repeat("x", 257) + `"}`, "stop", "257 bytes"},
	{`{"prompt":"a","stop":[` + strings.Repeat(`"a",`, 16) + `"a"]}`, "stop", "17 elements"},
	{`{"prompt":"a","seed":1.5}`, "seed", "a whole number"},
	{`{"prompt":"a","seed":9223372036854775808}`, "seed", "a whole number"},
	{`{"prompt":"a","seed":9.007199254740994e15}`, "seed", "a whole number"}, // 2^53 + 2: its neighbours are lost
	{`{"prompt":"a","logprobs":6}`, "logprobs", "from 0 to 5"},
	{`{"prompt":"a","logprobs":true}`, "logprobs", "from 0 to 5"},
	{`{"prompt":"a","echo":"yes"}`, "echo", "true or false"},
	{`{"prompt":"a","stream_options":{}}`, "stream_options", "with stream"},
	{`{"prompt":"a","stream":true,"stream_options":7}`, "", "no JSON object"},
	{`{"prompt":"a","stream":true,"stream_options":{"x":1}}`, "x", "unknown field"},
	{`{"prompt":"a","stream":true,"stream_options":{"continuous_usage_stats":true}}`, "continuous_usage_stats", "no such thing"},
	{`{"prompt":"a","best_of":3}`, "best_of", "leave best_of out"},
	{`{"prompt":"a","presence_penalty":0.5}`, "presence_penalty", "repetition_penalty instead"},
	{`{"prompt":"a","suffix":"b"}`, "suffix", "from left to right"},
	{`{"prompt":"a","user":1}`, "user", "a string"},
	{`{"prompt":"a","ignore_eos":0}`, "ignore_eos", "true or false"},
	{strings.Repeat(`{"prompt":`, 200_000), "", "no valid JSON"},
	{strings.Repeat(`[`, 200_000) + strings.Repeat(`]`, 200_000), "", "no valid JSON"},
	{`{"prompt":` + strings.Repeat(`[`, 5000) + strings.Repeat(`]`, 5000) + `}`, "prompt", "want a whole number"},
}

func TestRefusals(t *testing.T) {
	for _, c := range refusals {
		name := c.body[:min(len(c.body), 80)]
		_, err := completion.DecodeRequest([]byte(c.body), limits)
		switch {
		case err == nil:
			t.Errorf("%s is taken", name)
		case err.Status != http.StatusBadRequest || err.Type != "invalid_request_error" || err.Param != c.param || !strings.Contains(err.Message, c.words):
			t.Errorf("%s: %d %s of %q: %s, want %q: %s", name, err.Status, err.Type, err.Param, err.Message, c.param, c.words)
		case len(err.Message) > 500:
			t.Errorf("%s: a message of %d bytes", name, len(err.Message))
		}
	}
}

func TestDecodeTokens(t *testing.T) {
	tok, err := completion.DecodeTokenize([]byte(`{"prompt":"ab","return_token_strs":true,"add_special_tokens":false,"model":"m"}`))
	if err != nil || *tok.Text != "ab" || !tok.Strs || tok.Model != "m" {
		t.Errorf("%+v, %v", tok, err)
	}
	ids, err := completion.DecodeDetokenize([]byte(`{"tokens":[3,0]}`), limits)
	if err != nil || !reflect.DeepEqual(ids.IDs, []int32{3, 0}) {
		t.Errorf("%+v, %v", ids, err)
	}
	for body, words := range map[string]string{`{}`: "prompt is missing", `{"prompt":["a"]}`: "a string", `{"prompt":"a","tokens":[1]}`: "unknown"} {
		if _, err := completion.DecodeTokenize([]byte(body)); err == nil || !strings.Contains(err.Message, words) {
			t.Errorf("%s: %v", body, err)
		}
	}
	for body, words := range map[string]string{`{}`: "tokens is missing", `{"tokens":"a"}`: "a list of ids", `{"prompt":"a"}`: "unknown"} {
		if _, err := completion.DecodeDetokenize([]byte(body), limits); err == nil || !strings.Contains(err.Message, words) {
			t.Errorf("%s: %v", body, err)
		}
	}
}

// TestOpenAPI: the description has the fields that requests have, and the server's limits.
func TestOpenAPI(t *testing.T) {
	data, err := json.Marshal(completion.OpenAPI(limits))
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		OpenAPI    string
		Components struct {
			Schemas map[string]struct {
				Properties           map[string]struct{ Maximum, Minimum float64 }
				AdditionalProperties any
			}
		}
	}
	if err := json.Unmarshal(data, &d); err != nil {
		t.Fatal(err)
	}
	r := d.Components.Schemas["CompletionRequest"]
	if got, want := slices.Sorted(maps.Keys(r.Properties)), completion.Fields(); !slices.Equal(got, want) {
		t.Errorf("the description has the fields %v, a request %v", got, want)
	}
	if d.OpenAPI != "3.1.0" || r.AdditionalProperties != false || r.Properties["max_tokens"].Maximum != 500 || r.Properties["n"].Maximum != 8 {
		t.Errorf("%+v", d)
	}
	for field, bounds := range r.Properties {
		if bounds.Maximum == 0 {
			continue
		}
		for value, want := range map[float64]bool{bounds.Maximum: true, bounds.Maximum + 1: false} {
			_, err := completion.DecodeRequest(fmt.Appendf(nil, `{"prompt":"a",%q:%g}`, field, value), limits)
			if (err == nil) != want {
				t.Errorf("%s = %g: %v, and the description says up to %g", field, value, err, bounds.Maximum)
			}
		}
	}
}

// TestErrorBody has the four keys of OpenAI's errors, null where there is nothing.
func TestErrorBody(t *testing.T) {
	data, err := json.Marshal(completion.Refuse("n", "n is %d", 3).Body())
	if want := `{"error":{"code":null,"message":"n is 3","param":"n","type":"invalid_request_error"}}`; err != nil || string(data) != want {
		t.Errorf("%s, %v", data, err)
	}
}

// body is a request as a client writes it.
func body(r *completion.Request) []byte {
	var prompts []any
	for _, p := range r.Prompts {
		if p.IDs != nil {
			prompts = append(prompts, p.IDs)
		} else {
			prompts = append(prompts, p.Text)
		}
	}
	m := map[string]any{"model": r.Model, "prompt": prompts, "max_tokens": r.MaxTokens, "temperature": r.Temperature, "top_p": r.TopP, "top_k": r.TopK,
		"min_p": r.MinP, "repetition_penalty": r.RepetitionPenalty, "logit_bias": r.LogitBias, "n": r.N, "stop": r.Stop, "seed": r.Seed, "echo": r.Echo, "stream": r.Stream}
	if r.Logprobs >= 0 {
		m["logprobs"] = r.Logprobs
	}
	if r.Stream {
		m["stream_options"] = map[string]any{"include_usage": r.IncludeUsage}
	}
	data, err := json.Marshal(m)
	if err != nil {
		panic(fmt.Sprint(r, err)) // a NaN or an infinity has got through
	}
	return data
}

// FuzzDecodeRequest: a body is refused with a short message, or gives a request within the
// limits that gives itself again.
func FuzzDecodeRequest(f *testing.F) {
	for _, c := range refusals {
		if len(c.body) < 2000 {
			f.Add([]byte(c.body))
		}
	}
	f.Add([]byte(`{"prompt":[[1,2],[3]],"stream":true,"stream_options":{"include_usage":true},"logit_bias":{"1":2},"seed":5,"stop":["a","b"],"logprobs":3}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := completion.DecodeRequest(data, limits)
		if err != nil {
			if err.Status != http.StatusBadRequest || err.Message == "" || len(err.Message) > 1000 {
				t.Errorf("%d: %q", err.Status, err.Message)
			}
			return
		}
		if len(r.Prompts)*r.N > limits.Choices || r.MaxTokens > limits.MaxTokens || r.Logprobs > 5 || len(r.Stop) > 16 {
			t.Errorf("%+v is above the limits", r)
		}
		again, err := completion.DecodeRequest(body(r), limits)
		if err != nil || !reflect.DeepEqual(normal(again), normal(r)) {
			t.Errorf("%s gives %+v, and again %+v, %v", data, r, again, err)
		}
	})
}

// normal takes away differences without meaning.
func normal(r *completion.Request) *completion.Request {
	if len(r.LogitBias) == 0 {
		r.LogitBias = nil
	}
	if len(r.Stop) == 0 {
		r.Stop = nil
	}
	return r
}

// TestLongestList: as many ids as a prompt may have are taken, and no more.
func TestLongestList(t *testing.T) {
	for more, want := range map[string]bool{"": true, ",1": false} {
		_, err := completion.DecodeRequest([]byte(`{"prompt":[1`+strings.Repeat(",1", limits.Prompt-1)+more+`]}`), limits)
		if (err == nil) != want {
			t.Errorf("%q more: %v", more, err)
		}
	}
}
