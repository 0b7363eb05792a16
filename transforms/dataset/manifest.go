// Package dataset reads sets: directories with the sequences of a corpus,
// shuffled and divided into TFRecord shards.
//
//	manifest.json                      the description below, written last
//	vocab.json                         the characters, see package vocab
//	train-00000-of-00016.tfrecord …    the sequences, each a tf.train.Example
//
// A split of n sequences gives each a rank 0…n-1. Its K shards hold contiguous
// ranges of ranks, in order, whose lengths differ by at most one. All records
// have one size, so the record of a rank is found by arithmetic: a Set reads any
// of them without an index and without the rest.
//
// manifest.json is JSON with its own digest inside, and states size, CRC-32C and
// sha256 of every other file. Every read verifies its bytes: Open the
// manifest, the vocabulary and the sizes of the shards, Read the checksums of
// the record, Verify everything.
//
// A Permutation is the order in which sequences are shuffled and visited.
package dataset

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"unicode/utf8"

	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/transforms/layout"
	"github.com/quire-ml/quire/transforms/tfexample"
	"github.com/quire-ml/quire/transforms/tfrecord"
)

// Names of a set's files, besides the shards'.
const (
	ManifestName = "manifest.json"
	VocabName    = "vocab.json"
)

// Format is the version of sets that this package reads and writes.
const Format = "quire-set/1"

const (
	// MaxManifest is the size of the largest manifest: that of some 18 million documents.
	MaxManifest int64 = 4 << 30
	// maxVocab is the size of the largest vocabulary: the characters and [UNK].
	maxVocab = utf8.MaxRune + 2
)

// A Manifest describes a set.
type Manifest struct {
	Format      string `json:"format"`
	SeqLength   int    `json:"seq_length"`       // L: a sequence has L+1 characters
	Stride      int    `json:"stride,omitempty"` // characters from a sequence's start to the next's; 0 is L+1
	Unit        string `json:"unit"`
	Normalize   string `json:"normalize"`
	InvalidUTF8 string `json:"invalid_utf8"`
	Encoding    string `json:"encoding,omitempty"` // of the documents' files; empty: utf-8
	Newlines    string `json:"newlines,omitempty"` // of the documents; empty: as in the files
	Records     string `json:"records,omitempty"`  // what a record of the sources is; empty: a file
	Pack        string `json:"pack,omitempty"`     // what ends each of the documents that were joined to one; empty: they were not
	MinCount    int64  `json:"min_count"`
	Validation  struct {
		Fraction float64 `json:"fraction"`
		By       string  `json:"by"`
	} `json:"validation"`
	Test  *Test `json:"test,omitempty"` // nil: there is no test split
	Seed  int64 `json:"seed"`           // of the ranks
	Vocab struct {
		Name   string `json:"name"`
		Size   int    `json:"size"`
		SHA256 string `json:"sha256"` // of the file
		Digest string `json:"digest"` // in the file
	} `json:"vocab"`
	Entropy struct {
		UnigramNats float64  `json:"unigram_nats"` // see Entropies
		BigramNats  float64  `json:"bigram_nats"`
		TrigramNats *float64 `json:"trigram_nats,omitempty"` // see TrigramEntropy; nil: not known
	} `json:"entropy"`
	Chars         int64      `json:"chars"`          // of all documents
	DroppedChars  int64      `json:"dropped_chars"`  // of no sequence
	ReplacedChars int64      `json:"replaced_chars"` // invalid bytes that became U+FFFD
	Splits        []Split    `json:"splits"`
	Documents     []Document `json:"documents"` // ordered by name
}

// Test is the fraction of a corpus for the test split. The way of the validation split
// is the way of both.
type Test struct {
	Fraction float64 `json:"fraction"`
}

// A Split is the training, the validation or the test part of a set.
type Split struct {
	Name        string  `json:"name"`
	Sequences   int64   `json:"sequences"`
	RecordBytes int     `json:"record_bytes"` // size of every record
	Shards      []Shard `json:"shards"`
}

// A Shard is one file of records.
type Shard struct {
	Name    string `json:"name"`
	Bytes   int64  `json:"bytes"`
	Records int64  `json:"records"`
	CRC32C  string `json:"crc32c"` // hex
	SHA256  string `json:"sha256"` // hex
}

// A Document is a file that the set was made of.
type Document struct {
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`
	Chars  int64  `json:"chars"`
	SHA256 string `json:"sha256"` // hex

	DroppedChars  int64 `json:"dropped_chars,omitempty"`  // of no sequence
	ReplacedChars int64 `json:"replaced_chars,omitempty"` // invalid bytes that became U+FFFD

	Records int64 `json:"records,omitempty"` // joined in the document; 0: it is as it was found
}

// Encode returns manifest.json. A manifest that contradicts itself is an error, and so
// is one of more than 4 GiB, which ReadManifest would not read.
func (m *Manifest) Encode() ([]byte, error) {
	var b bytes.Buffer
	b.Grow(4096 + 256*len(m.Documents))
	err := m.Write(&b, func(yield func(Document, error) bool) {
		for _, d := range m.Documents {
			if !yield(d, nil) {
				return
			}
		}
	})
	return b.Bytes(), err
}

// ReadManifest reads manifest.json of the set in st, and returns its bytes too. The error
// wraps store.ErrNotExist where there is none. Any flipped, missing or additional byte is
// an error that names the byte, or what was expected and found, and wraps ErrDamaged.
func ReadManifest(ctx context.Context, st *store.Store) (*Manifest, []byte, error) {
	data, _, err := st.ReadUpTo(ctx, ManifestName, MaxManifest)
	if errors.Is(err, store.ErrDamaged) {
		return nil, nil, damaged("%w", err)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("dataset: %w", err)
	}
	m, err := decodeManifest(st.Join(ManifestName), data)
	return m, data, err
}

// decodeManifest returns the manifest whose file at where holds data.
func decodeManifest(where string, data []byte) (*Manifest, error) {
	m := new(Manifest)
	body, err := store.Unseal(where, data)
	if err != nil {
		return nil, damaged("%w", err)
	}
	ok, err := m.readDocuments(body)
	if !ok {
		err = store.UnmarshalSealed(where, data, m)
		if len(m.Documents) == 0 {
			m.Documents = nil
		}
	} else if err != nil {
		err = fmt.Errorf("%s: intact, but not of the expected form: %w", where, err)
	}
	if err != nil {
		return nil, damaged("%w", err)
	}
	if err := m.check(); err != nil {
		return nil, damaged("%s: %w", where, err)
	}
	return m, nil
}

// split returns the split called name, or nil.
func (m *Manifest) split(name string) *Split {
	for i := range m.Splits {
		if m.Splits[i].Name == name {
			return &m.Splits[i]
		}
	}
	return nil
}

// check returns an error where m contradicts itself.
func (m *Manifest) check() error {
	if err := m.checkHead(); err != nil {
		return err
	}
	var sums documentSums
	for _, d := range m.Documents {
		if err := sums.add(d); err != nil {
			return err
		}
	}
	return m.checkSums(sums)
}

// checkHead returns an error where what comes before the splits contradicts itself.
func (m *Manifest) checkHead() error {
	switch {
	case m.Format != Format:
		return fmt.Errorf("format is %q, want %q", m.Format, Format)
	case m.SeqLength < 1 || m.SeqLength >= tfrecord.MaxPayload || m.Stride < 0 || m.Stride > m.SeqLength+1:
		return fmt.Errorf("seq_length is %d and stride %d", m.SeqLength, m.Stride)
	case m.Vocab.Name != VocabName || m.Vocab.Size < 1 || m.Vocab.Size > maxVocab || !isHex(m.Vocab.SHA256, 32) || !isHex(m.Vocab.Digest, 32):
		return fmt.Errorf("vocab is %+v", m.Vocab)
	case len(m.Splits) == 0 || m.Splits[0].Name != "train":
		return fmt.Errorf("the first of %d splits is not train", len(m.Splits))
	}
	if r := m.Rule(); (r.By == layout.ByTail || r.By == layout.ByBlock) && r.Validate() != nil {
		return fmt.Errorf("validation is %+v and test %+v", m.Validation, m.Test)
	}
	return nil
}

// documentSums are the sums of a manifest's documents, which are ordered by name.
type documentSums struct {
	count                    int64
	chars, dropped, replaced int64
	last                     string // name
}

// add adds the next document. It returns an error where that contradicts itself.
func (s *documentSums) add(d Document) error {
	s.chars += d.Chars
	s.dropped += d.DroppedChars
	s.replaced += d.ReplacedChars
	if d.Name == "" || d.Bytes < d.Chars || d.Chars < 0 || d.DroppedChars < 0 || d.ReplacedChars < 0 || s.chars < 0 ||
		!isHex(d.SHA256, 32) || s.count > 0 && s.last >= d.Name {
		return fmt.Errorf("document %d is %+v", s.count, d)
	}
	s.count++
	s.last = d.Name
	return nil
}

// checkSums returns an error where the sums or the splits contradict the rest.
func (m *Manifest) checkSums(s documentSums) error {
	// Sets made before documents stated theirs have 0 there.
	if s.dropped != m.DroppedChars && s.dropped != 0 || s.replaced != m.ReplacedChars && s.replaced != 0 {
		return fmt.Errorf("dropped_chars is %d and replaced_chars %d, but documents have %d and %d",
			m.DroppedChars, m.ReplacedChars, s.dropped, s.replaced)
	}
	used := int64(0)
	for i, split := range m.Splits {
		if m.split(split.Name) != &m.Splits[i] {
			return fmt.Errorf("split %s comes twice", split.Name)
		}
		if err := split.check(m.SeqLength, m.Vocab.Size); err != nil {
			return fmt.Errorf("split %s: %w", split.Name, err)
		}
		used += split.Sequences * int64(m.SeqLength+1)
	}
	overlap := m.Stride != 0 && used+m.DroppedChars > m.Chars
	if s.chars != m.Chars || used+m.DroppedChars != m.Chars && !overlap {
		return fmt.Errorf("chars is %d, but documents have %d, sequences %d and dropped_chars is %d", m.Chars, s.chars, used, m.DroppedChars)
	}
	return nil
}

// check returns an error where s is no split of sequences of l+1 ids below v.
func (s *Split) check(l, v int) error {
	if size := tfexample.Size(l+1, tfexample.Width(v)) + tfrecord.Overhead; s.RecordBytes != size {
		return fmt.Errorf("record_bytes is %d, want %d", s.RecordBytes, size)
	}
	if s.Sequences < 0 || s.Sequences > math.MaxInt64/int64(s.RecordBytes) || len(s.Shards) == 0 {
		return fmt.Errorf("%d sequences in %d shards", s.Sequences, len(s.Shards))
	}
	for k, h := range s.Shards {
		lo, hi := ShardRange(s.Sequences, len(s.Shards), k)
		want := Shard{Name: ShardName(s.Name, k, len(s.Shards)), Bytes: (hi - lo) * int64(s.RecordBytes), Records: hi - lo}
		if h.Name != want.Name || h.Bytes != want.Bytes || h.Records != want.Records {
			return fmt.Errorf("shard %d is %s with %d records in %d bytes, want %s with %d in %d",
				k, h.Name, h.Records, h.Bytes, want.Name, want.Records, want.Bytes)
		}
		if !isHex(h.CRC32C, 4) || !isHex(h.SHA256, 32) {
			return fmt.Errorf("shard %s has crc32c %q and sha256 %q", h.Name, h.CRC32C, h.SHA256)
		}
	}
	return nil
}

// isHex reports whether s is n bytes in hex.
func isHex(s string, n int) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == n
}
