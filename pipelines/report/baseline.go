package report

import "fmt"

// A Baseline is a named loss to compare a model with, in nats a character.
type Baseline struct {
	Name string
	Nats float64
}

// Between describes a loss by its neighbours among baselines, which are in
// descending order: "between bigram 2.4526 and trigram 1.9022".
func Between(nats float64, list []Baseline) string {
	n := 0 // baselines above the loss
	for n < len(list) && nats < list[n].Nats {
		n++
	}
	name := func(b Baseline) string { return fmt.Sprintf("%s %.4f", b.Name, b.Nats) }
	switch {
	case len(list) == 0:
		return "with nothing to compare"
	case n == 0:
		return "not below " + name(list[0])
	case n == len(list):
		return "below " + name(list[n-1])
	}
	return "between " + name(list[n-1]) + " and " + name(list[n])
}
