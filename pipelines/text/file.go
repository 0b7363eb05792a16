package text

import (
	"fmt"
	"io"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/transforms/charset"
)

// readBytes is the size of the longest text that Read returns. (Tests lower it.)
var readBytes int64 = 256 << 20

// Read reads a text for a model as the documents of a corpus are read: decoded, without
// a byte order mark, and with the line ends of the corpus. In text that is UTF-8,
// invalid bytes stay. Bytes that another encoding does not define are an error, and so is
// a text of more than 256 MiB, which is not read to its end.
func Read(r io.Reader, c configs.Corpus) ([]byte, error) {
	t, err := charset.NewReader(r, charset.Form{Encoding: c.Encoding, Newlines: c.Newlines})
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(t, readBytes+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > readBytes {
		return nil, fmt.Errorf("text: more than %d bytes, which is the limit of a text that is read at once", readBytes)
	}
	if bad := t.Undefined(); bad.Count > 0 {
		return nil, fmt.Errorf("text: byte %d (0x%02x) is not valid %s, the first of %d", bad.Offset, bad.Byte, c.Encoding, bad.Count)
	}
	return data, nil
}
