package round

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os/exec"
	"time"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/pipelines/gate"
	"github.com/quire-ml/quire/pipelines/promotion"
	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/runners/workflow"
)

// News is what notify.command reads and notify.webhook is sent, as JSON.
type News struct {
	Event      string   `json:"event"` // failed, refused or promoted
	Experiment string   `json:"experiment"`
	Round      string   `json:"round"` // empty: it failed before it had a record
	Stage      string   `json:"stage,omitempty"`
	Class      string   `json:"class,omitempty"`
	Message    string   `json:"message,omitempty"`
	Checkpoint string   `json:"checkpoint,omitempty"` // path of the promoted one
	Nats       *float64 `json:"nats_per_char,omitempty"`
}

// news is what a round has to tell; nil: nothing. An interrupted round goes on,
// and what a skipped stage came to was told when it ran.
func news(c *configs.Config, r *workflow.Record, failed error) *News {
	var wrong workflow.SelectionError
	if errors.As(failed, &wrong) {
		return nil // somebody is there who reads it
	}
	n := &News{Experiment: c.Name}
	if r != nil {
		n.Round = r.Round
		var e text.EvaluateResult
		if s := r.Stage("evaluate"); s != nil && s.Digest != "" && json.Unmarshal(s.Value, &e) == nil {
			n.Nats = &e.NatsPerChar
		}
	}
	ran := func(stage string) bool {
		s := r.Stage(stage)
		return s != nil && s.Action == workflow.ActionRun
	}
	switch {
	case failed == nil:
		var p promotion.Promoted
		if !ran("promote") || json.Unmarshal(r.Stage("promote").Value, &p) != nil || p.Checkpoint == "" {
			return nil
		}
		n.Event, n.Checkpoint = "promoted", text.Locate(c.Workdir, p.Checkpoint)
	case errors.Is(failed, gate.ErrRefused):
		if !ran("gate") {
			return nil
		}
		n.Event, n.Stage, n.Class, n.Message = "refused", "gate", refused, failed.Error()
	case class(failed) == workflow.Interrupted || errors.Is(failed, context.Canceled):
		return nil
	default:
		n.Event, n.Message = "failed", failed.Error()
		if r != nil && r.Error != nil {
			n.Stage, n.Class = r.Error.Stage, r.Error.Class
		}
	}
	return n
}

// Times of a notification. Tests shorten them.
var (
	commandTime = time.Minute
	webhookTime = 10 * time.Second
	webhookWait = time.Second // before the second attempt; it doubles
)

const webhookAttempts = 4

// notify tells of n by the command and the webhook. Its errors have neither,
// which may hold secrets. It is for the end of a round: a process that dies
// before has told nobody.
func notify(ctx context.Context, c configs.Notify, n *News) error {
	data, err := json.Marshal(n)
	if err != nil {
		return fmt.Errorf("round: notify: %w", err)
	}
	var errs []error
	if c.Command != "" {
		if err := tellCommand(ctx, c.Command, data); err != nil {
			errs = append(errs, fmt.Errorf("round: notify.command: %w", err))
		}
	}
	if c.Webhook != "" {
		if err := tellWebhook(ctx, c.Webhook, data); err != nil {
			errs = append(errs, fmt.Errorf("round: notify.webhook: %w", err))
		}
	}
	return errors.Join(errs...)
}

// tellCommand runs a shell command with data as its standard input. What it
// prints goes nowhere.
func tellCommand(ctx context.Context, command string, data []byte) error {
	ctx, cancel := context.WithTimeout(ctx, commandTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", command)
	cmd.Stdin, cmd.WaitDelay = bytes.NewReader(data), time.Second
	err := cmd.Run()
	if ctx.Err() != nil {
		return fmt.Errorf("it did not end in %v, and was killed", commandTime)
	}
	return err
}

// tellWebhook posts data, again where the error may pass.
func tellWebhook(ctx context.Context, webhook string, data []byte) (err error) {
	wait := webhookWait
	for attempt := 1; ; attempt++ {
		if err = post(ctx, webhook, data); err == nil || attempt == webhookAttempts || !store.Transient(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
		wait *= 2
	}
}

func post(ctx context.Context, webhook string, data []byte) error {
	ctx, cancel := context.WithTimeout(ctx, webhookTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, webhook, bytes.NewReader(data))
	if err != nil {
		return errors.New("it is not a URL that can be posted to")
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err // without the URL
	}
	if err != nil {
		return err
	}
	resp.Body.Close()
	switch code := resp.StatusCode; {
	case code < 300:
		return nil
	case code == http.StatusRequestTimeout || code == http.StatusTooManyRequests || code >= 500:
		return fmt.Errorf("the server answered %s: %w", resp.Status, store.ErrTransient)
	}
	return fmt.Errorf("the server answered %s", resp.Status)
}
