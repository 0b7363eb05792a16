package round

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/configs/secret"
	"github.com/quire-ml/quire/pipelines/gate"
	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/runners/workflow"
)

// News is the JSON that notify.command reads and notify.webhook is sent.
type News struct {
	Event      string   `json:"event"` // failed, refused or promoted
	Experiment string   `json:"experiment"`
	Round      string   `json:"round"` // empty: the round failed before it had a record
	Stage      string   `json:"stage,omitempty"`
	Class      string   `json:"class,omitempty"`
	Message    string   `json:"message,omitempty"`
	Checkpoint string   `json:"checkpoint,omitempty"` // path of the promoted model
	Nats       *float64 `json:"nats_per_char,omitempty"`
}

// news returns the news of a round; nil: none. An interrupted round goes on later,
// and the result of a skipped stage was news when the stage ran.
func news(c *configs.Config, r *workflow.Record, failed error) *News {
	var wrong workflow.SelectionError
	if errors.As(failed, &wrong) {
		return nil // a person has just typed the selection
	}
	n := &News{Experiment: c.Name}
	if r != nil {
		n.Round = r.Round
		if e, s, err := EvaluationArtifact.Recorded(r); s != nil && err == nil {
			n.Nats = &e.NatsPerChar
		}
	}
	switch {
	case failed == nil:
		p, s, err := PromotionArtifact.Recorded(r)
		if s == nil || s.Action != workflow.ActionRun || err != nil || p.Checkpoint == "" {
			return nil
		}
		n.Event, n.Checkpoint = "promoted", store.Locate(c.Workdir, p.Checkpoint)
	case errors.Is(failed, gate.ErrRefused):
		_, s, err := DecisionArtifact.Recorded(r)
		if s == nil || s.Action != workflow.ActionRun || err != nil {
			return nil
		}
		n.Event, n.Stage, n.Class, n.Message = "refused", s.Name, refused, failed.Error()
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

// tell notifies of the news of a round; r is nil where it has no record.
func tell(ctx context.Context, c *configs.Config, o Options, r *workflow.Record, failed error) {
	n := news(c, r, failed)
	if n == nil {
		return
	}
	if n.Message != "" {
		n.Message = o.message(failed)
	}
	defer sayWait(c.Notify, o)()
	if err := notify(ctx, c.Notify, n); err != nil {
		o.Console.Warn("%v", err)
	}
}

// sayWait warns if notices take more than a few seconds. They are delivered with stop.
func sayWait(c configs.Notify, o Options) (stop func()) {
	var keys []string
	longest := time.Now()
	if c.Command != "" {
		keys, longest = append(keys, "notify.command"), longest.Add(commandTime)
	}
	if c.Webhook != "" {
		attempts := time.Duration(webhookRetry.Attempts)
		keys, longest = append(keys, "notify.webhook"), longest.Add(attempts*webhookTime+(attempts-1)*webhookRetry.MaxPause)
	}
	timer := time.AfterFunc(quietTime, func() {
		o.Console.Warn("round: waits for %s to be done, until %s at most", strings.Join(keys, " and "), longest.Format(time.TimeOnly))
	})
	return func() { timer.Stop() }
}

// webhookTime bounds one attempt at a webhook.
const webhookTime = 5 * time.Second

// commandTime bounds notify.command, and quietTime is the wait of which nobody is told.
// Tests shorten them.
var commandTime, quietTime = time.Minute, 3 * time.Second

// webhookTransport sends one request. It follows no redirect: a redirected POST may become
// a GET without the news, and its Referer would be the URL. Tests replace it.
var webhookTransport = http.DefaultTransport

// webhookRetry says how a webhook is tried again. Tests shorten its pauses.
var webhookRetry = workflow.Retry{Attempts: 4, Pause: time.Second, MaxPause: 10 * time.Second, Transient: store.Transient}

// notify sends n to the command and the webhook, once each also where ctx has
// ended. Errors omit both values: they may hold secrets. A process that dies
// before the end of its round notifies nobody.
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

// tellCommand runs a shell command with data as its standard input. Its output is
// dropped. A command that takes too long is killed with all processes of its group: those
// that it has started, unless they have left the group.
func tellCommand(ctx context.Context, command string, data []byte) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commandTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", command)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.Stdin, cmd.WaitDelay = bytes.NewReader(data), time.Second
	err := cmd.Run()
	if ctx.Err() != nil {
		return fmt.Errorf("the command ran longer than %v, and was killed", commandTime)
	}
	return err
}

// tellWebhook posts data, again after transient errors until ctx ends.
func tellWebhook(ctx context.Context, webhook string, data []byte) error {
	_, err := webhookRetry.Do(ctx, func() error { return post(context.WithoutCancel(ctx), webhook, data) })
	return err
}

// post posts data once. Its errors have no part of the URL but the name of the host.
func post(ctx context.Context, webhook string, data []byte) error {
	ctx, cancel := context.WithTimeout(ctx, webhookTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, webhook, bytes.NewReader(data))
	if err != nil {
		return errors.New("not a URL that can be posted to")
	}
	req.Header.Set("Content-Type", "application/json")
	if u := req.URL.User; u != nil {
		password, _ := u.Password()
		req.SetBasicAuth(u.Username(), password)
	}
	resp, err := webhookTransport.RoundTrip(req)
	if err != nil {
		return secret.Error(err) // such as that of a proxy's address
	}
	resp.Body.Close()
	switch {
	case resp.StatusCode >= 300 && resp.StatusCode < 400:
		return fmt.Errorf("%w, a redirect, which is not followed: use the address that it leads to", store.StatusError(resp))
	case resp.StatusCode >= 400:
		return store.StatusError(resp)
	}
	return nil
}
