package workflow

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// A Pipeline is stages in order: each comes after the makers of its inputs. It is
// immutable and safe for concurrent use.
type Pipeline struct {
	nodes []*node
}

// New builds a pipeline. Stages run in the order given, except that each waits for
// the makers of its inputs. The error has a line for every stage without a name,
// version, artifact or function, for every name and every artifact that occurs twice,
// for every input that no stage makes, and for stages that wait for each other.
func New(stages ...Node) (*Pipeline, error) {
	var nodes []*node
	var errs []error
	for _, s := range stages {
		n, err := s.node()
		if err != nil {
			errs = append(errs, fmt.Errorf("workflow: %w", err))
			continue
		}
		nodes = append(nodes, n)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	nodes = needed(nodes)
	if len(nodes) == 0 {
		return nil, errors.New("workflow: a pipeline has at least one stage")
	}
	maker := map[string]*node{}
	names := map[string]bool{}
	for _, n := range nodes {
		if names[n.name] {
			errs = append(errs, fmt.Errorf("workflow: two stages are called %s", n.name))
		}
		names[n.name] = true
		if other := maker[n.artifact]; other != nil {
			errs = append(errs, fmt.Errorf("workflow: stages %s and %s both make %s", other.name, n.name, n.artifact))
		}
		maker[n.artifact] = n
	}
	for _, n := range nodes {
		takes := n.takes()
		for i, in := range takes {
			switch {
			case maker[in] == nil:
				errs = append(errs, fmt.Errorf("workflow: stage %s needs %s, which no stage makes", n.name, in))
			case slices.Contains(takes[:i], in):
				errs = append(errs, fmt.Errorf("workflow: stage %s has the input %s twice", n.name, in))
			}
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	ordered, err := order(nodes, maker)
	if err != nil {
		return nil, err
	}
	return &Pipeline{nodes: ordered}, nil
}

// order puts each node after the makers of its inputs, and keeps the given order
// otherwise.
func order(nodes []*node, maker map[string]*node) ([]*node, error) {
	var ordered []*node
	const open, done = 1, 2
	state := map[*node]int{}
	var path []string
	var visit func(n *node) error
	visit = func(n *node) error {
		path = append(path, n.name)
		defer func() { path = path[:len(path)-1] }()
		switch state[n] {
		case done:
			return nil
		case open:
			from := slices.Index(path, n.name)
			return fmt.Errorf("workflow: stages wait for each other: %s", strings.Join(path[from:], " waits for "))
		}
		state[n] = open
		for _, in := range n.takes() {
			if err := visit(maker[in]); err != nil {
				return err
			}
		}
		state[n] = done
		ordered = append(ordered, n)
		return nil
	}
	for _, n := range nodes {
		if err := visit(n); err != nil {
			return nil, err
		}
	}
	return ordered, nil
}

// Stages returns the names of the stages that are not live, in running order.
func (p *Pipeline) Stages() []string {
	var names []string
	for _, n := range p.nodes {
		if !n.live {
			names = append(names, n.name)
		}
	}
	return names
}
