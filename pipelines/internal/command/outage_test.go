package command_test

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestUnreachableBucket: whatever a command wants of a bucket whose service is silent, is
// not there or stalls, it says that it tries again, and ends. The times are a 60th of those
// of package store, whose tests hold that an action ends within two minutes. retrain is not
// among them: it waits for the bucket as long as the night lasts.
func TestUnreachableBucket(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // connections wait to be accepted
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	over := make(chan struct{})
	stalling := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"name":`)
		w.(http.Flusher).Flush()
		<-over
	}))
	defer stalling.Close()
	defer close(over)
	services := []string{silent.Addr().String(), gone.Addr().String(), stalling.Listener.Addr().String()}

	const factor = 60
	l := newLab(t)
	var wait sync.WaitGroup
	slots := make(chan bool, 6)
	try := func(service string, args ...string) {
		slots <- true
		wait.Go(func() {
			defer func() { <-slots }()
			child := l.child(args...)
			child.Env = append(child.Env, "STORAGE_EMULATOR_HOST="+service, hastenVariable+"="+strconv.Itoa(factor))
			late := time.AfterFunc(time.Minute, func() { child.Process.Kill() }) // 2 s, and the starts of processes under load
			defer late.Stop()
			o := l.finish(child)
			if o.code != 1 || !strings.Contains(o.stderr, "quire: store: gs://bucket: ") || !strings.Contains(o.stderr, "tries") ||
				!strings.Contains(o.stderr, "gave up after ") || strings.Contains(o.stderr, "use another checkpoint") {
				t.Errorf("%s: %v", service, o)
			}
		})
	}
	for i, command := range []string{"plan", "run", "prep", "train", "evaluate", "generate", "score --text to", "inspect", "runs list",
		"promote --history", "generate --checkpoint gs://bucket/run", "prep --out gs://bucket/set", "train --set train.from=gs://bucket/run"} {
		try(services[i%len(services)], append(strings.Fields(command), "--set", "workdir=gs://bucket/work")...)
	}
	for _, service := range services { // a stage that is tried three times
		try(service, "run", "--set", "corpus.sources=gs://bucket/text.txt", "--set", "round.pause_seconds=0.2")
	}
	wait.Wait()
}
