package configs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v3"
)

// Resolved is a config with the origin of each value.
type Resolved struct {
	Config Config

	history   map[string][]setting // by key or axis: the default, then every setting, the last one in force
	files     []setting            // of the config files, without axes
	overrides []setting            // of variables, --set and flags, without axes
}

// last returns the setting in force.
func (r *Resolved) last(key string) setting {
	h := r.history[key]
	return h[len(h)-1]
}

// YAML returns the config as a file that Load reads to the same Config. It has
// every key, in the order of the table, and no extends. In place of a secret it
// has a comment.
func (r *Resolved) YAML() []byte {
	values := r.Config.values()
	root := &yaml.Node{Kind: yaml.MappingNode}
	at := map[string]*yaml.Node{"": root} // by section
	var b bytes.Buffer
	for i := range keys {
		if keys[i].shown(values[keys[i].name]) == hidden {
			fmt.Fprintf(&b, "# %s is set, and secret\n", keys[i].name)
			continue
		}
		parent, section := root, ""
		parts := strings.Split(keys[i].name, ".")
		for _, part := range parts[:len(parts)-1] {
			section += part + "."
			if at[section] == nil {
				at[section] = &yaml.Node{Kind: yaml.MappingNode}
				add(parent, part, at[section])
			}
			parent = at[section]
		}
		add(parent, parts[len(parts)-1], encode(values[keys[i].name]))
	}
	for _, name := range r.Varied() {
		add(at["sweep."], name, encode(r.last(sweepPrefix+name).value))
	}
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(root); err != nil {
		panic(fmt.Sprintf("configs: %v", err)) // a tree of our own values
	}
	return b.Bytes()
}

// add appends a key and its value to a mapping.
func add(mapping *yaml.Node, key string, value *yaml.Node) {
	mapping.Content = append(mapping.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: key}, value)
}

// encode returns a value as a node, text in quotes where YAML needs them.
func encode(value any) *yaml.Node {
	switch v := value.(type) {
	case string:
		n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: v}
		if v == "<<" || strings.ContainsFunc(v, unicode.IsControl) {
			n.Style = yaml.DoubleQuotedStyle // else the encoder writes a merge key, or several lines
		}
		return n
	case []string:
		n := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
		for _, s := range v {
			n.Content = append(n.Content, encode(s))
		}
		return n
	case []any:
		n := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
		for _, x := range v {
			n.Content = append(n.Content, encode(x))
		}
		return n
	case float64:
		return &yaml.Node{Kind: yaml.ScalarNode, Value: strconv.FormatFloat(v, 'g', -1, 64)}
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Value: fmt.Sprint(value)}
}

// Values returns all values, nested by section as in YAML, for encoding/json. In
// place of a secret it has "(secret)".
func (r *Resolved) Values() map[string]any {
	values := r.Config.values()
	for name, value := range values {
		values[name] = keyByName[name].shown(value)
	}
	root := nested(values)
	for _, name := range r.Varied() {
		root["sweep"].(map[string]any)[name] = r.last(sweepPrefix + name).value
	}
	return root
}

// MarshalJSON returns a JSON object of all values by dotted key. In place of a
// secret it has "(secret)".
func (c *Config) MarshalJSON() ([]byte, error) {
	values := c.values()
	for name, value := range values {
		values[name] = keyByName[name].shown(value)
	}
	return json.Marshal(values)
}

// Explain describes a key in a few lines: its value, who set it, the values that
// were replaced, its default, range, meaning, effect and variable. For an unknown
// name, the error is an *Error with the nearest key.
func (r *Resolved) Explain(key string) (string, error) {
	if sections[key] {
		return "", &Error{Key: key, Reason: "is a section; its keys are " + strings.Join(keysOf(key), ", ")}
	}
	k := lookup(key)
	if k == nil {
		return "", unknown(key, "")
	}
	h := r.history[key]
	var b strings.Builder
	fmt.Fprintf(&b, "%s = %s\n", key, format(k.shown(r.last(key).value)))
	fmt.Fprintf(&b, "  set by    %s\n", oneLine(r.last(key).source))
	for i := len(h) - 2; i > 0; i-- {
		fmt.Fprintf(&b, "  over      %s of %s\n", format(k.shown(h[i].value)), oneLine(h[i].source))
	}
	fmt.Fprintf(&b, "  default   %s\n", format(k.initial))
	fmt.Fprintf(&b, "  range     %v", k.domain)
	if k.only != nil {
		fmt.Fprintf(&b, " (only %s is supported yet)", k.usable())
	}
	fmt.Fprintf(&b, "\n  meaning   %s\n", k.meaning)
	fmt.Fprintf(&b, "  effect    %s\n", k.effect)
	fmt.Fprintf(&b, "  variable  %s", k.variable())
	return b.String(), nil
}

// keysOf returns the keys of a section.
func keysOf(section string) []string {
	var names []string
	for _, list := range [][]key{keys, axes} {
		for i := range list {
			if strings.HasPrefix(list[i].name, section+".") {
				names = append(names, list[i].name)
			}
		}
	}
	return names
}
