package round

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
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
		"promoted":         {stages: []workflow.StageRecord{loss, promoted}, want: `{"event":"promoted","experiment":"mine","round":"r","checkpoint":"work/runs/a/best","nats_per_char":1.25}`},
		"promoted before":  {stages: []workflow.StageRecord{loss, skipped}, want: "null"},
		"not promoted":     {stages: []workflow.StageRecord{loss, none}, want: "null"},
		"without promote":  {stages: []workflow.StageRecord{loss}, want: "null"},
		"refused":          {stages: []workflow.StageRecord{loss, decided}, failed: no, want: `{"event":"refused","experiment":"mine","round":"r","stage":"jury","class":"refused","message":"` + no.Error() + `","nats_per_char":1.25}`},
		"refused before":   {stages: []workflow.StageRecord{loss, skippedDecision}, failed: no, want: "null"},
		"failed":           {error: broken, failed: errors.New("long"), want: `{"event":"failed","experiment":"mine","round":"r","stage":"train","class":"transient","message":"long"}`},
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

// TestRedirects: 307 and 308 repeat the POST elsewhere, and do not tell where from; the
// others would lose it, and are an error.
func TestRedirects(t *testing.T) {
	var got []string
	end := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = append(got, r.Method+" "+string(body)+r.Header.Get("Referer"))
	}))
	defer end.Close()
	var status, turns int
	start := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		turns++
		to := end.URL
		if strings.HasSuffix(r.URL.Path, "/round") {
			to = r.URL.Path
		}
		http.Redirect(w, r, to, status)
	}))
	defer start.Close()
	for status = range map[int]bool{301: true, 302: true, 303: true, 307: true, 308: true} {
		got = nil
		err := post(t.Context(), start.URL+"/s3cr3t", []byte("news"))
		if status >= 307 && (err != nil || len(got) != 1 || got[0] != "POST news") {
			t.Errorf("%d: %q, %v", status, got, err)
		}
		if status < 307 && (err == nil || len(got) != 0 || err.Error() != fmt.Sprintf("the server answered %d %s", status, http.StatusText(status))) {
			t.Errorf("%d: %q, %v", status, got, err)
		}
	}
	status, turns = 307, 0
	if err := post(t.Context(), start.URL+"/round", nil); err == nil || turns != 10 {
		t.Errorf("redirects in a circle: %d turns, %v", turns, err)
	}
	if err := post(t.Context(), ":s3cr3t", nil); err == nil || err.Error() != "not a URL that can be posted to" {
		t.Errorf("no URL: %v", err)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestNotifyTimes: a webhook that never answers is left after 10 s, and a command that
// does not end is killed. The clock of the webhook is that of the bubble.
func TestNotifyTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		posts := 0
		webhookClient.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
			posts++
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		defer func() { webhookClient.Transport = nil }()
		began := time.Now()
		err := post(t.Context(), "http://hook.test/s3cr3t", nil)
		if took := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || took != 10*time.Second || posts != 1 {
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
