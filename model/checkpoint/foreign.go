package checkpoint

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"unicode"
	"unicode/utf8"
)

// ErrForeign is wrapped by the error of a file that is known to be something else than a
// checkpoint. Such a file was never one: it is not damaged.
var ErrForeign = errors.New("no checkpoint of quire")

// headBytes is how much of a file's beginning tells what it is.
const headBytes = 512

// A format is another kind of file, by what its files begin with.
type format struct{ magic, name string }

var formats = []format{
	{"\x1f\x8b\x08", "compressed by gzip"},
	{"BZh", "compressed by bzip2"},
	{"\xfd7zXZ\x00", "compressed by xz"},
	{"\x28\xb5\x2f\xfd", "compressed by zstd"},
	{"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.", "an old file of PyTorch"},
	{"\x89HDF\r\n\x1a\n", "an HDF5 file"},
	{"\x93NUMPY", "an array of NumPy"},
	{"GGUF", "a GGUF file"},
	{"PAR1", "a Parquet file"},
}

// checkHead refuses a file that does not begin as a checkpoint does, and names what it is
// where that is sure. head are the first bytes of a file of size bytes, at most headBytes.
func checkHead(head []byte, size int64) error {
	found := head[min(lengthBytes, len(head)):]
	if size == 0 {
		return errors.New("byte 0: the file is empty, want a header")
	}
	if bytes.HasPrefix(found, []byte(digestPrefix)) {
		return nil
	}
	if name := foreign(head, size); name != "" {
		return fmt.Errorf("byte 0: it is %s, %w", name, ErrForeign)
	}
	if n := min(len(found), len(digestPrefix)); string(found[:n]) != digestPrefix[:n] {
		return fmt.Errorf("header at byte %d: found %.60q, want it to start with %q: the file is no checkpoint of quire, or damaged",
			lengthBytes, found, digestPrefix)
	}
	return nil
}

// foreign returns what a file is that is not a checkpoint, or "" where that is not sure.
func foreign(head []byte, size int64) string {
	for _, f := range formats {
		if bytes.HasPrefix(head, []byte(f.magic)) {
			return f.name
		}
	}
	switch {
	case bytes.HasPrefix(head, []byte("PK\x03\x04")) && bytes.Contains(head, []byte("/data.pkl")):
		return "a file of PyTorch"
	case bytes.HasPrefix(head, []byte("PK\x03\x04")):
		return "a zip archive"
	case size > 3 && isText(head, int64(len(head)) < size):
		return "text"
	case size < lengthBytes || binary.LittleEndian.Uint64(head) > uint64(size-lengthBytes):
		return ""
	case bytes.HasPrefix(head[lengthBytes:], []byte(`{"`)) && !bytes.Contains(head, []byte(Format)):
		// The header is whole, and one of quire names its format near its beginning.
		return "a safetensors file of another program"
	}
	return ""
}

// isText reports whether the first bytes of a file, which may cut its last character, are
// UTF-8 without control characters. Those of a checkpoint are not: of its header's length the
// bytes from 3 on are 0.
func isText(head []byte, cut bool) bool {
	for len(head) > 0 {
		c, n := utf8.DecodeRune(head)
		switch {
		case c == utf8.RuneError && n == 1:
			return cut && !utf8.FullRune(head)
		case unicode.IsControl(c) && c != '\t' && c != '\n' && c != '\r' && c != '\f':
			return false
		}
		head = head[n:]
	}
	return true
}
