package corpus

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/quire-ml/quire/configs/secret"
	"github.com/quire-ml/quire/runners/store"
)

const (
	maxRedirects = 10
	// A download ends where in a progressTime fewer than progressBytes came. A modem of
	// 9,600 baud is quicker.
	progressTime  = time.Minute
	progressBytes = 64 << 10
	noticeTime    = 10 * time.Second // until the first notice of a download; the others are a progressTime apart
)

// A transfer is one download. It is for one goroutine at a time.
type transfer struct {
	source    string
	transport http.RoundTripper // nil: http.DefaultTransport
	packed    bool              // the document is in the format of gzip
	known     bool              // the source was downloaded before
	limit     int64             // bytes; 0: none

	ctx    context.Context
	cancel context.CancelFunc
	end    chan struct{} // closed when watch has returned
	came   atomic.Int64  // bytes
	stall  atomic.Bool
}

// get asks for the source and follows redirects to https. The answer's status is 200, or 304
// where conditions are given. Call stop in the end, unless there is an error.
//
// The request goes through the transport alone: a client would send the URL as Referer, and
// its errors repeat URLs.
func (t *transfer) get(ctx context.Context, conditions http.Header) (resp *http.Response, err error) {
	t.ctx, t.cancel = context.WithCancel(ctx)
	t.end = make(chan struct{})
	go t.watch()
	defer func() {
		if err != nil {
			t.stop()
		}
	}()
	at, err := url.Parse(t.source)
	if err != nil {
		return nil, wrong(Sources, "not a URL")
	}
	for range maxRedirects + 1 {
		if resp, err = t.send(at, conditions); err != nil {
			return nil, err
		}
		switch code := resp.StatusCode; {
		case code == http.StatusOK, code == http.StatusNotModified && len(conditions) > 0:
			return resp, t.checkEncoding(resp)
		case slices.Contains([]int{301, 302, 303, 307, 308}, code):
			resp.Body.Close()
			if at, err = next(at, resp); err != nil {
				return nil, err
			}
		default:
			resp.Body.Close()
			return nil, store.StatusError(resp)
		}
	}
	return nil, wrong(Sources, "the server redirects more than %d times", maxRedirects)
}

// stop ends the transfer.
func (t *transfer) stop() {
	t.cancel()
	<-t.end
}

// checkEncoding refuses an encoding that was not asked for. Servers call a .gz document, which
// is stored as it is, encoded.
func (t *transfer) checkEncoding(resp *http.Response) error {
	encoding := resp.Header.Get("Content-Encoding")
	if encoding == "" || encoding == "identity" || t.packed && strings.HasSuffix(encoding, "gzip") {
		return nil
	}
	resp.Body.Close()
	return fmt.Errorf("the server sends it with Content-Encoding %q, which was not asked for", encoding)
}

// next returns the address that a redirect leads to.
func next(at *url.URL, resp *http.Response) (*url.URL, error) {
	to, err := at.Parse(resp.Header.Get("Location"))
	switch {
	case err != nil || to.Host == "":
		return nil, wrong(Sources, "the server redirects (%d) to an address that is no URL", resp.StatusCode)
	case to.Scheme != "https":
		return nil, wrong(Sources, "the server redirects (%d) from https to %s, which is not followed", resp.StatusCode, to.Scheme)
	case to.User == nil && to.Host == at.Host:
		to.User = at.User
	}
	return to, nil
}

// send sends one request.
func (t *transfer) send(at *url.URL, conditions http.Header) (*http.Response, error) {
	req, err := http.NewRequestWithContext(t.ctx, http.MethodGet, at.String(), nil)
	if err != nil {
		return nil, wrong(Sources, "not a URL that can be asked for")
	}
	for name, values := range conditions {
		req.Header[name] = values
	}
	req.Header.Set("User-Agent", "quire")
	if t.packed {
		req.Header.Set("Accept-Encoding", "identity") // else the transport takes the document itself for the encoding
	}
	if u := at.User; u != nil {
		password, _ := u.Password()
		req.SetBasicAuth(u.Username(), password)
	}
	transport := t.transport
	if transport == nil {
		transport = http.DefaultTransport
	}
	resp, err := transport.RoundTrip(req)
	if err == nil {
		return resp, nil
	}
	return nil, wrong(Sources, "%w", t.failed(err))
}

// failed returns the error of a transfer, which may pass unless ctx has ended, the server
// is not the one that it says, or the source has a host that there never was.
func (t *transfer) failed(err error) error {
	var untrusted *tls.CertificateVerificationError
	var name *net.DNSError
	switch {
	case t.stall.Load():
		return fmt.Errorf("fewer than %d bytes came in %v: %w", progressBytes, progressTime, store.ErrTransient)
	case t.ctx.Err() != nil, errors.As(err, &untrusted):
		return secret.Error(err)
	case errors.As(err, &name) && name.IsNotFound && !t.known:
		return fmt.Errorf("no host has the name %s", name.Name)
	}
	return fmt.Errorf("%w: %w", secret.Error(err), store.ErrTransient)
}

// watch ends the transfer where it makes no progress, and tells the notices how far it is.
func (t *transfer) watch() {
	defer close(t.end)
	ticker, notices := time.NewTicker(progressTime), time.NewTicker(noticeTime)
	defer ticker.Stop()
	defer notices.Stop()
	for before := int64(0); ; {
		select {
		case <-t.ctx.Done():
			return
		case <-notices.C:
			store.Notice(t.ctx, "corpus: %s: downloading, %d bytes so far", secret.URL(t.source), t.came.Load())
			notices.Reset(progressTime)
		case <-ticker.C:
			now := t.came.Load()
			if now-before < progressBytes {
				t.stall.Store(true)
				t.cancel()
				return
			}
			before = now
		}
	}
}

// copy copies the body of an answer to w.
func (t *transfer) copy(w io.Writer, resp *http.Response) (int64, error) {
	buf, size := make([]byte, 1<<20), int64(0)
	for {
		n, err := resp.Body.Read(buf)
		t.came.Add(int64(n))
		if size += int64(n); t.limit > 0 && max(size, resp.ContentLength) > t.limit {
			return size, fmt.Errorf("it has %d bytes or more, and a download may fill "+
				"half of the disk's free space, %d bytes; make room, or use a local file",
				max(size, resp.ContentLength), t.limit)
		}
		if _, werr := w.Write(buf[:n]); werr != nil {
			return size, werr
		}
		switch {
		case err == io.EOF:
			return size, nil
		case err != nil:
			return size, fmt.Errorf("download stopped after %d bytes: %w", size, t.failed(err))
		}
	}
}

// conditions are the headers that ask only for another text than the noted one.
func (n *note) conditions() http.Header {
	h := http.Header{}
	if n.ETag != "" {
		h.Set("If-None-Match", n.ETag)
	}
	if n.Settled {
		h.Set("If-Modified-Since", n.LastModified)
	}
	return h
}

// describes reports whether an answer 304 is about the noted text: what it repeats is as noted.
func (n *note) describes(h http.Header) bool {
	strong := func(tag string) string { return strings.TrimPrefix(tag, "W/") }
	same := func(now, was string) bool { return now == "" || was == "" || now == was }
	return same(strong(h.Get("ETag")), strong(n.ETag)) && same(h.Get("Last-Modified"), n.LastModified) &&
		same(h.Get("Content-Length"), n.Length)
}

// settled reports whether Last-Modified tells a text from a later one: a text so young may
// be written again in the same second.
func settled(h http.Header) bool {
	modified, err := http.ParseTime(h.Get("Last-Modified"))
	if err != nil {
		return false
	}
	now, err := http.ParseTime(h.Get("Date"))
	return err == nil && now.Sub(modified) >= tick
}
