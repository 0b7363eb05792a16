package prepare

import (
	"fmt"
	"slices"

	"github.com/quire-ml/quire/transforms/charseq"
	"github.com/quire-ml/quire/transforms/corpus"
	"github.com/quire-ml/quire/transforms/dataset"
	"github.com/quire-ml/quire/transforms/tfrecordio"
	"github.com/quire-ml/quire/transforms/vocab"
)

// A plan is what the second pass knows of the corpus as a whole.
type plan struct {
	Vocab       []byte // JSON
	Blocks      []blockPlan
	Documents   []dataset.Document
	Layout      charseq.Layout
	Chars       int64
	Replaced    int64 // invalid bytes that became U+FFFD
	Unigram     float64
	Bigram      float64
	RecordBytes int64
	Shards      []shardPlan // of all splits, in their order
}

// A blockPlan says which characters of its document a block owns, and the
// CRC-32C of its byte range.
type blockPlan struct{ Doc, Offset, First, Chars, CRC int64 }

// A shardPlan is one shard of a set.
type shardPlan struct {
	Split  int64
	Name   string
	Lo, Hi int64 // ranks
}

// newPlan makes the plan, or says why the corpus cannot become a set. digests
// are ordered by document, the statistics' blocks by position.
func newPlan(o Options, st corpus.Statistics, digests []corpus.Digest) (plan, error) {
	if st.Invalid.Count > 0 && o.InvalidUTF8 == "error" {
		return plan{}, fmt.Errorf("prepare: %s: byte %d (0x%02x) is not valid UTF-8, the first of %d; correct the text, or set prep.invalid_utf8 to replace, or prep.unit to byte",
			digests[st.Invalid.Doc].Name, st.Invalid.Offset, st.Invalid.Byte, st.Invalid.Count)
	}
	p := plan{Replaced: st.Invalid.Count}
	chars := make([]int64, len(digests))
	for _, b := range st.Blocks {
		d := digests[b.Doc]
		if i := b.Offset / o.BlockBytes; i >= int64(len(d.Blocks)) || d.Blocks[i] != b.CRC {
			return plan{}, fmt.Errorf("prepare: %s: %w", d.Name, changed(b.Offset))
		}
		p.Blocks = append(p.Blocks, blockPlan{Doc: b.Doc, Offset: b.Offset, First: chars[b.Doc], Chars: b.Chars, CRC: b.CRC})
		chars[b.Doc] += b.Chars
		p.Chars += b.Chars
	}
	for i, d := range digests {
		p.Documents = append(p.Documents, dataset.Document{Name: d.Name, Bytes: d.Bytes, Chars: chars[i], SHA256: d.SHA256})
	}
	p.Layout = charseq.Tail(int64(o.SeqLength), o.ValidationFraction, chars)
	if err := checkTotals(o, p.Layout, p.Chars, chars); err != nil {
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
	p.Unigram, p.Bigram = entropies(v, st)
	p.RecordBytes = tfrecordio.RecordBytes(o.SeqLength+1, v.Size())
	for i, s := range o.splits() {
		for k := range s.Shards {
			lo, hi := dataset.ShardRange(p.Layout.Totals[i], s.Shards, k)
			p.Shards = append(p.Shards, shardPlan{Split: int64(i), Name: dataset.ShardName(s.Name, k, s.Shards), Lo: lo, Hi: hi})
		}
	}
	return p, nil
}

// changed is the error of a document whose block at an offset was read twice, with
// different bytes.
func changed(offset int64) error {
	return fmt.Errorf("the text after byte %d changed while prep read it; run it again", offset)
}

// checkTotals refuses a corpus that leaves a split without sequences.
func checkTotals(o Options, y charseq.Layout, total int64, chars []int64) error {
	need := o.SeqLength + 1
	longest := slices.Max(chars)
	switch {
	case y.Totals[charseq.Train] == 0 && longest < int64(need) && len(chars) == 1:
		return fmt.Errorf("prepare: the corpus has %d characters, less than one sequence of seq_length+1 = %d; use more text or a smaller prep.seq_length", total, need)
	case y.Totals[charseq.Train] == 0 && longest < int64(need):
		return fmt.Errorf("prepare: the longest of %d documents has %d characters, less than one sequence of seq_length+1 = %d (a sequence never crosses documents); use longer documents or a smaller prep.seq_length", len(chars), longest, need)
	case y.Totals[charseq.Train] == 0:
		return fmt.Errorf("prepare: with prep.validation.fraction %v no document has a sequence of seq_length+1 = %d characters left for training (the longest has %d in all); use more text, a smaller fraction or a smaller prep.seq_length", o.ValidationFraction, need, longest)
	case y.Splits > charseq.Validation && y.Totals[charseq.Validation] == 0:
		return fmt.Errorf("prepare: with prep.validation.fraction %v no document has a sequence of seq_length+1 = %d characters left for validation (the longest has %d in all); use more text, a larger fraction, a smaller prep.seq_length, or fraction 0 for no validation", o.ValidationFraction, need, longest)
	}
	return nil
}

// unknown stands for all characters that [UNK] stands for; it is no character.
const unknown rune = -1

// entropies returns the corpus' n-gram entropies as a model sees it: characters
// that [UNK] stands for are one.
func entropies(v *vocab.Vocab, st corpus.Statistics) (unigram, bigram float64) {
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
	return dataset.Entropies(counts, pairs)
}

// block returns what the plan says of the block at an offset of a document.
func (p *plan) block(doc, offset int64) (blockPlan, bool) {
	i, ok := slices.BinarySearchFunc(p.Blocks, blockPlan{Doc: doc, Offset: offset}, func(a, b blockPlan) int {
		if a.Doc != b.Doc {
			return int(a.Doc - b.Doc)
		}
		return int(a.Offset - b.Offset)
	})
	if !ok {
		return blockPlan{}, false
	}
	return p.Blocks[i], true
}

// manifest returns the manifest of the set whose vocab.json is vocabFile.
func (p *plan) manifest(o Options, v *vocab.Vocab, vocabSHA256 string, shards []dataset.Shard) (*dataset.Manifest, error) {
	m := &dataset.Manifest{
		Format: "quire-set/1", SeqLength: o.SeqLength,
		Unit: string(o.Unit), Normalize: o.Normalize, InvalidUTF8: o.InvalidUTF8,
		MinCount: o.MinCount, Seed: o.Seed,
		Chars: p.Chars, DroppedChars: p.Layout.Dropped, ReplacedChars: p.Replaced,
		Documents: p.Documents,
	}
	m.Validation.Fraction, m.Validation.By = o.ValidationFraction, o.ValidationBy
	m.Vocab.Name, m.Vocab.Size = dataset.VocabName, v.Size()
	m.Vocab.SHA256, m.Vocab.Digest = vocabSHA256, v.Digest()
	m.Entropy.UnigramNats, m.Entropy.BigramNats = p.Unigram, p.Bigram
	for i, s := range o.splits() {
		m.Splits = append(m.Splits, dataset.Split{Name: s.Name, Sequences: p.Layout.Totals[i], RecordBytes: int(p.RecordBytes)})
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
