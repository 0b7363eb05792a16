package store

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestStatusError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // where the clock stands still
		date := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(http.TimeFormat) }
		for _, c := range []struct {
			code      int
			after     string
			transient bool
			want      time.Duration
		}{
			{404, "", false, 0},
			{408, "", true, 0},
			{429, "7", true, 7 * time.Second},
			{500, "soon", true, 0},
			{502, "-7", true, 0},
			{503, date(time.Minute), true, time.Minute},
			{503, date(-time.Minute), true, 0},
		} {
			err := StatusError(&http.Response{StatusCode: c.code, Status: "as it is", Header: http.Header{"Retry-After": {c.after}}})
			text := fmt.Sprintf("the server answered %d %s", c.code, http.StatusText(c.code))
			if got, _, _ := strings.Cut(err.Error(), ":"); got != text {
				t.Errorf("%d: %v, want %s", c.code, err, text)
			}
			var asks interface{ RetryAfter() time.Duration }
			if !errors.As(err, &asks) || asks.RetryAfter() != c.want ||
				Transient(err) != c.transient || errors.Is(err, ErrTransient) != c.transient {
				t.Errorf("%d, %q: %v, want transient %v and to wait %v", c.code, c.after, err, c.transient, c.want)
			}
		}
	})
}

// TestTransient: errors of a network, as packages net and net/http wrap them.
func TestTransient(t *testing.T) {
	for err, want := range map[error]bool{
		syscall.ECONNREFUSED: true, syscall.ECONNRESET: true, syscall.ETIMEDOUT: true, syscall.ENETUNREACH: true, syscall.ENETDOWN: true,
		syscall.EHOSTUNREACH: true, syscall.EHOSTDOWN: true, syscall.ESTALE: true, syscall.ENOENT: false, syscall.EACCES: false, syscall.ENOSPC: false,
	} {
		wrapped := fmt.Errorf("download: %w", &url.Error{Op: "Get", URL: "https://x", Err: &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", err)}})
		if Transient(wrapped) != want {
			t.Errorf("%v: transient %v, want %v", wrapped, !want, want)
		}
	}
	// An answer that is cut off may pass. A file that is cut off stays so.
	if err := fmt.Errorf("webhook: %w", &url.Error{Op: "Post", URL: "https://x", Err: io.ErrUnexpectedEOF}); !Transient(err) {
		t.Errorf("%v: not transient", err)
	}
	_, err := gzip.NewReader(strings.NewReader("\x1f\x8b\x08"))
	if err = fmt.Errorf("corpus: a.gz: %w", err); !errors.Is(err, io.ErrUnexpectedEOF) || Transient(err) {
		t.Errorf("%v: transient", err)
	}
}
