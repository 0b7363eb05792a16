package prepare

import (
	"cmp"
	"context"
	"fmt"
	"iter"

	"github.com/quire-ml/quire/transforms/corpus"
	"github.com/quire-ml/quire/transforms/dataset"
	"github.com/quire-ml/quire/transforms/layout"
	"github.com/quire-ml/quire/transforms/tfrecordio"
	"github.com/quire-ml/quire/transforms/vocab"
)

// manifest returns the manifest, without documents, of the set whose vocab.json has the
// digest vocabSHA256.
func (p *plan) manifest(o Options, v *vocab.Vocab, vocabSHA256 string, shards []dataset.Shard) (*dataset.Manifest, error) {
	m := &dataset.Manifest{
		Format: dataset.Format, SeqLength: o.SeqLength,
		Unit: string(o.Unit), Normalize: o.Normalize, InvalidUTF8: o.InvalidUTF8,
		Encoding: o.Encoding, Newlines: o.Newlines, MinCount: o.MinCount, Seed: o.Seed,
		Chars: p.Chars, DroppedChars: p.Dropped, ReplacedChars: p.Replaced,
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
	record := tfrecordio.Target{IDBytes: p.IDBytes}.RecordBytes()
	for _, s := range o.splits() {
		m.Splits = append(m.Splits, dataset.Split{Name: s.Name, Sequences: p.Totals[s.Kind], RecordBytes: int(record)})
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

// documents returns the documents as a manifest states them. The last pair may be an error.
func (p *plan) documents(ctx context.Context, o Options, s *rowSource) iter.Seq2[dataset.Document, error] {
	return func(yield func(dataset.Document, error) bool) {
		next, stop := iter.Pull2(s.all())
		defer stop()
		v := o.divider()
		r, err, more := next()
		doc := int64(0)
		for d, docErr := range corpus.Documents(ctx, p.Pages) {
			m := dataset.Document{Name: d.Name, Bytes: d.Bytes, SHA256: d.SHA256, Records: d.Records}
			for ; more && err == nil && r.Doc == doc; r, err, more = next() {
				m.Chars += r.Chars
				m.ReplacedChars += r.Invalid
			}
			if docErr != nil || err != nil {
				yield(m, cmp.Or(docErr, err))
				return
			}
			_, m.DroppedChars = v.document(m.Chars, [layout.Splits]int64{})
			if !yield(m, nil) {
				return
			}
			doc++
		}
	}
}
