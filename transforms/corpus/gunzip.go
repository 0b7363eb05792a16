package corpus

import (
	"bufio"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"path"
	"path/filepath"
	"strings"

	"github.com/quire-ml/quire/runners/store"
)

const (
	gzipSuffix = ".gz"
	maxRatio   = 250 // of a text's size to its compressed size
)

// bombFloor is the size in bytes up to which a text may have any ratio. Tests lower it.
var bombFloor int64 = 64 << 20

// unpacked is the sealed note beside a decompressed document.
type unpacked struct {
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
	CRC    int64  `json:"crc32c"`
}

// gunzip decompresses d to the cache folder, below a folder named for d's content:
// ranges are read at any offset, and gzip has no offsets. The file is there whole or
// not at all. A file whose digest is not the noted one is written again.
func gunzip(ctx context.Context, d Document, o *ResolveOptions) (Document, error) {
	switch {
	case strings.HasSuffix(d.Path, ".tar"+gzipSuffix):
		return d, fmt.Errorf("it is an archive; unpack it and name the files, or their folder")
	case o.Cache == "":
		return d, fmt.Errorf("it is compressed, and there is no folder to decompress it to; decompress it (gunzip)")
	}
	packed, err := o.Digests(ctx, []Document{d})
	if err != nil {
		return d, err
	}
	dir, err := filepath.Abs(filepath.Join(o.Cache, packed[0]))
	if err != nil {
		return d, err
	}
	st, err := store.Open(ctx, dir)
	if err != nil {
		return d, err
	}
	defer st.Close()
	file := strings.TrimSuffix(path.Base(filepath.ToSlash(d.Path)), gzipSuffix)
	out := Document{Name: d.Name, Path: filepath.Join(dir, file)}
	seal := file + ".json"
	var want unpacked
	if _, err := st.ReadSealed(ctx, seal, &want, store.Sealed{}); err == nil {
		out.Bytes = want.Bytes
		found := []Document{out}
		if sums, err := o.Digests(ctx, found); err == nil && sums[0] == want.SHA256 {
			return found[0], nil
		}
	}
	if err := errors.Join(st.Delete(ctx, seal, ""), st.Delete(ctx, file, "")); err != nil {
		return d, err
	}
	w, err := st.Create(ctx, file)
	if err != nil {
		return d, err
	}
	defer w.Abort()
	if err := decompress(ctx, d, w, &out); err != nil {
		return d, err
	}
	if _, err := w.Commit(); err != nil {
		return d, err
	}
	data, err := store.MarshalSealed(unpacked{out.Bytes, out.SHA256, out.CRC})
	if err != nil {
		return d, err
	}
	_, err = st.Put(ctx, seal, data)
	return out, err
}

// decompress writes d's text to w, and its size and digests to out.
func decompress(ctx context.Context, d Document, w io.Writer, out *Document) (err error) {
	var r Reader
	defer func() { err = errors.Join(err, r.Close()) }()
	if err := r.open(ctx, d); err != nil {
		return err
	}
	z, err := gzip.NewReader(bufio.NewReaderSize(io.NewSectionReader(r.at, 0, d.Bytes), 1<<20))
	if err != nil {
		return fmt.Errorf("it is not in the format of gzip: %w", err)
	}
	out.Bytes = 0
	sum, crc, buf := sha256.New(), uint32(0), make([]byte, 1<<20)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, readErr := z.Read(buf) // not ReadFull: it has the same error for the end of a text and for a text that is cut off
		if out.Bytes += int64(n); out.Bytes > bombFloor && out.Bytes > maxRatio*d.Bytes {
			return fmt.Errorf("its %d bytes become more than %d, %d times as many: it may be a bomb; if it is a text, decompress it (gunzip)", d.Bytes, out.Bytes, maxRatio)
		}
		sum.Write(buf[:n])
		crc = crc32.Update(crc, castagnoli, buf[:n])
		if _, err := w.Write(buf[:n]); err != nil {
			return err
		}
		if readErr == io.EOF {
			break
		}
		if readErr != nil {
			return fmt.Errorf("damaged or cut off, after %d bytes of text: %w", out.Bytes, readErr)
		}
	}
	out.SHA256, out.CRC = hex.EncodeToString(sum.Sum(nil)), int64(crc)
	return nil
}
