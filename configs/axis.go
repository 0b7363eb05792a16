package configs

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// axes are the keys of the sweep section that stand for others, in the order of
// the table: for all that change a model of one corpus. They have no place in Config.
var axes = func() []key {
	var list []key
	for i := range keys {
		k := &keys[i]
		changes := slices.Contains([]Effect{Data, Weights, Course, Kept}, k.effect)
		if changes && !k.place && !strings.HasPrefix(k.name, "corpus.") {
			list = append(list, key{name: sweepPrefix + k.name, domain: axis{k}, initial: []any{}, effect: None,
				meaning: "values of " + k.name + " for the trials of a sweep; empty = its one value"})
		}
	}
	return list
}()

var axisByName = func() map[string]*key {
	byName := map[string]*key{}
	for i := range axes {
		byName[axes[i].name] = &axes[i]
	}
	return byName
}()

// lookup returns the key or the axis of that name, nil if there is neither.
func lookup(name string) *key {
	if k := keyByName[name]; k != nil {
		return k
	}
	return axisByName[name]
}

// axis is the domain of an axis: lists of values of a key, as []any.
type axis struct{ of *key }

// parse reads a list, a,b or YAML's [a, b], or a range.
func (d axis) parse(text string) (any, error) {
	bare := strings.TrimSpace(text)
	if !strings.HasPrefix(bare, "[") && !strings.HasPrefix(bare, "{") {
		bare = "[" + bare + "]"
	}
	doc, err := document([]byte(bare))
	if err != nil {
		return nil, fmt.Errorf("is %s, not a list or range in YAML", quote(text))
	}
	return d.fromNode(doc)
}

func (d axis) check(value any) error {
	if _, ok := value.([]any); !ok {
		return fmt.Errorf("is %v; it must be a %v", value, d)
	}
	return nil
}

func (d axis) String() string {
	if d.numeric() {
		return fmt.Sprintf("list of values, or {from: a, to: b, by: x2 or c}, each a %v", d.of.domain)
	}
	return fmt.Sprintf("list of values, each %v", d.of.domain)
}

func (d axis) numeric() bool {
	switch d.of.domain.(type) {
	case whole, number:
		return true
	}
	return false
}

// fromNode reads a list or a range, every value checked.
func (d axis) fromNode(n *yaml.Node) (any, error) {
	list := []any{}
	switch {
	case n.Kind == yaml.MappingNode && n.Style&yaml.TaggedStyle == 0:
		return d.progression(n)
	case n.Kind != yaml.SequenceNode || n.Style&yaml.TaggedStyle != 0:
		return nil, fmt.Errorf("is %s; it must be a %v", kind(n), d)
	case len(n.Content) > maxTrials:
		return nil, fmt.Errorf("has %d values, more than %d", len(n.Content), maxTrials)
	}
	for i, item := range n.Content {
		value, err := d.of.fromNode(item)
		if err == nil && slices.Contains(list, value) {
			err = fmt.Errorf("is %v a second time", value)
		}
		if err != nil {
			return nil, fmt.Errorf("has a value, number %d, that %w", i+1, err)
		}
		list = append(list, value)
	}
	return list, nil
}

// rangeKeys are the keys of a range.
var rangeKeys = []string{"from", "to", "by"}

// progression reads a range: {from: 128, to: 512, by: x2}, or by: 64.
func (d axis) progression(n *yaml.Node) (any, error) {
	if !d.numeric() {
		return nil, fmt.Errorf("is a range, but its values are not numbers; it must be a %v", d)
	}
	parts := map[string]string{}
	for i := 0; i < len(n.Content); i += 2 {
		name, value := n.Content[i].Value, n.Content[i+1]
		if !slices.Contains(rangeKeys, name) {
			return nil, fmt.Errorf("has %s, but a range has from, to and by; the nearest is %s", show(name), Nearest(name, rangeKeys))
		}
		if _, twice := parts[name]; twice || value.Kind != yaml.ScalarNode {
			return nil, fmt.Errorf("has %s twice, or not as a single value", name)
		}
		parts[name] = value.Value
	}
	for _, name := range rangeKeys {
		if parts[name] == "" {
			return nil, fmt.Errorf("is a range without %s; write {from: 128, to: 512, by: x2}, or by: 64", name)
		}
	}
	from, err := d.bound("from", parts["from"])
	if err != nil {
		return nil, err
	}
	to, err := d.bound("to", parts["to"])
	if err != nil {
		return nil, err
	}
	if from > to {
		return nil, fmt.Errorf("is an empty range: from %s is more than to %s", parts["from"], parts["to"])
	}
	next, err := steps(from, parts["by"])
	if err != nil {
		return nil, err
	}
	return d.fill(next, to)
}

// bound reads an end of a range. It refuses whole numbers beyond 2^53, which a
// float64 may round.
func (d axis) bound(name, text string) (float64, error) {
	value, err := d.of.read(text)
	if err != nil {
		return 0, fmt.Errorf("has %s, which %w", name, err)
	}
	x, ok := value.(float64)
	if n, isWhole := value.(int64); isWhole {
		x, ok = float64(n), n >= -1<<53 && n <= 1<<53
	}
	if !ok {
		return 0, fmt.Errorf("has %s %s, too large for a range; write a list", name, text)
	}
	return x, nil
}

// steps returns the function that gives the i-th value of a range, from 0. by is
// a factor, x2, or a summand, 2.
func steps(from float64, by string) (func(i int) float64, error) {
	factor, times := strings.CutPrefix(by, "x")
	x, err := number{}.parse(factor)
	if err != nil {
		return nil, fmt.Errorf("has by, which %w, after an x to multiply", err)
	}
	step := x.(float64)
	switch {
	case times && (step < 1.001 || from <= 0):
		return nil, fmt.Errorf("has by %s, from %v: to multiply, by is x1.001 or more and from above 0", by, from)
	case times:
		return func(i int) float64 { return from * math.Pow(step, float64(i)) }, nil
	case step <= 0:
		return nil, fmt.Errorf("has by %s; it must be above 0", by)
	}
	return func(i int) float64 { return from + float64(i)*step }, nil
}

// fill lists the values of a range up to and including to.
func (d axis) fill(next func(i int) float64, to float64) (any, error) {
	digits, format := 15, byte('g')
	if _, ok := d.of.domain.(whole); ok {
		digits, format = -1, 'f'
	}
	list := []any{}
	for i := 0; ; i++ {
		// 15 digits make 0.1 + 2·0.1 the number that is written 0.3.
		text := strconv.FormatFloat(next(i), format, digits, 64)
		if x, err := strconv.ParseFloat(text, 64); err != nil || x > to {
			return list, nil
		}
		if i == maxTrials {
			return nil, fmt.Errorf("is a range of more than %d values", maxTrials)
		}
		value, err := d.of.read(text)
		if err != nil {
			return nil, fmt.Errorf("has a value, number %d, that %w", i+1, err)
		}
		list = append(list, value)
	}
}
