package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/quire-ml/quire/runners/store"
)

// callTime bounds a call of kubectl that waits for nothing.
const callTime = time.Minute

// A kubectlError says that kubectl has failed.
type kubectlError struct {
	verb string // get, apply, …
	said string // on standard error, in one line
	err  error  // of its process
}

func (e *kubectlError) Error() string {
	if e.said == "" {
		return fmt.Sprintf("kubectl %s: %v", e.verb, e.err)
	}
	return fmt.Sprintf("kubectl %s: %s", e.verb, e.said)
}

func (e *kubectlError) Unwrap() error { return e.err }

// says reports whether kubectl has said one of these.
func (e *kubectlError) says(parts ...string) bool {
	for _, p := range parts {
		if strings.Contains(e.said, p) {
			return true
		}
	}
	return false
}

// call runs kubectl in the namespace and returns its standard output. It is not part of
// this process's group: Ctrl-C on the terminal is ours to pass on.
func (k *kubernetes) call(ctx context.Context, limit time.Duration, input []byte, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	words := args
	if k.namespace != "" {
		words = append([]string{"--namespace", k.namespace}, args...)
	}
	c := exec.CommandContext(ctx, k.kubectl, words...)
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Env = append(os.Environ(), "LC_ALL=C")
	c.WaitDelay = 5 * time.Second
	c.Stdin = bytes.NewReader(input)
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	err := c.Run()
	if err == nil {
		return stdout.Bytes(), nil
	}
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return stdout.Bytes(), &kubectlError{verb: args[0], said: oneLine(stderr.String()), err: err}
}

// oneLine joins the lines of a message.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// explain turns the error of kubectl into one that says what to do, where that is known.
func (k *kubernetes) explain(err error) error {
	var e *kubectlError
	if !errors.As(err, &e) {
		return err
	}
	c := &CheckError{Node: k.String(), Said: e.Error()}
	switch {
	case errors.Is(e.err, exec.ErrNotFound), errors.Is(e.err, os.ErrNotExist):
		c.Reason, c.Said = NoLauncher, e.err.Error()
	case e.says("(Forbidden)", "forbidden", "You must be logged in", "(Unauthorized)"):
		c.Reason = Forbidden
	case errors.Is(e.err, context.DeadlineExceeded), e.says(unreachable...):
		c.Reason = Unreachable
	case e.says("error validating data", "strict decoding error", "is invalid", "error parsing", "unable to decode", "unknown field", "no matches for kind"):
		c.Reason = BadTemplate
	case e.says(`namespaces "`) && e.says("not found"):
		c.Reason = NoNamespace
	default:
		return fmt.Errorf("node: %s: %w", k, err)
	}
	return c
}

// unreachable are texts of kubectl about an API server that does not answer now.
var unreachable = []string{"Unable to connect to the server", "connection refused", "i/o timeout", "no such host", "TLS handshake timeout",
	"was refused - did you specify the right host or port", "connection reset", "the server is currently unable", "(ServiceUnavailable)",
	"(InternalError)", "(TooManyRequests)", "(Timeout)", "etcdserver", "unexpected EOF", "network is unreachable"}

// passes reports whether a call may succeed later.
func (k *kubernetes) passes(err error) bool { return errors.Is(k.explain(err), store.ErrTransient) }
