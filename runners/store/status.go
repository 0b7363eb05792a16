package store

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// statusError is the error of an HTTP answer.
type statusError struct {
	status    string
	transient bool
	after     time.Duration
}

// StatusError returns the error of an HTTP answer without success. It wraps ErrTransient
// for the statuses 408, 429 and 5xx. Its method RetryAfter() time.Duration returns the
// wait that the server asks for; 0 for none.
func StatusError(resp *http.Response) error {
	code := resp.StatusCode
	// The phrase is ours: the server's is any text, and may repeat a secret of the request.
	e := &statusError{status: strings.TrimSpace(fmt.Sprint(code, " ", http.StatusText(code)))}
	e.transient = code == http.StatusRequestTimeout || code == http.StatusTooManyRequests || code >= 500
	after := resp.Header.Get("Retry-After")
	if seconds, err := strconv.Atoi(after); err == nil {
		e.after = time.Duration(max(seconds, 0)) * time.Second
	} else if date, err := http.ParseTime(after); err == nil {
		e.after = max(time.Until(date), 0)
	}
	return e
}

func (e *statusError) Error() string {
	if e.transient {
		return "the server answered " + e.status + ": " + ErrTransient.Error()
	}
	return "the server answered " + e.status
}

func (e *statusError) Is(target error) bool { return e.transient && target == ErrTransient }

func (e *statusError) RetryAfter() time.Duration { return e.after }
