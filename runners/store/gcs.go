package store

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"cloud.google.com/go/storage"
	"golang.org/x/oauth2"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/iterator"
	"google.golang.org/api/option"
	htransport "google.golang.org/api/transport/http"
)

// Times of the calls to Cloud Storage. Tests shorten them.
type timing struct {
	attempt  time.Duration // one attempt: a range of up to rangeBytes, a chunk, a request
	call     time.Duration // all attempts of one, and of those that follow it in an outage
	first    time.Duration // the same for a service that has not answered this process yet
	probe    time.Duration // least time of an attempt
	quiet    time.Duration // a wait that nobody is told of, and the least time between two notices
	pause    time.Duration // after the first failure, doubled up to
	pauseMax time.Duration // this; each is multiplied by a random ½…1½
}

// A bucket that is gone for good must be an error within two minutes, also where a stage is
// tried three times.
var defaultTiming = timing{attempt: 45 * time.Second, call: 90 * time.Second, first: 50 * time.Second, probe: 5 * time.Second,
	quiet: 5 * time.Second, pause: 200 * time.Millisecond, pauseMax: 10 * time.Second}

const (
	pageObjects = 1000             // of one answer to list
	deletions   = 10               // attempts, while others replace the object
	lookTime    = 10 * time.Second // in which an upload that failed is looked for
)

// A gcs keeps objects in a bucket of Cloud Storage, by its JSON interface.
type gcs struct {
	name   string
	client *storage.Client
	bucket *storage.BucketHandle
	timing timing
	outage *outage // of the service
}

// announce warns, once per process, that gs:// objects are not Google's.
var announce = sync.OnceFunc(func() {
	fmt.Fprintf(os.Stderr, "store: STORAGE_EMULATOR_HOST is set: ALL gs:// objects are those of %s, NOT of Google Cloud Storage\n",
		os.Getenv("STORAGE_EMULATOR_HOST"))
})

func openGCS(ctx context.Context, bucket string) (*gcs, error) {
	auth := option.WithScopes(storage.ScopeReadWrite)
	if os.Getenv("STORAGE_EMULATOR_HOST") != "" {
		announce()
		auth = option.WithoutAuthentication()
	}
	base := http.DefaultTransport.(*http.Transport).Clone()
	base.ResponseHeaderTimeout = defaultTiming.attempt
	base.MaxIdleConnsPerHost = 100
	ctx = context.WithoutCancel(ctx) // tokens are fetched long after Open
	// A request for a token does not end with the attempt that needs it.
	ctx = context.WithValue(ctx, oauth2.HTTPClient, &http.Client{Timeout: defaultTiming.attempt / 2})
	transport, err := htransport.NewTransport(ctx, base, auth)
	if err != nil {
		return nil, fmt.Errorf("sign in to Google Cloud (gcloud auth application-default login): %w", err)
	}
	client, err := storage.NewClient(ctx, option.WithHTTPClient(&http.Client{Transport: transport}), storage.WithJSONReads())
	if err != nil {
		return nil, err
	}
	// The client retries nothing by itself, except in resumable uploads.
	client.SetRetry(storage.WithPolicy(storage.RetryNever))
	return &gcs{name: bucket, client: client, bucket: client.Bucket(bucket), timing: defaultTiming,
		outage: outageOf(os.Getenv("STORAGE_EMULATOR_HOST"))}, nil
}

func (g *gcs) close() error { return g.client.Close() }

func (g *gcs) join(name string) string {
	return strings.TrimSuffix("gs://"+g.name+"/"+name, "/")
}

// try calls f until it succeeds, fails for good, or the time of a call is over.
func (g *gcs) try(ctx context.Context, f func(ctx context.Context) error) (err error) {
	began := time.Now()
	defer g.tellWait(ctx)()
	pause := g.timing.pause
	for n := 1; ; n++ {
		start := time.Now()
		left := max(g.outage.end(ctx, began, g.timing).Sub(start), g.timing.probe)
		attempt, cancel := context.WithTimeout(ctx, min(g.timing.attempt, left))
		err = f(attempt)
		late := attempt.Err() != nil
		cancel()
		if err == nil || !retryable(err) && !late {
			g.answered(ctx)
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		g.outage.failed(start, g.timing, gcsError(err))
		if time.Now().Add(pause).After(g.outage.end(ctx, began, g.timing)) {
			attempts := fmt.Sprintf("%d attempts", n)
			if n == 1 {
				attempts = "1 attempt"
			}
			return passing{fmt.Errorf("gave up after %s in %v: %w", attempts, time.Since(began).Round(time.Millisecond), gcsError(err))}
		}
		if err := Wait(ctx, jitter(pause)); err != nil {
			return err
		}
		pause = min(2*pause, g.timing.pauseMax)
	}
}

// tellWait gives Notice a line if the call still waits after the quiet time. The call ends
// with stop.
func (g *gcs) tellWait(ctx context.Context) (stop func()) {
	began := time.Now()
	timer := time.AfterFunc(g.timing.quiet, func() {
		end := g.outage.end(ctx, began, g.timing)
		if !end.After(time.Now()) {
			return
		}
		if cause, tell := g.outage.tell(g.timing); tell {
			Notice(ctx, "store: %s: Cloud Storage has not answered for %v%s; tries until %s",
				g.join(""), g.timing.quiet, because(cause), end.Format(time.TimeOnly))
		}
	})
	return func() { timer.Stop() }
}

func because(cause string) string {
	if cause == "" || cause == noReply {
		return ""
	}
	return " (" + cause + ")"
}

// answered notes that the service has answered.
func (g *gcs) answered(ctx context.Context) {
	if g.outage.answer() {
		Notice(ctx, "store: %s: Cloud Storage answers again", g.join(""))
	}
}

func jitter(d time.Duration) time.Duration { return d/2 + rand.N(d+1) }

// retryable reports whether another attempt may succeed: after HTTP status 408, 429 or
// 5xx, a lost connection, a timeout, or without a network.
func retryable(err error) bool {
	var timeout net.Error
	var token *oauth2.RetrieveError
	if errors.As(err, &token) && token.Response != nil {
		code := token.Response.StatusCode
		return code == http.StatusRequestTimeout || code == http.StatusTooManyRequests || code >= 500
	}
	return err != nil && (storage.ShouldRetry(err) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.As(err, &timeout) && timeout.Timeout() || slices.ContainsFunc(away, func(e error) bool { return errors.Is(err, e) }))
}

// away are the errors of a network that is down, and of a file system on it.
var away = []error{syscall.ENETUNREACH, syscall.ENETDOWN, syscall.EHOSTUNREACH, syscall.EHOSTDOWN, syscall.ESTALE}

// ErrTransient is wrapped by errors of other packages' network calls for which
// Transient holds.
var ErrTransient = errors.New("this may pass")

// passing is an error that wraps ErrTransient, in its own words.
type passing struct{ error }

func (passing) Is(target error) bool { return target == ErrTransient }
func (p passing) Unwrap() error      { return p.error }

// Transient reports whether a call that failed with err may succeed later: after HTTP
// status 408, 429 or 5xx, a lost connection, a timeout, or without a network.
func Transient(err error) bool {
	var call *url.Error
	// Readers of formats say so of bytes that are cut off, and these stay so.
	cut := errors.Is(err, io.ErrUnexpectedEOF) && !errors.As(err, &call)
	return errors.Is(err, ErrTransient) || !cut && retryable(err)
}

// hasStatus reports whether err is an answer with an HTTP status.
func hasStatus(err error, status int) bool {
	var api *googleapi.Error
	if status == http.StatusNotFound && (errors.Is(err, storage.ErrObjectNotExist) || errors.Is(err, storage.ErrBucketNotExist)) {
		return true
	}
	return errors.As(err, &api) && api.Code == status
}

const noReply = "no answer"

// An answer is the service's error, in one line.
type answer struct {
	text string
	err  error
}

func (a *answer) Error() string { return a.text }
func (a *answer) Unwrap() error { return a.err }

// gcsError turns an error of the client into one in the words of this package.
func gcsError(err error) error {
	var api *googleapi.Error
	var done *answer
	var timeout net.Error
	var token *oauth2.RetrieveError
	var request *url.Error
	switch {
	case err == nil || errors.Is(err, ErrConflict) || errors.Is(err, ErrNotExist) || errors.As(err, &done):
		return err
	case errors.Is(err, storage.ErrBucketNotExist):
		return fmt.Errorf("%w: there is no such bucket", ErrNotExist)
	case hasStatus(err, http.StatusNotFound):
		return ErrNotExist
	case errors.As(err, &timeout) && timeout.Timeout():
		return &answer{text: noReply, err: err}
	case errors.As(err, &token) && token.Response != nil:
		return &answer{text: tokenError(token), err: err}
	case errors.As(err, &api):
		text := strings.Join(strings.Fields(api.Message), " ")
		if text == "" {
			text = http.StatusText(api.Code)
		}
		text = fmt.Sprintf("Cloud Storage answers %d: %s", api.Code, text)
		if api.Code == http.StatusForbidden {
			text += "; grant the account a role on the bucket that allows it"
		}
		return &answer{text: text, err: err}
	case errors.As(err, &request):
		return &answer{text: request.Err.Error(), err: err} // the address is in the error of the object
	}
	return err
}

// tokenError is gcsError for an answer without a token.
func tokenError(e *oauth2.RetrieveError) string {
	text := fmt.Sprintf("no token for Cloud Storage: %s answers %d", e.Response.Request.URL.Host, e.Response.StatusCode)
	var body struct {
		Error       string
		Description string `json:"error_description"`
	}
	if err := json.Unmarshal(e.Body, &body); err == nil && body.Error != "" {
		text += ": " + strings.Join(strings.Fields(cmp.Or(body.Description, body.Error)), " ")
	}
	if !retryable(e) {
		text += "; sign in again (gcloud auth application-default login), or use another key"
	}
	return text
}

func gcsInfo(a *storage.ObjectAttrs) Info {
	return Info{Name: a.Name, Bytes: a.Size, Generation: strconv.FormatInt(a.Generation, 10), Changed: a.Updated}
}

// attrs returns the metadata of an object.
func (g *gcs) attrs(ctx context.Context, name string) (a *storage.ObjectAttrs, err error) {
	err = g.try(ctx, func(ctx context.Context) error {
		a, err = g.bucket.Object(name).Attrs(ctx)
		return err
	})
	return a, gcsError(err)
}

func (g *gcs) stat(ctx context.Context, name string) (Info, error) {
	a, err := g.attrs(ctx, name)
	if err != nil {
		return Info{}, err
	}
	return gcsInfo(a), nil
}

func (g *gcs) list(ctx context.Context, prefix string) ([]Info, error) {
	q := &storage.Query{Prefix: prefix}
	if err := q.SetAttrSelection([]string{"Name", "Size", "Generation", "Updated"}); err != nil {
		return nil, err
	}
	var infos []Info
	for token := ""; ; {
		var page []*storage.ObjectAttrs
		var next string
		err := g.try(ctx, func(ctx context.Context) (err error) {
			page = nil
			next, err = iterator.NewPager(g.bucket.Objects(ctx, q), pageObjects, token).NextPage(&page)
			return err
		})
		if hasStatus(err, http.StatusNotFound) {
			return nil, fmt.Errorf("%w: there is no such bucket", ErrNotExist)
		}
		if err != nil {
			return nil, gcsError(err)
		}
		for _, a := range page {
			// A name that ends with a slash is a console's idea of a folder.
			if !strings.HasSuffix(a.Name, "/") && !slices.ContainsFunc(strings.Split(a.Name, "/"), hidden) {
				infos = append(infos, gcsInfo(a))
			}
		}
		if token = next; token == "" {
			break
		}
	}
	slices.SortFunc(infos, func(a, b Info) int { return strings.Compare(a.Name, b.Name) })
	return infos, nil
}

func (g *gcs) delete(ctx context.Context, name, want string) error {
	for range deletions {
		target := want
		if want == "" {
			info, err := g.stat(ctx, name)
			if errors.Is(err, ErrNotExist) {
				return nil
			}
			if err != nil {
				return err
			}
			target = info.Generation
		}
		o, err := g.at(name, target)
		if err != nil {
			return err
		}
		err = g.try(ctx, o.Delete)
		if err == nil || hasStatus(err, http.StatusNotFound) {
			return nil
		}
		if !hasStatus(err, http.StatusPreconditionFailed) {
			return gcsError(err)
		}
		info, err := g.stat(ctx, name)
		if errors.Is(err, ErrNotExist) {
			return nil // the reply to an attempt that succeeded was lost
		}
		if err != nil {
			return err
		}
		if want != "" {
			return conflictGeneration(info.Generation, want)
		}
	}
	return fmt.Errorf("%w: it is replaced faster than it can be deleted", ErrConflict)
}

// at returns a handle whose calls fail unless the object has the generation.
func (g *gcs) at(name, generation string) (*storage.ObjectHandle, error) {
	n, err := strconv.ParseInt(generation, 10, 64)
	if err != nil || n <= 0 {
		return nil, fmt.Errorf("%w: %q is no generation of Cloud Storage", ErrConflict, generation)
	}
	return g.bucket.Object(name).If(storage.Conditions{GenerationMatch: n}), nil
}
