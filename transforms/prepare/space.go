package prepare

import (
	"context"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/dustin/go-humanize"

	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/transforms/bundle"
	"github.com/quire-ml/quire/transforms/corpus"
	"github.com/quire-ml/quire/transforms/layout"
	"github.com/quire-ml/quire/transforms/tfrecordio"
	"github.com/quire-ml/quire/transforms/vocab"
)

// Progress returns a function that returns the fraction, 0 to 1, of the work of Set
// that this process has done since the call. The total is estimated.
func Progress(ctx context.Context, docs []corpus.Document, o Options) (done func() float64, err error) {
	bytes := corpus.Bytes(docs)
	o = o.complete(bytes)
	_, shards, err := estimate(ctx, docs, o)
	if err != nil {
		return nil, err
	}
	passes := int64(2)
	if o.rule().By == layout.ByBlock {
		passes++
	}
	from, all := bundle.Bytes(), float64(passes*bytes+shards)
	return func() float64 { return min(1, float64(bundle.Bytes()-from)/all) }, nil
}

const (
	sampleBytes = 256 << 10 // of a document
	sampleDocs  = 16
)

// CheckSpace returns an error where a local store st has less free space than a
// set of docs and its part files will take. The need is estimated from a sample of
// the documents.
func CheckSpace(ctx context.Context, st *store.Store, docs []corpus.Document, o Options) error {
	free, ok, err := st.Free()
	if err != nil || !ok {
		return err
	}
	o = o.complete(corpus.Bytes(docs))
	parts, shards, err := estimate(ctx, docs, o)
	if err != nil {
		return err
	}
	if need := parts + shards; need > free {
		return fmt.Errorf("prepare: %s: a set of %s of corpus takes about %s while it is made, and %s are free there; "+
			"make room, or use a folder on another disk",
			st.URL(), humanize.Bytes(uint64(corpus.Bytes(docs))), humanize.Bytes(uint64(need)), humanize.Bytes(uint64(free)))
	}
	return nil
}

// estimate returns the bytes of the temporary files and of the shards of a set, about.
func estimate(ctx context.Context, docs []corpus.Document, o Options) (parts, shards int64, err error) {
	var r corpus.Reader
	defer func() { err = errors.Join(err, r.Close()) }()
	var bytes, chars int64
	seen := map[rune]bool{}
	for i := 0; i < len(docs); i += (len(docs) + sampleDocs - 1) / sampleDocs {
		d := docs[i]
		if d.Bytes == 0 {
			continue
		}
		t, err := r.Text(ctx, corpus.Range{Document: d, Length: min(d.Bytes, sampleBytes)}, corpus.Form{Unit: o.Unit}, 0)
		if err != nil {
			return 0, 0, err
		}
		text := t.Owned()
		bytes += int64(len(text))
		if o.Unit == vocab.Byte {
			chars += int64(len(text))
			for _, b := range text {
				seen[rune(b)] = true
			}
			continue
		}
		chars += int64(utf8.RuneCount(text))
		for _, c := range string(text) {
			seen[c] = true
		}
	}
	sequences := float64(corpus.Bytes(docs)) / float64(max(1, bytes)) * float64(chars) / float64(o.Stride)
	ids, size := o.SeqLength+1, max(1, len(seen))
	of := func(each int64) int64 { return int64(sequences * float64(each)) }
	shards = of(tfrecordio.RecordBytes(ids, size))
	if tfrecordio.Way(o.Way) == tfrecordio.Engine {
		return shards, shards, nil // its files are slabs of whole records
	}
	return of(tfrecordio.EntryBytes(ids, size)), shards, nil
}
