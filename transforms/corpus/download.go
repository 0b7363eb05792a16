package corpus

import (
	"context"
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

	"github.com/quire-ml/quire/runners/store"
)

// download returns the document at an https URL. The document is a file in the cache
// folder, below a folder named for the URL, and is there whole or not at all. A
// cached file with another sha256 than o.SHA256 is downloaded again.
func download(ctx context.Context, source string, o *ResolveOptions) ([]Document, error) {
	u, err := url.Parse(source)
	if err != nil {
		return nil, err
	}
	if o.Cache == "" {
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
	file := filepath.Join(dir, base)
	if d, ok := cached(ctx, file, base, o); ok {
		return []Document{d}, nil
	}
	size, err := fetch(ctx, source, file, o)
	if err != nil {
		return nil, err
	}
	return []Document{{Name: base, Path: file, Bytes: size}}, nil
}

// cached returns the document of an earlier download. ok is false where there is none,
// or where its sha256 is not o.SHA256.
func cached(ctx context.Context, file, base string, o *ResolveOptions) (Document, bool) {
	info, err := os.Stat(file)
	if err != nil || !info.Mode().IsRegular() {
		return Document{}, false
	}
	d := Document{Name: base, Path: file, Bytes: info.Size()}
	if o.SHA256 == "" {
		return d, true
	}
	got, err := o.Digests(ctx, []Document{d})
	return d, err == nil && strings.EqualFold(got[0], o.SHA256)
}

// fetch downloads source to file and returns the size in bytes.
func fetch(ctx context.Context, source, file string, o *ResolveOptions) (size int64, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, source, nil)
	if err != nil {
		return 0, err
	}
	client := o.Client
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, wrong(Sources, "%w; without network, use a local file", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return 0, store.StatusError(resp)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return 0, err
	}
	tmp, err := os.CreateTemp(filepath.Dir(file), ".tmp-*")
	if err != nil {
		return 0, err
	}
	defer func() {
		if err != nil {
			tmp.Close()
			os.Remove(tmp.Name())
		}
	}()
	h := sha256.New()
	size, err = io.Copy(io.MultiWriter(tmp, h), resp.Body)
	if err != nil {
		return 0, fmt.Errorf("download stopped after %d bytes: %w", size, err)
	}
	if n := resp.ContentLength; n >= 0 && n != size {
		return 0, fmt.Errorf("download has %d bytes, the server promised %d", size, n)
	}
	if got := hex.EncodeToString(h.Sum(nil)); o.SHA256 != "" && !strings.EqualFold(got, o.SHA256) {
		return 0, wrong(SHA256, "downloaded text has sha256 %s, want %s", got, strings.ToLower(o.SHA256))
	}
	if err := errors.Join(tmp.Chmod(0o644), tmp.Sync(), tmp.Close()); err != nil {
		return 0, err
	}
	return size, os.Rename(tmp.Name(), file)
}
