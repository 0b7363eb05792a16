package serve

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/quire-ml/quire/pipelines/serve/completion"
	"github.com/quire-ml/quire/pipelines/web"
)

// Keys are the digests of the keys that clients have.
type Keys [][sha256.Size]byte

const shortest = 16 // characters of a key

// ParseKeys reads the keys of a file: one a line, lines that are empty or begin with #
// apart. Errors do not show them.
func ParseKeys(file []byte) (keys Keys, err error) {
	for n, line := range strings.Split(string(file), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if strings.ContainsFunc(line, func(c rune) bool { return c <= ' ' || c > '~' }) {
			return nil, fmt.Errorf("serve: line %d: a key has printable ASCII characters alone, and no spaces", n+1)
		}
		if len(line) < shortest {
			return nil, fmt.Errorf("serve: line %d: a key has %d characters, at least %d are needed", n+1, len(line), shortest)
		}
		keys = append(keys, sha256.Sum256([]byte(line)))
	}
	if keys.none() {
		return nil, errors.New("serve: there is no key")
	}
	return keys, nil
}

func (k Keys) none() bool { return len(k) == 0 }

// has compares with every key, in a time that tells nothing about them.
func (k Keys) has(key string) bool {
	sum, found := sha256.Sum256([]byte(key)), 0
	for _, other := range k {
		found |= subtle.ConstantTimeCompare(sum[:], other[:])
	}
	return found == 1
}

// guard decides who may ask.
type guard struct {
	keys    Keys
	origins []string
}

func newGuard(keys Keys, origins []string) (g guard, err error) {
	for _, o := range origins {
		u, err := url.Parse(o)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || o != u.Scheme+"://"+u.Host {
			return g, fmt.Errorf("serve: the origin %q is not of the form https://example.org", o)
		}
	}
	return guard{keys, origins}, nil
}

// refuse returns why a request may not be answered. Without keys the server trusts the
// programs of this machine, but no web page that a browser of this machine shows: its
// requests have a foreign Origin, or, where it has given its name this machine's address, a
// foreign Host.
func (g *guard) refuse(r *http.Request) *completion.Error {
	denied := func(code, format string, args ...any) *completion.Error {
		return &completion.Error{Status: http.StatusForbidden, Type: completion.InvalidRequest, Code: code, Message: fmt.Sprintf(format, args...)}
	}
	if g.keys.none() && !web.Loopback(r.Host) {
		return denied("host_not_allowed", "without keys the server answers requests for localhost alone")
	}
	if o := r.Header.Values("Origin"); len(o) > 1 || len(o) == 1 && !g.same(o[0], r.Host) && !g.foreign(o[0]) {
		return denied("origin_not_allowed", "web pages of this origin may not use the server")
	}
	if g.keys.none() || r.URL.Path == "/healthz" {
		return nil
	}
	if key, ok := keyOf(r); !ok || !g.keys.has(key) {
		return &completion.Error{Status: http.StatusUnauthorized, Type: completion.InvalidRequest, Code: "invalid_api_key",
			Message: "a key is needed: Authorization: Bearer KEY"}
	}
	return nil
}

// keyOf returns the key of a request: a bearer token, or the password of a browser.
func keyOf(r *http.Request) (string, bool) {
	if _, password, ok := r.BasicAuth(); ok {
		return password, true
	}
	scheme, key, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.TrimSpace(key), ok && strings.EqualFold(scheme, "Bearer")
}

// same reports whether an origin is the server itself, under the name that was asked.
func (g *guard) same(origin, host string) bool {
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && strings.EqualFold(u.Host, host)
}

// foreign reports whether an origin is one of those that may use the server.
func (g *guard) foreign(origin string) bool { return slices.Contains(g.origins, origin) }

// cors lets pages of the given origins read the answer. It reports true for the question
// that a browser asks before, which it has answered.
func (g *guard) cors(w http.ResponseWriter, r *http.Request) (answered bool) {
	if len(g.origins) == 0 {
		return false
	}
	h := w.Header()
	h.Add("Vary", "Origin")
	origin := r.Header.Get("Origin")
	if !g.foreign(origin) {
		return false
	}
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Expose-Headers", "Retry-After")
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	h.Set("Access-Control-Allow-Methods", "GET, POST")
	h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type")
	h.Set("Access-Control-Max-Age", "600")
	w.WriteHeader(http.StatusNoContent)
	return true
}
