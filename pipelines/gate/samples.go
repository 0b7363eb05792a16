package gate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/quire-ml/quire/model/decode"
	"github.com/quire-ml/quire/model/sample"
	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/transforms/dataset"
	"github.com/quire-ml/quire/transforms/prepare"
)

// sample lets the candidate write samples, takes texts of the held-out part for
// comparison, and finds how much of both is in the corpus. It reads the corpus once; twice
// where the sequences of the set do not continue one another: the training text, which
// comes before the held-out texts, cannot be compared with them before they are known.
// Where the corpus has changed since the set was made, it reads the set's sequences instead.
func (c *candidate) sample(ctx context.Context) error {
	err := c.sampleFrom(ctx)
	if errors.Is(err, prepare.ErrChanged) && !c.fromSet {
		c.o.Console.Line("gate: reads the text from the set: %v", err)
		c.fromSet = true
		err = c.sampleFrom(ctx)
	}
	return err
}

func (c *candidate) sampleFrom(ctx context.Context) error {
	length := c.limits.Length
	if length == 0 {
		length = max(c.set.Manifest().SeqLength, grams[gram50])
	}
	var err error
	if c.held, err = c.heldTexts(ctx, c.limits.Samples, length); err != nil {
		return err
	}
	if c.written == nil {
		begun, err := prompts(ctx, c.set, c.limits.Samples)
		if err != nil {
			return err
		}
		if c.written, err = c.write(ctx, begun, length); err != nil {
			return err
		}
	}
	return c.compareTexts(ctx)
}

// compareTexts finds how much of the samples and of the held-out texts is in the corpus,
// and what of the held-out part is in the training part, where that is not known yet.
func (c *candidate) compareTexts(ctx context.Context) error {
	ours, theirs := newIndex(c.written), newIndex(c.held)
	ours.overlaps = c.fromSet && c.set.Manifest().Stride > 0
	theirs.overlaps = ours.overlaps
	var repeats *text.Repeats
	if c.passages != nil && !c.compared && c.set.Manifest().Rule().Continuous() {
		repeats = c.passages.Repeats()
	}
	if err := c.feed(ctx, repeats, ours, theirs); err != nil {
		return err
	}
	if repeats != nil {
		repeats.End()
		c.partsCompared()
	}
	c.ours, c.theirs = ours.overlap(0), theirs.overlap(1)
	return nil
}

// prompts returns n beginnings of sequences, alternately of the training part and
// of the held-out part, at equal distances. A model that knows a text by heart
// continues it from where its training began: at the start of a sequence, from a
// zero hidden.
func prompts(ctx context.Context, set *dataset.Set, n int) ([][]int32, error) {
	var splits []*dataset.SplitReader
	for _, name := range []string{"train", "validation"} {
		if s := set.Split(name); s != nil {
			splits = append(splits, s)
		}
	}
	L := set.Manifest().SeqLength
	ids, out := make([]int32, L+1), make([][]int32, n)
	for i := range out {
		s := splits[i%len(splits)]
		if err := s.Read(ctx, int64(i)*s.Len()/int64(n), ids); err != nil {
			return nil, err
		}
		out[i] = slices.Clone(ids[:max(1, min(L/5, 16))])
	}
	return out, nil
}

// write continues each prompt by length characters, all at the same time.
func (c *candidate) write(ctx context.Context, prompts [][]int32, length int) ([][]int32, error) {
	if err := c.model.CheckMemory("write samples", decode.Memory(c.model.Weights.Shape, len(prompts))); err != nil {
		return nil, err
	}
	texts, out := make([]*decode.Text, len(prompts)), make([][]int32, len(prompts))
	for i, prompt := range prompts {
		s, err := sample.New(sample.Options{Temperature: c.limits.Temperature, TopP: 1}, 0, uint64(i))
		if err != nil {
			return nil, err
		}
		texts[i] = &decode.Text{Prompt: prompt, Length: length, Sampler: s, Emit: func(c decode.Char) bool {
			out[i] = append(out[i], c.ID)
			return true
		}}
	}
	return out, decode.Write(ctx, decode.New(c.model.Weights, len(prompts)), texts)
}

// read visits the text of the corpus, or of one split where only is not empty.
// continues is false where ids do not follow those of the visit before.
func (c *candidate) read(ctx context.Context, only string, visit func(split string, continues bool, ids []int32)) error {
	if c.fromSet {
		for _, split := range []string{"train", "validation"} {
			if only != "" && only != split {
				continue
			}
			if err := c.readSplit(ctx, split, visit); err != nil {
				return err
			}
		}
		return nil
	}
	var ids []int32
	return prepare.SplitText(ctx, c.o.Corpus.Documents, c.set.Manifest(), func(x prepare.Text) (err error) {
		if only != "" && only != x.Split {
			return nil
		}
		if ids, err = c.set.Vocab().Encode(ids[:0], x.Bytes); err != nil {
			return fmt.Errorf("gate: %w: %w", prepare.ErrChanged, err) // a character that the set does not have
		}
		visit(x.Split, x.Continues, ids)
		return nil
	})
}

// readSplit visits the text of a split of the set. Where the set is not continuous, each
// sequence is a text by itself.
func (c *candidate) readSplit(ctx context.Context, split string, visit func(split string, continues bool, ids []int32)) error {
	d, err := c.set.Text(split, 0)
	if err != nil {
		return err
	}
	buf, at := make([]int32, 1<<16), int64(0)
	for _, chars := range d.Stretches() {
		for end, continues := at+chars, false; at < end; continues = true {
			if err := ctx.Err(); err != nil {
				return err
			}
			ids := buf[:min(int64(len(buf)), end-at)]
			if err := d.ReadAt(ctx, at, ids); err != nil {
				return err
			}
			visit(split, continues, ids)
			at += int64(len(ids))
		}
	}
	return nil
}

// heldTexts returns n texts of the held-out part, or as many as it has, from places
// at equal distances. Each has length characters, or fewer where the held-out part
// does not continue.
func (c *candidate) heldTexts(ctx context.Context, n, length int) ([][]int32, error) {
	split := c.set.Split("validation")
	if split == nil {
		return nil, nil
	}
	chars := split.Len() * c.sequence() // more than there are, where sequences overlap
	most := max(1, min(int64(n), chars/int64(length)))
	if c.set.Manifest().Rule().Continuous() {
		return c.heldFromSet(ctx, most, length)
	}
	return c.heldFromText(ctx, most, length, chars)
}

// heldFromText is heldTexts of at most n texts, from a reading of all of the text, whose
// held-out part has at most chars characters.
func (c *candidate) heldFromText(ctx context.Context, n int64, length int, chars int64) (out [][]int32, err error) {
	at, open := int64(0), false
	err = c.read(ctx, "validation", func(_ string, continues bool, ids []int32) {
		open = open && continues
		for _, id := range ids {
			if k := int64(len(out)); k < n && at >= k*chars/n {
				out, open = append(out, nil), true
			}
			at++
			last := len(out) - 1
			if open = open && len(out[last]) < length; open {
				out[last] = append(out[last], id)
			}
		}
	})
	return out, err
}

// heldFromSet is heldTexts of n texts for a set whose sequences continue one another.
func (c *candidate) heldFromSet(ctx context.Context, n int64, length int) (out [][]int32, err error) {
	d, err := c.set.Text("validation", 0)
	if err != nil {
		return nil, err
	}
	var ends []int64 // of the stretches
	chars := int64(0)
	for _, s := range d.Stretches() {
		chars += s
		ends = append(ends, chars)
	}
	for k := int64(0); k < n && chars > 0; k++ {
		at := k * chars / n
		i, _ := slices.BinarySearch(ends, at+1)
		ids := make([]int32, min(int64(length), ends[i]-at))
		if err := d.ReadAt(ctx, at, ids); err != nil {
			return nil, err
		}
		out = append(out, ids)
	}
	return out, nil
}

// feed reads the corpus into indices, its training text and its held-out part, and the
// training text into repeats, which may be nil. Each of them has a goroutine.
func (c *candidate) feed(ctx context.Context, repeats *text.Repeats, indices ...*index) error {
	cursors := map[string][]*cursor{}
	for _, x := range indices {
		cursors["train"] = append(cursors["train"], &cursor{x: x, stream: trainStream})
		cursors["validation"] = append(cursors["validation"], &cursor{x: x, stream: heldStream})
	}
	return c.read(ctx, "", func(split string, continues bool, ids []int32) {
		var done sync.WaitGroup
		for _, u := range cursors[split] {
			done.Go(func() { u.add(continues, ids) })
		}
		if repeats != nil && split == "train" {
			repeats.Add(c.set.Vocab(), continues, ids)
		}
		done.Wait()
	})
}
