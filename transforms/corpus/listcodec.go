package corpus

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
)

func appendGroup(dst []byte, docs []Document) []byte {
	start := len(dst)
	dst = append(dst, make([]byte, groupHead)...)
	last := Document{}
	for _, d := range docs {
		dst = appendDocument(dst, d, last)
		last = d
	}
	binary.LittleEndian.PutUint32(dst[start:], uint32(len(dst)-start-4))
	binary.LittleEndian.PutUint32(dst[start+4:], crc32.Checksum(dst[start+groupHead:], castagnoli))
	return dst
}

var errGroup = errors.New("the group is cut or malformed")

// decodeGroup decodes the group that data starts with. n is its length.
func decodeGroup(data []byte, digests bool) (docs []Document, n int, err error) {
	if len(data) < groupHead {
		return nil, 0, errGroup
	}
	n = 4 + int(binary.LittleEndian.Uint32(data))
	if n <= groupHead || n > len(data) {
		return nil, 0, errGroup
	}
	want := binary.LittleEndian.Uint32(data[4:])
	if got := crc32.Checksum(data[groupHead:n], castagnoli); got != want {
		return nil, 0, fmt.Errorf("crc is %08x, want %08x", got, want)
	}
	f := listDecoder{data: data[groupHead:n]}
	last := Document{}
	for len(f.data) > 0 {
		last = f.document(last, digests)
		docs = append(docs, last)
	}
	if f.bad {
		return nil, 0, errGroup
	}
	return docs, n, nil
}

// appendDocument appends a document. Its name and path are stated by the bytes that
// differ from those of the last.
func appendDocument(dst []byte, d, last Document) []byte {
	dst = appendRest(dst, d.Name, last.Name)
	dst = appendRest(dst, d.Path, last.Path)
	dst = binary.AppendUvarint(dst, uint64(d.Bytes))
	dst = binary.AppendUvarint(dst, uint64(d.Records))
	sum, err := hex.DecodeString(d.SHA256)
	if err != nil {
		panic(fmt.Sprintf("corpus: document %s has sha256 %q", d.Name, d.SHA256))
	}
	dst = append(dst, byte(len(sum)))
	dst = append(dst, sum...)
	return binary.LittleEndian.AppendUint32(dst, uint32(d.CRC))
}

// appendRest appends the number of first bytes that s shares with last, and the others.
func appendRest(dst []byte, s, last string) []byte {
	n := 0
	for n < len(s) && n < len(last) && s[n] == last[n] {
		n++
	}
	dst = binary.AppendUvarint(dst, uint64(n))
	dst = binary.AppendUvarint(dst, uint64(len(s)-n))
	return append(dst, s[n:]...)
}

// A listDecoder decodes what appendDocument has encoded.
type listDecoder struct {
	data []byte
	bad  bool
}

func (f *listDecoder) document(last Document, digests bool) (d Document) {
	d.Name = f.rest(last.Name)
	d.Path = f.rest(last.Path)
	d.Bytes, d.Records = int64(f.uvarint()), int64(f.uvarint())
	size := f.take(1)
	if f.bad {
		return d
	}
	if sum := f.take(uint64(size[0])); digests {
		d.SHA256 = hex.EncodeToString(sum)
	}
	if crc := f.take(4); !f.bad {
		d.CRC = int64(binary.LittleEndian.Uint32(crc))
	}
	return d
}

func (f *listDecoder) uvarint() uint64 {
	x, n := binary.Uvarint(f.data)
	if n <= 0 {
		f.bad, f.data = true, nil
		return 0
	}
	f.data = f.data[n:]
	return x
}

func (f *listDecoder) take(n uint64) []byte {
	if n > uint64(len(f.data)) {
		f.bad, f.data = true, nil
		return nil
	}
	taken := f.data[:n]
	f.data = f.data[n:]
	return taken
}

func (f *listDecoder) rest(last string) string {
	n := f.uvarint()
	rest := f.take(f.uvarint())
	if n > uint64(len(last)) {
		f.bad, f.data = true, nil
		return ""
	}
	return last[:n] + string(rest)
}
