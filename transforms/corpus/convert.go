package corpus

import (
	"bufio"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"path"
	"path/filepath"
	"strings"

	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/transforms/charset"
)

const (
	gzipSuffix = ".gz"
	maxRatio   = 250 // of a text's size to its compressed size
)

// bombFloor is the size in bytes up to which a text may have any ratio. Tests lower it.
var bombFloor int64 = 64 << 20

// converted is the sealed note beside the text of a document.
type converted struct {
	Bytes     int64           `json:"bytes"`
	SHA256    string          `json:"sha256"`
	CRC       int64           `json:"crc32c"`
	Signs     charset.Signs   `json:"signs,omitzero"`
	Undefined charset.Invalid `json:"undefined,omitzero"`
	Records   int64           `json:"records,omitempty"`
}

// document returns the document of the text that the note is of, at a path.
func (c converted) document(name, path string) Document {
	return Document{Name: name, Path: path, Bytes: c.Bytes, SHA256: c.SHA256, CRC: c.CRC,
		Signs: c.Signs, Undefined: c.Undefined, Records: c.Records}
}

// texts replaces the documents whose bytes are not their text: those that are
// compressed, in another encoding than UTF-8, with a byte order mark, or with other
// line ends than asked for.
func texts(ctx context.Context, docs []Document, o *ResolveOptions) error {
	if _, err := charset.NewReader(strings.NewReader(""), o.Form); err != nil {
		return wrong(Encoding, "corpus: %w", err)
	}
	if _, err := o.Digests(ctx, docs); err != nil {
		return err
	}
	for i, d := range docs {
		if !strings.HasSuffix(d.Path, gzipSuffix) && o.Form.Plain() && !d.Signs.Mark {
			continue
		}
		var err error
		if docs[i], err = convert(ctx, d, o); err != nil {
			return fmt.Errorf("corpus: %s: %w", d.Path, err)
		}
	}
	return nil
}

// convert writes d's text to the cache folder: ranges are read at any offset, which
// neither gzip nor most encodings have.
func convert(ctx context.Context, d Document, o *ResolveOptions) (Document, error) {
	switch {
	case strings.HasSuffix(d.Path, ".tar"+gzipSuffix):
		return d, fmt.Errorf("it is an archive; unpack it and name the files, or their folder")
	case o.Cache == "" && strings.HasSuffix(d.Path, gzipSuffix):
		return d, fmt.Errorf("it is compressed, and there is no folder to decompress it to; decompress it (gunzip)")
	case o.Cache == "":
		return d, fmt.Errorf("there is no folder to convert it to UTF-8 in; convert it, without a byte order mark")
	}
	file := strings.TrimSuffix(path.Base(filepath.ToSlash(d.Path)), gzipSuffix)
	key := fmt.Sprintf("1 %s %q %q %q", d.SHA256, path.Ext(d.Path), o.Form.Encoding, o.Form.Newlines)
	return kept(ctx, d.Name, file, key, o, func(w io.Writer, note *converted) error {
		return writeText(ctx, w, d, o.Form, note)
	})
}

// kept returns the document called name whose text write writes to the cache folder, below
// a folder named for key, which says what the text is made of. The file is there whole
// or not at all. A file whose digest is not the noted one is written again. write adds
// to the note what it alone knows.
func kept(ctx context.Context, name, file, key string, o *ResolveOptions,
	write func(w io.Writer, note *converted) error) (out Document, err error) {
	sum := sha256.Sum256([]byte(key))
	dir, err := filepath.Abs(filepath.Join(o.Cache, hex.EncodeToString(sum[:])))
	if err != nil {
		return out, err
	}
	st, err := store.Open(ctx, dir)
	if err != nil {
		return out, err
	}
	defer st.Close()
	seal, at := file+".json", filepath.Join(dir, file)
	var note converted
	if _, err := st.ReadSealed(ctx, seal, &note, store.Sealed{}); err == nil {
		found := []Document{{Name: name, Path: at, Bytes: note.Bytes}}
		if sums, err := o.Digests(ctx, found); err == nil && sums[0] == note.SHA256 {
			return note.document(name, at), nil
		}
	}
	if err := errors.Join(st.Delete(ctx, seal, ""), st.Delete(ctx, file, "")); err != nil {
		return out, err
	}
	w, err := st.Create(ctx, file)
	if err != nil {
		return out, err
	}
	defer w.Abort()
	if note, err = noted(w, write); err != nil {
		return out, err
	}
	if _, err := w.Commit(); err != nil {
		return out, err
	}
	data, err := store.MarshalSealed(note)
	if err != nil {
		return out, err
	}
	_, err = st.Put(ctx, seal, data)
	return note.document(name, at), err
}

// noted returns the note of what write writes to w.
func noted(w io.Writer, write func(w io.Writer, note *converted) error) (note converted, err error) {
	d := newDigester()
	if err := write(io.MultiWriter(w, d), &note); err != nil {
		return note, err
	}
	note.Bytes, note.SHA256, note.CRC, note.Signs = d.bytes, d.sha256(), int64(d.crc), d.scan.Signs()
	return note, nil
}

// writeText writes d's text to w: open, gunzip, decode.
func writeText(ctx context.Context, w io.Writer, d Document, f charset.Form, note *converted) (err error) {
	var r Reader
	defer func() { err = errors.Join(err, r.Close()) }()
	if err := r.open(ctx, d); err != nil {
		return err
	}
	sum := sha256.New()
	stored := io.TeeReader(io.NewSectionReader(r.at, 0, d.Bytes), sum)
	var bytes io.Reader = &checked{ctx, bufio.NewReaderSize(stored, 1<<20)}
	if strings.HasSuffix(d.Path, gzipSuffix) {
		if bytes, err = newGunzip(bytes, d.Bytes); err != nil {
			return err
		}
	}
	text, err := charset.NewReader(bytes, f)
	if err != nil {
		return err
	}
	if _, err = io.CopyBuffer(w, struct{ io.Reader }{text}, make([]byte, 1<<20)); err == nil {
		err = unchanged(d, sum)
	}
	note.Undefined = text.Undefined()
	return err
}

// unchanged returns an error where the bytes of d have another digest than before. sum has
// read all of them.
func unchanged(d Document, sum hash.Hash) error {
	if d.SHA256 == "" || hex.EncodeToString(sum.Sum(nil)) == d.SHA256 {
		return nil
	}
	return fmt.Errorf("%w since it was digested; start again", ErrChanged)
}

// checked is a Reader that ends when a context does.
type checked struct {
	ctx context.Context
	io.Reader
}

// Read reads the next bytes.
func (c *checked) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.Reader.Read(p)
}

// gunzip reads the text of compressed bytes.
type gunzip struct {
	z      *gzip.Reader
	packed int64 // size in bytes
	done   int64 // bytes of text
}

func newGunzip(r io.Reader, packed int64) (io.Reader, error) {
	if packed == 0 {
		return nil, fmt.Errorf("it has 0 bytes, and is not in the format of gzip; copy it again, or leave it out")
	}
	z, err := gzip.NewReader(r)
	if err != nil {
		return nil, fmt.Errorf("it is not in the format of gzip: %w", err)
	}
	return &gunzip{z: z, packed: packed}, nil
}

// Read reads the next bytes of the text.
func (g *gunzip) Read(p []byte) (int, error) {
	n, err := g.z.Read(p)
	if g.done += int64(n); g.done > bombFloor && g.done > maxRatio*g.packed {
		return 0, fmt.Errorf("its %d bytes become more than %d, %d times as many: it may be a bomb; if it is a text, decompress it (gunzip)",
			g.packed, g.done, maxRatio)
	}
	if err != nil && err != io.EOF {
		err = fmt.Errorf("damaged or cut off, after %d bytes of text: %w", g.done, err)
	}
	return n, err
}
