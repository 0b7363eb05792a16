package corpus

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quire-ml/quire/runners/store"
)

// A library serves one text over https.
type library struct {
	*httptest.Server
	t      *testing.T
	text   string
	header map[string]string // of every answer
	cut    bool              // stops in the middle
	asked  []string          // conditions of each request

	o   *ResolveOptions
	url string
}

const modified = "Wed, 25 Nov 2026 03:00:00 GMT"

func newLibrary(t *testing.T) *library {
	l := &library{t: t, text: "To be, or not to be", header: map[string]string{}}
	l.Server = httptest.NewTLSServer(l)
	t.Cleanup(l.Close)
	l.o = &ResolveOptions{Cache: t.TempDir(), Transport: l.Client().Transport}
	l.url = l.URL + "/books/hamlet.txt?sig=s3cr3t"
	return l
}

func (l *library) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	tag, since := r.Header.Get("If-None-Match"), r.Header.Get("If-Modified-Since")
	l.asked = append(l.asked, strings.TrimSpace(tag+" "+since))
	for name, value := range l.header {
		w.Header().Set(name, value)
	}
	switch {
	case r.URL.Path != "/books/hamlet.txt":
		http.NotFound(w, r)
	case tag+since != "" && tag == l.header["Etag"] && since == l.header["Last-Modified"]:
		w.WriteHeader(http.StatusNotModified)
	case l.cut:
		w.Header().Set("Content-Length", fmt.Sprint(len(l.text)))
		io.WriteString(w, l.text[:5])
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	default:
		io.WriteString(w, l.text)
	}
}

// get resolves the source, and compares the document with what the library has and the
// conditions of the requests with asked.
func (l *library) get(asked ...string) Fetch {
	l.t.Helper()
	l.asked, l.o.Fetched = nil, nil
	docs, err := Resolve(l.t.Context(), []string{l.url}, l.o)
	if err != nil || names(docs) != fmt.Sprintf("hamlet.txt:%d", len(l.text)) || len(l.o.Fetched) != 1 {
		l.t.Fatalf("got %s, %+v, %v", names(docs), l.o.Fetched, err)
	}
	f := l.o.Fetched[0]
	sum := sha256.Sum256([]byte(l.text))
	if got, err := os.ReadFile(docs[0].Path); err != nil || string(got) != l.text || f.SHA256 != hex.EncodeToString(sum[:]) || f.SHA256 != docs[0].SHA256 {
		l.t.Errorf("got %q, %v, with %+v", got, err, f)
	}
	if f.Bytes != int64(len(l.text)) || f.Source != l.URL+"/books/hamlet.txt?(secret)" || time.Since(f.At) > time.Minute || f.At.Location() != time.UTC {
		l.t.Errorf("the fetch is %+v", f)
	}
	if !slices.Equal(l.asked, asked) {
		l.t.Errorf("asked with %q, want %q", l.asked, asked)
	}
	return f
}

// fails returns the error of the source.
func (l *library) fails() error {
	l.t.Helper()
	docs, err := Resolve(l.t.Context(), []string{l.url}, l.o)
	if err == nil || strings.Contains(err.Error(), "s3cr3t") {
		l.t.Fatalf("got %s, %v", names(docs), err)
	}
	return err
}

// copies returns the texts in the cache.
func (l *library) copies() (texts []string) {
	found, _ := filepath.Glob(filepath.Join(l.o.Cache, "*", "*"))
	for _, name := range found {
		if filepath.Base(name) != noteName {
			text, _ := os.ReadFile(name)
			texts = append(texts, string(text))
		}
	}
	slices.Sort(texts)
	return texts
}

// TestConditions: the server is asked every time, with the validators that it gave.
func TestConditions(t *testing.T) {
	for name, c := range map[string]struct {
		header    map[string]string
		condition string
		status    int
	}{
		"both":                 {map[string]string{"Etag": `"1"`, "Last-Modified": modified}, `"1" ` + modified, 304},
		"a tag":                {map[string]string{"Etag": `W/"1"`}, `W/"1"`, 304},
		"a time":               {map[string]string{"Last-Modified": modified}, modified, 304},
		"a time of 2 s ago":    {map[string]string{"Last-Modified": modified, "Date": "Wed, 25 Nov 2026 03:00:02 GMT"}, modified, 304},
		"a time of just now":   {map[string]string{"Last-Modified": modified, "Date": "Wed, 25 Nov 2026 03:00:01 GMT"}, "", 200},
		"a time without clock": {map[string]string{"Last-Modified": modified, "Date": "now"}, "", 200},
		"no time":              {map[string]string{"Last-Modified": "yesterday"}, "", 200},
		"none":                 {nil, "", 200},
	} {
		l := newLibrary(t)
		maps.Copy(l.header, c.header)
		if f := l.get(""); f.Status != 200 || f.ETag != c.header["Etag"] || f.LastModified != c.header["Last-Modified"] {
			t.Errorf("%s: the first fetch is %+v", name, f)
		}
		for range 2 {
			if f := l.get(c.condition); f.Status != c.status || f.ETag != c.header["Etag"] || f.LastModified != c.header["Last-Modified"] {
				t.Errorf("%s: a later fetch is %+v", name, f)
			}
		}
		if got := l.copies(); len(got) != 1 {
			t.Errorf("%s: %d copies of one text", name, len(got))
		}
		l.o.Verify = true
		if f := l.get(""); f.Status != 200 {
			t.Errorf("%s: to verify it is not downloaded: %+v", name, f)
		}
		// The next night's text.
		l.o.Verify, l.text = false, "To be, or not to be: that is the question"
		l.header["Etag"], l.header["Last-Modified"] = `"2"`, "Wed, 25 Nov 2026 02:00:00 GMT"
		if f := l.get(c.condition); f.Status != 200 || f.ETag != `"2"` || f.Unreliable {
			t.Errorf("%s: the fetch of another text is %+v", name, f)
		}
		if got := l.copies(); len(got) != 2 {
			t.Errorf("%s: a round may still read the text before: the copies are %q", name, got)
		}
	}
}

// TestLyingServer: the bytes count, not what the server says of them.
func TestLyingServer(t *testing.T) {
	const first, second = "To be, or not to be", "To be, or not to be: that is the question"
	for name, c := range map[string]struct {
		tag, length string // of a later answer 304
		time        string // likewise
		text        string // of a later answer 200
		tag200      string
		statuses    []int
		unreliable  bool
	}{
		"a true one":               {tag: `"1"`, length: "19", statuses: []int{304, 304}},
		"a weak tag":               {tag: `W/"1"`, statuses: []int{304, 304}},
		"304 about another tag":    {tag: `"2"`, text: second, tag200: `"2"`, statuses: []int{200, 304}},
		"304 about another time":   {tag: `"1"`, time: "Wed, 25 Nov 2026 02:00:00 GMT", text: second, tag200: `"2"`, statuses: []int{200, 304}},
		"304 about another length": {tag: `"1"`, length: "41", text: second, tag200: `"1"`, statuses: []int{200, 200}, unreliable: true},
	} {
		conditions, text, tag := "", first, `"1"`
		o := &ResolveOptions{Cache: t.TempDir(), Transport: page(func(r *http.Request) (*http.Response, error) {
			conditions = r.Header.Get("If-None-Match")
			if conditions != "" {
				return answer(304, "", "Etag", c.tag, "Content-Length", c.length, "Last-Modified", c.time), nil
			}
			return answer(200, text, "Etag", tag, "Content-Length", fmt.Sprint(len(text)), "Last-Modified", modified), nil
		})}
		for i, want := range append([]int{200}, c.statuses...) {
			if i == 1 && c.text != "" {
				text, tag = c.text, c.tag200
			}
			if i == 2 && c.tag200 == `"2"` {
				c.tag, c.time = tag, ""
			}
			o.Fetched = nil
			docs, err := Resolve(t.Context(), []string{"https://h.test/x"}, o)
			if err != nil {
				t.Fatal(err)
			}
			got, _ := os.ReadFile(docs[0].Path)
			if f := o.Fetched[0]; f.Status != want || string(got) != text || f.Unreliable != (c.unreliable && i > 0) ||
				f.Unreliable != strings.Contains(f.String(), "two texts with one ETag") {
				t.Errorf("%s: round %d: %+v with %q", name, i, f, got)
			}
		}
		if sent := conditions != ""; sent == c.unreliable {
			t.Errorf("%s: the last condition is %q", name, conditions)
		}
	}
}

// TestUnreliable: a server that has sent two texts with one ETag is not believed again.
func TestUnreliable(t *testing.T) {
	l := newLibrary(t)
	l.header["Etag"] = `"1"`
	l.get("")
	l.text, l.o.Verify = "another text", true
	l.get("")
	l.o.Verify, l.text, l.header["Etag"] = false, "a third text", `"2"`
	for range 2 {
		if f := l.get(""); f.Status != 200 || !f.Unreliable {
			t.Errorf("the fetch is %+v", f)
		}
	}
}

// TestPinned: a copy with the expected sha256 needs no server; one that was damaged does.
func TestPinned(t *testing.T) {
	l := newLibrary(t)
	sum := sha256.Sum256([]byte(l.text))
	l.o.SHA256 = strings.ToUpper(hex.EncodeToString(sum[:]))
	l.get("")
	if f := l.get(); f.Status != 0 {
		t.Errorf("got %+v", f)
	}
	docs, err := Resolve(t.Context(), []string{l.url}, l.o)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(docs[0].Path, []byte("To bee, or not to b"), 0o644); err != nil {
		t.Fatal(err)
	}
	if f := l.get(""); f.Status != 200 {
		t.Errorf("a damaged copy: got %+v", f)
	}
	zeros := strings.Repeat("0", 64)
	l.o.SHA256, l.text = zeros, "To bee, or not to bee"
	sum2 := sha256.Sum256([]byte(l.text))
	if err := l.fails(); !strings.Contains(err.Error(), hex.EncodeToString(sum2[:])) || !strings.Contains(err.Error(), zeros) {
		t.Errorf("other sha256: %v", err)
	}
	if got := l.copies(); slices.Contains(got, l.text) {
		t.Errorf("a text that nobody wants is kept: %q", got)
	}
	l.Close()
	l.text = "To be, or not to be"
	l.o.SHA256 = hex.EncodeToString(sum[:])
	if f := l.get(); f.Status != 0 {
		t.Errorf("no network: got %+v", f)
	}
}

// TestNoNetwork: without the server there is no document, unless a person says so: the
// error has the path of the copy.
func TestNoNetwork(t *testing.T) {
	l := newLibrary(t)
	l.header["Etag"] = `"1"`
	l.Close()
	if err := l.fails(); !errors.Is(err, store.ErrTransient) || !strings.HasSuffix(err.Error(), "this may pass; until then, use a local file") {
		t.Errorf("no copy: %v", err)
	}
	l.Server = httptest.NewTLSServer(l)
	l.o.Transport, l.url = l.Client().Transport, l.URL+"/books/hamlet.txt?sig=s3cr3t"
	l.get("")
	l.Close()
	err := l.fails()
	_, file, _ := strings.Cut(err.Error(), " UTC is ")
	if text, rerr := os.ReadFile(file); !errors.Is(err, store.ErrTransient) || rerr != nil || string(text) != l.text {
		t.Errorf("a copy: %v", err)
	}
}

// TestNoHost: a host that does not exist is a mistake, unless a download from it was possible before.
func TestNoHost(t *testing.T) {
	l := newLibrary(t)
	transport := l.o.Transport
	for _, c := range []struct {
		dns  net.DNSError
		want string
	}{
		{net.DNSError{Err: "no such host", Name: "libary.test", IsNotFound: true}, "no host has the name libary.test"},
		{net.DNSError{Err: "server misbehaving", Name: "library.test", IsTemporary: true}, ""},
		{net.DNSError{Err: "i/o timeout", Name: "library.test", IsTimeout: true}, ""},
	} {
		l.o.Transport = page(func(*http.Request) (*http.Response, error) {
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: &c.dns}
		})
		err := l.fails()
		var field *FieldError
		if store.Transient(err) != (c.want == "") || !strings.HasSuffix(err.Error(), c.want) || !errors.As(err, &field) || field.Field != Sources {
			t.Errorf("%v: %v", &c.dns, err)
		}
		if c.want == "" {
			continue
		}
		failing := l.o.Transport
		l.o.Transport = transport
		l.get("")
		l.o.Transport = failing
		if err := l.fails(); !store.Transient(err) {
			t.Errorf("with a copy: %v", err)
		}
		l.o.Cache = t.TempDir()
	}
}

// TestUntrusted: a server with another's certificate stays so, however often it is asked.
func TestUntrusted(t *testing.T) {
	l := newLibrary(t)
	l.o.Transport = &http.Transport{}
	if err := l.fails(); errors.Is(err, store.ErrTransient) || !strings.Contains(err.Error(), "certificate") || len(l.asked) > 0 {
		t.Errorf("asked %q: %v", l.asked, err)
	}
}

// TestHTML: a page in the place of a text, such as one to sign in, is told of.
func TestHTML(t *testing.T) {
	l := newLibrary(t)
	var said []string
	ctx := store.WithNotices(t.Context(), func(line string) { said = append(said, line) })
	for kind, want := range map[string][]string{
		"text/plain; charset=utf-8": nil,
		"text/html; charset=utf-8":  {"corpus: " + l.URL + "/books/hamlet.txt?(secret): the server sends HTML; look whether it is the text"},
	} {
		l.header["Content-Type"], said = kind, nil
		if _, err := Resolve(ctx, []string{l.url}, l.o); err != nil || !slices.Equal(said, want) {
			t.Errorf("%s: said %q, %v", kind, said, err)
		}
	}
}

// TestCut: a download that is cut off leaves nothing, and may pass.
func TestCut(t *testing.T) {
	l := newLibrary(t)
	l.cut = true
	if err := l.fails(); !strings.Contains(err.Error(), "stopped after 5 bytes") || !errors.Is(err, store.ErrTransient) {
		t.Errorf("got %v", err)
	}
	left, _ := filepath.Glob(filepath.Join(l.o.Cache, "*", "*"))
	hidden, _ := filepath.Glob(filepath.Join(l.o.Cache, "*", ".*"))
	if len(left)+len(hidden) > 0 {
		t.Errorf("it left %q %q", left, hidden)
	}
	l.cut = false
	l.get("")
	l.url = l.URL + "/lost.txt?s3cr3t"
	if err := l.fails(); !strings.HasSuffix(err.Error(), "lost.txt?(secret): the server answered 404 Not Found") {
		t.Errorf("lost: %v", err)
	}
}

// TestCopies: copies that no round can be reading are deleted, with the document of an
// earlier program.
func TestCopies(t *testing.T) {
	l := newLibrary(t)
	var all []string
	for i, text := range []string{"one", "two", "three"} {
		l.text, l.header["Etag"] = text, fmt.Sprint(i)
		l.get(map[bool]string{true: "", false: fmt.Sprint(i - 1)}[i == 0])
		all, _ = filepath.Glob(filepath.Join(l.o.Cache, "*", "*-hamlet.txt"))
		for _, file := range all {
			if err := os.Chtimes(file, time.Time{}, time.Now().Add(-25*time.Hour)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := l.copies(); !slices.Equal(got, []string{"three", "two"}) {
		t.Errorf("the copies are %q", got)
	}
	put(t, filepath.Dir(all[0]), "hamlet.txt", "the document itself")
	l.text, l.header["Etag"] = "four", "4"
	l.get("2")
	if got := l.copies(); !slices.Equal(got, []string{"four", "the document itself", "three"}) {
		t.Errorf("a copy of today may be another process's: the copies are %q", got)
	}
}

// TestKeepConflict: of two processes that note their downloads at the same time, neither fails, and
// the copies of both stay. Another failure to note is an error.
func TestKeepConflict(t *testing.T) {
	for _, cause := range []error{store.ErrConflict, errors.New("the disk is on fire")} {
		dir := t.TempDir()
		for name, age := range map[string]time.Duration{"ours": 0, "theirs": time.Hour, "old": 25 * time.Hour} {
			d := put(t, dir, name, "a text")
			if err := os.Chtimes(d.Path, time.Time{}, time.Now().Add(-age)); err != nil {
				t.Fatal(err)
			}
		}
		st, err := store.Open(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		faulty := st.WithFaults(func(op, name string) error {
			if op == "commit" && name == noteName {
				return fmt.Errorf("%s: %w", name, cause)
			}
			return nil
		})
		err = (&web{dir: dir, st: faulty}).keep(t.Context(), &note{Copy: "ours"})
		if conflict := cause == store.ErrConflict; (err == nil) != conflict || !conflict && !errors.Is(err, cause) {
			t.Errorf("%v: %v", cause, err)
		}
		left, _ := filepath.Glob(filepath.Join(dir, "*"))
		if want := map[bool]int{true: 2, false: 3}[err == nil]; len(left) != want {
			t.Errorf("%v: %q are left", cause, left)
		}
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A page answers requests.
type page func(r *http.Request) (*http.Response, error)

func (p page) RoundTrip(r *http.Request) (*http.Response, error) { return p(r) }

// answer returns an answer with headers, by name and value.
func answer(status int, text string, headers ...string) *http.Response {
	h := http.Header{}
	for i := 0; i < len(headers); i += 2 {
		h.Set(headers[i], headers[i+1])
	}
	return &http.Response{StatusCode: status, Header: h, ContentLength: -1, Body: io.NopCloser(strings.NewReader(text))}
}
