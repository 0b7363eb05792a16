package workflow

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Node is a Stage of any types.
type Node interface {
	node() (*node, error)
	names() (name, artifact string)
}

// node is a Stage without its types.
type node struct {
	name     string
	version  int
	settings map[string]json.RawMessage // by dotted key
	inputs   []string
	uses     []string
	artifact string
	live     bool
	onDemand bool
	limit    time.Duration
	on       string

	run      func(ctx context.Context, task *Task) (product, error)
	check    func(ctx context.Context, task *Task, made json.RawMessage) (string, error)
	estimate func(ctx context.Context, task *Task) (Cost, error)
	follow   func(ctx context.Context, task *Task) error
	differ   func(old, now json.RawMessage) []string // of its values
	locate   func(value json.RawMessage, dir string) (json.RawMessage, error)
}

func (s Stage[C, T]) node() (*node, error) {
	n := &node{name: s.Name, version: s.Version, artifact: string(s.Artifact), live: s.Live, onDemand: s.OnDemand, limit: s.Limit, on: s.On,
		differ: differences[T], locate: located[T]}
	switch {
	case s.Name == "" || strings.ContainsAny(s.Name, "/\\ "):
		return nil, fmt.Errorf("a stage is called %q; want a name that can be a folder's", s.Name)
	case s.Version < 1:
		return nil, fmt.Errorf("stage %s has version %d; the first is 1", s.Name, s.Version)
	case s.Artifact == "":
		return nil, fmt.Errorf("stage %s has no artifact", s.Name)
	case s.Run == nil:
		return nil, fmt.Errorf("stage %s has no function Run", s.Name)
	case s.Limit < 0:
		return nil, fmt.Errorf("stage %s has the limit %v; want 0, for none, or more", s.Name, s.Limit)
	}
	for _, in := range s.Inputs {
		n.inputs = append(n.inputs, in.artifact())
	}
	for _, in := range s.Uses {
		n.uses = append(n.uses, in.artifact())
	}
	var err error
	if n.settings, err = settings(s.Config, s.Keys); err != nil {
		return nil, fmt.Errorf("stage %s: %w", s.Name, err)
	}
	n.run = func(ctx context.Context, task *Task) (product, error) {
		out, err := s.Run(ctx, s.Config, task)
		if err != nil {
			return product{}, err
		}
		return finish(ctx, task, string(s.Artifact), out)
	}
	if s.Check != nil {
		n.check = func(ctx context.Context, task *Task, made json.RawMessage) (string, error) {
			var value T
			if err := json.Unmarshal(made, &value); err != nil {
				return "", fmt.Errorf("workflow: stage %s: value of %s: %w", s.Name, s.Artifact, err)
			}
			return s.Check(ctx, s.Config, task, value)
		}
	}
	if s.Estimate != nil {
		n.estimate = func(ctx context.Context, task *Task) (Cost, error) { return s.Estimate(ctx, s.Config, task) }
	}
	if s.Follow != nil {
		n.follow = func(ctx context.Context, task *Task) error { return s.Follow(ctx, s.Config, task) }
	}
	return n, nil
}

// takes returns the artifacts that the stage reads.
func (n *node) takes() []string { return slices.Concat(n.inputs, n.uses) }

// finish completes a product: its digest, and the size, digest and generation of
// its files.
func finish[T any](ctx context.Context, task *Task, name string, out Product[T]) (product, error) {
	value, err := json.Marshal(out.Value)
	if err != nil {
		return product{}, fmt.Errorf("workflow: stage %s: value of %s: %w", task.Stage, name, err)
	}
	p := product{Name: name, Digest: out.Digest, Value: value, Files: out.Files}
	if !p.made() {
		return product{}, fmt.Errorf("workflow: stage %s: value of %s is null", task.Stage, name)
	}
	if p.Digest == "" {
		sum := sha256.Sum256(value)
		p.Digest = hex.EncodeToString(sum[:])
	}
	for i := range p.Files {
		f := &p.Files[i]
		if f.SHA256 == "" {
			if f.SHA256, err = digestOf(ctx, task.Store, f.Name); err != nil {
				return product{}, err
			}
		}
		info, err := task.Store.Stat(ctx, f.Name)
		if err != nil {
			return product{}, err
		}
		f.Bytes, f.Generation = info.Bytes, info.Generation
	}
	return p, nil
}

// differences returns the differences between two values; nil: they are no Differ.
func differences[T any](old, now json.RawMessage) []string {
	var a, b T
	d, ok := any(&b).(Differ[T])
	if !ok || json.Unmarshal(old, &a) != nil || json.Unmarshal(now, &b) != nil {
		return nil
	}
	return d.Differences(a)
}

// settings returns the values of config, by dotted key, that are in the sections keep;
// nil: all. An unknown section is an error: a misspelt name would go unnoticed.
func settings(config any, keep []string) (map[string]json.RawMessage, error) {
	data, err := json.Marshal(config)
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	all := Flatten(data)
	if all == nil {
		return nil, fmt.Errorf("config: %T is not a JSON object", config)
	}
	kept := map[string]json.RawMessage{}
	used := map[string]bool{}
	for key, value := range all {
		section := sectionOf(key, keep)
		used[section] = true
		if section != "" || keep == nil {
			kept[key] = value
		}
	}
	for _, section := range keep {
		if !used[section] {
			return nil, fmt.Errorf("config: %T has no key %s", config, section)
		}
	}
	return kept, nil
}

// sectionOf returns the first section that is key or contains it; empty: none.
func sectionOf(key string, sections []string) string {
	for _, s := range sections {
		if key == s || strings.HasPrefix(key, s+".") {
			return s
		}
	}
	return ""
}

// Flatten returns the values of nested JSON objects by dotted key. It returns nil
// where data is neither an object nor null.
func Flatten(data json.RawMessage) map[string]json.RawMessage {
	out := map[string]json.RawMessage{}
	var walk func(prefix string, data json.RawMessage) bool
	walk = func(prefix string, data json.RawMessage) bool {
		if !bytes.HasPrefix(bytes.TrimSpace(data), []byte("{")) {
			return false
		}
		var object map[string]json.RawMessage
		if json.Unmarshal(data, &object) != nil {
			return false
		}
		for key, value := range object {
			if !walk(prefix+key+".", value) {
				out[prefix+key] = value
			}
		}
		return true
	}
	if !walk("", data) && string(data) != "null" {
		return nil
	}
	return out
}

// keyLength is the number of hex digits of a key: 80 bits.
const keyLength = 20

// key returns the digest of everything that the product depends on. inputs are
// digests by name. encoding/json sorts the keys of a map.
func (n *node) key(inputs map[string]string) (string, error) {
	h := sha256.New()
	if err := json.NewEncoder(h).Encode([]any{n.name, n.version, n.settings, inputs}); err != nil {
		return "", fmt.Errorf("workflow: key of %s: %w", n.name, err)
	}
	return hex.EncodeToString(h.Sum(nil))[:keyLength], nil
}
