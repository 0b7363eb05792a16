package store

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestToken: where the service that gives tokens does not, the error names it, and says whether it
// may pass.
func TestToken(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	answering := func(status int, text string) string {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			w.Write([]byte(text))
		}))
		t.Cleanup(server.Close)
		return server.URL
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("STORAGE_EMULATOR_HOST", "")
	defer func(t timing) { defaultTiming = t }(defaultTiming)
	defaultTiming.call, defaultTiming.first, defaultTiming.probe = 100*time.Millisecond, 100*time.Millisecond, 10*time.Second
	for url, want := range map[string]struct {
		says   string
		passes bool
	}{
		"http://" + closed.Addr().String(): {"", true},
		answering(400, `{"error": "invalid_grant", "error_description": "Invalid JWT\nSignature."}`): {
			" answers 400: Invalid JWT Signature.; sign in again (gcloud auth application-default login), or use another key", false},
		answering(401, `{"error": "invalid_client"}`): {" answers 401: invalid_client; sign in again", false},
		answering(403, `no JSON`):                     {" answers 403; sign in again", false},
		answering(429, ``):                            {" answers 429", true},
		answering(503, `no JSON`):                     {" answers 503", true},
	} {
		file := filepath.Join(t.TempDir(), "key.json")
		data, err := json.Marshal(map[string]string{"type": "service_account", "client_email": "a@b.test", "private_key_id": "1", "token_uri": url,
			"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", file)
		s, err := Open(ctx, "gs://bucket/run")
		if err == nil {
			s.d.(*gcs).outage = &outage{}
			_, err = s.Stat(ctx, "o")
		}
		if err == nil || !strings.Contains(err.Error(), strings.TrimPrefix(url, "http://")+want.says) || Transient(err) != want.passes ||
			strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "PRIVATE") {
			t.Errorf("%s: %v", url, err)
		}
	}
}
