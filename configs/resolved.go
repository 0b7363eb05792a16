package configs

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
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

// Shipped reports whether nobody has set a key: its value is the default, or that of
// an embedded config, which fits the texts of that config.
func (r *Resolved) Shipped(key string) bool { return r.last(key).shipped }

// Set reports whether a config file, a variable, --set or a flag sets a key: its value
// need not differ from the default.
func (r *Resolved) Set(key string) bool { return len(r.history[key]) > 1 }

// Overridden reports whether a variable, --set or a flag sets a key.
func (r *Resolved) Overridden(key string) bool {
	return slices.ContainsFunc(r.overrides, func(s setting) bool { return s.key.name == key })
}

// YAML returns the config as a file that Load reads to the same Config. It has
// every key, in the order of the table, and no extends. In place of a secret it
// has a comment, and in place of the secrets of a source's URL "(secret)": Load reads
// such a file, but its corpus cannot be read.
func (r *Resolved) YAML() []byte {
	return r.render("", func(string) bool { return true }, r.lists())
}

// Portable is YAML without the keys that say where a stage runs: the config of a run is
// the same wherever it is trained.
func (r *Resolved) Portable() []byte {
	return r.render("", func(name string) bool { return !keyByName[name].machine }, r.lists())
}

// lists returns the values of the varied keys.
func (r *Resolved) lists() map[string]any {
	varied := map[string]any{}
	for _, name := range r.Varied() {
		varied[name] = r.last(sweepPrefix + name).value
	}
	return varied
}

// Over returns the config as a file that extends another one, the embedded config
// or the file of that name, and has the keys whose values differ from it. Empty is
// quickstart. The path of a file is absolute. A config that cannot be loaded by
// itself is not extended: the result is that of YAML.
func (r *Resolved) Over(config string) []byte {
	config = cmp.Or(config, defaultName)
	base, err := Load(Options{Config: config})
	if err != nil {
		return r.YAML()
	}
	f, err := find(config, ".", "--config")
	if err != nil {
		return r.YAML()
	}
	if f.dir != "" {
		if config, err = filepath.Abs(config); err != nil {
			return r.YAML()
		}
	}
	was, is := base.Config.values(), r.Config.values()
	varied := map[string]any{}
	for i := range axes {
		if now := r.last(axes[i].name).value; !reflect.DeepEqual(now, base.last(axes[i].name).value) {
			varied[strings.TrimPrefix(axes[i].name, sweepPrefix)] = now
		}
	}
	return r.render(config, func(key string) bool {
		differs := func(key string) bool { return !reflect.DeepEqual(was[key], is[key]) }
		return differs(key) || key == "corpus.sha256" && differs("corpus.sources") // a digest stands beside its sources
	}, varied)
}

// render writes the keys that keep chooses, after extends unless that is empty, and
// the lists of varied keys.
func (r *Resolved) render(base string, keep func(key string) bool, varied map[string]any) []byte {
	values := r.Config.values()
	root := &yaml.Node{Kind: yaml.MappingNode}
	if base != "" {
		add(root, extends, encode(base))
	}
	at := map[string]*yaml.Node{"": root} // by section
	section := func(key string) (parent *yaml.Node, last string) {
		parent, prefix := root, ""
		parts := strings.Split(key, ".")
		for _, part := range parts[:len(parts)-1] {
			prefix += part + "."
			if at[prefix] == nil {
				at[prefix] = &yaml.Node{Kind: yaml.MappingNode}
				add(parent, part, at[prefix])
			}
			parent = at[prefix]
		}
		return parent, parts[len(parts)-1]
	}
	var b bytes.Buffer
	for i := range keys {
		name := keys[i].name
		switch {
		case !keep(name):
		case keys[i].shown(values[name]) == hidden:
			fmt.Fprintf(&b, "# %s is set, and secret\n", name)
		default:
			parent, last := section(name)
			add(parent, last, encode(keys[i].shown(values[name])))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(varied)) {
		parent, _ := section(sweepPrefix + "key")
		add(parent, name, encode(varied[name]))
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
		return "", &Error{Key: key, Reason: "is a section; its keys are " + strings.Join(KeysOf(key), ", ")}
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
	fmt.Fprintf(&b, "\n  meaning   %s\n", k.meaning)
	fmt.Fprintf(&b, "  effect    %s\n", k.effect)
	fmt.Fprintf(&b, "  variable  %s", k.variable())
	return b.String(), nil
}

// Meanings yields all keys with what they mean, in the order of YAML.
func Meanings() iter.Seq2[string, string] {
	return func(yield func(key, meaning string) bool) {
		for i := range keys {
			if !yield(keys[i].name, keys[i].meaning) {
				return
			}
		}
	}
}

// KeysOf returns the keys of a section, in the order of YAML.
func KeysOf(section string) []string {
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
