// Package prepare makes a set out of a corpus, as one Beam pipeline.
//
//	documents ─┬─► Hash ──────────────┐
//	           └─► Blocks ─┬─► Count ─┴─► plan ─┬─► targets ─────┐
//	                       └─► cut (plan) ──────┼─► parcels ─► tfrecordio.Write ─► shards
//	                                            └──────────────► finish ◄────────────┘
//
// The first pass counts characters. The plan, one small element, then holds
// everything that depends on the corpus as a whole: the vocabulary, where each
// block's characters and each document's sequences are, and so every sequence's
// number, rank and shard. The second pass cuts the sequences of each block and
// sends them to their shards, by files or through the engine, as package
// tfrecordio says; and the manifest is written last. (Where validation is chosen by
// block, a pass in between finds how many sequences of each block of bytes are for
// what.)
//
// The files of a set depend on the documents' names and bytes and on the
// options that a manifest states: not on the engine, the way to the shards, the
// size of blocks and windows, the division into bundles, or repeated attempts.
// Memory is bounded by one block and one window a worker thread, besides the plan
// (64 bytes a block, some 200 a document), 80 bytes a part file, and the counts of
// the corpus' different pairs and triples.
//
// Documents must not change meanwhile: every block's bytes are compared, by
// CRC-32C, with those that the document's digest covers, whenever it is read.
//
// The caller cleans the set's folder before and after the pipeline (Clean).
package prepare

import (
	"fmt"
	"math"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"

	"github.com/quire-ml/quire/transforms/corpus"
	"github.com/quire-ml/quire/transforms/layout"
	"github.com/quire-ml/quire/transforms/tfrecordio"
	"github.com/quire-ml/quire/transforms/vocab"
)

// Options say what set to make. The fields down to Shards decide its bytes.
type Options struct {
	Dir                string     `json:"dir"` // the set's folder or gs:// URL, as workers open it
	SeqLength          int        `json:"seq_length"`
	Unit               vocab.Unit `json:"unit"`          // empty: rune
	Normalize          string     `json:"normalize"`     // none (also if empty) or nfc
	InvalidUTF8        string     `json:"invalid_utf8"`  // error (also if empty) or replace
	MinCount           int64      `json:"min_count"`     // rarer characters become [UNK]; 0 is 1
	Stride             int        `json:"stride"`        // from one sequence to the next; 0 is SeqLength+1
	ValidationFraction float64    `json:"fraction"`      // of each document's characters, in [0, 1)
	ValidationBy       string     `json:"validation_by"` // tail (also if empty) or block, see package charseq
	TestFraction       float64    `json:"test_fraction"` // likewise, for the test split
	Seed               int64      `json:"seed"`
	Shards             int        `json:"shards"` // of the train split; 0 = one per 64 MB of corpus

	BlockBytes  int64  `json:"block_bytes"`  // of a block; 0 = chosen from the corpus
	WindowBytes int64  `json:"window_bytes"` // of a shard in memory; 0 = 16 MiB
	Way         string `json:"way"`          // from blocks to shards: files (also if empty) or engine, see package tfrecordio
}

const (
	shardBytes   = 64e6 // of corpus a shard, when Shards is 0
	maxShards    = 99999
	maxSequence  = 1 << 20
	minBlock     = 256 << 10
	maxBlock     = 4 << 20
	blocksWanted = 256
	window       = 16 << 20
)

// Validate returns an error that names the first option without a meaning.
func (o Options) Validate() error {
	switch {
	case o.Dir == "":
		return fmt.Errorf("prepare: no folder for the set")
	case o.SeqLength < 1 || o.SeqLength > maxSequence:
		return fmt.Errorf("prepare: prep.seq_length is %d; it must be 1 to %d", o.SeqLength, maxSequence)
	case o.Unit != "" && o.Unit != vocab.Rune && o.Unit != vocab.Byte:
		return fmt.Errorf("prepare: prep.unit is %q; use rune or byte", o.Unit)
	case o.Normalize != "" && o.Normalize != "none" && o.Normalize != "nfc":
		return fmt.Errorf("prepare: prep.normalize is %q; use none or nfc", o.Normalize)
	case o.Normalize == "nfc" && o.Unit == vocab.Byte:
		return fmt.Errorf("prepare: prep.normalize nfc is for characters, but prep.unit is byte; use none, or the unit rune")
	case o.InvalidUTF8 != "" && o.InvalidUTF8 != "error" && o.InvalidUTF8 != "replace":
		return fmt.Errorf("prepare: prep.invalid_utf8 is %q; use error or replace", o.InvalidUTF8)
	case o.MinCount < 0:
		return fmt.Errorf("prepare: prep.min_count is %d; it must be 1 or more", o.MinCount)
	case !(o.ValidationFraction >= 0 && o.ValidationFraction < 1):
		return fmt.Errorf("prepare: prep.validation.fraction is %v; it must be at least 0 and less than 1", o.ValidationFraction)
	case !(o.TestFraction >= 0 && o.TestFraction < 1):
		return fmt.Errorf("prepare: prep.test.fraction is %v; it must be at least 0 and less than 1", o.TestFraction)
	case o.ValidationFraction+o.TestFraction >= 1:
		return fmt.Errorf("prepare: prep.validation.fraction %v and prep.test.fraction %v leave nothing for training", o.ValidationFraction, o.TestFraction)
	case o.ValidationBy != "" && o.ValidationBy != "tail" && o.ValidationBy != "block":
		return fmt.Errorf("prepare: prep.validation.by is %q; use tail or block", o.ValidationBy)
	case o.Stride < 0 || o.Stride > o.SeqLength+1:
		return fmt.Errorf("prepare: prep.stride is %d; it must be 1 to seq_length+1 = %d, or 0 for the latter", o.Stride, o.SeqLength+1)
	case o.Shards < 0 || o.Shards > maxShards:
		return fmt.Errorf("prepare: prep.shards is %d; it must be 0 to %d", o.Shards, maxShards)
	case o.BlockBytes < 0 || o.WindowBytes < 0:
		return fmt.Errorf("prepare: blocks of %d bytes and windows of %d bytes", o.BlockBytes, o.WindowBytes)
	case o.Way != "" && tfrecordio.Way(o.Way) != tfrecordio.Files && tfrecordio.Way(o.Way) != tfrecordio.Engine:
		return fmt.Errorf("prepare: way %q; use files or engine", o.Way)
	}
	return nil
}

// TrainShards returns how many shards the train split of a set of that many
// bytes of corpus has.
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
	if o.ValidationBy == "" {
		o.ValidationBy = "tail"
	}
	if o.Stride == 0 {
		o.Stride = o.SeqLength + 1
	}
	o.MinCount = max(1, o.MinCount)
	o.Shards = o.TrainShards(corpusBytes)
	if o.BlockBytes == 0 {
		o.BlockBytes = min(maxBlock, max(minBlock, corpusBytes/blocksWanted))
	}
	if o.WindowBytes == 0 {
		o.WindowBytes = window
	}
	if o.Way == "" {
		o.Way = string(tfrecordio.Files)
	}
	return o
}

// shards returns the options of tfrecordio.
func (o Options) shards() tfrecordio.Options {
	return tfrecordio.Options{Dir: o.Dir, Way: tfrecordio.Way(o.Way), WindowBytes: o.WindowBytes, Temporary: partsPrefix}
}

// form returns what the documents' characters are.
func (o Options) form() corpus.Form { return corpus.Form{Unit: o.Unit, NFC: o.Normalize == "nfc"} }

// splits returns the splits of the set. Those for validation and test have as many
// shards as their fraction of the train split's, rounded, and at least 1.
func (o Options) splits() []split {
	all := []split{{Name: "train", Kind: layout.Train, Shards: o.Shards}}
	add := func(name string, kind int, fraction float64) {
		if fraction > 0 {
			n := math.Round(float64(o.Shards) * fraction)
			all = append(all, split{Name: name, Kind: kind, Shards: max(1, int(n))})
		}
	}
	add("validation", layout.Validation, o.ValidationFraction)
	add("test", layout.Test, o.TestFraction)
	return all
}

type split struct {
	Name   string
	Kind   int // layout.Train, …
	Shards int
}

// rule returns how documents are divided into sequences.
func (o Options) rule() layout.Rule {
	return layout.Rule{SeqLength: int64(o.SeqLength), Stride: int64(o.Stride), By: o.ValidationBy, Validation: o.ValidationFraction, Test: o.TestFraction}
}

// Set makes the set of docs, which are ordered by name as corpus.Resolve
// returns them, in o.Dir.
//
// It returns a PCollection<string> whose one element is the sha256 of
// manifest.json. It panics where docs are empty or o is invalid.
func Set(s beam.Scope, docs []corpus.Document, o Options) beam.PCollection {
	s = s.Scope("prepare.Set")
	if err := o.Validate(); err != nil {
		panic(err.Error())
	}
	if corpus.Bytes(docs) == 0 {
		panic("prepare: the corpus has 0 bytes")
	}
	o = o.complete(corpus.Bytes(docs))
	items := corpus.Create(s, docs)
	blocks := corpus.Blocks(s, o.BlockBytes, items)
	statistics := corpus.Count(s, o.form(), blocks)
	plan := beam.ParDo(s, &planFn{Options: o}, statistics, beam.SideInput{Input: corpus.Hash(s, items)})
	if o.rule().By == layout.ByBlock {
		plan = beam.ParDo(s, &completeFn{Options: o}, plan, beam.SideInput{Input: beam.ParDo(s, &splitFn{Options: o}, blocks, beam.SideInput{Input: plan})})
	}
	parcels := beam.ParDo(s, &cutFn{Options: o}, blocks, beam.SideInput{Input: plan})
	targets := beam.ParDo(s, &targetFn{}, plan)
	shards := tfrecordio.Write(s, o.shards(), targets, parcels)
	return beam.ParDo(s, &finishFn{Options: o}, plan, beam.SideInput{Input: shards})
}
