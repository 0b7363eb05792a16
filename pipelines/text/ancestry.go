package text

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/quire-ml/quire/transforms/dataset"
	"github.com/quire-ml/quire/transforms/passage"
	"github.com/quire-ml/quire/transforms/vocab"
)

// An Ancestry is what a checkpoint knows of its ancestors: the checkpoint that its
// training started from, the one that that training started from, and so on.
type Ancestry struct {
	Sets     []string       `json:"sets"`              // digests of the sets that they were trained on, the oldest first, each once
	Unread   []string       `json:"unread,omitempty"`  // of these, the sets that were not found
	Unknown  []string       `json:"unknown,omitempty"` // digests of checkpoints from which an earlier program trained on, noting no more
	Passages passage.Sketch `json:"passages"`          // of the training parts of the other sets
}

// origin is the part of a checkpoint's config that says what it started from.
type origin struct {
	Train struct {
		From string `json:"from"` // digest of a checkpoint
	} `json:"train"`
}

// Ancestry returns what the model knows of its ancestors; nil: it has none. A model of
// an earlier program says only the digest of the checkpoint that it started from.
func (m *Model) Ancestry() (*Ancestry, error) {
	if len(m.Ancestors) > 0 {
		d := json.NewDecoder(bytes.NewReader(m.Ancestors))
		d.DisallowUnknownFields()
		a := new(Ancestry)
		if err := d.Decode(a); err != nil {
			return nil, fmt.Errorf("text: %s: ancestors: %w", m.Path, err)
		}
		return a, nil
	}
	var o origin
	if err := json.Unmarshal(m.Config, &o); err != nil {
		return nil, fmt.Errorf("text: %s: config: %w", m.Path, err)
	}
	if o.Train.From == "" {
		return nil, nil
	}
	return &Ancestry{Unknown: []string{o.Train.From}}, nil
}

// Descend returns the ancestry of a training that starts from m: the ancestors of m,
// and m. find opens the set with a digest. It returns nil where there is none.
func (m *Model) Descend(ctx context.Context, find func(digest string) (*dataset.Set, func(), error)) (*Ancestry, error) {
	a, err := m.Ancestry()
	if err != nil {
		return nil, err
	}
	if a == nil {
		a = new(Ancestry)
	}
	look := a.Unread
	if !slices.Contains(a.Sets, m.Set) {
		a.Sets = append(a.Sets, m.Set)
		look = append(look, m.Set)
	}
	a.Unread = nil
	for _, digest := range look {
		found, err := a.read(ctx, digest, find)
		if err != nil {
			return nil, err
		}
		if !found {
			a.Unread = append(a.Unread, digest)
		}
	}
	return a, nil
}

// read adds the training part of a set to the passages. found is false where there is
// no such set.
func (a *Ancestry) read(ctx context.Context, digest string, find func(digest string) (*dataset.Set, func(), error)) (
	found bool, err error,
) {
	set, done, err := find(digest)
	if err != nil || set == nil {
		return false, err
	}
	defer done()
	s, err := trainSketch(ctx, set)
	a.Passages = passage.Union(a.Passages, s)
	return true, err
}

// passages calls visit with the hash of each passage of a split of a set. Where the
// sequences of the set do not continue one another, these are the passages within
// sequences. With joined, sequences are taken for text that goes on: that finds the
// passages across sequences too, and some across a gap, which no text has.
func passages(ctx context.Context, set *dataset.Set, split string, joined bool, visit func(hash uint64)) error {
	data, err := set.Text(split, 0)
	if err != nil {
		return err
	}
	rule, r, at := set.Manifest().Rule(), passage.NewReader(visit), int64(0)
	ids, text := make([]int32, rule.SeqLength+1), []byte(nil)
	joined = joined && !rule.Continuous()
	use := len(ids)
	if joined {
		use = int(rule.Stride) // the next sequence has the rest
	}
	for _, chars := range data.Stretches() { // each of whole sequences
		if !joined {
			r.Begin()
		}
		for end := at + chars; at < end; at += int64(len(ids)) {
			if err := data.ReadAt(ctx, at, ids); err != nil {
				return err
			}
			text = text[:0]
			for _, id := range ids[:use] {
				text = set.Vocab().AppendText(text, id)
			}
			r.Add(text)
		}
	}
	return nil
}

// trainSketch returns the sketch of the training part of a set.
func trainSketch(ctx context.Context, set *dataset.Set) (passage.Sketch, error) {
	var s passage.Sampler
	err := passages(ctx, set, "train", true, s.Add)
	return s.Sketch(), err
}

// A HeldSketch is the sketch of the held-out text of a set: its validation and its test
// part.
type HeldSketch struct {
	All   passage.Sketch
	Alone []uint64 // of these, the passages that the training part does not have
}

// NewHeldSketch returns the sketch of the held-out text of a set, whose passages are all
// Alone so far. It does not read the training part.
func NewHeldSketch(ctx context.Context, set *dataset.Set) (*HeldSketch, error) {
	var s passage.Sampler
	for _, split := range []string{"validation", "test"} {
		if err := passages(ctx, set, split, false, s.Add); err != nil {
			return nil, err
		}
	}
	all := s.Sketch()
	return &HeldSketch{All: all, Alone: slices.Clone(all)}, nil
}

// Compare reads the training part of the set, and leaves the passages Alone that it does
// not have.
func (h *HeldSketch) Compare(ctx context.Context, set *dataset.Set) error {
	r := h.Repeats()
	if err := passages(ctx, set, "train", true, r.visit); err != nil {
		return err
	}
	r.End()
	return nil
}

// SketchHeld is NewHeldSketch and Compare.
func SketchHeld(ctx context.Context, set *dataset.Set) (*HeldSketch, error) {
	h, err := NewHeldSketch(ctx, set)
	if err == nil {
		err = h.Compare(ctx, set)
	}
	return h, err
}

// Repeats finds the passages of a sketch that the training part of its set has, while
// somebody else reads that: Compare is Add of all of it, and End. For a set whose
// sequences do not continue one another, only Compare finds the same.
type Repeats struct {
	h      *HeldSketch
	reader *passage.Reader
	maybe  []uint64 // a bit for each value of the first bits of a hash: whether a passage has it
	has    []bool   // by passage of h.All
	text   []byte
}

// maybeBits are the first bits of a hash that tell most other passages apart from those of
// a full sketch.
const maybeBits = 20

// Repeats returns a reader of the training part.
func (h *HeldSketch) Repeats() *Repeats {
	r := &Repeats{h: h, maybe: make([]uint64, 1<<maybeBits/64), has: make([]bool, len(h.All))}
	for _, hash := range h.All {
		bit := hash >> (64 - maybeBits)
		r.maybe[bit/64] |= 1 << (bit % 64)
	}
	r.reader = passage.NewReader(r.visit)
	return r
}

func (r *Repeats) visit(hash uint64) {
	bit := hash >> (64 - maybeBits)
	if r.maybe[bit/64]>>(bit%64)&1 == 0 {
		return
	}
	if i, ok := slices.BinarySearch(r.h.All, hash); ok {
		r.has[i] = true
	}
}

// Add appends characters to the training text. continues is false where they do not
// follow those before.
func (r *Repeats) Add(v *vocab.Vocab, continues bool, ids []int32) {
	if !continues {
		r.reader.Begin()
	}
	r.text = r.text[:0]
	for _, id := range ids {
		r.text = v.AppendText(r.text, id)
	}
	r.reader.Add(r.text)
}

// End leaves the passages Alone that the text did not have.
func (r *Repeats) End() {
	r.h.Alone = r.h.Alone[:0]
	for i, hash := range r.h.All {
		if !r.has[i] {
			r.h.Alone = append(r.h.Alone, hash)
		}
	}
}

// Repeated returns the share of the passages that the training part has too.
func (h *HeldSketch) Repeated() float64 {
	if len(h.All) == 0 {
		return 0
	}
	return 1 - float64(len(h.Alone))/float64(len(h.All))
}

// MuchRepeated reports whether a share of the held-out text, which is in the training
// text too, is worth a warning. Books, plays and manuals have less than 1 %, source code and lists
// of changes 2 to 16.
func MuchRepeated(share float64) bool { return share > 0.2 }

// In returns the number of passages that can be looked for in the sketch of another
// text, and of those which that text has and the training part has not.
func (h *HeldSketch) In(other passage.Sketch) (found, of int) {
	limit := min(h.All.Limit(), other.Limit())
	for _, hash := range h.All {
		if hash <= limit {
			of++
		}
	}
	for _, hash := range h.Alone {
		if hash <= limit && other.Has(hash) {
			found++
		}
	}
	return found, of
}
