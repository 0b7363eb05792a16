package corpus

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/quire-ml/quire/configs/secret"
	"github.com/quire-ml/quire/runners/store"
)

// A Fetch is what became of an https source.
type Fetch struct {
	Source string    `json:"source"` // without its secrets
	At     time.Time `json:"at"`     // of the server's answer
	// Status is that of the server's last answer: 304, the copy of an earlier download is
	// what the server has; 0, it was not asked, because the copy has the expected sha256.
	Status       int    `json:"status"`
	ETag         string `json:"etag,omitempty"`          // as the server sent it
	LastModified string `json:"last_modified,omitempty"` // as the server sent it
	Bytes        int64  `json:"bytes"`                   // of the document as it is stored
	SHA256       string `json:"sha256"`                  // hex, of the same bytes
	// Unreliable is true where the server has sent two texts with one ETag. Every later
	// round downloads the source, whatever its validators.
	Unreliable bool `json:"unreliable,omitempty"`
}

// String says it in a line.
func (f Fetch) String() string {
	switch {
	case f.Status == 0:
		return fmt.Sprintf("%s: not asked for, the copy here has the expected sha256", f.Source)
	case f.Status == http.StatusNotModified:
		return fmt.Sprintf("%s: unchanged (304), %d bytes", f.Source, f.Bytes)
	}
	text := fmt.Sprintf("%s: downloaded, %d bytes", f.Source, f.Bytes)
	switch {
	case f.Unreliable:
		text += "; the server has sent two texts with one ETag, so it is downloaded in every round"
	case f.ETag == "" && f.LastModified == "":
		text += "; the server sends neither ETag nor Last-Modified, so it is downloaded in every round"
	}
	return text
}

// note is the sealed file beside the copies of a source.
type note struct {
	Fetch
	Length  string `json:"length,omitempty"`  // Content-Length, as the server sent it
	Settled bool   `json:"settled,omitempty"` // LastModified tells this text from any later one
	Copy    string `json:"copy"`              // name of the copy in the folder
	Before  string `json:"before"`            // name of the copy before it, which a round may still read; or empty
}

const (
	noteName = "note.json"
	// keepCopy is the age up to which a copy that was replaced stays: another process
	// may have just downloaded it.
	keepCopy = 24 * time.Hour
)

// A source on the web, with the folder of its copies.
type web struct {
	source string
	base   string // name of its document
	dir    string
	st     *store.Store
	o      *ResolveOptions
}

// download returns the document at an https URL: a copy in the cache folder, which is
// there whole or not at all. The server is asked for each document, unless o.SHA256 says
// which text it is and the copy has it. A server that does not answer is an error.
func download(ctx context.Context, source string, o *ResolveOptions) ([]Document, error) {
	u, err := url.Parse(source)
	switch {
	case err != nil || u.Host == "":
		return nil, wrong(Sources, "not a URL") // whose text the error of Parse would repeat
	case o.Cache == "":
		return nil, wrong(Sources, "no folder to download to; use a local file")
	}
	base := path.Base(u.Path)
	if base == "." || base == "/" || base == ".." {
		base = u.Hostname()
	}
	sum := sha256.Sum256([]byte(source))
	dir, err := filepath.Abs(filepath.Join(o.Cache, hex.EncodeToString(sum[:8])))
	if err != nil {
		return nil, err
	}
	st, err := store.Open(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer st.Close()
	w := &web{source: source, base: base, dir: dir, st: st, o: o}
	n, err := w.find(ctx)
	if err != nil {
		return nil, err
	}
	o.Fetched = append(o.Fetched, n.Fetch)
	return []Document{w.document(n)}, nil
}

// document returns the document of a copy. Its digests and signs are read like those of a file.
func (w *web) document(n *note) Document {
	return Document{Name: w.base, Path: filepath.Join(w.dir, n.Copy), Bytes: n.Bytes}
}

// find returns the note of a copy that is what the server has.
func (w *web) find(ctx context.Context) (*note, error) {
	old := w.intact(ctx)
	if old != nil && strings.EqualFold(old.SHA256, w.o.SHA256) {
		old.Status, old.At = 0, time.Now().UTC()
		return old, nil
	}
	conditions := http.Header{}
	if old != nil && !w.o.Verify && !old.Unreliable {
		conditions = old.conditions()
	}
	n, err := w.ask(ctx, conditions, old)
	if err == nil && n == nil { // the answer contradicts itself
		n, err = w.ask(ctx, nil, old)
	}
	switch {
	case !errors.Is(err, store.ErrTransient):
		return n, err
	case old == nil:
		return nil, fmt.Errorf("%w; until then, use a local file", err)
	}
	return nil, fmt.Errorf("%w; until then, use a local file: the copy of %s is %s",
		err, old.At.Format("2006-01-02 15:04 UTC"), w.document(old).Path)
}

// intact returns the note of the last copy, nil where there is none or where its bytes
// have changed.
func (w *web) intact(ctx context.Context) *note {
	n := &note{}
	if _, err := w.st.ReadSealed(ctx, noteName, n, store.Sealed{}); err != nil {
		return nil
	}
	d := w.document(n)
	if info, err := os.Stat(d.Path); err != nil || info.Size() != d.Bytes {
		return nil
	}
	if got, err := w.o.Digests(ctx, []Document{d}); err != nil || got[0] != n.SHA256 {
		return nil
	}
	return n
}

// ask asks the server, and stores what it sends. With an answer 304 the note is the old
// one. The note is nil where that answer is not about the old copy.
func (w *web) ask(ctx context.Context, conditions http.Header, old *note) (*note, error) {
	limit, err := w.limit()
	if err != nil {
		return nil, err
	}
	t := &transfer{source: w.source, transport: w.o.Transport, packed: strings.HasSuffix(w.base, gzipSuffix), known: old != nil, limit: limit}
	resp, err := t.get(ctx, conditions)
	if err != nil {
		return nil, err
	}
	defer t.stop()
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNotModified {
		if !old.describes(resp.Header) {
			return nil, nil
		}
		old.Status, old.At = http.StatusNotModified, time.Now().UTC()
		return old, nil
	}
	if kind := resp.Header.Get("Content-Type"); strings.HasPrefix(kind, "text/html") && path.Ext(w.base) == ".txt" {
		store.Notice(ctx, "corpus: %s: the server sends HTML; look whether it is the text", secret.URL(w.source))
	}
	n := &note{Fetch: Fetch{Source: secret.URL(w.source), At: time.Now().UTC(), Status: resp.StatusCode,
		ETag: resp.Header.Get("ETag"), LastModified: resp.Header.Get("Last-Modified")},
		Length: resp.Header.Get("Content-Length"), Settled: settled(resp.Header)}
	return n, w.save(ctx, t, resp, n, old)
}

// save writes the body of an answer to a new copy. Where the text is that of the old copy, the
// old copy stays.
func (w *web) save(ctx context.Context, t *transfer, resp *http.Response, n, old *note) error {
	n.Copy = strings.ToLower(rand.Text()) + "-" + w.base
	file, err := w.st.Create(ctx, n.Copy)
	if err != nil {
		return err
	}
	defer file.Abort()
	sum := sha256.New()
	if n.Bytes, err = t.copy(io.MultiWriter(file, sum), resp); err != nil {
		return err
	}
	n.SHA256 = hex.EncodeToString(sum.Sum(nil))
	if want := w.o.SHA256; want != "" && !strings.EqualFold(n.SHA256, want) {
		return wrong(SHA256, "downloaded text has sha256 %s, want %s", n.SHA256, strings.ToLower(want))
	}
	if old != nil && old.SHA256 == n.SHA256 {
		n.Copy, n.Before, n.Unreliable = old.Copy, old.Before, old.Unreliable
		return w.keep(ctx, n)
	}
	if old != nil {
		n.Before, n.Unreliable = old.Copy, old.Unreliable || n.ETag != "" && n.ETag == old.ETag
	}
	if _, err := file.Commit(); err != nil {
		return err
	}
	return w.keep(ctx, n)
}

// keep writes the note, and deletes the copies that no process can be reading.
func (w *web) keep(ctx context.Context, n *note) error {
	data, err := store.MarshalSealed(n)
	if err != nil {
		return err
	}
	// Of two processes that ask at the same time the quicker one leaves its note; both copies stay.
	if err := w.st.Replace(ctx, noteName, data); err != nil && !errors.Is(err, store.ErrConflict) {
		return err
	}
	files, err := w.st.List(ctx, "")
	for _, f := range files {
		info, ierr := os.Stat(filepath.Join(w.dir, f.Name))
		used := f.Name == n.Copy || f.Name == n.Before || f.Name == noteName
		if ierr == nil && !used && time.Since(info.ModTime()) > keepCopy {
			err = errors.Join(err, w.st.Delete(ctx, f.Name, ""))
		}
	}
	return err
}

// limit returns the size in bytes that a download may have: half of what is free where it is
// stored; 0 where that is not known.
func (w *web) limit() (int64, error) {
	free, known, err := w.st.Free()
	if err != nil || !known {
		return 0, err
	}
	return max(1, free/2), nil
}
