package workflow

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/quire-ml/quire/runners/store"
)

// A Made is the outcome of a stage for a key.
type Made struct {
	Stage, Key string
	Inputs     map[string]string // digests by name
	Artifact   string
	Digest     string
	Value      json.RawMessage
	Files      []string // names in the store
}

// ReadMade reads the outcome under a name. The error wraps store.ErrNotExist where there
// is none.
func ReadMade(ctx context.Context, st *store.Store, name string) (*Made, error) {
	stage, key, ok := OutcomeOf(name)
	if !ok {
		return nil, fmt.Errorf("workflow: %s is no name of an outcome", name)
	}
	o, _, err := readOutcome(ctx, st, stage, key)
	if err == nil && o == nil {
		err = fmt.Errorf("workflow: %s: %w", st.Join(name), store.ErrNotExist)
	}
	if err != nil {
		return nil, err
	}
	m := &Made{Stage: stage, Key: key, Inputs: o.Inputs, Artifact: o.Product.Name, Digest: o.Product.Digest, Value: o.Product.Value}
	for _, f := range o.Product.Files {
		m.Files = append(m.Files, f.Name)
	}
	return m, nil
}

// OutcomeOf is the inverse of OutcomeName. ok is false for other names.
func OutcomeOf(name string) (stage, key string, ok bool) {
	rest, ok := strings.CutPrefix(name, "stages/")
	stage, file, found := strings.Cut(rest, "/")
	key, json := strings.CutSuffix(file, ".json")
	return stage, key, ok && found && json && stage != "" && IsKey(key)
}

// IsKey reports whether a name is the key of a stage.
func IsKey(name string) bool {
	return len(name) == keyLength && strings.Trim(name, "0123456789abcdef") == ""
}

// RoundOf returns the id of the round whose record, or a file beside it, has a name. ok is
// false for other names, and for the pointer to the newest record.
func RoundOf(name string) (id string, ok bool) {
	file, ok := strings.CutPrefix(name, "rounds/")
	id, _, dotted := strings.Cut(file, ".")
	return id, ok && dotted && id != "" && name != latestName && !strings.Contains(file, "/")
}

// LatestName is the name of the pointer to the newest record.
const LatestName = latestName
