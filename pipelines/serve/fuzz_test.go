package serve_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/quire-ml/quire/pipelines/report"
	"github.com/quire-ml/quire/pipelines/serve"
	"github.com/quire-ml/quire/transforms/corpus"
	"github.com/quire-ml/quire/transforms/vocab"
)

// FuzzPrompt: a prompt comes back as it was, through its ids: by echo, and by /tokenize and
// /detokenize. A prompt with a character that the model lacks is refused. One model knows
// letters, one takes NFC, one has [UNK], which stands for nothing here, and one knows bytes.
//
//	go test -run - -fuzz FuzzPrompt -fuzztime 2000000x ./pipelines/serve
func FuzzPrompt(f *testing.F) {
	for _, prompt := range []string{"", "the end", "é", "e\u0301", "Ω", "\x00", "\xff", "😀", "[UNK]", "\\ud800", "a\u0301\u0301\n\"\\"} {
		for which := range uint8(4) {
			f.Add(which, prompt)
		}
	}
	kinds := []kind{{}, {nfc: true, seed: 1}, {unknown: true, seed: 2}, {unit: vocab.Byte, seed: 3}}
	var servers []*serve.Server
	for _, k := range kinds {
		s, err := serve.New(open(f, save(f, k)), serve.Options{Name: "m", Limits: serve.DefaultLimits(), Console: report.NewConsole(io.Discard, true)})
		if err != nil {
			f.Fatal(err)
		}
		servers = append(servers, s)
	}
	f.Fuzz(func(t *testing.T, which uint8, prompt string) {
		i := int(which) % len(servers)
		s := servers[i]
		body, err := json.Marshal(prompt)
		if err != nil {
			t.Fatal(err)
		}
		if !utf8.ValidString(prompt) {
			body = []byte(`"` + prompt + `"`) // as a careless client writes it
		}
		want := prompt
		if kinds[i].nfc {
			want = string(corpus.NFC([]byte(prompt)))
		}
		known := utf8.ValidString(prompt) && (kinds[i].unit == vocab.Byte || strings.Trim(want, letters) == "")
		var echo reply
		code := call(t, s, "/v1/completions", fmt.Sprintf(`{"prompt":%s,"max_tokens":0,"echo":true}`, body), &echo)
		switch {
		case known && (code != 200 || echo.Choices[0].Text != want):
			t.Errorf("model %d: %q comes back as %d, %+v", i, prompt, code, echo)
		case !known && (code != 400 || echo.Error == nil):
			t.Errorf("model %d: %q is answered with %d", i, prompt, code)
		}
		var ids struct{ Tokens []int32 }
		if got := call(t, s, "/tokenize", fmt.Sprintf(`{"prompt":%s}`, body), &ids); got != code {
			t.Errorf("model %d: %q is tokenized with %d", i, prompt, got)
		} else if code == 200 {
			var back struct{ Prompt string }
			list, _ := json.Marshal(ids)
			call(t, s, "/detokenize", strings.ToLower(string(list)), &back)
			if back.Prompt != want {
				t.Errorf("model %d: %q is detokenized as %q", i, prompt, back.Prompt)
			}
		}
	})
}

// call answers a request without a network.
func call(t *testing.T, s *serve.Server, path, body string, answer any) int {
	t.Helper()
	r := httptest.NewRequest("POST", path, strings.NewReader(body))
	r.Host = "localhost"
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	if err := json.Unmarshal(w.Body.Bytes(), answer); err != nil {
		t.Errorf("%s: %v", w.Body, err)
	}
	return w.Code
}
