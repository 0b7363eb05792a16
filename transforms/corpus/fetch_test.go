package corpus

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/quire-ml/quire/runners/store"
)

// TestRedirects: a redirect is followed to https alone, and tells nobody where from.
func TestRedirects(t *testing.T) {
	var asked []string
	o := &ResolveOptions{Cache: t.TempDir()}
	to := ""
	o.Transport = page(func(r *http.Request) (*http.Response, error) {
		user, password, _ := r.BasicAuth()
		asked = append(asked, fmt.Sprintf("%s %s:%s%s", r.URL.Host, user, password, r.Header.Get("Referer")))
		if r.URL.Path == "/end" {
			return answer(200, "text"), nil
		}
		return answer(302, "moved", "Location", to), nil
	})
	get := func() error {
		asked = nil
		_, err := Resolve(t.Context(), []string{"https://me:s3cr3t@h.test/x?s3cr3t"}, o)
		return err
	}
	for _, c := range []struct{ to, want string }{
		{"/end?s3cr3t", "h.test me:s3cr3t, h.test me:s3cr3t"},
		{"https://h.test/end", "h.test me:s3cr3t, h.test me:s3cr3t"},
		{"https://other.test/end", "h.test me:s3cr3t, other.test :"},
		{"https://you:p@h.test/end", "h.test me:s3cr3t, h.test you:p"},
	} {
		to = c.to
		if err := get(); err != nil || strings.Join(asked, ", ") != c.want {
			t.Errorf("to %s: asked %q, %v, want %s", to, asked, err, c.want)
		}
	}
	for where, want := range map[string]string{
		"http://h.test/end?s3cr3t": "the server redirects (302) from https to http, which is not followed",
		"file:///etc/s3cr3t":       "the server redirects (302) to an address that is no URL",
		"ftp://s3cr3t@h.test/end":  "the server redirects (302) from https to ftp, which is not followed",
		"https://h.test/%zzs3cr3t": "the server redirects (302) to an address that is no URL",
		"":                         "the server redirects more than 10 times",
		"/x":                       "the server redirects more than 10 times",
	} {
		to = where
		var wrong *FieldError
		if err := get(); err == nil || err.Error() != "corpus: https://(secret)@h.test/x?(secret): "+want || !errors.As(err, &wrong) {
			t.Errorf("to %q: %v", where, err)
		}
		if n := len(asked); n != 1 && n != 11 {
			t.Errorf("to %q: %d requests", where, n)
		}
	}
}

// A drip gives some bytes and then waits.
type drip struct {
	r     *http.Request
	bytes int
	every time.Duration
	left  int  // drips
	hangs bool // after the last
}

func (d *drip) Read(p []byte) (int, error) {
	if d.left--; d.left < 0 {
		if !d.hangs {
			return 0, io.EOF
		}
		d.every = 1000 * time.Hour
	}
	select {
	case <-time.After(d.every):
		return min(d.bytes, len(p)), nil
	case <-d.r.Context().Done():
		return 0, d.r.Context().Err()
	}
}

// TestProgress: a download ends where too few bytes come in a minute, and no sooner.
func TestProgress(t *testing.T) {
	for name, c := range map[string]struct {
		bytes, drips int
		every, took  time.Duration
		hangs, ok    bool
	}{
		"stalls":          {bytes: 1, drips: 1, every: 1000 * time.Hour, took: time.Minute},
		"a byte a second": {bytes: 1, drips: 1 << 20, every: time.Second, took: time.Minute},
		"stalls later":    {bytes: 1 << 20, drips: 3, every: 30 * time.Second, took: 3 * time.Minute, hangs: true},
		"slow":            {bytes: 64 << 10, drips: 100, every: 59 * time.Second, took: 5900 * time.Second, ok: true},
		"short":           {bytes: 1, drips: 1, every: 59 * time.Second, took: 59 * time.Second, ok: true},
	} {
		synctest.Test(t, func(t *testing.T) {
			o := &ResolveOptions{Cache: t.TempDir(), Transport: page(func(r *http.Request) (*http.Response, error) {
				resp := answer(200, "")
				resp.Body = io.NopCloser(&drip{r, c.bytes, c.every, c.drips, c.hangs})
				return resp, nil
			})}
			began := time.Now()
			var said []string
			ctx := store.WithNotices(t.Context(), func(line string) { said = append(said, line) })
			docs, err := Resolve(ctx, []string{"https://h.test/x?s3cr3t"}, o)
			took := time.Since(began)
			if n := 1 + int((c.took-10*time.Second)/time.Minute); len(said) != n || !strings.HasPrefix(said[0], "corpus: https://h.test/x?(secret): downloading, ") {
				t.Errorf("%s: said %q", name, said)
			}
			if took != c.took || (err == nil) != c.ok || c.ok && docs[0].Bytes != int64(c.bytes*c.drips) ||
				!c.ok && (!errors.Is(err, store.ErrTransient) || !strings.Contains(err.Error(), "fewer than 65536 bytes came in 1m0s")) {
				t.Errorf("%s: after %v: %v", name, took, err)
			}
		})
	}
}

// TestNothingRuns: Resolve returns when all that it has started has ended, here a notice that is slow.
func TestNothingRuns(t *testing.T) {
	for name, last := range map[string]error{"whole": io.EOF, "cut": io.ErrUnexpectedEOF} {
		synctest.Test(t, func(t *testing.T) {
			o := &ResolveOptions{Cache: t.TempDir(), Transport: page(func(r *http.Request) (*http.Response, error) {
				resp := answer(200, "")
				resp.Body = io.NopCloser(io.MultiReader(&drip{r: r, bytes: 1, every: 11 * time.Second, left: 1}, iotest.ErrReader(last)))
				return resp, nil
			})}
			said := false
			ctx := store.WithNotices(t.Context(), func(string) {
				time.Sleep(5 * time.Second)
				said = true
			})
			began := time.Now()
			_, err := Resolve(ctx, []string{"https://h.test/x"}, o)
			if took := time.Since(began); !said || took != 15*time.Second || (err == nil) != (last == io.EOF) {
				t.Errorf("%s: after %v: said %v, %v", name, took, said, err)
			}
		})
	}
}

// TestNoAnswer: the time until an answer counts too.
func TestNoAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &ResolveOptions{Cache: t.TempDir(), Transport: page(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		})}
		began := time.Now()
		_, err := Resolve(t.Context(), []string{"https://h.test/x"}, o)
		if took := time.Since(began); took != time.Minute || !errors.Is(err, store.ErrTransient) {
			t.Errorf("after %v: %v", took, err)
		}
	})
}

// TestFailureSecrets: the error of a transport, which names what it was asked for, has no
// secrets of the source, whether or not it may pass.
func TestFailureSecrets(t *testing.T) {
	const source = "https://me:s3cr3t@h.test/x?s3cr3t"
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	for what, err := range map[string]error{
		"passes":    errors.New("proxy " + source + " is away"),
		"untrusted": &tls.CertificateVerificationError{Err: errors.New(source)},
		"stopped":   fmt.Errorf("%s: %w", source, context.Canceled),
	} {
		o := &ResolveOptions{Cache: t.TempDir(), Transport: page(func(*http.Request) (*http.Response, error) {
			if what == "stopped" {
				stop()
			}
			return nil, err
		})}
		in := t.Context()
		if what == "stopped" {
			in = ctx
		}
		if _, got := Resolve(in, []string{source}, o); got == nil || strings.Contains(got.Error(), "s3cr3t") || store.Transient(got) != (what == "passes") ||
			what != "stopped" && strings.Count(got.Error(), "https://(secret)@h.test/x?(secret)") < 2 {
			t.Errorf("%s: %v", what, got)
		}
	}
}

// TestLimit: a download that would fill the disk ends, at once where the server says its size.
func TestLimit(t *testing.T) {
	endless := &http.Response{ContentLength: -1, Body: io.NopCloser(&drip{r: &http.Request{}, bytes: 1 << 20, left: 1 << 30})}
	large := &http.Response{ContentLength: 1 << 40, Body: io.NopCloser(strings.NewReader("x"))}
	for _, c := range []struct {
		resp *http.Response
		want int64
	}{{endless, 5 << 20}, {large, 1}} {
		f := &transfer{limit: 4 << 20}
		if n, err := f.copy(io.Discard, c.resp); n != c.want || err == nil ||
			!strings.Contains(err.Error(), "a download may fill half of the disk's free space, 4194304 bytes") {
			t.Errorf("after %d bytes: %v", n, err)
		}
	}
	l := newLibrary(t)
	st, err := store.Open(t.Context(), l.o.Cache)
	if err != nil {
		t.Fatal(err)
	}
	limit, err := (&web{st: st}).limit()
	free, _, _ := st.Free()
	if err != nil || limit < free/4 || limit > free { // the disk has other users
		t.Errorf("the limit is %d, %v; %d bytes are free", limit, err, free)
	}
}

// TestEncodings: a text that travels compressed is the text; a document that is compressed
// stays so until it is unpacked; another encoding is refused.
func TestEncodings(t *testing.T) {
	l := newLibrary(t)
	for encoding, want := range map[string]string{"gzip": "", "br": `Content-Encoding "br"`} {
		l.header["Content-Encoding"] = encoding
		l.text = zipped(t, "To be")
		docs, err := Resolve(t.Context(), []string{l.url}, l.o)
		if want == "" && (err != nil || names(docs) != "hamlet.txt:5") || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %s, %v", encoding, names(docs), err)
		}
	}
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		w.Write([]byte(l.text))
	}))
	defer server.Close()
	l.o.Transport = server.Client().Transport
	docs, err := Resolve(t.Context(), []string{server.URL + "/hamlet.txt.gz"}, l.o)
	if err != nil || names(docs) != "hamlet.txt:5" {
		t.Errorf("a .gz: %s, %v", names(docs), err)
	}
}
