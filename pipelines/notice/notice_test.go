package notice

import (
	"context"
	"encoding/base64"
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
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/runners/store"
)

// hasty shortens the pauses between attempts at a webhook.
func hasty(t *testing.T) {
	old := webhookRetry
	webhookRetry.Pause = time.Millisecond
	t.Cleanup(func() { webhookRetry = old })
}

// A receiver keeps what it is sent, after the answers that it is to give.
type receiver struct {
	url     string
	answers []int // statuses; none left: 200
	bodies  []string
	headers []http.Header
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		data, err := io.ReadAll(req.Body)
		if err != nil || req.Method != http.MethodPost {
			t.Errorf("%s, %v", req.Method, err)
		}
		r.bodies, r.headers = append(r.bodies, string(data)), append(r.headers, req.Header)
		if len(r.answers) > 0 {
			w.WriteHeader(r.answers[0])
			r.answers = r.answers[1:]
		}
	}))
	t.Cleanup(server.Close)
	r.url = server.URL
	return r
}

// TestSend: the command and the webhook are each told once, each delivery is said, and a
// failure is a warning without the values of the keys.
func TestSend(t *testing.T) {
	hasty(t)
	r, file := newReceiver(t), filepath.Join(t.TempDir(), "told")
	var warned, told []string
	s := Sender{Notify: configs.Notify{Command: "cat > " + file, Webhook: r.url + "/s3cr3t"},
		Warn: func(format string, args ...any) { warned = append(warned, fmt.Sprintf(format, args...)) },
		Told: func(channel string, err error) { told = append(told, fmt.Sprint(channel, " ", err != nil)) }}
	r.answers = []int{503, 429, 500}
	s.Send(t.Context(), &News{Event: Failed, Experiment: "mine"})
	data, err := os.ReadFile(file)
	want := `{"event":"failed","experiment":"mine","round":"","text":"mine: a round failed"`
	if err != nil || string(data) != want+"}" || len(r.bodies) != 4 || r.bodies[3] != want+`,"content":"mine: a round failed","allowed_mentions":{"parse":[]}}` {
		t.Errorf("the command was told %s, %v, the webhook %q", data, err, r.bodies)
	}
	if len(warned) != 0 || !slices.Equal(told, []string{"command false", "webhook false"}) {
		t.Errorf("warned %q, told %q", warned, told)
	}
	for _, answers := range [][]int{{404}, {503, 503, 503, 503}} {
		warned, told, r.answers = nil, nil, answers
		s.Notify.Command = "exit 7 # s3cr3t"
		s.Send(t.Context(), &News{Event: Failed})
		if len(r.answers) != 0 || !slices.Equal(told, []string{"command true", "webhook true"}) || len(warned) != 2 ||
			warned[0] != "notice: notify.command: exit status 7" || !strings.HasPrefix(warned[1], "notice: notify.webhook: the server answered ") {
			t.Errorf("answers %v: warned %q, told %q", answers, warned, told)
		}
	}
	told = nil
	Sender{Told: s.Told}.Send(t.Context(), &News{})
	if told != nil {
		t.Errorf("nobody is there, and was told %q", told)
	}
}

// TestSignature: the examples of Standard Webhooks' own documents; and all attempts at a
// message have one id, so that a receiver knows it again.
func TestSignature(t *testing.T) {
	for _, c := range []struct {
		key, id, body, want string
		at                  int64
	}{
		{"MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", `{"test": 2432232314}`, "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", 1614265330},
		{"plJ3nmyCDGBKInavdOK15jsl", "msg_loFOjxBNrRLzqYUf", `{"event_type":"ping","data":{"success":true}}`,
			"rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0=", 1731705121},
	} {
		key, err := base64.StdEncoding.DecodeString(c.key)
		if err != nil {
			t.Fatal(err)
		}
		h := http.Header{}
		(&post{id: c.id, body: []byte(c.body), key: key}).sign(h, time.Unix(c.at, 0))
		if h.Get("webhook-id") != c.id || h.Get("webhook-timestamp") != fmt.Sprint(c.at) || h.Get("webhook-signature") != "v1,"+c.want {
			t.Errorf("the headers are %v, want the signature %s", h, c.want)
		}
	}
	hasty(t)
	r := newReceiver(t)
	r.answers = []int{503}
	c := configs.Notify{Webhook: r.url, Secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}
	before := time.Now().Unix()
	for range 2 {
		if err := tellWebhook(t.Context(), c, &News{Event: Failed}); err != nil {
			t.Fatal(err)
		}
	}
	first, again, second := r.headers[0], r.headers[1], r.headers[2]
	if id := first.Get("webhook-id"); id != again.Get("webhook-id") || id == second.Get("webhook-id") || len(id) < 20 {
		t.Errorf("the ids are %v, %v and %v", first, again, second)
	}
	var at int64
	if _, err := fmt.Sscan(second.Get("webhook-timestamp"), &at); err != nil || at < before || at > time.Now().Unix() {
		t.Errorf("the time is %v, %v", at, err)
	}
	key, _ := base64.StdEncoding.DecodeString("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	h := http.Header{}
	(&post{id: second.Get("webhook-id"), body: []byte(r.bodies[2]), key: key}).sign(h, time.Unix(at, 0))
	if h.Get("webhook-signature") != second.Get("webhook-signature") {
		t.Errorf("the signature is not of the body that was sent: %v", second)
	}
	c.Secret = ""
	if err := tellWebhook(t.Context(), c, &News{}); err != nil || r.headers[3].Get("webhook-signature") != "" {
		t.Errorf("without a secret: %v, %v", r.headers[3], err)
	}
	c.Secret = "file:" + filepath.Join(t.TempDir(), "none")
	if err := tellWebhook(t.Context(), c, &News{}); err == nil || len(r.headers) != 4 {
		t.Errorf("without the file of the secret: %v, %d posts", err, len(r.headers))
	}
}

// TestBody: Google Chat refuses unknown keys, Teams shows cards alone, and the others take
// the key that they know.
func TestBody(t *testing.T) {
	n := &News{Event: Refused, Text: "x: no"}
	for hook, want := range map[string]string{
		"https://chat.googleapis.com/v1/spaces/A/messages?key=k": `{"text":"x: no"}`,
		"https://prod-01.westeurope.logic.azure.com:443/w": `{"attachments":[{"content":{"$schema":"http://adaptivecards.io/schemas/adaptive-card.json",` +
			`"body":[{"text":"x: no","type":"TextBlock","wrap":true}],"type":"AdaptiveCard","version":"1.4"},` +
			`"contentType":"application/vnd.microsoft.card.adaptive"}],"type":"message"}`,
		"https://hooks.slack.com/services/T/B/x": `{"event":"refused","experiment":"","round":"","text":"x: no","content":"x: no","allowed_mentions":{"parse":[]}}`,
	} {
		if got, err := body(hook, n); err != nil || string(got) != want {
			t.Errorf("%s: %s, %v, want %s", hook, got, err, want)
		}
	}
	for hook, card := range map[string]bool{"https://A.webhook.office.com/x": true, "https://d.a.environment.api.powerplatform.com/x": true,
		"https://powerplatform.com.evil/x": false, "https://notlogic.azure.com/x": false, "://": false} {
		if got, err := body(hook, n); err != nil || strings.Contains(string(got), "AdaptiveCard") != card {
			t.Errorf("%s: %s, %v", hook, got, err)
		}
	}
}

// TestSentence: the news in words, in which no name calls anybody, and that Discord takes.
func TestSentence(t *testing.T) {
	nats := 1.25
	for want, n := range map[string]News{
		"mine: promoted a new model, 1.2500 nats a character (round r)":                {Event: Promoted, Round: "r", Nats: &nats},
		"mine: promoted a new model (round r)":                                         {Event: Promoted, Round: "r"},
		"mine: the gate refused the model (round r): bad":                              {Event: Refused, Round: "r", Message: "bad"},
		"mine: a round failed in train (round r): no disk":                             {Event: Failed, Round: "r", Stage: "train", Message: "no disk"},
		"mine: a round failed: no network":                                             {Event: Failed, Message: "no network"},
		"mine: no success for 3 slots; the last one was at 2026-11-24T03:00:00Z":       {Event: Silent, Slots: 3, Since: "2026-11-24T03:00:00Z"},
		"mine: no success for 3 slots, nor before":                                     {Event: Silent, Slots: 3},
		"mine: success again, the first since 2026-11-24T03:00:00Z (round r)":          {Event: Again, Since: "2026-11-24T03:00:00Z", Round: "r"},
		"mine: success again, the first since the beginning (round r)":                 {Event: Again, Round: "r"},
		"mine: a round failed: @\u200beveryone <\u200b!channel> <\u200busers/all> a&b": {Event: Failed, Message: "@everyone <!channel> <users/all> a&b"},
	} {
		n.Experiment = "mine"
		if got := n.sentence(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	long := (&News{Event: Failed, Message: strings.Repeat("ß", 5000)}).sentence()
	if n := utf8.RuneCountInString(long); n != 1900 || !strings.HasSuffix(long, "ß…") || !utf8.ValidString(long) {
		t.Errorf("a long text has %d characters and ends with %q", n, long[len(long)-10:])
	}
}

// TestJSON holds the keys that programs read.
func TestJSON(t *testing.T) {
	nats := 1.5
	data, err := json.Marshal(News{"promoted", "e", "r", "s", "c", "m", "p", &nats, 3, "2026", "t"})
	if want := `{"event":"promoted","experiment":"e","round":"r","stage":"s","class":"c","message":"m","checkpoint":"p",` +
		`"nats_per_char":1.5,"slots":3,"since":"2026","text":"t"}`; err != nil || string(data) != want {
		t.Errorf("got %s, %v, want %s", data, err, want)
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
		go func() { done <- tellWebhook(ctx, c, &News{Event: "failed"}) }()
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
	if err := tellWebhook(t.Context(), c, &News{Event: "failed"}); posts != 1 || !errors.Is(err, store.ErrTransient) {
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
	s := Sender{Warn: func(format string, args ...any) { said <- fmt.Sprintf(format, args...) }}
	for keys, n := range map[string]struct {
		notify  configs.Notify
		longest time.Duration // 4 attempts of 5 s, and 3 pauses of 10 s
	}{
		"notify.webhook":                    {configs.Notify{Webhook: server.URL}, 50 * time.Second},
		"notify.command and notify.webhook": {configs.Notify{Command: "true", Webhook: server.URL}, 90 * time.Second},
	} {
		quietTime = time.Millisecond
		s.Notify = n.notify
		began := time.Now().Truncate(time.Second)
		done := make(chan bool)
		go func() { s.Send(t.Context(), &News{Event: Failed}); close(done) }()
		line, found := <-said, false
		for now := began; !now.After(time.Now()); now = now.Add(time.Second) {
			found = found || line == fmt.Sprintf("notice: waits for %s to be done, until %s at most", keys, now.Add(n.longest).Format(time.TimeOnly))
		}
		if !found {
			t.Errorf("%s: said %q", keys, line)
		}
		answer <- true
		<-done
	}
	quietTime = time.Hour
	s.Notify = configs.Notify{Command: "true"}
	s.Send(t.Context(), &News{Event: Failed})
	if len(said) != 0 {
		t.Errorf("said %q of a quick command", <-said)
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
			want := fmt.Sprintf("the server answered %d %s, a redirect, which is not followed: use the address that it leads to",
				status, http.StatusText(status))
			if err := tellWebhook(t.Context(), configs.Notify{Webhook: hook}, &News{}); err == nil || err.Error() != want {
				t.Errorf("%d to %q: %v", status, to, err)
			}
		}
	}
	if followed != 0 || posts != 4*7 {
		t.Errorf("%d posts, %d of them redirected", posts, followed)
	}
	if err := (&post{url: ":s3cr3t"}).send(t.Context()); err == nil || err.Error() != "not a URL that can be posted to" {
		t.Errorf("no URL: %v", err)
	}
	start.Close()
	fast := webhookRetry
	webhookRetry.Attempts = 1
	defer func() { webhookRetry = fast }()
	if err := tellWebhook(t.Context(), configs.Notify{Webhook: hook}, &News{}); err == nil || strings.Contains(err.Error(), "s3cr3t") {
		t.Errorf("without a server: %v", err)
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
		err := (&post{url: "http://hook.test/s3cr3t"}).send(t.Context())
		if took := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || took != 5*time.Second || posts != 1 {
			t.Errorf("%d posts in %v: %v", posts, took, err)
		}
	})
	old := commandTime
	commandTime = 20 * time.Millisecond
	defer func() { commandTime = old }()
	err := tellCommand(t.Context(), "exec sleep 600", &News{})
	if want := "the command ran longer than 20ms, and was killed"; err == nil || err.Error() != want {
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
			err := tellCommand(t.Context(), "exec 3>"+fifo+"; echo began >&3; "+command, &News{})
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
