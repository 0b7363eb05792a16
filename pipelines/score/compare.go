package score

import (
	"slices"
)

// A Passage is a part of a text that two models predict differently.
type Passage struct {
	File  string     `json:"file,omitempty"`
	At    int64      `json:"at"` // characters of its text before it
	Text  string     `json:"text"`
	Bits  [2]float64 `json:"bits_per_char"` // of the models
	gap   float64    // in nats, of all its characters
	chars int
}

const (
	passageChars = 48
	mostPassages = 5
)

// Passages finds the passages on which two models differ most, among those that begin at
// multiples of 48 characters. The zero value is ready to use.
type Passages struct {
	file string
	at   int64
	open Passage
	nats [2]float64
	best []Passage // the widest gap first
}

// Begin begins another text.
func (p *Passages) Begin(file string) {
	p.End()
	p.file, p.at = file, 0
}

// Add takes a character that two models have read.
func (p *Passages) Add(c Char) {
	if p.open.Text == "" {
		p.open.File, p.open.At = p.file, p.at
	}
	p.at++
	p.open.Text += string(c.Text)
	if c.Nats != nil {
		p.open.chars++
		p.nats[0], p.nats[1] = p.nats[0]+c.Nats[0], p.nats[1]+c.Nats[1]
	}
	if p.at%passageChars == 0 {
		p.End()
	}
}

// End ends the passage.
func (p *Passages) End() {
	if n := p.open.chars; n > 0 {
		nats, bits := p.nats, &p.open.Bits
		for i := range nats {
			_, b := Sum{nats[i], int64(n)}.Mean()
			bits[i] = *b
		}
		p.open.gap = max(nats[0]-nats[1], nats[1]-nats[0])
		at, _ := slices.BinarySearchFunc(p.best, p.open, func(a, b Passage) int {
			if a.gap >= b.gap {
				return -1
			}
			return 1
		})
		p.best = slices.Insert(p.best, at, p.open)
		p.best = p.best[:min(len(p.best), mostPassages)]
	}
	p.open, p.nats = Passage{}, [2]float64{}
}

// Most returns the passages on which the models differ most, the widest gap first.
func (p *Passages) Most() []Passage {
	p.End()
	return p.best
}
