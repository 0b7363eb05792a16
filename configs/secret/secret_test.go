package secret

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestURL(t *testing.T) {
	for in, want := range map[string]string{
		"https://h/x.txt":                         "https://h/x.txt",
		"https://h:8443/a/b@1.2/x.txt":            "https://h:8443/a/b@1.2/x.txt",
		"https://me:s3cr3t@h/x":                   "https://(secret)@h/x",
		"https://s3cr3t@h:8443":                   "https://(secret)@h:8443",
		"https://h/x?sig=s3cr3t":                  "https://h/x?(secret)",
		"https://h?s3cr3t":                        "https://h?(secret)",
		"https://h/x?sig=s3cr3t with a \"space\"": "https://h/x?(secret)",
		"https://h/x#s3cr3t":                      "https://h/x#(secret)",
		"https://a:s3cr3t@[::1]:1/%20?s3cr3t#s3":  "https://(secret)@[::1]:1/%20?(secret)#(secret)",
		"HTTPS://s3cr3t@h/x":                      "HTTPS://(secret)@h/x",
		"ftp://me:s3cr3t@h/x?s3cr3t":              "ftp://(secret)@h/x?(secret)",
		"https://me:s3/cr3t@h/x":                  "https://(secret)", // its port is no number
		"https://me:s3%zzcr3t@h/x":                "https://(secret)",
		"https:/me:s3cr3t@h/x":                    "https://(secret)",
		"http:/me:s3cr3t@h/x":                     "http://(secret)",
		"https:///me:s3cr3t@h/x":                  "https://(secret)",
		"https://(secret)@h/x?(secret)":           "https://(secret)@h/x?(secret)",
		"gs://bucket/a?.txt#1":                    "gs://bucket/a?.txt#1",
		"file:///tmp/x":                           "file:///tmp/x",
		"corpus/a?.txt":                           "corpus/a?.txt",
		"notes: see https://h/x?y":                "notes: see https://h/x?(secret)",
		" https://me:s3cr3t@h/x":                  " https://(secret)@h/x",
		"C:/corpus?/x":                            "C:/corpus?/x",
		"":                                        "",
	} {
		if got := URL(in); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}

func TestText(t *testing.T) {
	for in, want := range map[string]string{
		`proxy "http://me:s3cr3t@p:3128" is wrong, https://h/x?s3cr3t too`: `proxy "http://(secret)@p:3128" is wrong, https://h/x?(secret) too`,
		"[https://s3cr3t@h/x gs://b/a?.txt]":                               "[https://(secret)@h/x gs://b/a?.txt]",
		"at https://h/x#s3cr3t, and http:/h?s3cr3t":                        "at https://h/x#(secret) and http://(secret)",
		"none: a://": "none: a://",
	} {
		if got := Text(in); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}

func TestError(t *testing.T) {
	err := fmt.Errorf("https://s3cr3t@h: %w", fs.ErrNotExist)
	if got := Error(err); got.Error() != "https://(secret)@h: file does not exist" || !errors.Is(got, fs.ErrNotExist) {
		t.Errorf("got %v", got)
	}
	if got := Error(fs.ErrNotExist); got != fs.ErrNotExist {
		t.Errorf("got %v", got)
	}
}

func TestKey(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	write := func(text string) string {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return "file:" + file
	}
	b64 := func(n int) string { return base64.StdEncoding.EncodeToString(make([]byte, n)) }
	for _, text := range []string{"whsec_" + b64(24), "whsec_" + b64(64), write(" whsec_" + b64(24) + "\n")} {
		if key, err := Key(text); err != nil || len(key) < 24 {
			t.Errorf("%s: %d bytes, %v", text, len(key), err)
		}
	}
	for _, text := range []string{"", b64(32), "whsec_" + b64(23), "whsec_" + b64(65), "whsec_s3cr3t", write("whsec_s3cr3t"), write("file:" + file)} {
		if key, err := Key(text); err == nil || strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("%s: %d bytes, %v", text, len(key), err)
		}
	}
	if _, err := Key("file:" + file + ".none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
}
