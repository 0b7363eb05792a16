package corpus

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"hash/crc32"
	"io"

	"github.com/quire-ml/quire/transforms/bundle"
	"github.com/quire-ml/quire/transforms/charset"
)

// Digests returns the sha256 (hex) of each document. It reads, in this process, the
// documents that have no digest yet, several at a time, and puts both digests and
// the signs into docs. Hash does not read such documents again.
func Digests(ctx context.Context, docs []Document) (sums []string, err error) {
	var g bundle.Group[Document]
	g.Begin(ctx)
	defer g.Stop()
	var done []Document
	for _, d := range docs {
		some, err := g.Do(func(ctx context.Context) (Document, error) {
			if d.SHA256 != "" {
				return d, nil
			}
			return digest(ctx, d)
		})
		if err != nil {
			return nil, err
		}
		done = append(done, some...)
	}
	rest, err := g.Finish()
	if err != nil {
		return nil, err
	}
	for i, d := range append(done, rest...) {
		docs[i] = d
		sums = append(sums, d.SHA256)
	}
	return sums, nil
}

// digest returns d with the digests and the signs of its bytes.
func digest(ctx context.Context, d Document) (_ Document, err error) {
	var r Reader
	defer func() {
		if e := r.Close(); err == nil {
			err = e
		}
	}()
	if err := r.open(ctx, d); err != nil {
		return d, err
	}
	to := newDigester()
	buf := make([]byte, min(1<<20, d.Bytes))
	for at := int64(0); at < d.Bytes; {
		if err := ctx.Err(); err != nil {
			return d, err
		}
		chunk := buf[:min(int64(len(buf)), d.Bytes-at)]
		n, err := r.at.ReadAt(chunk, at)
		if n < len(chunk) {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return d, fmt.Errorf("corpus: %s: byte %d: %w", d.Name, at+int64(n), err)
		}
		to.Write(chunk)
		at += int64(n)
	}
	d.SHA256, d.CRC, d.Signs = to.sha256(), int64(to.crc), to.scan.Signs()
	return d, nil
}

// A digester takes the digests and the signs of the bytes that are written to it.
type digester struct {
	bytes int64
	sha   hash.Hash
	crc   uint32
	scan  charset.Scanner
}

func newDigester() *digester { return &digester{sha: sha256.New()} }

// Write takes the next bytes. Its error is nil.
func (g *digester) Write(p []byte) (int, error) {
	g.bytes += int64(len(p))
	g.sha.Write(p)
	g.crc = crc32.Update(g.crc, castagnoli, p)
	return g.scan.Write(p)
}

func (g *digester) sha256() string { return hex.EncodeToString(g.sha.Sum(nil)) }
