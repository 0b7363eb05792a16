package checkpoint

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math"
)

// plainMetadata is what Hugging Face's readers want of a safetensors file of PyTorch's tensors.
const plainMetadata = `{"` + metadataKey + `":{"format":"pt"}`

// WritePlain writes tensors, ordered by name, to a safetensors file that says no more of
// them: it is for other programs, and no checkpoint. It returns the sha256 of the file.
func WritePlain(w io.Writer, tensors []Tensor) (sum string, err error) {
	list, err := sorted(tensors)
	if err != nil {
		return "", fmt.Errorf("checkpoint: %w", err)
	}
	b := bytes.NewBuffer(make([]byte, lengthBytes))
	b.WriteString(plainMetadata)
	at := int64(0)
	for _, t := range list {
		n, err := size(t.Shape, math.MaxInt64/valueBytes)
		if err == nil && n != int64(len(t.Data)) {
			err = fmt.Errorf("shape %v has %d values, found %d", t.Shape, n, len(t.Data))
		}
		if err != nil {
			return "", fmt.Errorf("checkpoint: tensor %s: %w", t.Name, err)
		}
		name, err1 := json.Marshal(t.Name)
		value, err2 := json.Marshal(entry{dtype, append([]int{}, t.Shape...), [2]int64{at, at + n*valueBytes}})
		if err1 != nil || err2 != nil {
			return "", fmt.Errorf("checkpoint: tensor %q has no JSON form", t.Name)
		}
		fmt.Fprintf(b, ",%s:%s", name, value)
		at += n * valueBytes
	}
	b.WriteByte('}')
	for b.Len()%8 != 0 {
		b.WriteByte(' ')
	}
	binary.LittleEndian.PutUint64(b.Bytes(), uint64(b.Len()-lengthBytes))
	hash, buf := sha256.New(), make([]byte, chunkBytes)
	w = io.MultiWriter(w, hash)
	if _, err := w.Write(b.Bytes()); err != nil {
		return "", fmt.Errorf("checkpoint: %w", err)
	}
	for _, t := range list {
		if err := write(w, t.Data, buf); err != nil {
			return "", fmt.Errorf("checkpoint: tensor %s: %w", t.Name, err)
		}
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}
