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
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/model/train"
	"github.com/quire-ml/quire/pipelines/gate"
	"github.com/quire-ml/quire/runners/workflow"
	"github.com/quire-ml/quire/transforms/vocab"
)

// TestNews holds the JSON of each event, and the rounds that are no news.
func TestNews(t *testing.T) {
	c := &configs.Config{Name: "mine", Workdir: "work"}
	loss := value("evaluate", "evaluation", `{"nats_per_char":1.25}`)
	promoted, decided := value("promote", "promotion", `{"checkpoint":"runs/a/best"}`), value("jury", "decision", `{"passed":false}`)
	skipped, skippedDecision, none := promoted, decided, value("promote", "promotion", `{"checkpoint":""}`)
	skipped.Action, skippedDecision.Action = workflow.ActionSkip, workflow.ActionSkip
	no := fmt.Errorf("round: %w: too bad", gate.ErrRefused)
	broken := &workflow.Failure{Stage: "train", Class: "transient", Message: "short"}
	for name, c2 := range map[string]struct {
		stages []workflow.StageRecord
		error  *workflow.Failure
		failed error
		want   string
	}{
		"promoted": {stages: []workflow.StageRecord{loss, promoted},
			want: `{"event":"promoted","experiment":"mine","round":"r","checkpoint":"work/runs/a/best","nats_per_char":1.25}`},
		"promoted before": {stages: []workflow.StageRecord{loss, skipped}, want: "null"},
		"not promoted":    {stages: []workflow.StageRecord{loss, none}, want: "null"},
		"without promote": {stages: []workflow.StageRecord{loss}, want: "null"},
		"refused": {stages: []workflow.StageRecord{loss, decided}, failed: no,
			want: `{"event":"refused","experiment":"mine","round":"r","stage":"jury","class":"refused","message":"` + no.Error() + `","nats_per_char":1.25}`},
		"refused before": {stages: []workflow.StageRecord{loss, skippedDecision}, failed: no, want: "null"},
		"failed": {error: broken, failed: errors.New("long"),
			want: `{"event":"failed","experiment":"mine","round":"r","stage":"train","class":"transient","message":"long"}`},
		"interrupted":      {failed: train.ErrInterrupted, want: "null"},
		"cancelled":        {failed: fmt.Errorf("prep: %w", context.Canceled), want: "null"},
		"a wrong choice":   {failed: workflow.SelectionError{}, want: "null"},
		"failed in no one": {failed: errors.New("disk"), want: `{"event":"failed","experiment":"mine","round":"r","message":"disk"}`},
	} {
		got, err := json.Marshal(news(c, &workflow.Record{Round: "r", Stages: c2.stages, Error: c2.error}, c2.failed))
		if err != nil || string(got) != c2.want {
			t.Errorf("%s: the news are\n%s, %v, want\n%s", name, got, err, c2.want)
		}
	}
	if n := news(c, nil, errors.New("disk")); n == nil || n.Round != "" || n.Event != "failed" {
		t.Errorf("without a record the news are %+v", n)
	}
}

// TestRedirects: no redirect of a webhook is followed. It is an error that says so, and
// that has neither the address nor the one that it leads to.
func TestRedirects(t *testing.T) {
	var followed, posts int
	end := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { followed++ }))
	defer end.Close()
	var status int
	var to string
	start := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		posts++
		if user, password, _ := r.BasicAuth(); user != "us3r" || password != "s3cr3t" || r.Header.Get("Referer") != "" {
			t.Errorf("the headers are %v", r.Header)
		}
		w.Header().Set("Location", to)
		w.WriteHeader(status)
	}))
	defer start.Close()
	hook := strings.Replace(start.URL, "://", "://us3r:s3cr3t@", 1) + "/s3cr3t?s3cr3t#s3cr3t"
	for _, to = range []string{end.URL + "/s3cr3t", "/s3cr3t", "http://[s3cr3t", ""} {
		for _, status = range []int{300, 301, 302, 303, 304, 307, 308} {
			want := fmt.Sprintf("round: notify.webhook: the server answered %d %s, a redirect, which is not followed: use the address that it leads to",
				status, http.StatusText(status))
			if err := notify(t.Context(), configs.Notify{Webhook: hook}, &News{}); err == nil || err.Error() != want {
				t.Errorf("%d to %q: %v", status, to, err)
			}
		}
	}
	if followed != 0 || posts != 4*7 {
		t.Errorf("%d posts, %d of them redirected", posts, followed)
	}
	if err := post(t.Context(), ":s3cr3t", nil); err == nil || err.Error() != "not a URL that can be posted to" {
		t.Errorf("no URL: %v", err)
	}
	start.Close()
	fast := webhookRetry
	webhookRetry.Attempts = 1
	defer func() { webhookRetry = fast }()
	if err := notify(t.Context(), configs.Notify{Webhook: hook}, &News{}); err == nil || strings.Contains(err.Error(), "s3cr3t") {
		t.Errorf("without a server: %v", err)
	}
}

// TestMessage: an error says once what to do, also where it has come by the scheduler.
func TestMessage(t *testing.T) {
	o, broken := Options{Remedy: func(error) string { return "; mend it" }}, errors.New("it is broken")
	for err, want := range map[error]string{
		broken: "it is broken; mend it", fmt.Errorf("a: %w", broken): "a: it is broken; mend it",
		fmt.Errorf("schedule: %w", &explained{broken, o.message(broken)}): "schedule: it is broken; mend it",
	} {
		if got := o.message(err); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if got := (Options{}).message(broken); got != "it is broken" {
		t.Errorf("without remedies: %q", got)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestNotifyTimes: a webhook that never answers is left after 5 s, and a command that
// does not end is killed. The clock of the webhook is that of the bubble.
func TestNotifyTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		posts := 0
		old := webhookTransport
		webhookTransport = roundTrip(func(r *http.Request) (*http.Response, error) {
			posts++
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		defer func() { webhookTransport = old }()
		began := time.Now()
		err := post(t.Context(), "http://hook.test/s3cr3t", nil)
		if took := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || took != 5*time.Second || posts != 1 {
			t.Errorf("%d posts in %v: %v", posts, took, err)
		}
	})
	old := commandTime
	commandTime = 20 * time.Millisecond
	defer func() { commandTime = old }()
	err := notify(t.Context(), configs.Notify{Command: "exec sleep 600"}, &News{})
	if want := "round: notify.command: the command ran longer than 20ms, and was killed"; err == nil || err.Error() != want {
		t.Errorf("the error is %v, want %s", err, want)
	}
}

// TestCommandChildren: a command that takes too long is killed with the processes that it
// has started. Each holds a pipe open: the pipe ends with the last of them.
func TestCommandChildren(t *testing.T) {
	old := commandTime
	commandTime = 2 * time.Second
	defer func() { commandTime = old }()
	var wait sync.WaitGroup
	for name, command := range map[string]string{
		"waits for a child":  "sleep 600; true",
		"waits for a pipe":   "sleep 600 | cat",
		"left a grandchild":  "sh -c 'sleep 600 & sleep 600 & wait'",
		"ignores a hangup":   "trap '' HUP TERM INT; sleep 600; sleep 600",
		"does not read news": "exec 0<&-; sleep 600; true",
	} {
		fifo := filepath.Join(t.TempDir(), "alive")
		if err := syscall.Mkfifo(fifo, 0o600); err != nil {
			t.Fatal(err)
		}
		pipe, err := os.OpenFile(fifo, os.O_RDWR, 0) // so that no opening waits
		if err != nil {
			t.Fatal(err)
		}
		reader, err := os.Open(fifo)
		if err != nil {
			t.Fatal(err)
		}
		defer reader.Close()
		wait.Go(func() {
			err := tellCommand(t.Context(), "exec 3>"+fifo+"; echo began >&3; "+command, []byte("news"))
			if err == nil || err.Error() != "the command ran longer than 2s, and was killed" {
				t.Errorf("%s: %v", name, err)
			}
			pipe.Close()
			if err := reader.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
				t.Error(err)
			}
			if said, err := io.ReadAll(reader); err != nil || string(said) != "began\n" {
				t.Errorf("%s: it said %q, and a minute after its end a process holds its pipe: %v", name, said, err)
			}
		})
	}
	wait.Wait()
}

func TestClass(t *testing.T) {
	for want, err := range map[string]error{
		"refused":     fmt.Errorf("x: %w", gate.ErrRefused),
		"interrupted": fmt.Errorf("x: %w", train.ErrInterrupted),
		"user":        fmt.Errorf("x: %w", &vocab.CharError{}),
		"":            errors.New("x"),
	} {
		if got := class(err); got != want {
			t.Errorf("the class of %v is %q, want %q", err, got, want)
		}
	}
	if got := class(&configs.Error{}); got != "user" {
		t.Errorf("the class of an error of the config is %q", got)
	}
}
