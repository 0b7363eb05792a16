package command_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// TestListenDaemon: a daemon says where it listens, answers there what a scrape wants, and ends
// as one that does not listen. It says what is wrong with its schedule.
func TestListenDaemon(t *testing.T) {
	l := newLab(t)
	l.slot("01", 0)
	c := l.child("retrain", "--listen", ":0")
	pipe, err := c.StderrPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(pipe)
	line, err := r.ReadString('\n')
	m := regexp.MustCompile(`^quire: listens on http://127\.0\.0\.1:(\d+): `).FindStringSubmatch(line)
	if err != nil || m == nil {
		t.Fatalf("it says %q, %v", line, err)
	}
	port := m[1]
	ask := func(path string, status int) string {
		t.Helper()
		resp, err := http.Get("http://127.0.0.1:" + port + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != status {
			t.Errorf("%s: %s, %v: %s", path, resp.Status, err, text)
		}
		return string(text)
	}
	if text := ask("/healthz", 200) + ask("/livez", 200); text != "ok\nok\n" {
		t.Errorf("the health is %q", text)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	got, err := parser.TextToMetricFamilies(strings.NewReader(ask("/metrics", 200)))
	if err != nil || got["quire_rounds_total"] == nil || got["go_goroutines"] == nil {
		t.Errorf("the metrics are %v, %v", got, err)
	}
	l.fails(1, []string{"cannot listen on \":" + port + "\": another process listens there; use another --listen"}, "retrain", "--listen", ":"+port)
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code, said := rest(c, r); code != 75 {
		t.Errorf("exit code %d: %s", code, said)
	}
	if conn, err := net.Dial("tcp", "127.0.0.1:"+port); err == nil {
		conn.Close()
		t.Error("it listens after its end")
	}
}

func TestListenUsage(t *testing.T) {
	l := newLab(t)
	l.fails(2, []string{"--listen: schedule.listen is \"9090\"; it must be HOST:PORT, :PORT for this machine alone"}, "retrain", "--listen", "9090")
	l.fails(2, []string{"--listen is for rounds on a schedule"}, "retrain", "--once", "--listen", ":0")
	t.Setenv("QUIRE_NOTIFY_WEBHOOK", "http://127.0.0.1:1/")
	t.Setenv("QUIRE_NOTIFY_SECRET", "file:"+filepath.Join(l.dir, "none"))
	l.fails(2, []string{"notify.secret", "cannot be used: open ", "no such file"}, "retrain")
	l.fails(2, []string{"notify.secret", "cannot be used"}, "run")
}
