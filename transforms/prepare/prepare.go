// Package prepare makes a set out of a corpus, as one Beam pipeline.
//
//	documents ─┬─► Hash ──────────────┐
//	           └─► ranges ─┬─► Count ─┴─► plan ─┬─► targets ─────┐
//	                       └─► cut (plan) ──────┼─► parcels ─► tfrecordio.Write ─► shards
//	                                            └──────► finish (plan) ◄── all together ┘
//
// A range is consecutive bytes of a document. Small documents that follow one another
// go through the pipeline together, as a lot of ranges. The first pass counts the characters
// of every range. The plan, one element, then holds everything that depends on the
// corpus as a whole: the vocabulary, the shards and, in a table, what each range needs: its
// characters and the numbers of its sequences. The second pass cuts the sequences and sends
// them to their shards, by files or through the engine, as package tfrecordio says. The
// manifest is written last. (Where documents are divided by block, see package layout, a
// pass in between counts the sequences of each range by split.)
//
// An engine must not start a step before its side input is whole. Prism compares
// watermarks: where both the step's input and its side input come from behind a
// GroupByKey, both watermarks reach the window's end while work goes on, and a step
// may start with half of its side input, or none. Here no step has two such inputs,
// unless one is grouped from the other.
//
// The files of a set depend on the documents' names and bytes and on the options
// that a manifest states. They do not depend on the engine, the way to the shards,
// the size of ranges and slabs, the division into bundles, or repeated attempts.
// The documents' list and the plan's table are read piece by piece, and are temporary files
// where they are long, so neither the pipeline nor a worker's memory grows with the number of
// documents. Memory is bounded by one lot and one slab a worker thread, 80 bytes a part file,
// and the counts of the corpus' different pairs and triples. Besides, the one worker that
// plans holds 50 bytes a range and 8 a document.
//
// Documents must not change meanwhile. Whenever a range is read, its bytes are
// compared, by CRC-32C, with those that the document's digest covers.
//
// The caller cleans the set's folder before and after the pipeline, Clean, and stores the list
// before it, PutList.
package prepare

import (
	"context"
	"fmt"
	"math"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/dustin/go-humanize"

	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/transforms/corpus"
	"github.com/quire-ml/quire/transforms/dataset"
	"github.com/quire-ml/quire/transforms/layout"
	"github.com/quire-ml/quire/transforms/tfrecordio"
	"github.com/quire-ml/quire/transforms/vocab"
)

// Options describe a set. The fields down to Shards determine its bytes.
type Options struct {
	Dir                string     `json:"dir"` // the set's folder or gs:// URL, as workers open it
	SeqLength          int        `json:"seq_length"`
	Unit               vocab.Unit `json:"unit"`          // empty: rune
	Normalize          string     `json:"normalize"`     // none (also if empty) or nfc
	InvalidUTF8        string     `json:"invalid_utf8"`  // error (also if empty) or replace
	Encoding           string     `json:"encoding"`      // for the manifest: what the documents were decoded from; empty: utf-8
	Newlines           string     `json:"newlines"`      // for the manifest: what their line ends were made; empty: nothing
	MinCount           int64      `json:"min_count"`     // rarer characters become [UNK]; 0 is 1
	Stride             int        `json:"stride"`        // characters from a sequence's start to the next's; 0 is SeqLength+1
	ValidationFraction float64    `json:"fraction"`      // of each document's characters, in [0, 1), for validation
	ValidationBy       string     `json:"validation_by"` // tail (also if empty) or block, see package layout
	TestFraction       float64    `json:"test_fraction"` // of each document's characters, in [0, 1), for test
	Records            string     `json:"records"`       // as the documents were packed, see corpus.Packing
	Pack               string     `json:"pack"`          // likewise
	Seed               int64      `json:"seed"`
	Shards             int        `json:"shards"` // of the train split; 0 = one per 64 MB of corpus

	Batch      int    `json:"batch"`       // sequences that a training will need; only the advice of an error follows it
	RangeBytes int64  `json:"range_bytes"` // of a range; 0 = chosen from the corpus
	SlabBytes  int64  `json:"slab_bytes"`  // bound of a shard's records in memory; 0 = 16 MiB
	Way        string `json:"way"`         // from ranges to shards: files (also if empty) or engine, see package tfrecordio

	// InlineBytes bounds the list of the documents that goes with the pipeline, and the plan of
	// the ranges that goes with its elements; longer ones are temporary files. 0 = 64 KiB.
	InlineBytes int64 `json:"inline_bytes"`
}

const (
	shardBytes   = 64e6 // of corpus a shard, when Shards is 0
	maxShards    = 99999
	maxSequence  = 1 << 20
	minRange     = 256 << 10
	maxRange     = 4 << 20
	rangesWanted = 256
	slab         = 16 << 20
	inline       = 64 << 10
)

// Validate returns an error that names, as the manifest does, the first option with a
// value that is not allowed.
func (o Options) Validate() error {
	switch {
	case o.Dir == "":
		return fmt.Errorf("prepare: no folder for the set")
	case o.SeqLength < 1 || o.SeqLength > maxSequence:
		return fmt.Errorf("prepare: seq_length is %d; it must be 1 to %d", o.SeqLength, maxSequence)
	case o.Unit != "" && o.Unit != vocab.Rune && o.Unit != vocab.Byte:
		return fmt.Errorf("prepare: unit is %q; use rune or byte", o.Unit)
	case o.Normalize != "" && o.Normalize != "none" && o.Normalize != "nfc":
		return fmt.Errorf("prepare: normalize is %q; use none or nfc", o.Normalize)
	case o.Normalize == "nfc" && o.Unit == vocab.Byte:
		return fmt.Errorf("prepare: normalize nfc is for characters, but unit is byte; use none, or unit rune")
	case o.InvalidUTF8 != "" && o.InvalidUTF8 != "error" && o.InvalidUTF8 != "replace":
		return fmt.Errorf("prepare: invalid_utf8 is %q; use error or replace", o.InvalidUTF8)
	case o.MinCount < 0:
		return fmt.Errorf("prepare: min_count is %d; it must be 1 or more", o.MinCount)
	case !(o.ValidationFraction >= 0 && o.ValidationFraction < 1):
		return fmt.Errorf("prepare: validation.fraction is %v; it must be at least 0 and less than 1", o.ValidationFraction)
	case !(o.TestFraction >= 0 && o.TestFraction < 1):
		return fmt.Errorf("prepare: test.fraction is %v; it must be at least 0 and less than 1", o.TestFraction)
	case o.ValidationFraction+o.TestFraction >= 1:
		return fmt.Errorf("prepare: validation.fraction %v and test.fraction %v leave nothing for training", o.ValidationFraction, o.TestFraction)
	case o.ValidationBy != "" && o.ValidationBy != "tail" && o.ValidationBy != "block":
		return fmt.Errorf("prepare: validation.by is %q; use tail or block", o.ValidationBy)
	case o.Stride < 0 || o.Stride > o.SeqLength+1:
		return fmt.Errorf("prepare: stride is %d; it must be 1 to seq_length+1 = %d, or 0 for the latter", o.Stride, o.SeqLength+1)
	case o.Shards < 0 || o.Shards > maxShards:
		return fmt.Errorf("prepare: shards is %d; it must be 0 to %d", o.Shards, maxShards)
	case o.RangeBytes < 0 || o.SlabBytes < 0 || o.InlineBytes < 0:
		return fmt.Errorf("prepare: ranges of %d bytes, slabs of %d bytes and %d inline", o.RangeBytes, o.SlabBytes, o.InlineBytes)
	case o.Way != "" && tfrecordio.Way(o.Way) != tfrecordio.Files && tfrecordio.Way(o.Way) != tfrecordio.Engine:
		return fmt.Errorf("prepare: way %q; use files or engine", o.Way)
	}
	return nil
}

// TrainShards returns the number of shards of the train split of a set of
// corpusBytes bytes of text.
func (o Options) TrainShards(corpusBytes int64) int {
	if o.Shards > 0 {
		return o.Shards
	}
	return int(min(maxShards, max(1, math.Ceil(float64(corpusBytes)/shardBytes))))
}

// complete returns o with a value in every field.
func (o Options) complete(corpusBytes int64) Options {
	if o.Unit == "" {
		o.Unit = vocab.Rune
	}
	if o.Normalize == "" {
		o.Normalize = "none"
	}
	if o.InvalidUTF8 == "" {
		o.InvalidUTF8 = "error"
	}
	if o.Records == "" {
		o.Records = corpus.RecordFile
	}
	if o.Pack == "" {
		o.Pack = corpus.PackNone
	}
	if o.ValidationBy == "" {
		o.ValidationBy = "tail"
	}
	if o.Stride == 0 {
		o.Stride = o.SeqLength + 1
	}
	o.MinCount = max(1, o.MinCount)
	o.Shards = o.TrainShards(corpusBytes)
	if o.RangeBytes == 0 {
		o.RangeBytes = min(maxRange, max(minRange, corpusBytes/rangesWanted))
	}
	if o.SlabBytes == 0 {
		o.SlabBytes = slab
	}
	if o.InlineBytes == 0 {
		o.InlineBytes = inline
	}
	if o.Way == "" {
		o.Way = string(tfrecordio.Files)
	}
	return o
}

// shards returns the options of tfrecordio.
func (o Options) shards() tfrecordio.Options {
	return tfrecordio.Options{Dir: o.Dir, Way: tfrecordio.Way(o.Way), SlabBytes: o.SlabBytes, Temporary: partsPrefix}
}

// form says what a character of the documents is.
func (o Options) form() corpus.Form { return corpus.Form{Unit: o.Unit, NFC: o.Normalize == "nfc"} }

// splits returns the splits of the set. The number of shards for validation and for
// test is their fraction of the train split's, rounded, and at least 1.
func (o Options) splits() []split {
	var all []split
	for kind, fraction := range [layout.Splits]float64{1, o.ValidationFraction, o.TestFraction} {
		if fraction > 0 {
			n := math.Round(float64(o.Shards) * fraction)
			all = append(all, split{Name: layout.Names[kind], Kind: kind, Shards: max(1, int(n))})
		}
	}
	return all
}

// A split is one split of a set, to be made.
type split struct {
	Name   string
	Kind   int // layout.Train, …
	Shards int // their number
}

// rule returns how documents are divided into sequences.
func (o Options) rule() layout.Rule {
	return layout.Rule{SeqLength: int64(o.SeqLength), Stride: int64(o.Stride), By: o.ValidationBy,
		Validation: o.ValidationFraction, Test: o.TestFraction}
}

// list describes docs for workers. o is complete.
func (o Options) list(docs []corpus.Document) *corpus.List {
	return corpus.NewList(docs, corpus.ListOptions{RangeBytes: o.RangeBytes, Inline: o.InlineBytes, Dir: o.Dir, Prefix: partsPrefix + "list-"})
}

// PutList stores, in the set's folder st, the list of documents that workers read. It
// comes before the pipeline of Set, and after Clean. A short list goes with the pipeline,
// and PutList stores nothing. Documents whose manifest could not be read are an error.
func PutList(ctx context.Context, st *store.Store, docs []corpus.Document, o Options) error {
	const each = 200 // bytes of the manifest, about, beside the name
	need := int64(each * len(docs))
	for _, d := range docs {
		need += int64(len(d.Name))
	}
	if need > dataset.MaxManifest {
		return fmt.Errorf("prepare: the manifest of %d documents would have about %s, and at most %s are read; join the documents with pack newline",
			len(docs), humanize.Bytes(uint64(need)), humanize.Bytes(uint64(dataset.MaxManifest)))
	}
	return o.complete(corpus.Bytes(docs)).list(docs).Put(ctx, st)
}

// Set makes the set of docs in o.Dir. docs are ordered by name, as corpus.Resolve
// returns them. The workers need what PutList stores.
//
// The result is a PCollection<string> of one element, the sha256 of manifest.json.
// Set panics where docs are empty or o is invalid.
func Set(s beam.Scope, docs []corpus.Document, o Options) beam.PCollection {
	s = s.Scope("prepare.Set")
	if err := o.Validate(); err != nil {
		panic(err.Error())
	}
	if corpus.Bytes(docs) == 0 {
		panic("prepare: the corpus has 0 bytes")
	}
	o = o.complete(corpus.Bytes(docs))
	list := o.list(docs)
	pages := corpus.Create(s, list)
	lots := corpus.Ranges(s, list, pages)
	statistics := corpus.Count(s, o.form(), lots)
	plan := beam.ParDo(s, &planFn{Options: o, Documents: int64(len(docs))}, statistics, beam.SideInput{Input: corpus.Hash(s, pages)})
	if o.rule().By == layout.ByBlock {
		counts := beam.ParDo(s, &sidesFn{Options: o}, lots, beam.SideInput{Input: plan})
		plan = beam.ParDo(s, &completeFn{Options: o}, plan, beam.SideInput{Input: counts})
	}
	parcels := beam.ParDo(s, &cutFn{Options: o}, lots, beam.SideInput{Input: plan})
	targets := beam.ParDo(s, &targetFn{}, plan)
	shards := tfrecordio.Write(s, o.shards(), targets, parcels)
	all := beam.GroupByKey(s, beam.AddFixedKey(s, shards))
	return beam.ParDo(s, &finishFn{Options: o}, all, beam.SideInput{Input: plan})
}
