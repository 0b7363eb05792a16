package configs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// extends is the only key of a file that is not in the table.
const extends = "extends"

// maxDepth bounds the levels of a file. The table needs three.
const maxDepth = 6

// setting is a value that a layer gives to a key.
type setting struct {
	key     *key
	value   any
	source  string // file:line, variable, flag
	implied bool   // by a setting of another key
	shipped bool   // a default, or of an embedded config
}

// retired are keys of earlier versions, with the values that such a version writes
// unless told otherwise. Files with these, such as the config.yaml of a run and the
// best.yaml of a sweep, still load.
var retired = map[string]string{"train.checkpoint.every": "epoch", "train.checkpoint.keep_best_count": "1"}

// parsed is the content of a config file.
type parsed struct {
	extends       string
	extendsSource string
	settings      []setting
}

// parse reads a config file; name is its name in messages.
func parse(name string, data []byte) (*parsed, error) {
	root, err := document(data)
	if err != nil {
		return nil, syntaxError(name, err)
	}
	p := &parser{name: name, seen: map[string]place{}}
	if root.Kind != yaml.MappingNode {
		return nil, &Error{Source: p.at(root), Reason: "a config file must be keys and values, but this is " + kind(root)}
	}
	if err := p.collect(root, "", 1); err != nil {
		return nil, err
	}
	if err := p.section(root, ""); err != nil {
		return nil, err
	}
	return &p.out, nil
}

// document parses YAML of one document and expands nothing.
func document(data []byte) (*yaml.Node, error) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, more yaml.Node
	if err := dec.Decode(&doc); err == io.EOF {
		return nil, errors.New("the file has no keys; an experiment needs at least one")
	} else if err != nil {
		return nil, err
	}
	if err := dec.Decode(&more); err == nil {
		return nil, fmt.Errorf("yaml: line %d: a second document begins here; a config file has one", more.Line)
	} else if err != io.EOF {
		return nil, err
	}
	return doc.Content[0], nil
}

var yamlLine = regexp.MustCompile(`^yaml: line (\d+): (.*)`)

// syntaxError takes the line out of the message of package yaml.
func syntaxError(name string, err error) error {
	if m := yamlLine.FindStringSubmatch(err.Error()); m != nil {
		return &Error{Source: name + ":" + m[1], Reason: "not a valid config file: " + oneLine(m[2])}
	}
	return &Error{Source: name, Reason: "not a valid config file", Err: err}
}

// parser reads one file.
type parser struct {
	name string
	seen map[string]place // by the key in lower case
	out  parsed
}

// place is a key in the spelling of the file.
type place struct {
	key  string
	line int
}

func (p *parser) at(n *yaml.Node) string { return fmt.Sprintf("%s:%d", p.name, n.Line) }

// collect refuses keys that are set twice, in either notation, and keys that
// differ only in case. It covers unknown sections too.
func (p *parser) collect(n *yaml.Node, prefix string, depth int) error {
	for i := 0; i < len(n.Content); i += 2 {
		k, value := n.Content[i], n.Content[i+1]
		if k.Kind != yaml.ScalarNode {
			return &Error{Key: strings.TrimSuffix(prefix, "."), Source: p.at(k),
				Reason: "has a key that is " + kind(k) + "; a key is a word"}
		}
		path := prefix + k.Value
		folded := strings.ToLower(strings.ToUpper(path))
		if before, ok := p.seen[folded]; ok && before.key == path {
			return &Error{Key: path, Source: p.at(k), Reason: fmt.Sprintf("is set twice, first in line %d", before.line)}
		} else if ok {
			return &Error{Key: path, Source: p.at(k), Nearest: nearestKey(path),
				Reason: fmt.Sprintf("and %s (line %d) differ only in case", show(before.key), before.line)}
		}
		p.seen[folded] = place{path, k.Line}
		if value.Kind != yaml.MappingNode {
			continue
		}
		if depth == maxDepth {
			return &Error{Key: path, Source: p.at(k), Nearest: nearestKey(path),
				Reason: fmt.Sprintf("is nested deeper than %d levels", maxDepth)}
		}
		if err := p.collect(value, path+".", depth+1); err != nil {
			return err
		}
	}
	return nil
}

// section reads the keys of a mapping.
func (p *parser) section(n *yaml.Node, prefix string) error {
	for i := 0; i < len(n.Content); i += 2 {
		k, value := n.Content[i], n.Content[i+1]
		path, source := prefix+k.Value, p.at(k)
		var err error
		switch {
		case path == extends:
			p.out.extendsSource = source
			if p.out.extends, err = scalar(value, true); err == nil && !line(p.out.extends) {
				err = errors.New("must be a path or the name of an embedded config")
			}
		case sections[path]:
			if value.Kind == yaml.MappingNode {
				if err := p.section(value, path+"."); err != nil {
					return err
				}
				continue
			}
			err = fmt.Errorf("is a section, but here it is %s; give it keys or remove it", kind(value))
		case retired[path] != "" && value.Value == retired[path]:
		case lookup(path) == nil:
			return unknown(path, source)
		default:
			var v any
			key := lookup(path)
			if v, err = key.fromNode(value); err == nil {
				p.out.settings = append(p.out.settings, setting{key: key, value: v, source: source})
			}
		}
		if err != nil {
			return &Error{Key: path, Source: source, Reason: err.Error()}
		}
	}
	return nil
}

// fromNode turns a node into a value in range. It converts nothing.
func (k *key) fromNode(n *yaml.Node) (any, error) {
	if d, ok := k.domain.(axis); ok {
		return d.fromNode(n)
	}
	switch k.domain.(type) {
	case sources, list:
		list, err := items(n)
		if err == nil {
			err = k.domain.check(list)
		}
		return list, err
	}
	textual := false
	switch k.domain.(type) {
	case words, text, secret:
		textual = true
	}
	s, err := scalar(n, textual)
	if err != nil {
		return nil, err
	}
	return k.read(s)
}

// items reads a list of text.
func items(n *yaml.Node) ([]string, error) {
	if n.Kind != yaml.SequenceNode || n.Style&yaml.TaggedStyle != 0 {
		return nil, fmt.Errorf("is %s, not a list; write [a, b]", kind(n))
	}
	list := []string{}
	for i, item := range n.Content {
		s, err := scalar(item, true)
		if err != nil {
			return nil, fmt.Errorf("has an item, number %d, that %w", i+1, err)
		}
		list = append(list, s)
	}
	return list, nil
}

// scalar returns the text of a node. If textual, the node must be text to YAML
// too; else it must not be in quotes.
func scalar(n *yaml.Node, textual bool) (string, error) {
	quoted := n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0
	switch {
	case n.Kind != yaml.ScalarNode, n.Style&yaml.TaggedStyle != 0:
		return "", fmt.Errorf("is %s, not a single value", kind(n))
	case n.ShortTag() == "!!null":
		return "", errors.New("has no value; give it one or remove it")
	case textual && n.ShortTag() != "!!str":
		return "", fmt.Errorf("is %s; to mean the text, put it in quotes", kind(n))
	case !textual && quoted:
		return "", fmt.Errorf("is the text %s; write the value without quotes", quote(n.Value))
	}
	return n.Value, nil
}

// kind describes a node in words.
func kind(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a section"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias, which a config file may not have"
	}
	if n.Style&yaml.TaggedStyle != 0 {
		return "a value with the tag " + quote(n.Tag)
	}
	switch n.ShortTag() {
	case "!!null":
		return "empty"
	case "!!str":
		return "the text " + quote(n.Value)
	case "!!bool":
		return "the truth value " + quote(n.Value)
	case "!!int", "!!float":
		return "the number " + quote(n.Value)
	case "!!timestamp":
		return "the date " + quote(n.Value)
	}
	return "the value " + quote(n.Value)
}
