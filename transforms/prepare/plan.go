package prepare

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/quire-ml/quire/transforms/corpus"
	"github.com/quire-ml/quire/transforms/dataset"
	"github.com/quire-ml/quire/transforms/layout"
	"github.com/quire-ml/quire/transforms/shuffle"
	"github.com/quire-ml/quire/transforms/tfrecordio"
	"github.com/quire-ml/quire/transforms/vocab"
)

// A plan holds everything that the second pass needs of the corpus as a whole.
type plan struct {
	Vocab       []byte // JSON
	Ranges      []rangePlan
	Documents   []dataset.Document
	Layout      layout.Layout
	Chars       int64
	Dropped     int64 // characters of no sequence
	Replaced    int64 // invalid bytes that became U+FFFD
	Unigram     float64
	Bigram      float64
	Trigrams    bool // Trigram is known
	Trigram     float64
	RecordBytes int64
	Shards      []shardPlan // of all splits, in their order
}

// A rangePlan says which characters of its document a range owns, and the CRC-32C
// of its bytes. Where documents are divided by block, Train, Validation and Test
// are the numbers, in their splits, of the first sequences that start in the range.
type rangePlan struct {
	Doc, Offset, First, Chars, CRC int64
	Train, Validation, Test        int64
}

// span returns the characters, of its document, that the range owns.
func (r rangePlan) span() layout.Span { return layout.Span{From: r.First, To: r.First + r.Chars} }

// A shardPlan is one shard of a set.
type shardPlan struct {
	Split  int64
	Name   string
	Lo, Hi int64 // ranks in the set
}

// newPlan makes the plan. An error says why the corpus cannot become a set. digests
// are ordered by document, the statistics' ranges by position.
func newPlan(o Options, st corpus.Statistics, digests []corpus.Digest) (plan, error) {
	if st.Invalid.Count > 0 && o.InvalidUTF8 == "error" {
		return plan{}, fmt.Errorf("prepare: %s: byte %d (0x%02x) is not valid UTF-8, the first of %d; "+
			"correct the text, or use invalid_utf8 replace or unit byte",
			digests[st.Invalid.Doc].Name, st.Invalid.Offset, st.Invalid.Byte, st.Invalid.Count)
	}
	p := plan{Replaced: st.Invalid.Count}
	if err := corpus.Same(st.Ranges, digests); err != nil {
		return plan{}, fmt.Errorf("prepare: %w", err)
	}
	chars := make([]int64, len(digests))
	for _, r := range st.Ranges {
		p.Ranges = append(p.Ranges, rangePlan{Doc: r.Doc, Offset: r.Offset, First: chars[r.Doc], Chars: r.Chars, CRC: r.CRC})
		chars[r.Doc] += r.Chars
		p.Chars += r.Chars
	}
	for i, d := range digests {
		p.Documents = append(p.Documents, dataset.Document{Name: d.Name, Bytes: d.Bytes, Chars: chars[i], SHA256: d.SHA256, Records: d.Records})
	}
	for _, r := range st.Ranges {
		p.Documents[r.Doc].ReplacedChars += r.Invalid
	}
	if r := o.rule(); r.By == layout.ByTail {
		p.Layout = layout.Tail(r, chars)
	} else {
		for _, c := range chars {
			p.Layout.Dropped = append(p.Layout.Dropped, r.Blocks().Dropped(c))
		}
	}
	for i, n := range p.Layout.Dropped {
		p.Documents[i].DroppedChars = n
		p.Dropped += n
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
	p.RecordBytes = tfrecordio.RecordBytes(o.SeqLength+1, v.Size())
	if len(p.Layout.Totals) == 0 {
		return p, nil // complete divides the sequences
	}
	return p, p.divide(o)
}

// divide divides the sequences among shards. Their totals are known.
func (p *plan) divide(o Options) error {
	if err := p.checkTotals(o); err != nil {
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
func (p *plan) order(o Options) *shuffle.Order { return shuffle.Seeded(p.Layout.Totals, o.Seed) }

// targets returns the shards to be written, ordered by rank.
func (p *plan) targets() []tfrecordio.Target {
	targets := make([]tfrecordio.Target, len(p.Shards))
	for i, s := range p.Shards {
		targets[i] = tfrecordio.Target{Number: int64(i), Name: s.Name, Lo: s.Lo, Hi: s.Hi,
			Ranks: p.Shards[len(p.Shards)-1].Hi, RecordBytes: p.RecordBytes}
	}
	return targets
}

// complete completes the plan of documents divided by block. counts are the ranges'
// numbers of sequences, ordered by position; ranges without sequences may be
// missing.
func (p *plan) complete(o Options, counts []sides) error {
	totals := make([]int64, layout.Splits)
	for i := range p.Ranges {
		r := &p.Ranges[i]
		r.Train, r.Validation, r.Test = totals[layout.Train], totals[layout.Validation], totals[layout.Test]
		if len(counts) > 0 && counts[0].Doc == r.Doc && counts[0].Offset == r.Offset {
			totals[layout.Train] += counts[0].Train
			totals[layout.Validation] += counts[0].Validation
			totals[layout.Test] += counts[0].Test
			counts = counts[1:]
		}
	}
	if len(counts) > 0 {
		return fmt.Errorf("prepare: document %d: the sequences of the range at byte %d come twice", counts[0].Doc, counts[0].Offset)
	}
	p.Layout.Totals = totals
	return p.divide(o)
}

// changed is the error of a document that was read twice, with different bytes from
// an offset on.
func changed(offset int64) error {
	return fmt.Errorf("after byte %d, %w while the set was made; make the set again", offset, corpus.ErrChanged)
}

// checkTotals refuses a corpus that leaves a split without sequences.
func (p *plan) checkTotals(o Options) error {
	need, totals := o.SeqLength+1, p.Layout.Totals
	chars := make([]int64, len(p.Documents))
	for i, d := range p.Documents {
		chars[i] = d.Chars
	}
	longest, join := slices.Max(chars), ""
	if len(chars) > 1 && p.Chars >= int64(need) {
		join = "join the documents with pack newline, or "
	}
	if totals[layout.Train] == 0 && longest < int64(need) {
		if len(chars) == 1 {
			return fmt.Errorf("prepare: a sequence takes seq_length+1 = %d characters, and the corpus has %d; use %s",
				need, p.Chars, either("more text", o.shorter(chars)))
		}
		return fmt.Errorf("prepare: a sequence takes seq_length+1 = %d characters of one document, and the longest of %d has %d; %suse %s",
			need, len(chars), longest, join, either("longer ones", o.shorter(chars)))
	}
	for _, s := range o.splits() {
		fraction, change, without := o.ValidationFraction, "a larger fraction", "fraction 0 for no "+s.Name
		switch {
		case totals[s.Kind] > 0:
			continue
		case s.Kind == layout.Train:
			return fmt.Errorf("prepare: with validation.fraction %v no document has a sequence of seq_length+1 = %d characters left for training "+
				"(the longest has %d in all); use %s",
				fraction+o.TestFraction, need, longest, either("more text", "a smaller fraction", o.shorter(chars)))
		case s.Kind == layout.Test:
			fraction = o.TestFraction
		}
		return fmt.Errorf("prepare: with %s.fraction %v no document has a sequence of seq_length+1 = %d characters left for %s "+
			"(the longest has %d in all); %suse %s",
			s.Name, fraction, need, s.Name, longest, join, either("more text", change, o.shorter(chars), without))
	}
	return nil
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

// at returns the plan of a range.
func (p *plan) at(rng corpus.Range) (rangePlan, error) {
	i, ok := slices.BinarySearchFunc(p.Ranges, rangePlan{Doc: rng.Doc, Offset: rng.Offset}, func(a, b rangePlan) int {
		return cmp.Or(cmp.Compare(a.Doc, b.Doc), cmp.Compare(a.Offset, b.Offset))
	})
	if !ok {
		return rangePlan{}, fmt.Errorf("prepare: %s: byte %d: the range is not in the plan", rng.Document.Name, rng.Offset)
	}
	return p.Ranges[i], nil
}

// manifest returns the manifest of the set whose vocab.json is vocabFile.
func (p *plan) manifest(o Options, v *vocab.Vocab, vocabSHA256 string, shards []dataset.Shard) (*dataset.Manifest, error) {
	m := &dataset.Manifest{
		Format: dataset.Format, SeqLength: o.SeqLength,
		Unit: string(o.Unit), Normalize: o.Normalize, InvalidUTF8: o.InvalidUTF8,
		Encoding: o.Encoding, Newlines: o.Newlines, MinCount: o.MinCount, Seed: o.Seed,
		Chars: p.Chars, DroppedChars: p.Dropped, ReplacedChars: p.Replaced,
		Documents: p.Documents,
	}
	m.Validation.Fraction, m.Validation.By = o.ValidationFraction, o.ValidationBy
	m.Vocab.Name, m.Vocab.Size = dataset.VocabName, v.Size()
	m.Vocab.SHA256, m.Vocab.Digest = vocabSHA256, v.Digest()
	m.Entropy.UnigramNats, m.Entropy.BigramNats = p.Unigram, p.Bigram
	if p.Trigrams {
		m.Entropy.TrigramNats = &p.Trigram
	}
	if o.Records != corpus.RecordFile {
		m.Records = o.Records
	}
	if o.Pack != corpus.PackNone {
		m.Pack = o.Pack
	}
	if o.Stride != o.SeqLength+1 {
		m.Stride = o.Stride
	}
	if o.TestFraction > 0 {
		m.Test = &dataset.Test{Fraction: o.TestFraction}
	}
	for _, s := range o.splits() {
		m.Splits = append(m.Splits, dataset.Split{Name: s.Name, Sequences: p.Layout.Totals[s.Kind], RecordBytes: int(p.RecordBytes)})
	}
	written := make(map[string]dataset.Shard, len(shards))
	for _, s := range shards {
		written[s.Name] = s
	}
	for _, want := range p.Shards {
		s, ok := written[want.Name]
		if !ok || s.Records != want.Hi-want.Lo {
			return nil, fmt.Errorf("prepare: shard %s was not written, or has %d records instead of %d", want.Name, s.Records, want.Hi-want.Lo)
		}
		m.Splits[want.Split].Shards = append(m.Splits[want.Split].Shards, s)
	}
	return m, nil
}
