package configs

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Sweep says how many trials a sweep has. What they vary is in keys of the same
// section that stand for others, sweep.train.lr for train.lr: see
// Resolved.Trials.
type Sweep struct {
	Pick   string `mapstructure:"pick"`
	Trials int    `mapstructure:"trials"`
	Seed   int64  `mapstructure:"seed"`
}

// maxTrials is the most that a sweep may have, and the most values of a key.
const maxTrials = 1000

// sweepPrefix begins the names of axes.
const sweepPrefix = "sweep."

// axes are the keys of the sweep section that stand for others, in the order of
// these: all that change a model. They have no place in Config.
var axes = func() []key {
	var list []key
	for i := range keys {
		k := &keys[i]
		section, rest, _ := strings.Cut(k.name, ".")
		switch {
		case section != "prep" && section != "model" && section != "train",
			rest == "out", rest == "from", rest == "device", rest == "log_every", strings.HasPrefix(rest, "checkpoint."):
			continue
		}
		list = append(list, key{name: sweepPrefix + k.name, domain: axis{k}, initial: []any{}, meaning: "values of " + k.name + " that a sweep tries; empty = only the one that it has"})
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

// lookup returns the key or the axis of a name; nil: there is none.
func lookup(name string) *key {
	if k := keyByName[name]; k != nil {
		return k
	}
	return axisByName[name]
}

// axis is lists of values of another key, as []any.
type axis struct{ of *key }

// parse reads a list, a,b or YAML's [a, b], or a range.
func (d axis) parse(text string) (any, error) {
	bare := strings.TrimSpace(text)
	if !strings.HasPrefix(bare, "[") && !strings.HasPrefix(bare, "{") {
		bare = "[" + bare + "]"
	}
	doc, err := document([]byte(bare))
	if err != nil {
		return nil, fmt.Errorf("is %s, no list or range that YAML can read", quote(text))
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
		return d.span(n)
	case n.Kind != yaml.SequenceNode || n.Style&yaml.TaggedStyle != 0:
		return nil, fmt.Errorf("is %s; it must be a %v", kind(n), d)
	case len(n.Content) > maxTrials:
		return nil, fmt.Errorf("has %d values, more than %d", len(n.Content), maxTrials)
	}
	for i, item := range n.Content {
		value, err := d.of.fromNode(item)
		if err == nil {
			err = d.of.supported(value)
		}
		if err == nil && slices.Contains(list, value) {
			err = fmt.Errorf("is %v, which is there already", value)
		}
		if err != nil {
			return nil, fmt.Errorf("has a value, number %d, that %w", i+1, err)
		}
		list = append(list, value)
	}
	return list, nil
}

// spanKeys are what a range has.
var spanKeys = []string{"from", "to", "by"}

// span reads a range: {from: 128, to: 512, by: x2}, or by: 64.
func (d axis) span(n *yaml.Node) (any, error) {
	if !d.numeric() {
		return nil, fmt.Errorf("is a range, but its values are no numbers; it must be a %v", d)
	}
	parts := map[string]string{}
	for i := 0; i < len(n.Content); i += 2 {
		name, value := n.Content[i].Value, n.Content[i+1]
		if !slices.Contains(spanKeys, name) {
			return nil, fmt.Errorf("has %s, but a range has from, to and by; the nearest is %s", show(name), nearestOf(name, spanKeys))
		}
		if _, twice := parts[name]; twice || value.Kind != yaml.ScalarNode {
			return nil, fmt.Errorf("has %s twice, or not as a single value", name)
		}
		parts[name] = value.Value
	}
	for _, name := range spanKeys {
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
	next, err := progression(from, parts["by"])
	if err != nil {
		return nil, err
	}
	return d.fill(next, to)
}

// bound reads an end of a range. Beyond 2^53 there are whole numbers that a
// float64 is not.
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

// progression returns the function of a range's i-th value; by is x2, or 2.
func progression(from float64, by string) (func(i int) float64, error) {
	factor, times := strings.CutPrefix(by, "x")
	x, err := number{}.parse(factor)
	if err != nil {
		return nil, fmt.Errorf("has by, which %w, with x before it to multiply", err)
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

// fill lists the values of a range, to the last one that is not above to.
func (d axis) fill(next func(i int) float64, to float64) (any, error) {
	digits, format := 15, byte('g')
	if _, ok := d.of.domain.(whole); ok {
		digits, format = -1, 'f'
	}
	list := []any{}
	for i := 0; ; i++ {
		// 15 digits: 0.1 and two times 0.1 is 0.3, as it is written.
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

// A Trial is one config of a sweep.
type Trial struct {
	Number   int            // from 1
	Set      map[string]any // what it varies, by key: train.lr
	Resolved *Resolved
}

// String is what a trial varies: model.hidden=128 train.lr=0.001.
func (t Trial) String() string {
	var parts []string
	for i := range axes {
		if k := axes[i].domain.(axis).of; t.Set[k.name] != nil {
			parts = append(parts, fmt.Sprintf("%s=%v", k.name, t.Set[k.name]))
		}
	}
	return strings.Join(parts, " ")
}

// Varied returns the keys that the sweep varies, in the order of YAML.
func (r *Resolved) Varied() []string {
	var names []string
	for i := range axes {
		if len(r.last(axes[i].name).value.([]any)) > 0 {
			names = append(names, axes[i].domain.(axis).of.name)
		}
	}
	return names
}

// Trials returns the trials of the sweep section: with pick grid, all
// combinations of the values, or the first sweep.trials, the last key changing
// fastest; with random, sweep.trials different ones of them, which sweep.seed
// decides and a larger number only adds to. The error is an *Error also where
// the config of a trial is refused; it names the trial.
func (r *Resolved) Trials() ([]Trial, error) {
	varied := r.Varied()
	if len(varied) == 0 {
		return nil, &Error{Key: "sweep", Reason: "has no key to vary; give it some, such as sweep: {train.lr: [0.001, 0.002]}"}
	}
	values := make([][]any, len(varied))
	total := 1
	for i, name := range varied {
		values[i] = r.last(sweepPrefix + name).value.([]any)
		total *= len(values[i])
		if total > 1<<40 {
			return nil, &Error{Key: "sweep", Reason: "has more than 2^40 combinations; vary fewer keys"}
		}
	}
	points, err := r.points(total)
	if err != nil {
		return nil, err
	}
	trials := make([]Trial, len(points))
	var refused []string
	var first error
	for n, point := range points {
		t := Trial{Number: n + 1, Set: map[string]any{}}
		above := slices.Clone(r.above)
		for i, name := range slices.Backward(varied) {
			t.Set[name] = values[i][point%len(values[i])]
			point /= len(values[i])
			above = append(above, setting{keyByName[name], t.Set[name], fmt.Sprintf("trial %d of the sweep", t.Number)})
		}
		if t.Resolved, err = resolve(r.files, above); err != nil {
			if refused = append(refused, strconv.Itoa(t.Number)); first == nil {
				first = inTrial(t, err)
			}
		}
		trials[n] = t
	}
	var e *Error
	if errors.As(first, &e) && len(refused) > 1 {
		e.Reason += "; refused are trials " + strings.Join(refused, ", ")
	}
	if first != nil {
		return nil, first
	}
	return trials, nil
}

// inTrial names the trial whose config is refused.
func inTrial(t Trial, err error) error {
	var e *Error
	if !errors.As(err, &e) {
		return err
	}
	e.Source = fmt.Sprintf("trial %d of the sweep (%v)", t.Number, t)
	return e
}

// points chooses from total combinations.
func (r *Resolved) points(total int) ([]int, error) {
	s := r.Config.Sweep
	n := s.Trials
	refuse := func(reason string, args ...any) ([]int, error) {
		return nil, &Error{Key: "sweep.trials", Source: r.last("sweep.trials").source, Reason: fmt.Sprintf(reason, args...)}
	}
	switch {
	case n > total:
		return refuse("is %d, but there are %d combinations", n, total)
	case n == 0 && s.Pick == "random":
		return refuse("is 0, but with sweep.pick random it must say how many, 1 to %d", min(total, maxTrials))
	case n == 0 && total > maxTrials:
		return refuse("is 0, for all of %d combinations; the most is %d", total, maxTrials)
	case n == 0:
		n = total
	}
	points := make([]int, 0, n)
	if s.Pick == "grid" {
		for i := range n {
			points = append(points, i)
		}
		return points, nil
	}
	seen := map[int]bool{}
	for i := uint64(0); len(points) < n; i++ {
		p := int(mix(mix(uint64(s.Seed))+i) % uint64(total))
		if !seen[p] {
			seen[p] = true
			points = append(points, p)
		}
	}
	return points, nil
}

// mix is SplitMix64's step and finaliser: a hash of its argument.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
