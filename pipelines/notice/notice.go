// Package notice tells people and programs the news of rounds: a command, and a webhook
// or the chat behind one.
package notice

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/configs/secret"
	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/runners/workflow"
)

// Events of News.
const (
	Failed   = "failed"
	Refused  = "refused"
	Promoted = "promoted"
	Silent   = "no_success"    // for some slots
	Again    = "success_again" // after Silent
)

// News is the JSON that a command reads and a webhook is sent.
type News struct {
	Event      string   `json:"event"`
	Experiment string   `json:"experiment"`
	Round      string   `json:"round"` // empty: the news are of no round, or it failed before it had a record
	Stage      string   `json:"stage,omitempty"`
	Class      string   `json:"class,omitempty"`
	Message    string   `json:"message,omitempty"`
	Checkpoint string   `json:"checkpoint,omitempty"` // path of the promoted model
	Nats       *float64 `json:"nats_per_char,omitempty"`
	Slots      int      `json:"slots,omitempty"` // without success
	Since      string   `json:"since,omitempty"` // of the last success, as RFC 3339; empty: there was none
	Text       string   `json:"text,omitempty"`  // all of it for a person; Send fills it in
}

// Channels that are told.
const (
	Command = "command"
	Webhook = "webhook"
)

// A Sender tells whoever a config names.
type Sender struct {
	Notify configs.Notify
	Warn   func(format string, args ...any)
	Told   func(channel string, err error) // is told of each delivery; nil: nobody
}

// Check returns why the secret that signs a webhook's messages cannot be had; nil: it can.
func Check(c configs.Notify) error {
	if c.Webhook == "" || c.Secret == "" {
		return nil
	}
	_, err := secret.Key(c.Secret)
	return err
}

// Send sends n to the command and the webhook, once each also where ctx has ended, and
// warns of errors. These omit both values: they may hold secrets. A process that dies
// meanwhile tells nobody.
func (s Sender) Send(ctx context.Context, n *News) {
	defer s.sayWait()()
	n.Text = n.sentence()
	if s.Notify.Command != "" {
		s.told(Command, tellCommand(ctx, s.Notify.Command, n))
	}
	if s.Notify.Webhook != "" {
		s.told(Webhook, tellWebhook(ctx, s.Notify, n))
	}
}

func (s Sender) told(channel string, err error) {
	if err != nil {
		s.Warn("notice: notify.%s: %v", channel, err)
	}
	if s.Told != nil {
		s.Told(channel, err)
	}
}

// sayWait warns if notices take more than a few seconds. They are delivered with stop.
func (s Sender) sayWait() (stop func()) {
	var keys []string
	longest := time.Now()
	if s.Notify.Command != "" {
		keys, longest = append(keys, "notify.command"), longest.Add(commandTime)
	}
	if s.Notify.Webhook != "" {
		attempts := time.Duration(webhookRetry.Attempts)
		keys, longest = append(keys, "notify.webhook"), longest.Add(attempts*webhookTime+(attempts-1)*webhookRetry.MaxPause)
	}
	timer := time.AfterFunc(quietTime, func() {
		s.Warn("notice: waits for %s to be done, until %s at most", strings.Join(keys, " and "), longest.Format(time.TimeOnly))
	})
	return func() { timer.Stop() }
}

// webhookTime bounds one attempt at a webhook.
const webhookTime = 5 * time.Second

// commandTime bounds a command, and quietTime is the wait of which nobody is told. Tests
// shorten them.
var commandTime, quietTime = time.Minute, 3 * time.Second

// webhookRetry says how a webhook is tried again. Tests shorten its pauses.
var webhookRetry = workflow.Retry{Attempts: 4, Pause: time.Second, MaxPause: 10 * time.Second, Transient: store.Transient}

// tellCommand runs a shell command with the news as its standard input. Its output is
// dropped. A command that takes too long is killed with all processes of its group: those
// that it has started, unless they have left the group.
func tellCommand(ctx context.Context, command string, n *News) error {
	data, err := json.Marshal(n)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commandTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", command)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.Stdin, cmd.WaitDelay = bytes.NewReader(data), time.Second
	err = cmd.Run()
	if ctx.Err() != nil {
		return fmt.Errorf("the command ran longer than %v, and was killed", commandTime)
	}
	return err
}

// tellWebhook posts the news, again after transient errors until ctx ends. All attempts
// have one id.
func tellWebhook(ctx context.Context, c configs.Notify, n *News) error {
	p := &post{url: c.Webhook, id: newID()}
	var err error
	if p.body, err = body(c.Webhook, n); err != nil {
		return err
	}
	if c.Secret != "" {
		if p.key, err = secret.Key(c.Secret); err != nil {
			return fmt.Errorf("nothing is sent without the signature of notify.secret: %w", err)
		}
	}
	_, err = webhookRetry.Do(ctx, func() error { return p.send(context.WithoutCancel(ctx)) })
	return err
}
