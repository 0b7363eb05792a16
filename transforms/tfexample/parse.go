package tfexample

import (
	"errors"
	"fmt"
	"math"
)

// ErrFormat means that a payload is not an Example with the one feature "ids".
var ErrFormat = errors.New("not an example with the one feature ids")

// ParseIDs adds the ids of payload to dst. It accepts every encoding of an
// Example that has the feature "ids", an int64_list of ids, and nothing else:
// ids packed or not, varints of any width, fields in any order, messages in
// pieces. The error wraps ErrFormat and names the byte.
func ParseIDs(dst []int32, payload []byte) ([]int32, error) {
	p := &parser{ids: dst, first: len(dst)}
	if err := p.example(cursor{data: payload, end: len(payload)}); err != nil {
		return dst, err
	}
	if !p.found {
		return dst, failure(0, "there is no feature")
	}
	return p.ids, nil
}

func failure(at int, format string, args ...any) error {
	return fmt.Errorf("tfexample: byte %d: %s: %w", at, fmt.Sprintf(format, args...), ErrFormat)
}

// A parser goes through the levels of an Example.
type parser struct {
	ids   []int32
	first int  // position in ids of the feature's first one
	found bool // the feature was met
}

func (p *parser) example(c cursor) error {
	for c.at < c.end {
		features, err := c.message(tagFeatures, "Example")
		if err != nil {
			return err
		}
		for features.at < features.end {
			entry, err := features.message(tagEntry, "Features")
			if err != nil {
				return err
			}
			if err := p.entry(entry); err != nil {
				return err
			}
		}
	}
	return nil
}

// entry parses one entry of the map of features. As everywhere in protocol
// buffers, a key that comes again replaces what it had.
func (p *parser) entry(c cursor) error {
	start, name, list := c.at, "", false
	p.ids, p.found = p.ids[:p.first], true
	for c.at < c.end {
		tag, err := c.tag("entry", tagKey, tagValue)
		if err != nil {
			return err
		}
		part, err := c.body()
		if err != nil {
			return err
		}
		if tag == tagKey {
			name = string(part.data[part.at:part.end])
			continue
		}
		for part.at < part.end {
			ints, err := part.message(tagInt64List, "Feature")
			if err != nil {
				return err
			}
			list = true
			if err := p.list(ints); err != nil {
				return err
			}
		}
	}
	switch {
	case name != key:
		return failure(start, "feature %q", name)
	case !list:
		return failure(start, "feature %q is no int64_list", name)
	}
	return nil
}

// list parses an Int64List.
func (p *parser) list(c cursor) error {
	for c.at < c.end {
		tag, err := c.tag("Int64List", tagInts, tagInt)
		if err != nil {
			return err
		}
		if tag == tagInt {
			if err := p.append(&c); err != nil {
				return err
			}
			continue
		}
		packed, err := c.body()
		if err != nil {
			return err
		}
		for packed.at < packed.end {
			if err := p.append(&packed); err != nil {
				return err
			}
		}
	}
	return nil
}

// append takes an id from c.
func (p *parser) append(c *cursor) error {
	at := c.at
	if at < c.end && c.data[at] < 0x80 {
		c.at++
		p.ids = append(p.ids, int32(c.data[at]))
		return nil
	}
	id, err := c.varint()
	if err != nil {
		return err
	}
	if id > math.MaxInt32 {
		return failure(at, "id %d", int64(id))
	}
	p.ids = append(p.ids, int32(id))
	return nil
}

// A cursor goes through data[at:end].
type cursor struct {
	data    []byte
	at, end int
}

// message reads a field that must have the given tag, and returns its contents.
func (c *cursor) message(tag uint64, parent string) (cursor, error) {
	if _, err := c.tag(parent, tag, tag); err != nil {
		return cursor{}, err
	}
	return c.body()
}

// tag reads the tag of a field of parent, which must be a or b.
func (c *cursor) tag(parent string, a, b uint64) (uint64, error) {
	start := c.at
	tag, err := c.varint()
	if err == nil && tag != a && tag != b {
		err = failure(start, "%s has field %d of wire type %d", parent, tag>>3, tag&7)
	}
	return tag, err
}

// body reads a length and returns the bytes that it counts.
func (c *cursor) body() (cursor, error) {
	start := c.at
	n, err := c.varint()
	if err != nil {
		return cursor{}, err
	}
	if n > uint64(c.end-c.at) {
		return cursor{}, failure(start, "length %d, but %d bytes are left", n, c.end-c.at)
	}
	inner := cursor{data: c.data, at: c.at, end: c.at + int(n)}
	c.at = inner.end
	return inner, nil
}

// varint reads a number of at most 64 bits.
func (c *cursor) varint() (uint64, error) {
	start, n := c.at, uint64(0)
	for shift := uint(0); c.at < c.end; shift += 7 {
		b := c.data[c.at]
		c.at++
		if shift == 63 && b > 1 {
			return 0, failure(start, "a number of more than 64 bits")
		}
		n |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return n, nil
		}
	}
	return 0, failure(start, "a number without an end")
}
