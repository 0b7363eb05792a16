package corpus

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"io"
)

// Digests returns the sha256 (hex) of each document, read one after another in
// this process.
func Digests(ctx context.Context, docs []Document) ([]string, error) {
	sums := make([]string, len(docs))
	for i, d := range docs {
		var err error
		if sums[i], _, err = digest(ctx, d, d.Bytes); err != nil {
			return nil, err
		}
	}
	return sums, nil
}

// digest returns the sha256 (hex) of d's bytes, and the CRC-32C of each of its
// blocks of blockBytes.
func digest(ctx context.Context, d Document, blockBytes int64) (sum string, blocks []int64, err error) {
	var r Reader
	defer func() {
		if e := r.Close(); err == nil {
			err = e
		}
	}()
	if err := r.open(ctx, d); err != nil {
		return "", nil, err
	}
	h, crc := sha256.New(), uint32(0)
	buf := make([]byte, min(1<<20, d.Bytes))
	for at := int64(0); at < d.Bytes; {
		if err := ctx.Err(); err != nil {
			return "", nil, err
		}
		end := min(d.Bytes, (at/blockBytes+1)*blockBytes) // of the block
		part := buf[:min(int64(len(buf)), end-at)]
		n, err := r.at.ReadAt(part, at)
		if n < len(part) {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return "", nil, fmt.Errorf("corpus: %s: byte %d: %w", d.Name, at+int64(n), err)
		}
		h.Write(part)
		crc = crc32.Update(crc, castagnoli, part)
		if at += int64(n); at == end {
			blocks = append(blocks, int64(crc))
			crc = 0
		}
	}
	return hex.EncodeToString(h.Sum(nil)), blocks, nil
}
