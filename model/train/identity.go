package train

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/quire-ml/quire/model/checkpoint"
)

// sameIdentity returns an *IdentityError for a checkpoint from other inputs.
func (o Options) sameIdentity(c checkpoint.Metadata) error {
	var diffs []string
	add := func(item, got, want string) {
		if got != want {
			diffs = append(diffs, fmt.Sprintf("%s: the run has %s, now %s", item, got, want))
		}
	}
	add("cell", c.Cell, o.Identity.Cell)
	add("unit", c.Unit, o.Identity.Unit)
	add("normalize", c.Normalize, o.Identity.Normalize)
	add("set", c.Set, o.Identity.Set)
	if !bytes.Equal(c.Vocab, o.Identity.Vocab) {
		diffs = append(diffs, "vocabulary differs")
	}
	for _, d := range Differences(c.Config, o.Identity.Config) {
		if !slices.Contains(o.MayDiffer, d.Key) {
			diffs = append(diffs, fmt.Sprintf("%s: the run has %s, now %s", d.Key, cmp.Or(d.A, "none"), cmp.Or(d.B, "none")))
		}
	}
	if len(diffs) == 0 {
		return nil
	}
	return &IdentityError{Differences: diffs}
}

// IdentityError says that a run holds a training from other inputs.
type IdentityError struct {
	Differences []string // a line of text for each: the item, its value in the run, its value now
}

func (e *IdentityError) Error() string {
	return "this run came from other inputs (" + strings.Join(e.Differences, "; ") + ")"
}

// A Difference is a key of two JSON values A and B at which they differ.
type Difference struct {
	Key string `json:"key"` // dotted; elements of an array count from 0
	A   string `json:"a"`   // JSON, empty for none
	B   string `json:"b"`
}

// Differences compares two JSON values key by key, in the order of the keys.
func Differences(a, b json.RawMessage) []Difference {
	inA, inB := flatten(a), flatten(b)
	var diffs []Difference
	for _, key := range sortedKeys(inA, inB) {
		if inA[key] != inB[key] {
			diffs = append(diffs, Difference{key, inA[key], inB[key]})
		}
	}
	return diffs
}

// flatten turns nested JSON into dotted keys with their values as JSON.
func flatten(data json.RawMessage) map[string]string {
	out := map[string]string{}
	var walk func(prefix string, raw json.RawMessage)
	walk = func(prefix string, raw json.RawMessage) {
		below := func(key string) string { return strings.TrimPrefix(prefix+"."+key, ".") }
		var object map[string]json.RawMessage
		var array []json.RawMessage
		switch {
		case json.Unmarshal(raw, &object) == nil && object != nil:
			for key, value := range object {
				walk(below(key), value)
			}
		case json.Unmarshal(raw, &array) == nil && array != nil:
			for i, value := range array {
				walk(below(strconv.Itoa(i)), value)
			}
		case len(raw) > 0:
			out[prefix] = string(raw)
		}
	}
	walk("", data)
	return out
}

func sortedKeys(a, b map[string]string) []string {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return slices.Sorted(maps.Keys(all))
}
