// Package web is how a command answers over HTTP: the address, the limits of a
// connection, the end, and Prometheus' metrics.
package web

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// An AddressError says why an address cannot be listened on.
type AddressError struct {
	Address string
	Why     string
	Err     error // of the system; nil: Address has another form
}

func (e *AddressError) Error() string {
	return fmt.Sprintf("web: cannot listen on %q: %s", e.Address, e.Why)
}

func (e *AddressError) Unwrap() error { return e.Err }

// Listen listens on a TCP address. Without a host, as in :9090, it is this machine's
// loopback, which nobody else can reach; 0.0.0.0:9090 is all of its addresses. Port 0 is
// a free port: the listener's Addr has it. The error is an *AddressError.
func Listen(address string) (net.Listener, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil || port == "" {
		return nil, &AddressError{Address: address, Why: "an address is HOST:PORT, or :PORT for this machine alone"}
	}
	if host == "" {
		host = "127.0.0.1"
	}
	l, err := net.Listen("tcp", net.JoinHostPort(host, port))
	if err == nil {
		return l, nil
	}
	why := err.Error()
	var unknown *net.DNSError
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		why = "another process listens there"
	case errors.Is(err, fs.ErrPermission):
		why = "this user may not listen on it: ports below 1024 are the administrator's"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		why = "this machine does not have the address " + host
	case errors.As(err, &unknown) && strings.HasPrefix(unknown.Err, "unknown port"), errors.As(err, new(*net.AddrError)):
		why = "its port is no number from 0 to 65535"
	case unknown != nil:
		why = "the host " + host + " is not known here"
	}
	return nil, &AddressError{address, why, err}
}

// Limits of a connection. A request of a monitor or of a program is small, and comes at
// once; an answer may take as long as a handler lets it.
const (
	idleTime   = 2 * time.Minute
	headerSize = 16 << 10
)

// Tests shorten these.
var (
	headerTime = 5 * time.Second
	readTime   = time.Minute
)

// Serve answers requests on l until ctx ends, then no new ones. It waits for those that
// are being answered up to grace, cuts them off, and closes l. It returns nil after the end of ctx.
// warn takes a line per failure of a connection; a handler that panics is one.
func Serve(ctx context.Context, l net.Listener, h http.Handler, grace time.Duration, warn func(format string, args ...any)) error {
	s := &http.Server{Handler: h, ReadHeaderTimeout: headerTime, ReadTimeout: readTime, IdleTimeout: idleTime, MaxHeaderBytes: headerSize,
		ErrorLog: log.New(lines(warn), "", 0)}
	ended := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
		defer cancel()
		err := s.Shutdown(ctx)
		if err != nil {
			s.Close()
		}
		ended <- nil
	})
	err := s.Serve(l)
	if stop() { // ctx has not ended
		return fmt.Errorf("web: %w", errors.Join(err, s.Close()))
	}
	return <-ended
}

// Loopback reports whether a Host header names this machine as only this machine can.
func Loopback(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback() || strings.EqualFold(host, "localhost")
}

// Local is h for a listener: where only this machine's programs reach it, no web page does
// that has given its own name this machine's address. Its requests have a foreign Host.
func Local(l net.Listener, h http.Handler) http.Handler {
	if a, ok := l.Addr().(*net.TCPAddr); !ok || !a.IP.IsLoopback() {
		return h
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !Loopback(r.Host) {
			http.Error(w, "requests for localhost alone are answered", http.StatusForbidden)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// lines is a writer that passes on each line of http.Server's.
type lines func(format string, args ...any)

func (l lines) Write(p []byte) (int, error) {
	first, _, _ := strings.Cut(strings.TrimSpace(string(p)), "\n") // without the stack of a panic
	l("web: %s", first)
	return len(p), nil
}

// NewRegistry returns a registry that has the metrics of this process and of Go's runtime.
func NewRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// Metrics answers with the metrics of a registry, to a few scrapes at a time.
func Metrics(r *prometheus.Registry) http.Handler {
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{Registry: r, MaxRequestsInFlight: 4, Timeout: 10 * time.Second})
}
