package completion

import (
	_ "embed"
	"encoding/json"
)

//go:embed openapi.json
var description []byte

// OpenAPI is the description of the API, with the limits of a server.
func OpenAPI(l Limits) map[string]any {
	var all map[string]any
	if err := json.Unmarshal(description, &all); err != nil {
		panic(err) // it is embedded
	}
	properties := inside(all, "components", "schemas", "CompletionRequest", "properties")
	inside(properties, "max_tokens")["maximum"] = l.MaxTokens
	inside(properties, "n")["maximum"] = l.Choices
	return all
}

// inside follows names through objects.
func inside(in map[string]any, names ...string) map[string]any {
	for _, name := range names {
		in = in[name].(map[string]any)
	}
	return in
}
