package round

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/quire-ml/quire/pipelines/internal/tiny"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/pipelines/gate"
	"github.com/quire-ml/quire/pipelines/notice"
	"github.com/quire-ml/quire/pipelines/report"
)

// told collects what a webhook and a command are sent.
type told struct {
	posts   []notice.News
	answers []int // statuses; none left: 200
	server  *httptest.Server
	file    string
}

func newTold(t *testing.T, c *configs.Config) *told {
	l := &told{file: filepath.Join(t.TempDir(), "told")}
	l.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var n notice.News
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
		var n notice.News
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
	l.answers = []int{404}
	c.Notify.Command = "exit 7 # s3cr3t"
	var lines strings.Builder
	if _, err := Run(t.Context(), c, Options{Runner: "direct", Console: report.NewConsole(&lines, true)}); err != nil {
		t.Fatal(err)
	}
	if text := lines.String(); !strings.Contains(text, "notify.command: exit status 7") || !strings.Contains(text, "notify.webhook: the server answered 404 Not Found") ||
		strings.Contains(text, "s3cr3t") {
		t.Errorf("the warning is %q", text)
	}
}
