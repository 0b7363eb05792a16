package train

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/quire-ml/quire/model/checkpoint"
)

// sameIdentity checks that a checkpoint came from the same inputs.
func (o Options) sameIdentity(c checkpoint.Metadata) error {
	var diffs []string
	add := func(what, got, want string) {
		if got != want {
			diffs = append(diffs, fmt.Sprintf("%s: the run has %s, now %s", what, got, want))
		}
	}
	add("cell", c.Cell, o.Identity.Cell)
	add("unit", c.Unit, o.Identity.Unit)
	add("normalize", c.Normalize, o.Identity.Normalize)
	add("set", c.Set, o.Identity.Set)
	if !bytes.Equal(c.Vocab, o.Identity.Vocab) {
		diffs = append(diffs, "vocabulary differs")
	}
	diffs = append(diffs, configDifferences(c.Config, o.Identity.Config)...)
	if len(diffs) == 0 {
		return nil
	}
	return &IdentityError{Differences: diffs}
}

// IdentityError says that a run directory holds a training from other inputs.
type IdentityError struct {
	Differences []string
}

func (e *IdentityError) Error() string {
	return "this run came from other inputs (" + strings.Join(e.Differences, "; ") + "); use another train.out, or --replace to start it anew"
}

// configDifferences compares two JSON objects of settings key by key. The
// number of epochs may differ where it says only when a training ends.
func configDifferences(got, want json.RawMessage) []string {
	a, b := flatten(got), flatten(want)
	var diffs []string
	for _, key := range sortedKeys(a, b) {
		ends := key == "train.epochs" && b["train.schedule"] != `"cosine"`
		if !ends && a[key] != b[key] {
			diffs = append(diffs, fmt.Sprintf("%s: the run has %s, now %s", key, orNone(a[key]), orNone(b[key])))
		}
	}
	return diffs
}

// flatten turns nested JSON objects into dotted keys with their values as JSON.
func flatten(data json.RawMessage) map[string]string {
	out := map[string]string{}
	var walk func(prefix string, raw json.RawMessage)
	walk = func(prefix string, raw json.RawMessage) {
		var object map[string]json.RawMessage
		if json.Unmarshal(raw, &object) != nil {
			out[prefix] = string(raw)
			return
		}
		for key, value := range object {
			if prefix != "" {
				key = prefix + "." + key
			}
			walk(key, value)
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

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}
