package prepare

import (
	"context"
	"fmt"
	"slices"

	"github.com/quire-ml/quire/transforms/corpus"
	"github.com/quire-ml/quire/transforms/dataset"
	"github.com/quire-ml/quire/transforms/layout"
	"github.com/quire-ml/quire/transforms/shuffle"
	"github.com/quire-ml/quire/transforms/tfrecordio"
	"github.com/quire-ml/quire/transforms/vocab"
)

// A plan holds everything that the second pass needs of the corpus as a whole. What it
// needs of each range and each document is read from Rows and Pages, piece by piece.
type plan struct {
	Vocab    []byte // JSON
	Rows     rows
	Pages    []corpus.Page // of the documents, with digests, in their order
	Totals   []int64       // (layout.Splits) sequences; none where they are not known yet
	Chars    int64
	Dropped  int64 // characters of no sequence
	Replaced int64 // invalid bytes that became U+FFFD
	Unigram  float64
	Bigram   float64
	Trigrams bool // Trigram is known
	Trigram  float64
	IDBytes  int64       // of the ids of a record
	Shards   []shardPlan // of all splits, in their order
}

// A shardPlan is one shard of a set.
type shardPlan struct {
	Split  int64
	Name   string
	Lo, Hi int64 // ranks in the set
}

// newPlan makes the plan. An error says why the corpus cannot become a set. pages
// are ordered by position, as are the statistics' ranges; the rows go to w.
func newPlan(ctx context.Context, o Options, st corpus.Statistics, pages []corpus.Page, w *rowWriter) (plan, error) {
	p := plan{Pages: pages, Replaced: st.Invalid.Count}
	chars, err := p.addDocuments(ctx, o, st, w)
	if err != nil {
		return plan{}, err
	}
	if p.Rows, err = w.finish(); err != nil {
		return plan{}, err
	}
	counts := make(map[rune]int64, len(st.Chars))
	for _, c := range st.Chars {
		counts[rune(c.Char)] = c.Count
	}
	v, err := vocab.New(o.Unit, counts, o.MinCount)
	if err != nil {
		return plan{}, fmt.Errorf("prepare: %w", err)
	}
	if p.Vocab, err = v.MarshalJSON(); err != nil {
		return plan{}, fmt.Errorf("prepare: %w", err)
	}
	p.entropies(v, st)
	p.IDBytes = tfrecordio.IDBytes(o.SeqLength+1, v.Size())
	if len(p.Totals) == 0 {
		return p, nil // complete divides the sequences
	}
	return p, p.divide(o, chars)
}

// addDocuments adds the rows and the sums of all documents, and returns the numbers of
// their characters.
func (p *plan) addDocuments(ctx context.Context, o Options, st corpus.Statistics, w *rowWriter) (chars []int64, err error) {
	v := o.divider()
	totals := [layout.Splits]int64{}
	ranges := st.Ranges
	for d, err := range corpus.Documents(ctx, p.Pages) {
		if err != nil {
			return nil, fmt.Errorf("prepare: %w", err)
		}
		doc := int64(len(chars))
		if b := st.Invalid; b.Count > 0 && b.Doc == doc && o.InvalidUTF8 == "error" {
			return nil, fmt.Errorf("prepare: %s: byte %d (0x%02x) is not valid UTF-8, the first of %d; "+
				"correct the text, or use invalid_utf8 replace or unit byte", d.Name, b.Offset, b.Byte, b.Count)
		}
		n := 0
		r := row{Doc: doc}
		for n < len(ranges) && ranges[n].Doc == doc {
			r.DocChars += ranges[n].Chars
			n++
		}
		if err := corpus.Same(ranges[:n], d); err != nil {
			return nil, fmt.Errorf("prepare: %w", err)
		}
		stretches, dropped := v.document(r.DocChars, totals)
		if v.byTail() {
			r.Numbers = totals
		}
		for _, c := range ranges[:n] {
			r.Offset, r.Chars, r.CRC, r.Invalid = c.Offset, c.Chars, c.CRC, c.Invalid
			if err := w.add(r); err != nil {
				return nil, err
			}
			r.First += c.Chars
		}
		for split, s := range stretches {
			totals[split] += s.Sequences
		}
		chars, ranges = append(chars, r.DocChars), ranges[n:]
		p.Chars += r.DocChars
		p.Dropped += dropped
	}
	if len(ranges) > 0 {
		return nil, fmt.Errorf("prepare: document %d: range at byte %d comes twice or out of turn", ranges[0].Doc, ranges[0].Offset)
	}
	if v.byTail() {
		p.Totals = totals[:]
	}
	return chars, nil
}

// A divider divides documents, in either way.
type divider struct {
	rule   layout.Rule
	tails  layout.Tails
	blocks layout.Blocks
}

func (o Options) divider() divider {
	v := divider{rule: o.rule()}
	if v.byTail() {
		v.tails = v.rule.Tails()
	} else {
		v.blocks = v.rule.Blocks()
	}
	return v
}

func (v divider) byTail() bool { return v.rule.By == layout.ByTail }

// document returns the stretches of a document by tail, and the number of its characters
// that are in no sequence.
func (v divider) document(chars int64, first [layout.Splits]int64) (stretches [layout.Splits]layout.Stretch, dropped int64) {
	if v.byTail() {
		return v.tails.Stretches(chars, first)
	}
	return stretches, v.blocks.Dropped(chars)
}

// divide divides the sequences among shards. Their totals are known. chars are the
// documents' characters.
func (p *plan) divide(o Options, chars []int64) error {
	if err := p.checkTotals(o, chars); err != nil {
		return err
	}
	order := p.order(o)
	for i, s := range o.splits() {
		for k := range s.Shards {
			lo, hi := order.Shard(s.Kind, s.Shards, k)
			p.Shards = append(p.Shards, shardPlan{Split: int64(i), Name: dataset.ShardName(s.Name, k, s.Shards), Lo: lo, Hi: hi})
		}
	}
	return nil
}

// order returns the order of the set's sequences.
func (p *plan) order(o Options) *shuffle.Order { return shuffle.Seeded(p.Totals, o.Seed) }

// targets returns the shards to be written, ordered by rank.
func (p *plan) targets() []tfrecordio.Target {
	targets := make([]tfrecordio.Target, len(p.Shards))
	for i, s := range p.Shards {
		targets[i] = tfrecordio.Target{Number: int64(i), Name: s.Name, Lo: s.Lo, Hi: s.Hi,
			Ranks: p.Shards[len(p.Shards)-1].Hi, IDBytes: p.IDBytes}
	}
	return targets
}

// complete completes the plan of documents divided by block. before are its rows, counts
// the ranges' numbers of sequences, ordered by position; the completed rows go to w.
func (p *plan) complete(o Options, before *rowSource, counts []sides, w *rowWriter) error {
	totals := [layout.Splits]int64{}
	chars := make([]int64, p.count())
	for r, err := range before.all() {
		if err != nil {
			return fmt.Errorf("prepare: %w", err)
		}
		r.Numbers = totals
		if len(counts) > 0 && counts[0].Doc == r.Doc && counts[0].Offset == r.Offset {
			totals[layout.Train] += counts[0].Train
			totals[layout.Validation] += counts[0].Validation
			totals[layout.Test] += counts[0].Test
			counts = counts[1:]
		}
		chars[r.Doc] = r.DocChars
		if err := w.add(r); err != nil {
			return err
		}
	}
	if len(counts) > 0 {
		return fmt.Errorf("prepare: document %d: the sequences of the range at byte %d come twice", counts[0].Doc, counts[0].Offset)
	}
	var err error
	if p.Rows, err = w.finish(); err != nil {
		return err
	}
	p.Totals = totals[:]
	return p.divide(o, chars)
}

// changed is the error of a document that was read twice, with different bytes from
// an offset on.
func changed(offset int64) error {
	return fmt.Errorf("after byte %d, %w while the set was made; make the set again", offset, corpus.ErrChanged)
}

// unknown, no character, stands for all characters that [UNK] stands for.
const unknown rune = -1

// entropies sets the corpus' n-gram entropies. All characters that [UNK] stands for
// count as one character, as for a model.
func (p *plan) entropies(v *vocab.Vocab, st corpus.Statistics) {
	fold := map[rune]rune{}
	counts, pairs := map[rune]int64{}, map[[2]rune]int64{}
	for _, c := range st.Chars {
		r := rune(c.Char)
		fold[r] = r
		if id, ok := v.ID(r); !ok || v.HasUnknown() && id == 0 {
			fold[r] = unknown
		}
		counts[fold[r]] += c.Count
	}
	for _, p := range st.Pairs {
		pairs[[2]rune{fold[rune(p.First)], fold[rune(p.Second)]}] += p.Count
	}
	p.Unigram, p.Bigram = dataset.Entropies(counts, pairs)
	if p.Trigrams = !st.Many; !p.Trigrams {
		return
	}
	triples := make([]dataset.Triple, len(st.Triples))
	for i, t := range st.Triples {
		triples[i] = dataset.Triple{Chars: [3]rune{fold[rune(t.First)], fold[rune(t.Second)], fold[rune(t.Third)]}, Count: t.Count}
	}
	if v.HasUnknown() {
		triples = joined(triples)
	}
	p.Trigram = dataset.TrigramEntropy(triples)
}

// joined orders triples and adds the counts of equal triples.
func joined(triples []dataset.Triple) []dataset.Triple {
	slices.SortFunc(triples, func(a, b dataset.Triple) int { return slices.Compare(a.Chars[:], b.Chars[:]) })
	n := 0
	for _, t := range triples {
		if n > 0 && triples[n-1].Chars == t.Chars {
			triples[n-1].Count += t.Count
			continue
		}
		triples[n] = t
		n++
	}
	return triples[:n]
}

// count returns the number of documents.
func (p *plan) count() (n int64) {
	for _, page := range p.Pages {
		n += page.Documents
	}
	return n
}
