// Package monitor is a retraining service seen from outside: whether it lives, and
// Prometheus' metrics of its slots, rounds, notices, model and workdir.
//
// Counters are of this process, from its start. Gauges are of the workdir: they are read
// from its records, so that they are right after a restart, and the same in all processes
// that serve one schedule.
package monitor

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/quire-ml/quire/pipelines/web"
	"github.com/quire-ml/quire/runners/schedule"
	"github.com/quire-ml/quire/runners/store"
)

// How long something may take before a monitor says so.
const (
	stuckTime   = 15 * time.Minute // without a look at the schedule, and without a round
	unreadTime  = 10 * time.Minute // in which the schedule cannot be read
	overdueTime = 15 * time.Minute // of a slot that nobody runs
	endTime     = 5 * time.Second  // for the answers that are being written at the end
)

// A Monitor is a round.Watch that answers over HTTP. Its methods are for any number of
// goroutines.
type Monitor struct {
	m       *metrics
	handler http.Handler
	wake    chan struct{} // what is in service may have changed

	mu      sync.Mutex
	now     func() time.Time // measures how long things take, not what the clocks show
	looked  time.Time        // or began; zero before the first look
	read    time.Time        // when the schedule was last read
	look    schedule.View
	rounds  int // that run
	tidies  int // gc after a round
	service service
	bytes   measure
}

// New returns a monitor of a process that begins now. version is that of the program.
func New(version string) *Monitor {
	m := &Monitor{now: time.Now, wake: make(chan struct{}, 1)}
	m.looked, m.read = m.now(), m.now()
	m.m = newMetrics(m, version)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { say(w, m.stuck()) })
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { say(w, m.unwell()...) })
	mux.Handle("GET /metrics", web.Metrics(m.m.registry))
	m.handler = mux
	return m
}

// Serve answers on l until ctx ends, and reads what is in service of the workdir st.
func (m *Monitor) Serve(ctx context.Context, l net.Listener, st *store.Store, warn func(format string, args ...any)) error {
	ctx, stop := context.WithCancel(ctx)
	var reader sync.WaitGroup
	reader.Go(func() { m.follow(ctx, st) })
	err := web.Serve(ctx, l, web.Local(l, m.handler), endTime, warn)
	stop()
	reader.Wait()
	return err
}

// say answers that all is well, or what is not.
func say(w http.ResponseWriter, reasons ...string) {
	var lines []string
	for _, r := range reasons {
		if r != "" {
			lines = append(lines, r)
		}
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	if len(lines) == 0 {
		fmt.Fprintln(w, "ok")
		return
	}
	w.WriteHeader(http.StatusServiceUnavailable)
	fmt.Fprintln(w, strings.Join(lines, "\n"))
}

// stuck says that the scheduler makes no progress; empty: it does. A round that runs is
// progress: its stages have limits of their own. So is gc after it.
func (m *Monitor) stuck() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if since := m.now().Sub(m.looked); m.rounds+m.tidies == 0 && since > stuckTime {
		return fmt.Sprintf("the scheduler has not looked at its schedule for %v", since.Round(time.Second))
	}
	return ""
}

// unwell says what is wrong with the service; no reason: nothing is.
func (m *Monitor) unwell() (reasons []string) {
	reasons = append(reasons, m.stuck())
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.rounds+m.tidies > 0 {
		return reasons
	}
	if since := m.now().Sub(m.read); since > unreadTime && m.look.Err != nil { // without one, stuck says it
		reasons = append(reasons, fmt.Sprintf("the schedule cannot be read or no slot be run for %v: %v", since.Round(time.Second), m.look.Err))
	}
	if l := &m.look; l.Due > 0 && l.At.Sub(l.Since) > overdueTime {
		reasons = append(reasons, fmt.Sprintf("slot %s has come, and nobody runs it", schedule.ID(l.Since)))
	}
	return reasons
}

// Looked implements round.Watch.
func (m *Monitor) Looked(l schedule.View) {
	m.mu.Lock()
	before := m.look
	m.look, m.looked = l, m.now()
	if l.Err == nil {
		m.read = m.looked
	}
	m.mu.Unlock()
	m.m.looked(&before, &l)
	if l.Standing.Last != before.Standing.Last {
		m.refresh()
	}
}

// Decided implements round.Watch.
func (m *Monitor) Decided(r schedule.SlotRecord) { m.m.slots.WithLabelValues(r.Status).Inc() }

// Began implements round.Watch.
func (m *Monitor) Began() { m.add(&m.rounds, 1) }

// Tidies implements round.Watch.
func (m *Monitor) Tidies() (done func()) {
	m.add(&m.tidies, 1)
	return func() { m.add(&m.tidies, -1) }
}

// Ended implements round.Watch.
func (m *Monitor) Ended(exit string) {
	m.m.rounds.WithLabelValues(exit).Inc()
	m.add(&m.rounds, -1)
	m.refresh()
}

func (m *Monitor) add(to *int, n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	*to += n
	m.looked = m.now()
	m.read = m.looked // before a round
}

// Told implements round.Watch.
func (m *Monitor) Told(channel string, err error) {
	result := "delivered"
	if err != nil {
		result = "failed"
	}
	m.m.notices.WithLabelValues(channel, result).Inc()
}

// refresh lets follow read again what is in service.
func (m *Monitor) refresh() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}
