// Package gate decides whether a model is fit for service.
//
// A candidate must pass all checks. They are made in this order:
//
//	weights     every weight is a finite number
//	set         the candidate was trained on the set that it is measured on
//	vocabulary  its characters are those of the set
//	withdrawn   no person has taken it out of service
//	ancestors   no checkpoint that its training started from was trained on the held-out part
//	loss        its loss on the held-out part is below the unigram entropy
//	gap         it does not know the held-out part much better than the training part
//	promoted    its loss is below the promoted model's by a margin, on the same text
//	utf8        its samples are valid text
//	loop        they repeat themselves hardly more than the held-out part does
//	coverage    they use the characters of the held-out part
//	span        their longest span that is copied is short
//	copied_50   few of their 50-grams are copied
//	copied_20   not too many of their 20-grams are
//	leaked      hardly any of their 20-grams are in the held-out part alone
//
// A candidate that fails one of the first five is not measured: its losses and
// samples would mean nothing. A loss that is not a finite number ends the
// judgement, too.
//
// Samples continue the beginnings of sequences of the training part and of the
// held-out part. An n-gram is copied where the training text has it and it is no
// formula of the text, such as a licence or a heading: the held-out part has it too, or
// the training text has it 8 times or more. What texts of the held-out part have in
// common with the training text, counted alike, is allowed to samples, too.
package gate

import (
	"fmt"
	"math"

	"github.com/quire-ml/quire/transforms/vocab"
)

// Version is raised with every change of the checks that can change a decision. It is
// part of the key of a round's gate, and is kept with each decision: a decision of an
// earlier version stays in its record, and the next round judges the model again.
const Version = 6

// A check makes one finding about a candidate; nil where it does not apply.
type check struct {
	name string
	find func(c *candidate) *Check
}

// The checks, by the evidence that they need.
var (
	originChecks = []check{
		{"weights", (*candidate).weights},
		{"set", (*candidate).sameSet},
		{"vocabulary", (*candidate).vocabulary},
		{"withdrawn", (*candidate).withdrawn},
	}
	ancestryChecks = []check{ // need know
		{"ancestors", (*candidate).ancestors},
	}
	lossChecks = []check{ // need measure
		{"loss", (*candidate).loss},
		{"gap", (*candidate).gap},
		{"promoted", (*candidate).better},
	}
	sampleChecks = []check{ // need sample
		{"utf8", (*candidate).utf8},
		{"loop", (*candidate).loop},
		{"coverage", (*candidate).coverage},
		{"span", (*candidate).span},
		{"copied_50", func(c *candidate) *Check { return c.copied(gram50, c.limits.MaxCopied50) }},
		{"copied_20", func(c *candidate) *Check { return c.copied(gram20, c.limits.MaxCopied20) }},
		{"leaked", (*candidate).leaked},
	}
)

// holds is a finding without a figure.
func holds(ok bool, text string) *Check { return &Check{Passed: ok, Text: text} }

// figure is a finding about a value, which is kept where it is finite.
func figure(ok bool, value, limit float64, text string) *Check {
	return &Check{Passed: ok, Value: Finite(value), Limit: Finite(limit), Text: text}
}

// atMost is the finding that a value is at most a limit; NaN is not.
func atMost(value, limit float64, text string) *Check {
	return figure(value <= limit, value, limit, text)
}

func (c *candidate) weights() *Check {
	bad, all := 0, c.model.Weights.Flat
	for _, w := range all {
		if w-w != 0 { // NaN or infinite
			bad++
		}
	}
	return atMost(float64(bad), 0, fmt.Sprintf("%d of %d weights are not finite numbers", bad, len(all)))
}

func (c *candidate) sameSet() *Check {
	want := c.set.SHA256()
	return holds(c.model.Set == want, fmt.Sprintf("it was trained on the set %.12s, and is measured on %.12s", c.model.Set, want))
}

func (c *candidate) vocabulary() *Check {
	ours, want := c.model.Vocab, c.set.Vocab()
	return holds(ours.Same(want), fmt.Sprintf("it has %d characters of unit %s, the set %d of unit %s",
		ours.Size(), ours.Unit(), want.Size(), want.Unit()))
}

func (c *candidate) withdrawn() *Check {
	if c.o.Withdrawn == "" {
		return nil
	}
	return holds(false, c.o.Withdrawn)
}

func (c *candidate) loss() *Check {
	unigram := c.res.UnigramNats
	return figure(c.judged < unigram && !math.IsInf(c.judged, -1), c.judged, unigram,
		fmt.Sprintf("%s loss %.4f nats a character, it must be below the unigram entropy %.4f", c.judgedOn, c.judged, unigram))
}

func (c *candidate) gap() *Check {
	if c.trained == nil {
		return nil
	}
	limit := c.trained.nats * (1 - c.limits.MaxGap)
	return figure(c.nats >= limit, c.nats, limit,
		fmt.Sprintf("%.4f nats on the held-out part, %.4f on %d characters trained on: below %.4f it would know the held-out part by heart",
			c.nats, c.trained.nats, c.trained.chars, limit))
}

func (c *candidate) better() *Check {
	d := c.duel
	switch {
	case d == nil:
		return nil
	case d.sequences == 0:
		return holds(false, fmt.Sprintf("the promoted model %s knows the characters of none of the %d sequences to compare on;"+
			" promote the new one by hand: promote %s", d.path, d.all, c.model.Path))
	}
	where := ""
	if !d.same {
		where = fmt.Sprintf(" on the %d of %d sequences whose characters it knows too", d.sequences, d.all)
	}
	limit := d.theirs - c.limits.Margin
	return figure(d.ours < limit, d.ours, limit, fmt.Sprintf("%.4f nats, the promoted model %.4f%s: it must be better by more than %g",
		d.ours, d.theirs, where, c.limits.Margin))
}

func (c *candidate) utf8() *Check {
	const less = 0.02
	worst := func(texts [][]int32) float64 {
		valid := 1.0
		for _, ids := range texts {
			valid = min(valid, 1-invalid(bytesOf(c.model.Vocab, ids)))
		}
		return valid
	}
	found, limit := worst(c.written), max(0, worst(c.held)-less)
	return figure(found >= limit, found, limit, fmt.Sprintf("the worst of its samples is %s valid UTF-8; it must be %s", percent(found), percent(limit)))
}

func bytesOf(v *vocab.Vocab, ids []int32) (text []byte) {
	for _, id := range ids {
		text = v.AppendText(text, id)
	}
	return text
}

func (c *candidate) loop() *Check {
	found, natural := meanLooped(c.written), meanLooped(c.held)
	limit := min(1, natural+c.limits.MaxLoop)
	return atMost(found, limit, fmt.Sprintf("%s of its samples is loops (of the held-out part %s); %s is allowed",
		percent(found), percent(natural), percent(limit)))
}

func (c *candidate) coverage() *Check {
	if len(c.held) == 0 {
		return nil
	}
	natural := coverageOfRest(c.held)
	found, limit := coverage(c.written, c.held), c.limits.MinCoverage*natural
	return figure(found >= limit, found, limit,
		fmt.Sprintf("its samples use characters that make up %s of the held-out part (other texts of it, %s); it must be %s",
			percent(found), percent(natural), percent(limit)))
}

func (c *candidate) span() *Check {
	limit := max(c.limits.MaxSpan, c.theirs.longest)
	return atMost(float64(c.ours.longest), float64(limit),
		fmt.Sprintf("the longest copied span of its samples has %d characters (of the held-out part %d); %d are allowed",
			c.ours.longest, c.theirs.longest, limit))
}

// copied is the finding that samples have hardly more copied n-grams than the held-out
// part has; n is grams[k].
func (c *candidate) copied(k int, more float64) *Check {
	ours, theirs := c.ours.copied[k], c.theirs.copied[k]
	limit := min(1, theirs+more)
	found := atMost(ours, limit, fmt.Sprintf("%s of the %d-grams of its samples are copied from the training text (of the held-out part %s),"+
		" and %s are formulas of that text; %s may be copied",
		percent(ours), grams[k], percent(theirs), percent(c.ours.formula[k]), percent(limit)))
	found.Formula = c.ours.formula[k]
	return found
}

func (c *candidate) leaked() *Check {
	found, limit := c.ours.leaked[gram20], c.limits.MaxLeaked
	return atMost(found, limit, fmt.Sprintf("%s of the 20-grams of its samples are in the held-out part"+
		" and not in the training text; %s are allowed", percent(found), percent(limit)))
}

// percent is a share for a person.
func percent(share float64) string { return fmt.Sprintf("%.3g %%", 100*share) }
