// Package tfexample encodes sequences as TensorFlow examples.
//
// A payload is a protocol buffer tf.train.Example with the one feature "ids", an
// int64_list:
//
//	Example ─1─► Features ─1─► entry ─┬─1─► "ids"
//	                                  └─2─► Feature ─3─► Int64List ─1─► ids
//
// The numbers are those of the fields. The ids are packed varints of a fixed
// width, so that all payloads of a set have one size and a record's place is
// its number times a constant. Where an id needs fewer bytes than the width,
// its varint is padded: 5 in 3 bytes is 85 80 00. The encoding allows that, and
// every decoder accepts it. Up to 128 characters the width is 1, and nothing is
// padded.
package tfexample

import "fmt"

// key is the name of the feature.
const key = "ids"

// tags of the fields: number<<3 | wire type, which is 2 for what has a length
// and 0 for a single varint.
const (
	tagFeatures  = 1<<3 | 2 // of Example
	tagEntry     = 1<<3 | 2 // of Features
	tagKey       = 1<<3 | 2 // of an entry
	tagValue     = 2<<3 | 2 // of an entry
	tagInt64List = 3<<3 | 2 // of Feature
	tagInts      = 1<<3 | 2 // of Int64List, packed
	tagInt       = 1 << 3   // of Int64List, an id that is not packed
)

// Width returns the number of bytes that every id below vocab fits in.
func Width(vocab int) int {
	width := 1
	for vocab > 1<<(7*width) {
		width++
	}
	return width
}

// Size returns the size in bytes of the payload of n ids.
func Size(n, width int) int {
	_, size := sizes(n, width)
	return size
}

// sizes returns the contents' size of Int64List, Feature, entry and Features,
// and the size of the whole.
func sizes(n, width int) (inner [4]int, size int) {
	inner[0] = field(n * width)
	inner[1] = field(inner[0])
	inner[2] = field(len(key)) + field(inner[1])
	inner[3] = field(inner[2])
	return inner, field(inner[3])
}

// field returns the size of a field of n bytes with its tag and length.
func field(n int) int {
	size := 2 + n
	for m := n; m >= 0x80; m >>= 7 {
		size++
	}
	return size
}

// AppendIDs adds the payload of ids, each in width bytes, to dst: Size(len(ids),
// width) bytes. It panics if an id is negative or does not fit.
func AppendIDs(dst []byte, ids []int32, width int) []byte {
	dst = appendHead(dst, len(ids)*width)
	for _, id := range ids {
		dst = AppendID(dst, id, width)
	}
	return dst
}

// AppendPacked adds the payload of ids that AppendID has packed.
func AppendPacked(dst, packed []byte) []byte {
	return append(appendHead(dst, len(packed)), packed...)
}

// AppendID adds an id in width bytes to dst. It panics if id is negative or does
// not fit.
func AppendID(dst []byte, id int32, width int) []byte {
	rest := uint64(uint32(id))
	if id < 0 || rest>>(7*width) != 0 {
		panic(fmt.Sprintf("tfexample: id %d in %d bytes", id, width))
	}
	for range width - 1 {
		dst = append(dst, byte(rest)|0x80)
		rest >>= 7
	}
	return append(dst, byte(rest))
}

// appendHead adds all that comes before n bytes of packed ids.
func appendHead(dst []byte, n int) []byte {
	inner, _ := sizes(n, 1)
	dst = appendLength(dst, tagFeatures, inner[3])
	dst = appendLength(dst, tagEntry, inner[2])
	dst = appendLength(dst, tagKey, len(key))
	dst = append(dst, key...)
	dst = appendLength(dst, tagValue, inner[1])
	dst = appendLength(dst, tagInt64List, inner[0])
	return appendLength(dst, tagInts, n)
}

// appendLength adds the tag and the length of a field of n bytes.
func appendLength(dst []byte, tag byte, n int) []byte {
	dst = append(dst, tag)
	for ; n >= 0x80; n >>= 7 {
		dst = append(dst, byte(n)|0x80)
	}
	return append(dst, byte(n))
}
