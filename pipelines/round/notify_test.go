package round

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quire-ml/quire/pipelines/internal/tiny"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/pipelines/gate"
	"github.com/quire-ml/quire/pipelines/report"
	"github.com/quire-ml/quire/runners/store"
)

// told collects what a webhook and a command are sent.
type told struct {
	posts   []News
	answers []int // statuses; none left: 200
	server  *httptest.Server
	file    string
}

func newTold(t *testing.T, c *configs.Config) *told {
	old := webhookRetry
	webhookRetry.Pause = time.Millisecond
	t.Cleanup(func() { webhookRetry = old })
	l := &told{file: filepath.Join(t.TempDir(), "told")}
	l.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var n News
		data, err := io.ReadAll(r.Body)
		if err != nil || json.Unmarshal(data, &n) != nil || r.Method != http.MethodPost {
			t.Errorf("%s with %s, %v", r.Method, data, err)
		}
		if len(l.answers) > 0 {
			w.WriteHeader(l.answers[0])
			l.answers = l.answers[1:]
			return
		}
		l.posts = append(l.posts, n)
	}))
	t.Cleanup(l.server.Close)
	c.Notify = configs.Notify{Webhook: l.server.URL + "/s3cr3t", Command: "cat >> " + l.file}
	return l
}

// want compares the events since the last call.
func (l *told) want(t *testing.T, events ...string) {
	t.Helper()
	var got []string
	for _, n := range l.posts {
		got = append(got, n.Event)
	}
	text, _ := os.ReadFile(l.file)
	var byCommand []string
	for d := json.NewDecoder(strings.NewReader(string(text))); ; {
		var n News
		if d.Decode(&n) != nil {
			break
		}
		byCommand = append(byCommand, n.Event)
	}
	if !slices.Equal(got, events) || !slices.Equal(byCommand, events) {
		t.Errorf("the webhook was told %q, the command %q, want %q", got, byCommand, events)
	}
	l.posts = nil
	os.Remove(l.file)
}

func TestNotify(t *testing.T) {
	c := tiny.Config(t, tiny.Line())
	c.Train.Epochs, c.Train.LR = 6, 0.02
	l := newTold(t, c)
	run := func() error {
		t.Helper()
		_, err := Run(t.Context(), c, Options{Runner: "direct", Console: tiny.Console()})
		return err
	}
	if err := run(); err != nil {
		t.Fatal(err)
	}
	if n := l.posts[0]; n.Checkpoint == "" || n.Nats == nil || n.Round == "" || n.Experiment != "quickstart" {
		t.Errorf("told %+v", n)
	}
	l.want(t, "promoted")
	if err := run(); err != nil {
		t.Fatal(err)
	}
	l.want(t) // nothing has happened

	good := c.Train
	c.Train.Epochs = 0
	if err := run(); !errors.Is(err, gate.ErrRefused) {
		t.Fatal(err)
	}
	l.want(t, "refused")
	if err := run(); !errors.Is(err, gate.ErrRefused) {
		t.Fatal(err)
	}
	l.want(t)

	c.Train = good
	c.Generate.Prompt = "ß"
	if err := run(); err == nil {
		t.Fatal("a prompt that the model does not know")
	}
	if n := l.posts[0]; n.Stage != "prompt" || n.Class != "user" || !strings.Contains(n.Message, "ß") {
		t.Errorf("told %+v", n)
	}
	l.want(t, "failed")
}

// TestNotifyFails: the round is what it is, and the warning has no secret.
func TestNotifyFails(t *testing.T) {
	c := tiny.Config(t, tiny.Line())
	c.Train.Epochs, c.Train.LR = 6, 0.02
	l := newTold(t, c)
	n := &News{Event: "failed"}
	l.answers = []int{503, 429, 500}
	if err := notify(t.Context(), c.Notify, n); err != nil {
		t.Errorf("after three errors that pass: %v", err)
	}
	l.want(t, "failed")
	for _, answers := range [][]int{{404}, {503, 503, 503, 503}} {
		l.answers = answers
		if err := notify(t.Context(), c.Notify, n); err == nil || strings.Contains(err.Error(), "s3cr3t") || len(l.answers) != 0 {
			t.Errorf("answers %v: %v", answers, err)
		}
	}
	l.server.Close()
	c.Notify.Command = "exit 7 # s3cr3t"
	var lines strings.Builder
	if _, err := Run(t.Context(), c, Options{Runner: "direct", Console: report.NewConsole(&lines, true)}); err != nil {
		t.Fatal(err)
	}
	if text := lines.String(); !strings.Contains(text, "notify.command: exit status 7") || !strings.Contains(text, "notify.webhook: ") ||
		strings.Contains(text, "s3cr3t") {
		t.Errorf("the warning is %q", text)
	}
}

// TestNotifyPauses: the end of the context ends a webhook's pause, but not the
// first attempt; and a server that asks for a long pause is not asked again.
func TestNotifyPauses(t *testing.T) {
	old := webhookRetry
	webhookRetry.Pause, webhookRetry.MaxPause = time.Hour, time.Hour
	t.Cleanup(func() { webhookRetry = old })
	ctx, stop := context.WithCancel(t.Context())
	webhookRetry.Waiting = func(int, time.Duration, error) { stop() }
	posts, after := 0, ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		posts++
		w.Header().Set("Retry-After", after)
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	t.Cleanup(server.Close)
	c := configs.Notify{Webhook: server.URL}
	for _, first := range []bool{true, false} { // it ends in the pause, or before
		done := make(chan error, 1)
		go func() { done <- notify(ctx, c, &News{Event: "failed"}) }()
		select {
		case err := <-done:
			if posts != 1 || first && !errors.Is(err, context.Canceled) || !first && !errors.Is(err, store.ErrTransient) {
				t.Errorf("first %v: %d posts, %v", first, posts, err)
			}
		case <-time.After(time.Minute):
			t.Fatal("the pause goes on after the end of the context")
		}
		posts = 0
	}
	after = "3601"
	if err := notify(t.Context(), c, &News{Event: "failed"}); posts != 1 || !errors.Is(err, store.ErrTransient) {
		t.Errorf("asked to wait longer than it would: %d posts, %v", posts, err)
	}
}

// TestNotifyWaits: a webhook or a command that does not end is named after a few seconds,
// with the time at which the wait ends; one that is quick is not.
func TestNotifyWaits(t *testing.T) {
	oldQuiet, oldTime := quietTime, commandTime
	t.Cleanup(func() { quietTime, commandTime = oldQuiet, oldTime })
	commandTime = 40 * time.Second
	said, answer := make(chan string, 1), make(chan bool)
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-answer }))
	t.Cleanup(server.Close)
	c := tiny.Config(t, tiny.Line())
	o := Options{Console: report.NewConsole(lineWriter(said), true)}
	for keys, n := range map[string]struct {
		notify  configs.Notify
		longest time.Duration // 4 attempts of 5 s, and 3 pauses of 10 s
	}{
		"notify.webhook":                    {configs.Notify{Webhook: server.URL}, 50 * time.Second},
		"notify.command and notify.webhook": {configs.Notify{Command: "true", Webhook: server.URL}, 90 * time.Second},
	} {
		quietTime = time.Millisecond
		c.Notify = n.notify
		began := time.Now().Truncate(time.Second)
		done := make(chan bool)
		go func() { tell(t.Context(), c, o, nil, errors.New("failed")); close(done) }()
		line, found := <-said, false
		for now := began; !now.After(time.Now()); now = now.Add(time.Second) {
			found = found || line == fmt.Sprintf("WARNING: round: waits for %s to be done, until %s at most\n", keys, now.Add(n.longest).Format(time.TimeOnly))
		}
		if !found {
			t.Errorf("%s: said %q", keys, line)
		}
		answer <- true
		<-done
	}
	quietTime = time.Hour
	c.Notify = configs.Notify{Command: "true"}
	tell(t.Context(), c, o, nil, errors.New("failed"))
	if len(said) != 0 {
		t.Errorf("said %q of a quick command", <-said)
	}
}

// lineWriter passes on what is written.
type lineWriter chan string

func (w lineWriter) Write(p []byte) (int, error) {
	w <- string(p)
	return len(p), nil
}
