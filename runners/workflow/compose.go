package workflow

import (
	"fmt"
	"slices"
	"strings"
)

// Compose puts stages of a program's own together with base stages, for New. An
// own stage takes the place of the base stage that makes the same artifact; others
// follow the base, and New moves them before the stages that need their artifacts.
// Base stages that a Without among own names are left out.
func Compose(base []Node, own ...Node) []Node {
	var left without
	rest := slices.DeleteFunc(slices.Clone(own), func(n Node) bool {
		w, ok := n.(without)
		left = append(left, w...)
		return ok
	})
	var all []Node
	for _, n := range base {
		name, artifact := n.names()
		if i := slices.Index(left, name); i >= 0 {
			left = slices.Delete(left, i, i+1)
			continue
		}
		makes := func(mine Node) bool { _, made := mine.names(); return made == artifact }
		if !slices.ContainsFunc(rest, makes) {
			all = append(all, n)
			continue
		}
		for _, mine := range rest {
			if makes(mine) {
				all = append(all, mine)
			}
		}
		rest = slices.DeleteFunc(rest, makes)
	}
	all = append(all, rest...)
	if len(left) > 0 {
		all = append(all, left) // for the error of New
	}
	return all
}

// Without leaves out the base stages with these names. It is for Compose alone.
func Without(names ...string) Node { return without(names) }

type without []string

func (w without) names() (name, artifact string) { return "", "" }

func (w without) node() (*node, error) {
	return nil, fmt.Errorf("unknown stage %s cannot be left out", strings.Join(w, ", "))
}

func (s Stage[C, T]) names() (name, artifact string) { return s.Name, string(s.Artifact) }

// needed leaves out the nodes on demand whose artifact no other node takes.
func needed(nodes []*node) []*node {
	for {
		taken := map[string]bool{}
		for _, n := range nodes {
			for _, in := range n.takes() {
				taken[in] = true
			}
		}
		kept := slices.DeleteFunc(slices.Clone(nodes), func(n *node) bool { return n.onDemand && !taken[n.artifact] })
		if len(kept) == len(nodes) {
			return kept
		}
		nodes = kept
	}
}
