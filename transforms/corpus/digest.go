package corpus

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"hash/crc32"

	"github.com/quire-ml/quire/transforms/bundle"
	"github.com/quire-ml/quire/transforms/charset"
)

// Digests returns the sha256 (hex) of each document. It reads, in this process, the
// documents that have no digest yet, several at a time, and puts both digests and
// the signs into docs. Hash does not read such documents again.
func Digests(ctx context.Context, docs []Document) (sums []string, err error) {
	var g bundle.Group[struct{}]
	g.Begin(ctx)
	defer g.Stop()
	for at := 0; at < len(docs); {
		some := docs[at : at+lot(docs[at:], digestBuffer)]
		at += len(some)
		_, err := g.Do(func(ctx context.Context) (struct{}, error) { return struct{}{}, digestAll(ctx, some) })
		if err != nil {
			return nil, err
		}
	}
	if _, err := g.Finish(); err != nil {
		return nil, err
	}
	sums = make([]string, len(docs))
	for i, d := range docs {
		sums[i] = d.SHA256
	}
	return sums, nil
}

// digestBuffer is the size of one read.
const digestBuffer = 1 << 20

// digestAll puts the digests and the signs of documents that have none into docs.
func digestAll(ctx context.Context, docs []Document) (err error) {
	var r Reader
	defer func() { err = errors.Join(err, r.Close()) }()
	var buf []byte
	for i, d := range docs {
		if d.SHA256 != "" {
			continue
		}
		if buf == nil {
			buf = make([]byte, max(1, min(digestBuffer, Bytes(docs))))
		}
		if docs[i], err = r.digest(ctx, d, buf); err != nil {
			return err
		}
	}
	return nil
}

// digest returns d with the digests and the signs of its bytes.
func (r *Reader) digest(ctx context.Context, d Document, buf []byte) (Document, error) {
	if err := r.open(ctx, d); err != nil {
		return d, err
	}
	to := newDigester()
	for at := int64(0); at < d.Bytes; {
		if err := ctx.Err(); err != nil {
			return d, err
		}
		chunk := buf[:min(int64(len(buf)), d.Bytes-at)]
		if err := r.fill(chunk, at); err != nil {
			return d, err
		}
		to.Write(chunk)
		at += int64(len(chunk))
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
