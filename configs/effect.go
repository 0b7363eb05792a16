package configs

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Effect is what a key decides. Everything that depends on this question is
// derived from the column effect of the table: what a sweep may vary, what is in
// the keys of stages, what a checkpoint says of its config, and why an existing
// set or run is refused.
type Effect string

// Effects.
const (
	Data    Effect = "data"    // the set that prep makes
	Weights Effect = "weights" // the weights after a step
	Course  Effect = "course"  // a length; another one alters the weights only where a key follows a course over it
	Kept    Effect = "kept"    // which step is the last of a training, and which one the best
	Verdict Effect = "verdict" // whether the gate lets a model pass
	Text    Effect = "text"    // the text that a model writes
	None    Effect = "none"    // nothing that a stage makes
)

// hold says which digests hold the value of a key even where it is the default.
// Other digests hold only values that are not: they stay the same when the key
// is added to the table, so that a set, run or round from before is still found.
type hold int

// Holds. The zero value is that of a new key.
const (
	notDefault hold = iota // in no digest
	inKeys                 // in the keys of stages
	inIdentity             // in the keys of stages and in the identity of a checkpoint
)

// Effects returns the effect of every key.
func Effects() map[string]Effect {
	all := make(map[string]Effect, len(keys))
	for i := range keys {
		all[keys[i].name] = keys[i].effect
	}
	return all
}

// KeysOf returns the names of the keys with one of these effects on which the
// outcome of a stage depends, for the key of that stage: without places, whose
// content counts, and without younger keys that have their default in c.
func (c *Config) KeysOf(effects ...Effect) []string {
	names := []string{}
	for _, k := range c.held(inKeys, effects) {
		names = append(names, k.name)
	}
	return names
}

// held returns the keys with one of these effects that a digest of c holds.
func (c *Config) held(in hold, effects []Effect) []*key {
	values := c.values()
	var list []*key
	for i := range keys {
		if k := &keys[i]; slices.Contains(effects, k.effect) && !k.place && k.heldIn(in, values) {
			list = append(list, k)
		}
	}
	return list
}

// heldIn reports whether digests of that kind hold a key.
func (k *key) heldIn(in hold, values map[string]any) bool {
	if k.always >= in {
		return true
	}
	if k.with != "" {
		k = keyByName[k.with]
	}
	return !reflect.DeepEqual(values[k.name], k.initial)
}

// Identity returns what a checkpoint stores of c, as a JSON object: the keys that
// decide the weights, by section. from is the digest of the checkpoint at
// train.from, empty where there is none.
func (c *Config) Identity(from string) (json.RawMessage, error) {
	values := c.values()
	stored := map[string]any{}
	for _, k := range c.held(inIdentity, []Effect{Weights, Course}) {
		stored[k.name] = values[k.name]
	}
	if from != "" {
		stored["train.from"] = from
	}
	return json.Marshal(nested(stored))
}

// nested returns values by dotted key as one map a section.
func nested(values map[string]any) map[string]any {
	root := map[string]any{}
	for name, value := range values {
		parts := strings.Split(name, ".")
		m := root
		for _, part := range parts[:len(parts)-1] {
			if m[part] == nil {
				m[part] = map[string]any{}
			}
			m = m[part].(map[string]any)
		}
		m[parts[len(parts)-1]] = value
	}
	return root
}

// Free returns the lengths over which no key of c follows a course. A training may
// be continued with another value of these, and ends with the weights of one that
// had the value from the beginning.
func (c *Config) Free() []string {
	free := []string{}
	for i := range keys {
		if k := &keys[i]; k.effect == Course && len(c.Followers(k.name)) == 0 {
			free = append(free, k.name)
		}
	}
	return free
}

// Followers returns the keys of c that follow a course over a length, such as
// train.schedule over train.epochs.
func (c *Config) Followers(length string) []string {
	values := c.values()
	var names []string
	for i := range keys {
		if k := &keys[i]; k.over == length && !slices.Contains(k.unless, values[k.name]) {
			names = append(names, k.name)
		}
	}
	return names
}

// Difference is a key at which two configs differ.
type Difference struct {
	Key     string
	Was, Is any
}

// String is the key with both values.
func (d Difference) String() string { return fmt.Sprintf("%s: was %v, is %v", d.Key, d.Was, d.Is) }

// Differences returns the keys with one of these effects at which c differs from
// an older config, in the order of YAML, without places.
func (c *Config) Differences(old *Config, effects ...Effect) []Difference {
	was, is := old.values(), c.values()
	var list []Difference
	for i := range keys {
		k := &keys[i]
		if slices.Contains(effects, k.effect) && !k.place && !reflect.DeepEqual(was[k.name], is[k.name]) {
			list = append(list, Difference{k.name, was[k.name], is[k.name]})
		}
	}
	return list
}
