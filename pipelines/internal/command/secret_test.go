package command_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// A website serves the text of a lab over https to those who know its secrets, and takes
// notices.
type website struct {
	*lab
	server *httptest.Server
	env    []string
	source string

	mu      sync.Mutex
	text    string
	to      string // where the text has moved; empty: it is here
	asked   []string
	notices bytes.Buffer
}

const theSecret = "s3cr3t"

func newWebsite(t *testing.T) *website {
	if runtime.GOOS == "darwin" {
		t.Skip("a process on macOS takes no certificates from SSL_CERT_FILE")
	}
	w := &website{lab: newLab(t), text: text(3000)}
	w.server = httptest.NewTLSServer(http.HandlerFunc(w.serve))
	t.Cleanup(w.server.Close)
	certificate := filepath.Join(w.dir, "certificate.pem")
	w.write(certificate, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.server.Certificate().Raw})))
	w.source = strings.Replace(w.server.URL, "://", "://me:"+theSecret+"@", 1) + "/text.txt?sig=" + theSecret + "#" + theSecret
	w.env = []string{"SSL_CERT_FILE=" + certificate, "XDG_CACHE_HOME=" + filepath.Join(w.dir, "cache"), "QUIRE_CORPUS_SOURCES=" + w.source,
		"QUIRE_NOTIFY_WEBHOOK=" + w.server.URL + "/" + theSecret, "QUIRE_NOTIFY_COMMAND=cat >> " + filepath.Join(w.work, "told") + " # " + theSecret}
	return w
}

func (w *website) serve(resp http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if r.URL.Path == "/"+theSecret {
		io.Copy(&w.notices, r.Body)
		return
	}
	_, password, _ := r.BasicAuth()
	w.asked = append(w.asked, r.Header.Get("If-None-Match"))
	tag := fmt.Sprintf(`"%d"`, len(w.text))
	resp.Header().Set("ETag", tag)
	switch {
	case password != theSecret || r.URL.RawQuery != "sig="+theSecret || r.Header.Get("Referer") != "":
		http.Error(resp, theSecret, http.StatusForbidden)
	case w.to != "":
		http.Redirect(resp, r, w.to, http.StatusFound)
	case r.Header.Get("If-None-Match") == tag:
		resp.WriteHeader(http.StatusNotModified)
	default:
		io.WriteString(resp, w.text)
	}
}

// runs runs a child, whose output must not have the secret and must have the parts.
func (w *website) runs(code int, parts []string, args ...string) {
	w.t.Helper()
	c := w.lab.child(args...)
	c.Env = append(c.Env, w.env...)
	w.judge(c, code, parts...)
}

func (w *website) judge(c *exec.Cmd, code int, parts ...string) {
	w.t.Helper()
	o := w.finish(c)
	if o.code != code || strings.Contains(o.stdout+o.stderr, theSecret) {
		w.t.Errorf("want exit code %d and no secret\n%v", code, o)
	}
	for _, part := range parts {
		if !strings.Contains(o.stdout+o.stderr, part) {
			w.t.Errorf("want %q\n%v", part, o)
		}
	}
}

// TestSecrets runs rounds of a text at a URL with secrets, and looks for these in every byte
// that they leave. It is a text that changes, that stays, and that cannot be had.
func TestSecrets(t *testing.T) {
	w := newWebsite(t)
	shown := strings.Replace(w.server.URL, "://", "://(secret)@", 1) + "/text.txt?(secret)#(secret)"
	w.runs(0, []string{shown + ": downloaded, 3000 bytes", "promoted"}, "run")
	w.runs(0, []string{shown + ": unchanged (304)", "nothing to do"}, "run")
	w.runs(0, []string{shown + ": unchanged (304)"}, "plan", "--json")
	w.runs(0, []string{shown + ": downloaded"}, "plan", "--verify")
	w.text = text(3500)
	w.runs(0, []string{shown + ": downloaded, 3500 bytes"}, "retrain", "--once", "--slot", "2025-01-01T03:00:00Z")
	w.runs(0, []string{shown + ": unchanged (304), 3500 bytes", "nothing new"}, "retrain", "--once", "--slot", "2025-01-02T03:00:00Z")
	for day, status := range map[string]int{"01": 200, "02": 304} {
		sum := sha256.Sum256([]byte(w.text))
		record := strings.Join(strings.Fields(w.read(filepath.Join(w.work, "rounds", "202501"+day+"T030000Z.json"))), "")
		for _, part := range []string{fmt.Sprintf(`"fetched":[{"source":%q,"at":"20`, shown),
			fmt.Sprintf(`Z","status":%d,"etag":"\"3500\"","bytes":3500,"sha256":"%x"}]`, status, sum)} {
			if !strings.Contains(record, part) {
				t.Errorf("the record of day %s has no %s", day, part)
			}
		}
	}
	for _, command := range []string{"config", "config --json", "config explain corpus.sources", "runs list --json", "runs show 20250102T030000Z", "prep --out " + w.work + "/other", "inspect " + w.work + "/other"} {
		w.runs(0, nil, strings.Fields(command)...)
	}

	plain := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("https became http") }))
	defer plain.Close()
	w.to = plain.URL + "/" + theSecret
	w.runs(1, []string{shown + ": the server redirects (302) from https to http, which is not followed"}, "run")
	w.to = ""
	old := w.source
	w.env = append(w.env, "QUIRE_CORPUS_SOURCES="+strings.Replace(old, "sig", "other", 1))
	w.runs(1, []string{shown + ": the server answered 403 Forbidden"}, "run")
	w.runs(1, []string{"the server answered 403 Forbidden"}, "retrain", "--once", "--slot", "2025-01-03T03:00:00Z")
	for source, want := range map[string]string{
		strings.Replace(old, "https", "http", 1):      "unknown scheme http://",
		strings.Replace(old, "https://", "ftp://", 1): "unknown scheme ftp://",
		strings.Replace(old, "://", ":/", 1):          "a URL begins with https://",
		"https://me:" + theSecret + "/@h/x":           "https://(secret): not a URL",
		" " + old + ", none.txt":                      "none.txt",
	} {
		w.env = append(w.env, "QUIRE_CORPUS_SOURCES="+source)
		w.runs(1, []string{want, "corpus.sources"}, "plan")
	}
	w.env = append(w.env, "QUIRE_CORPUS_SOURCES="+old)
	address := "https://me:" + theSecret + "@h/x?" + theSecret
	w.runs(1, []string{"https://(secret)@h/x?(secret)"}, "generate", "--checkpoint", address)
	w.runs(1, []string{"https://(secret)@h?(secret)"}, "plan", "--set", "workdir="+strings.Replace(address, "/x", "", 1))

	w.text = ""
	w.runs(1, []string{shown + ": the corpus has 0 bytes"}, "run")
	w.env = append(w.env, "QUIRE_CORPUS_SOURCES="+strings.Replace(old, "://", ":/", 1)) // no URL of an engine's
	w.runs(2, []string{"source https://(secret) is on this machine"}, "prep", "--runner", "dataflow")
	w.env = append(w.env, "QUIRE_CORPUS_SOURCES="+old)
	w.server.Close()
	w.runs(1, []string{shown + ": ", "until then, use a local file: the copy of 20"}, "run", "--set", "round.attempts=1")
	if w.notices.Len() == 0 || strings.Contains(w.notices.String(), theSecret) {
		t.Errorf("the webhook was told %s", w.notices.String())
	}
	files := 0
	for _, dir := range []string{w.work, filepath.Join(w.dir, "cache")} {
		for _, name := range w.files(dir) {
			files++
			if text := w.read(filepath.Join(dir, name)); strings.Contains(text+name, theSecret) {
				t.Errorf("%s/%s has the secret", dir, name)
			}
		}
	}
	if files < 30 {
		t.Errorf("there are only %d files", files)
	}
}

// TestProxy: a source is asked for through the proxy of the environment, and the proxy's
// password is in no error.
func TestProxy(t *testing.T) {
	w := newWebsite(t)
	connected, secret := "", ""
	proxy := httptest.NewServer(http.HandlerFunc(func(resp http.ResponseWriter, r *http.Request) {
		connected, secret = r.Method+" "+r.Host, r.Header.Get("Proxy-Authorization")
		to, err := net.Dial("tcp", w.server.Listener.Addr().String())
		if err != nil {
			t.Error(err)
			return
		}
		defer to.Close()
		from, _, err := http.NewResponseController(resp).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer from.Close()
		io.WriteString(from, "HTTP/1.1 200 OK\r\n\r\n")
		go io.Copy(to, from)
		io.Copy(from, to)
	}))
	defer proxy.Close()
	address := "https://me:" + theSecret + "@example.com/text.txt?sig=" + theSecret // the certificate's name
	w.env = append(w.env, "QUIRE_CORPUS_SOURCES="+address, "HTTPS_PROXY="+strings.Replace(proxy.URL, "://", "://us:"+theSecret+"@", 1))
	w.runs(0, []string{"https://(secret)@example.com/text.txt?(secret): downloaded, 3000 bytes"}, "plan")
	if want := "Basic " + base64.StdEncoding.EncodeToString([]byte("us:"+theSecret)); connected != "CONNECT example.com:443" || secret != want {
		t.Errorf("the proxy was asked to %s, with %s", connected, secret)
	}
	proxy.Close()
	w.runs(1, []string{"proxyconnect", "local file"}, "plan")
}
