package completion

import (
	"fmt"
	"net/http"
)

// An Error is an answer that says what is wrong. Its Go error text is its message.
type Error struct {
	Status  int    // of HTTP
	Message string // for a person
	Type    string // the kind of error, in OpenAI's words
	Param   string // the field that is wrong; empty: none
	Code    string // for a program; empty: none
}

// Error returns the message.
func (e *Error) Error() string { return e.Message }

// Body is the form of an error on the wire, also in the middle of a stream.
func (e *Error) Body() map[string]any {
	null := func(s string) any {
		if s == "" {
			return nil
		}
		return s
	}
	return map[string]any{"error": map[string]any{"message": e.Message, "type": e.Type, "param": null(e.Param), "code": null(e.Code)}}
}

// InvalidRequest is the type of errors that the client can mend.
const InvalidRequest = "invalid_request_error"

// refuse is an error about a field of a request.
func refuse(param, format string, args ...any) *Error {
	return &Error{Status: http.StatusBadRequest, Message: fmt.Sprintf(format, args...), Type: InvalidRequest, Param: param}
}

// Refuse is an error about a field of a request that only a model can judge.
func Refuse(param, format string, args ...any) *Error { return refuse(param, format, args...) }

// An Answer is the whole answer, or a part of a stream.
type Answer struct {
	ID                string   `json:"id"`
	Object            string   `json:"object"` // text_completion
	Created           int64    `json:"created"`
	Model             string   `json:"model"`
	SystemFingerprint string   `json:"system_fingerprint"` // digest of the checkpoint
	Choices           []Choice `json:"choices"`
	Usage             any      `json:"usage,omitzero"` // *Usage; a nil *Usage is null, as in all parts of a stream but the last
}

// A Choice is a text, or a part of one.
type Choice struct {
	Index        int       `json:"index"`
	Text         string    `json:"text"`
	Logprobs     *Logprobs `json:"logprobs"`
	FinishReason *string   `json:"finish_reason"`    // stop or length; null in a part that is not the last
	Receipt      any       `json:"receipt,omitzero"` // an extension, in the last part: what makes the text again
}

// Logprobs are the natural logarithms of probabilities, one each for the characters of a
// text. They are those of the model, before temperature, bias and the rest.
type Logprobs struct {
	Tokens        []string             `json:"tokens"`
	TokenLogprobs []*float64           `json:"token_logprobs"` // null for the first character of a prompt, which nothing predicts
	TopLogprobs   []map[string]float64 `json:"top_logprobs"`   // null where none are asked for
	TextOffset    []int                `json:"text_offset"`    // characters before it, those of the prompt too
}

// Usage counts characters.
type Usage struct {
	PromptTokens     int `json:"prompt_tokens"`
	CompletionTokens int `json:"completion_tokens"`
	TotalTokens      int `json:"total_tokens"`
}
