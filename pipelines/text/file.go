package text

import (
	"fmt"
	"io"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/transforms/charset"
)

// Read reads a text for a model as the documents of a corpus are read: decoded, without
// a byte order mark, and with the line ends of the corpus. In text that is UTF-8,
// invalid bytes stay. Bytes that another encoding does not define are an error.
func Read(r io.Reader, c configs.Corpus) ([]byte, error) {
	t, err := charset.NewReader(r, charset.Form{Encoding: c.Encoding, Newlines: c.Newlines})
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(t)
	if err != nil {
		return nil, err
	}
	if bad := t.Undefined(); bad.Count > 0 {
		return nil, fmt.Errorf("text: byte %d (0x%02x) is not valid %s, the first of %d", bad.Offset, bad.Byte, c.Encoding, bad.Count)
	}
	return data, nil
}
