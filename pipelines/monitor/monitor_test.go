package monitor

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/quire-ml/quire/pipelines/internal/tiny"
	"github.com/quire-ml/quire/pipelines/promotion"
	"github.com/quire-ml/quire/pipelines/round"
	"github.com/quire-ml/quire/pipelines/web"
	"github.com/quire-ml/quire/runners/schedule"
	"github.com/quire-ml/quire/runners/store"
)

// TestLint: names and texts are by Prometheus' conventions, with all gauges there.
func TestLint(t *testing.T) {
	m := New("1.2.3")
	record := schedule.SlotRecord{Slot: "20260101T030000Z", Status: schedule.Ran, At: time.Unix(100, 0)}
	m.Looked(schedule.View{At: time.Now(), Next: time.Now(), Standing: schedule.Standing{Known: true, Last: record, Success: record}})
	m.service, m.bytes = service{nats: 1.5, promoted: time.Unix(7, 0)}, measure{9, 2, time.Unix(8, 0)}
	problems, err := testutil.GatherAndLint(m.m.registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	text := get(t, m, "/metrics", 200)
	for _, line := range []string{
		`quire_build_info{version="1.2.3"} 1`, `quire_model_loss_nats 1.5`, `quire_last_promotion_timestamp_seconds 7`, `quire_workdir_bytes 9`,
		`quire_workdir_objects 2`, `quire_workdir_counted_timestamp_seconds 8`, `quire_last_success_timestamp_seconds 100`, `quire_rounds_running 0`,
		`quire_last_slot_outcome{outcome="done"} 1`, `quire_last_slot_outcome{outcome="failed"} 0`, `quire_rounds_total{exit="refused"} 0`,
	} {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("there is no %s", line)
		}
	}
	if text := get(t, New("1"), "/metrics", 200); strings.Contains(text, "quire_last_") || strings.Contains(text, "quire_model") ||
		strings.Contains(text, "quire_workdir") {
		t.Error("what is not known has a value")
	}
}

// get asks a monitor and returns its answer.
func get(t *testing.T, m *Monitor, path string, status int) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.handler.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
	if w.Code != status {
		t.Errorf("%s has the status %d, want %d: %s", path, w.Code, status, w.Body)
	}
	return w.Body.String()
}

// TestHost: on loopback the monitor answers no web page that has taken this machine's address.
func TestHost(t *testing.T) {
	l, err := web.Listen(":0")
	if err != nil {
		t.Fatal(err)
	}
	st, err := store.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- New("1").Serve(ctx, l, st, t.Logf) }()
	for host, want := range map[string]int{"localhost": http.StatusOK, "evil.example": http.StatusForbidden} {
		r, err := http.NewRequestWithContext(ctx, "GET", "http://"+l.Addr().String()+"/metrics", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if resp.Body.Close(); resp.StatusCode != want {
			t.Errorf("asked as %s: %d, want %d", host, resp.StatusCode, want)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestHealth: what /livez and /healthz answer in each state of a service.
func TestHealth(t *testing.T) {
	slot := time.Date(2026, 1, 1, 3, 0, 0, 0, time.UTC)
	fine := func(m *Monitor) { m.Looked(schedule.View{At: slot}) }
	lost := func(m *Monitor) { m.Looked(schedule.View{At: slot, Err: errors.New("no network")}) }
	due := func(since time.Duration) func(*Monitor) {
		return func(m *Monitor) { m.Looked(schedule.View{At: slot.Add(since), Due: 2, Since: slot}) }
	}
	const stuck = "the scheduler has not looked at its schedule for 15m1s\n"
	const ok = "ok\n"
	for name, c := range map[string]struct {
		before func(m *Monitor)
		wait   time.Duration
		then   func(m *Monitor)
		live   string
		health string
	}{
		"it begins":               {fine, 0, fine, ok, ok},
		"it looks":                {fine, time.Minute, fine, ok, ok},
		"it looks no more":        {fine, 15*time.Minute + time.Second, nil, stuck, stuck},
		"it never looked":         {nil, 15*time.Minute + time.Second, nil, stuck, stuck},
		"a short outage":          {fine, 10 * time.Minute, lost, ok, ok},
		"a long outage":           {fine, 10*time.Minute + time.Second, lost, ok, "the schedule cannot be read or no slot be run for 10m1s: no network\n"},
		"a long round":            {func(m *Monitor) { m.Began() }, 99 * time.Hour, nil, ok, ok},
		"a round that has ended":  {func(m *Monitor) { m.Began(); m.Ended("done") }, 15*time.Minute + time.Second, nil, stuck, stuck},
		"an outage after a round": {func(m *Monitor) { m.Began() }, time.Hour, func(m *Monitor) { m.Ended("done"); lost(m) }, ok, ok},
		"a long gc":               {func(m *Monitor) { m.Tidies() }, 99 * time.Hour, nil, ok, ok},
		"a gc that has ended":     {func(m *Monitor) { m.Tidies()() }, 15*time.Minute + time.Second, fine, ok, ok},
		"it looks no more then":   {func(m *Monitor) { m.Tidies()() }, 15*time.Minute + time.Second, nil, stuck, stuck},
		"a slot is due":           {fine, time.Minute, due(15 * time.Minute), ok, ok},
		"a slot is overdue":       {fine, time.Minute, due(16 * time.Minute), ok, "slot 20260101T030000Z has come, and nobody runs it\n"},
	} {
		m := New("1")
		now := m.looked
		m.now = func() time.Time { return now }
		if c.before != nil {
			c.before(m)
		}
		now = now.Add(c.wait)
		if c.then != nil {
			c.then(m)
		}
		for path, want := range map[string]string{"/livez": c.live, "/healthz": c.health} {
			status := 200
			if want != ok {
				status = 503
			}
			if got := get(t, m, path, status); got != want {
				t.Errorf("%s: %s says %q, want %q", name, path, got, want)
			}
		}
	}
	get(t, New("1"), "/", 404)
}

// TestCounts: an outage and a jump count once, however often they are looked at.
func TestCounts(t *testing.T) {
	m := New("1")
	bad := errors.New("no network")
	for _, l := range []schedule.View{{}, {Err: bad}, {Err: bad}, {Err: errors.New("another")}, {}, {Jump: time.Hour}, {}, {Jump: -time.Hour}, {Err: bad},
		{Standing: schedule.Standing{Damaged: 2}}, {Standing: schedule.Standing{Damaged: 2}}} {
		l.At = time.Now()
		m.Looked(l)
	}
	m.Decided(schedule.SlotRecord{Status: schedule.Skipped})
	m.Told("webhook", nil)
	m.Told("webhook", bad)
	m.Told("webhook", bad)
	text := get(t, m, "/metrics", 200)
	for _, line := range []string{"quire_schedule_outages_total 2", `quire_clock_jumps_total{direction="forward"} 1`,
		`quire_clock_jumps_total{direction="back"} 1`,
		"quire_damaged_records_total 2", `quire_slots_total{status="skipped"} 1`, `quire_notices_total{channel="webhook",result="delivered"} 1`,
		`quire_notices_total{channel="webhook",result="failed"} 2`, "quire_schedule_readable 1"} {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("there is no %s", line)
		}
	}
}

// TestInService: the model in service has the time and the loss of its promotion, by a round
// and by hand, and the workdir has the bytes of its files.
func TestInService(t *testing.T) {
	c := tiny.Config(t, tiny.Line())
	c.Train.Epochs, c.Train.LR = 6, 0.02
	st, err := store.Open(t.Context(), c.Workdir)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	if s, err := inService(t.Context(), st, service{number: 7}, true); err != nil || s != (service{}) {
		t.Errorf("without a model: %+v, %v", s, err)
	}
	o := round.Options{Runner: "direct", Console: tiny.Console()}
	first, err := round.Run(t.Context(), c, o)
	if err != nil {
		t.Fatal(err)
	}
	shown, err := round.Show(t.Context(), c.Workdir, first.Round)
	if err != nil {
		t.Fatal(err)
	}
	o.ID = "99990101T000000Z"
	if _, err := round.Run(t.Context(), c, o); err != nil { // promotes nothing, and has a record
		t.Fatal(err)
	}
	o.ID = ""
	e, _, _ := round.EvaluationArtifact.Recorded(shown.Record)
	s, err := inService(t.Context(), st, service{}, true)
	if err != nil || !s.promoted.Equal(shown.Ended) || s.nats != e.NatsPerChar || s.number != 1 {
		t.Errorf("by a round: %+v, %v, want the loss %v and the time %v", s, err, e.NatsPerChar, shown.Ended)
	}
	unknown := s
	unknown.promoted = time.Time{}
	if again, err := inService(t.Context(), st, unknown, false); err != nil || again != unknown {
		t.Errorf("it is looked for again: %+v, %v", again, err)
	}
	if again, err := inService(t.Context(), st, unknown, true); err != nil || again != s {
		t.Errorf("it is not looked for again: %+v, %v", again, err)
	}
	c.Train.Seed = 2
	o.To = "train"
	second, err := round.Run(t.Context(), c, o)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now().Truncate(time.Second)
	if _, err := promotion.Promote(t.Context(), c.Workdir, second.Run, "best"); err != nil {
		t.Fatal(err)
	}
	if s, err = inService(t.Context(), st, s, false); err != nil || s.number != 2 || s.nats != 0 || s.promoted.Before(began) || s.promoted.After(time.Now()) {
		t.Errorf("by hand: %+v, %v", s, err)
	}

	m := New("1")
	want := measure{}
	err = filepath.WalkDir(c.Workdir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasPrefix(d.Name(), ".tmp-") {
			return err
		}
		info, err := d.Info()
		if err == nil {
			want.objects++
			want.bytes += info.Size()
		}
		return err
	})
	if n := m.count(t.Context(), st); err != nil || int64(n) != want.objects || m.bytes.bytes != want.bytes || want.objects < 10 {
		t.Errorf("the workdir has %+v, want %+v: %v", m.bytes, want, err)
	}
}

// TestFollow: what is in service is read at the start and when a round has ended, and the end
// of the context ends it.
func TestFollow(t *testing.T) {
	st, err := store.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	reads := make(chan string, 100)
	watched := st.WithFaults(func(op, name string) error {
		reads <- op + " " + name
		return nil
	})
	m := New("1")
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan bool)
	go func() {
		m.follow(ctx, watched)
		close(ended)
	}()
	for range 2 {
		if got := []string{<-reads, <-reads}; !slices.Equal(got, []string{"read promoted.json", "list "}) {
			t.Errorf("it has read %q", got)
		}
		m.Began()
		m.Ended("done")
	}
	stop()
	<-ended
}
