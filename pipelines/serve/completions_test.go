package serve_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/model/decode"
	"github.com/quire-ml/quire/model/sample"
	"github.com/quire-ml/quire/pipelines/receipt"
	"github.com/quire-ml/quire/pipelines/score"
	"github.com/quire-ml/quire/pipelines/serve"
	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/transforms/vocab"
)

// written is a text as model/decode alone writes it, one at a time.
func written(t testing.TB, m *text.Model, prompt string, length int, o sample.Options, seed int64, stream uint64) string {
	t.Helper()
	ids, err := m.Vocab.Encode(nil, []byte(prompt))
	if err != nil {
		t.Fatal(err)
	}
	s, err := sample.New(o, seed, stream)
	if err != nil {
		t.Fatal(err)
	}
	var out []byte
	write(t, m, []*sample.Sampler{s}, ids, length, func(id int32) { out = m.Vocab.AppendText(out, id) })
	return string(out)
}

// write continues a prompt in a batch of its own, once with each sampler.
func write(t testing.TB, m *text.Model, samplers []*sample.Sampler, prompt []int32, length int, emit func(id int32)) {
	t.Helper()
	b := decode.NewBatch(decode.New(m.Weights, len(samplers)))
	for _, s := range samplers {
		err := b.Add(&decode.Text{Prompt: prompt, Length: length, Sampler: s, Emit: func(c decode.Char) bool { emit(c.ID); return true }})
		if err != nil {
			t.Fatal(err)
		}
	}
	for b.Len() > 0 {
		b.Step()
	}
}

var plain = sample.Options{Temperature: 1, TopP: 1}

// TestCompletion compares every field of an answer with what it must be.
func TestCompletion(t *testing.T) {
	h := start(t, open(t, save(t, kind{})), nil)
	r := h.ask(`{"model":"tiny","prompt":"the end","max_tokens":40,"seed":7}`)
	want := written(t, h.model, "the end", 40, plain, 7, 0)
	c := r.Choices[0]
	if len(r.Choices) != 1 || c.Text != want || *c.FinishReason != "length" || c.Logprobs != nil || c.Index != 0 {
		t.Errorf("%+v, want %q", c, want)
	}
	if r.Object != "text_completion" || r.Model != "tiny" || r.SystemFingerprint != h.model.SHA256 || !strings.HasPrefix(r.ID, "cmpl-") || r.Created == 0 {
		t.Errorf("%+v", r)
	}
	if u := r.Usage; u.Prompt != 7 || u.Completion != 40 || u.Total != 47 {
		t.Errorf("usage %+v", u)
	}
	again := h.ask(`{"model":"` + h.model.SHA256 + `","prompt":"the end","max_tokens":40,"seed":7}`)
	if again.Choices[0].Text != want || again.ID == r.ID {
		t.Errorf("the second answer is %+v", again)
	}
}

// TestSamplers gives each setting of a request to the sampler.
func TestSamplers(t *testing.T) {
	h := start(t, open(t, save(t, kind{})), nil)
	for body, o := range map[string]sample.Options{
		`"temperature":0`:                         {TopP: 1},
		`"temperature":0.5,"top_p":0.6`:           {Temperature: 0.5, TopP: 0.6},
		`"top_k":3`:                               {Temperature: 1, TopK: 3, TopP: 1},
		`"min_p":0.2`:                             {Temperature: 1, TopP: 1, MinP: 0.2},
		`"repetition_penalty":1.7`:                {Temperature: 1, TopP: 1, RepetitionPenalty: 1.7},
		`"logit_bias":{"3":100}`:                  {Temperature: 1, TopP: 1, Bias: map[int32]float64{3: 100}},
		`"logit_bias":{"3":-100,"0":2,"31":null}`: {Temperature: 1, TopP: 1, Bias: map[int32]float64{3: -100, 0: 2}},
	} {
		got := h.ask(`{"prompt":"so","max_tokens":60,"seed":-3,` + body + `}`).Choices[0].Text
		if want := written(t, h.model, "so", 60, o, -3, 0); got != want {
			t.Errorf("%s: %q, want %q", body, got, want)
		}
	}
}

// TestPrompts: each prompt, in each of its forms, is continued as if it were alone, and
// text j of it with stream j of the seed.
func TestPrompts(t *testing.T) {
	h := start(t, open(t, save(t, kind{})), nil)
	ids := func(s string) string {
		list, err := h.model.Vocab.Encode(nil, []byte(s))
		if err != nil {
			t.Fatal(err)
		}
		return strings.ReplaceAll(fmt.Sprint(list), " ", ",")
	}
	for body, prompts := range map[string][]string{
		`"on é"`:                  {"on é"},
		`["on","","and"]`:         {"on", "", "and"},
		ids("go"):                 {"go"},
		`[[],` + ids("go.") + `]`: {"", "go."},
	} {
		r := h.ask(`{"prompt":` + body + `,"max_tokens":30,"seed":11,"n":3}`)
		if len(r.Choices) != 3*len(prompts) {
			t.Fatalf("%s: %d texts", body, len(r.Choices))
		}
		used := 0
		for i, c := range r.Choices {
			prompt := prompts[i/3]
			if want := written(t, h.model, prompt, 30, plain, 11, uint64(i%3)); c.Text != want || c.Index != i {
				t.Errorf("%s: text %d is %q, want %q", body, c.Index, c.Text, want)
			}
			if i%3 == 0 {
				used += utf8.RuneCountInString(prompt)
			}
		}
		if r.Usage.Prompt != used || r.Usage.Completion != 30*len(r.Choices) {
			t.Errorf("%s: usage %+v, want a prompt of %d", body, r.Usage, used)
		}
	}
}

// TestStop ends texts before stop strings, which may lie across parts of a stream, and
// leaves those of the prompt alone.
func TestStop(t *testing.T) {
	h := start(t, open(t, save(t, kind{})), nil)
	whole := written(t, h.model, "aa", 200, plain, 3, 0)
	runes := []rune(whole)
	for _, stops := range [][]string{{string(runes[50:53])}, {string(runes[100:140])},
		{"aaaaaaaa", string(runes[20:22]), string(runes[19:22])}, {string(runes[:1])},
		{string(runes[198:]) + "x"}, {"\x00"}} {
		want, reason := whole, "length"
		for _, s := range stops {
			if before, _, ok := strings.Cut(whole, s); ok && len(before) < len(want) {
				want, reason = before, "stop"
			}
		}
		list, _ := json.Marshal(stops)
		for _, more := range []string{``, `,"logprobs":1`, `,"echo":true`} {
			body := fmt.Sprintf(`{"prompt":"aa","max_tokens":200,"seed":3,"stop":%s%s`, list, more)
			prompt := ""
			if strings.Contains(more, "echo") {
				prompt = "aa"
			}
			c := h.ask(body + "}").Choices[0]
			if c.Text != prompt+want || *c.FinishReason != reason {
				t.Errorf("%s: %q (%s), want %q (%s)", body, c.Text, *c.FinishReason, want, reason)
			}
			if c.Logprobs != nil && strings.Join(c.Logprobs.Tokens, "") != want {
				t.Errorf("%s: tokens %q", body, c.Logprobs.Tokens)
			}
			all, _, done := h.events(body + `,"stream":true}`)
			if got := joined(all, 0); got != prompt+want || !done {
				t.Errorf("%s: streamed %q, want %q", body, got, want)
			}
		}
	}
}

// TestScoring: with echo, the log-probabilities are those of package score, to the last bit,
// whether or not characters are written behind the prompt.
func TestScoring(t *testing.T) {
	m := open(t, save(t, kind{}))
	h := start(t, m, nil)
	const prompt = "it is a truth, é!"
	var want struct{ LogProbs []*float64 }
	plain := configs.Corpus{Encoding: "utf-8", Newlines: "keep"}
	if _, err := score.Text(t.Context(), []*text.Model{m}, strings.NewReader(prompt), plain, func(c score.Char) error {
		var p *float64
		if c.Nats != nil {
			l := -c.Nats[0]
			p = &l
		}
		want.LogProbs = append(want.LogProbs, p)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for _, more := range []string{`"max_tokens":0`, `"max_tokens":5`, `"max_tokens":1,"temperature":0`} {
		c := h.ask(`{"prompt":"` + prompt + `","echo":true,"logprobs":2,"seed":1,` + more + `}`).Choices[0]
		l := c.Logprobs
		if !strings.HasPrefix(c.Text, prompt) || len(l.Tokens) != len(l.TokenLogprobs) || len(l.Tokens) != len(l.TopLogprobs) || len(l.Tokens) != len(l.TextOffset) {
			t.Fatalf("%s: %+v", more, c)
		}
		if strings.Join(l.Tokens, "") != c.Text || l.TokenLogprobs[0] != nil || l.TopLogprobs[0] != nil {
			t.Errorf("%s: tokens %q, the first with %v", more, l.Tokens, l.TokenLogprobs[0])
		}
		for i := range l.Tokens {
			if l.TextOffset[i] != i {
				t.Errorf("%s: character %d has the offset %d", more, i, l.TextOffset[i])
			}
			if i == 0 {
				continue
			}
			if i < len(want.LogProbs) && *l.TokenLogprobs[i] != *want.LogProbs[i] {
				t.Errorf("%s: character %d: %v, scored %v", more, i, *l.TokenLogprobs[i], *want.LogProbs[i])
			}
			checkTop(t, l.Tokens[i], *l.TokenLogprobs[i], l.TopLogprobs[i], 2)
		}
	}
	l := h.ask(`{"prompt":"` + prompt + `","logprobs":0,"max_tokens":3}`).Choices[0].Logprobs
	if l.TopLogprobs != nil || len(l.Tokens) != 3 || l.TextOffset[0] != 17 {
		t.Errorf("logprobs 0 without echo gives %+v", l)
	}
}

// checkTop: the likeliest characters are at least as likely as the one that came, which is
// among them.
func checkTop(t *testing.T, token string, p float64, top map[string]*float64, n int) {
	t.Helper()
	better := 0
	for other, q := range top {
		if *q > p {
			better++
		}
		if other == token && *q != p {
			t.Errorf("%q has the log-probability %v, and %v in the list", token, p, *q)
		}
	}
	if top[token] == nil || len(top) != n && len(top) != n+1 || better > n || len(top) == n && better == n {
		t.Errorf("%q (%v) is not in place in %v", token, p, top)
	}
}

// TestLogprobsSum: the log-probabilities of all characters are those of a distribution,
// the model's own, whatever the sampler does.
func TestLogprobsSum(t *testing.T) {
	h := start(t, open(t, save(t, kind{})), nil)
	V := h.model.Vocab.Size()
	var sum float64
	for id := range V {
		l := h.ask(fmt.Sprintf(`{"prompt":[5,9,%d],"echo":true,"logprobs":0,"max_tokens":0,"temperature":3}`, id)).Choices[0].Logprobs
		sum += math.Exp(*l.TokenLogprobs[2])
	}
	if math.Abs(sum-1) > 1e-6 {
		t.Errorf("the probabilities of the third character sum to %.9f", sum)
	}
	first := h.ask(`{"prompt":"","max_tokens":1,"logprobs":1,"seed":4}`).Choices[0].Logprobs
	if want := -math.Log(float64(V)); math.Abs(*first.TokenLogprobs[0]-want) > 1e-6 {
		t.Errorf("the first character of an empty prompt has %v, want %v: all are alike", *first.TokenLogprobs[0], want)
	}
}

// TestUnknown: [UNK] is written only where a request has a bias for it, and read only as an
// id.
func TestUnknown(t *testing.T) {
	h := start(t, open(t, save(t, kind{unknown: true})), nil)
	if c := h.ask(`{"prompt":[4,0,5],"max_tokens":400,"temperature":2,"echo":true}`).Choices[0]; strings.Count(c.Text, "[UNK]") != 1 {
		t.Errorf("%q has other than the prompt's [UNK]", c.Text)
	}
	if c := h.ask(`{"prompt":"ab","max_tokens":4,"logit_bias":{"0":100}}`).Choices[0]; c.Text != "[UNK][UNK][UNK][UNK]" {
		t.Errorf("%q", c.Text)
	}
	if e := h.refused("/v1/completions", `{"prompt":"a~bΩ"}`, 400).Error; !strings.Contains(e.Message, "U+007E") || !strings.Contains(e.Message, "U+03A9") {
		t.Errorf("%+v", e)
	}
}

// TestReceipts: each text has a receipt, which makes it again without the server, and says
// where it is another.
func TestReceipts(t *testing.T) {
	for _, k := range []kind{{}, {unit: vocab.Byte}, {unknown: true}, {unknown: true, chars: letters + "[UNK]"}} {
		m := open(t, save(t, k))
		h := start(t, m, nil)
		for _, body := range []string{`"prompt":["so it was","and"],"n":2,"seed":-9`,
			`"prompt":[1,2,0,0],"temperature":0.7,"top_k":9,"top_p":0.9,"min_p":0.01,"repetition_penalty":1.2`,
			`"prompt":"","stop":["e","xyz"],"logit_bias":{"2":-3}`, `"prompt":"a","echo":true,"logprobs":1`} {
			body = `{"max_tokens":70,` + body
			whole := h.ask(body + "}")
			streamed, _, _ := h.events(body + `,"stream":true}`)
			receipts := map[int]json.RawMessage{}
			texts := map[int]string{}
			for _, r := range streamed {
				for _, c := range r.Choices {
					if texts[c.Index] += c.Text; c.Receipt != nil {
						receipts[c.Index] = c.Receipt
					}
				}
			}
			if len(receipts) != len(whole.Choices) {
				t.Errorf("%s: %d receipts for %d texts", body, len(receipts), len(whole.Choices))
			}
			for _, c := range whole.Choices {
				for text, data := range map[string]json.RawMessage{c.Text: c.Receipt, texts[c.Index]: receipts[c.Index]} {
					checkReceipt(t, m, data, text, strings.Contains(body, "echo"))
				}
			}
		}
		if c := h.ask(`{"prompt":"a","max_tokens":0,"echo":true}`).Choices[0]; c.Receipt != nil {
			t.Errorf("nothing was written, and the receipt is %s", c.Receipt)
		}
	}
}

// checkReceipt replays a receipt and compares.
func checkReceipt(t *testing.T, m *text.Model, data json.RawMessage, want string, echo bool) {
	t.Helper()
	r, err := receipt.Decode(data)
	if err != nil {
		t.Fatalf("%s: %v", data, err)
	}
	res, err := r.Replay(t.Context(), m, func(int, []byte) error { return nil })
	if err != nil {
		t.Fatalf("%s: %v", data, err)
	}
	got := res.Texts[0]
	if q, err := r.Request(m); err != nil {
		t.Fatal(err)
	} else if !echo {
		got = got[len(q.Prompt.Text):]
	}
	if squeeze(strings.ToValidUTF8(got, "\ufffd")) != squeeze(want) || len(r.Texts) != 1 {
		t.Errorf("%s gives %q, served was %q", data, got, want)
	}
	r.Seed++
	if _, err := r.Replay(t.Context(), m, func(int, []byte) error { return nil }); !errors.As(err, new(*receipt.DifferentError)) {
		t.Errorf("with another seed: %v", err)
	}
}

// TestSeed: without a seed each request has another, which its receipt names.
func TestSeed(t *testing.T) {
	h := start(t, open(t, save(t, kind{})), nil)
	seeds := map[string]bool{}
	for range 3 {
		_, rest, _ := strings.Cut(string(h.ask(`{"prompt":"a"}`).Choices[0].Receipt), `"seed":`)
		seed, _, _ := strings.Cut(rest, ",")
		seeds[seed] = true
	}
	if len(seeds) != 3 {
		t.Errorf("three requests have the seeds %v", seeds)
	}
}

// TestTokensOfStop: a character of several bytes, of which a stop string holds back a part, is
// listed once, with its text.
func TestTokensOfStop(t *testing.T) {
	h := start(t, open(t, save(t, kind{unknown: true})), nil)
	c := h.ask(`{"prompt":"ab","max_tokens":4,"logit_bias":{"0":100},"logprobs":0,"stop":"NK]x"}`).Choices[0]
	if got := strings.Join(c.Logprobs.Tokens, ""); got != c.Text || c.Text != strings.Repeat("[UNK]", 4) {
		t.Errorf("the tokens are %q, the text %q", c.Logprobs.Tokens, c.Text)
	}
}

// TestNFC takes the prompt in the model's form.
func TestNFC(t *testing.T) {
	h := start(t, open(t, save(t, kind{nfc: true})), nil)
	if c := h.ask(`{"prompt":"cafe\u0301","max_tokens":0,"echo":true}`).Choices[0]; c.Text != "café" {
		t.Errorf("%q", c.Text)
	}
}

// TestBytes: a model of bytes takes any text, and its bytes are characters where they make
// some, in a stream too.
func TestBytes(t *testing.T) {
	m := open(t, save(t, kind{unit: vocab.Byte}))
	h := start(t, m, nil)
	want := strings.ToValidUTF8(written(t, m, "né", 300, plain, 1, 0), "\ufffd")
	const body = `{"prompt":"né","max_tokens":300,"seed":1,"logprobs":0`
	c := h.ask(body + "}").Choices[0]
	all, _, _ := h.events(body + `,"stream":true}`)
	for how, got := range map[string]string{"whole": c.Text, "streamed": joined(all, 0)} {
		if squeeze(got) != squeeze(want) {
			t.Errorf("%s: %q, want %q", how, got, want)
		}
	}
	if c.Text != joined(all, 0) {
		t.Error("streamed, the text is another")
	}
	if len(c.Logprobs.Tokens) != 300 || !slices.ContainsFunc(c.Logprobs.Tokens, func(s string) bool { return strings.HasPrefix(s, `bytes:\x`) }) {
		t.Errorf("tokens %q", c.Logprobs.Tokens)
	}
	if c := h.ask(`{"prompt":"né€😀","max_tokens":0,"echo":true,"logprobs":0}`).Choices[0]; c.Text != "né€😀" || len(c.Logprobs.Tokens) != 10 ||
		c.Logprobs.Tokens[1] != `bytes:\xc3` {
		t.Errorf("%q, %q", c.Text, c.Logprobs.Tokens)
	}
}

// TestCutPrompt: a prompt that ends in the middle of a character comes before what follows.
func TestCutPrompt(t *testing.T) {
	m := open(t, save(t, kind{unit: vocab.Byte}))
	h := start(t, m, nil)
	for _, ids := range [][]byte{{'a', 0xc3}, {0xe2, 0x82}, {0xf0, 0x9f, 0x98}} {
		list := strings.ReplaceAll(fmt.Sprint(ids), " ", ",")
		want := squeeze(strings.ToValidUTF8(string(ids)+written(t, m, string(ids), 30, plain, 5, 0), "\ufffd"))
		body := `{"prompt":` + list + `,"max_tokens":30,"seed":5,"echo":true`
		if c := h.ask(body + "}").Choices[0]; squeeze(c.Text) != want {
			t.Errorf("%v: %q, want %q", ids, c.Text, want)
		}
		if c := h.ask(body + `,"logprobs":0}`).Choices[0]; len(c.Logprobs.Tokens) != len(ids)+30 || squeeze(c.Text) != want {
			t.Errorf("%v: %d tokens, %q, want %q", ids, len(c.Logprobs.Tokens), c.Text, want)
		}
	}
}

// squeeze joins replacement characters: readers differ in how many stand for a bad sequence.
func squeeze(s string) string {
	for strings.Contains(s, "\ufffd\ufffd") {
		s = strings.ReplaceAll(s, "\ufffd\ufffd", "\ufffd")
	}
	return s
}

// TestTokens: /tokenize and /detokenize are each other's inverse.
func TestTokens(t *testing.T) {
	h := start(t, open(t, save(t, kind{})), nil)
	code, _, data := h.do("POST", "/tokenize", []byte(`{"model":"tiny","prompt":"bé","return_token_strs":true}`))
	if want := `{"count":2,"max_model_len":81920,"token_strs":["b","é"],"tokens":[6,31]}` + "\n"; code != 200 || string(data) != want {
		t.Errorf("%d %s, want %s", code, data, want)
	}
	code, _, data = h.do("POST", "/detokenize", []byte(`{"tokens":[6,31]}`))
	if want := "{\"prompt\":\"bé\"}\n"; code != 200 || string(data) != want {
		t.Errorf("%d %s, want %s", code, data, want)
	}
	if code, _, data = h.do("POST", "/tokenize", []byte(`{"prompt":""}`)); code != 200 || !strings.Contains(string(data), `"tokens":[]`) {
		t.Errorf("%d %s", code, data)
	}
	h.refused("/detokenize", `{"tokens":[32]}`, 400)
	h.refused("/tokenize", `{"prompt":"Ω"}`, 400)
	h.refused("/tokenize", `{"prompt":"a","model":"other"}`, 404)
	h.refused("/detokenize", `{"tokens":[1],"model":"other"}`, 404)
}

// TestErrors are those that only a model or a server's limits can tell.
func TestErrors(t *testing.T) {
	h := start(t, open(t, save(t, kind{})), func(o *serve.Options) { o.Limits.Prompt, o.Limits.Answer = 100, 1000 })
	for _, c := range []struct {
		body  string
		code  int
		param string
		words string
	}{
		{`{"model":"gpt","prompt":"a"}`, 404, "model", `the model "gpt" is not served`},
		{`{"prompt":"aΩb"}`, 400, "prompt", "U+03A9"},
		{`{"prompt":[32]}`, 400, "prompt", "id 32 at position 0"},
		{`{"prompt":["a","Ω"]}`, 400, "prompt", "U+03A9"},
		{`{"prompt":"` + strings.Repeat("é", 101) + `"}`, 400, "prompt", "101 characters"},
		{`{"prompt":"a","logit_bias":{"32":1}}`, 400, "logit_bias", "id 32"},
		{`{"prompt":"a","max_tokens":1001}`, 400, "max_tokens", "1000 characters"},
		{`{"prompt":"a","max_tokens":501,"n":2}`, 400, "max_tokens", "1000 characters"},
		{`{"prompt":"aaaa","max_tokens":498,"n":2,"echo":true}`, 400, "max_tokens", "1000 characters"},
		{`{"prompt":"a","max_tokens":201,"logprobs":3}`, 400, "max_tokens", "200 characters"},
	} {
		r := h.refused("/v1/completions", c.body, c.code)
		if r.Error.Param == nil || *r.Error.Param != c.param || !strings.Contains(r.Error.Message, c.words) || r.Error.Type != "invalid_request_error" {
			t.Errorf("%.80s: %+v", c.body, r.Error)
		}
	}
	if code := h.refused("/v1/completions", `{"model":"gpt","prompt":"a"}`, 404).Error.Code; *code != "model_not_found" {
		t.Errorf("code %s", *code)
	}
	chat := h.refused("/v1/chat/completions", `{"messages":[]}`, http.StatusNotFound)
	if !strings.Contains(chat.Error.Message, "/v1/completions") {
		t.Errorf("%+v", chat.Error)
	}
}
