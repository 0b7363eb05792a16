package completion_test

import (
	"encoding/json"
	"fmt"

	"github.com/quire-ml/quire/pipelines/serve/completion"
)

// What a client asks is read to the letter: what a server would have to ignore is refused.
func ExampleDecodeRequest() {
	l := completion.Limits{Prompt: 1000, MaxTokens: 500, Choices: 4}
	r, err := completion.DecodeRequest([]byte(`{"prompt": ["ROMEO: ", "JULIET: "], "max_tokens": 80, "seed": 7, "presence_penalty": 0}`), l)
	fmt.Println(len(r.Prompts), r.MaxTokens, *r.Seed, err == nil)
	_, err = completion.DecodeRequest([]byte(`{"prompt": "ROMEO: ", "max_tokens": 80.5}`), l)
	body, _ := json.Marshal(err.Body())
	fmt.Println(string(body))
	_, err = completion.DecodeRequest([]byte(`{"prompt": "ROMEO: ", "temprature": 0.5}`), l)
	fmt.Println(err)
	// Output:
	// 2 80 7 true
	// {"error":{"code":null,"message":"max_tokens is 80.5, want a whole number from 0 to 500","param":"max_tokens","type":"invalid_request_error"}}
	// unknown field "temprature": the server would have to ignore it
}
