package monitor

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/quire-ml/quire/pipelines/notice"
	"github.com/quire-ml/quire/pipelines/web"
	"github.com/quire-ml/quire/runners/schedule"
	"github.com/quire-ml/quire/runners/workflow"
)

// exits are the ways in which rounds end: each has its series from the start, so that a
// first failure is an increase.
var exits = []string{workflow.Done, "refused", "user", workflow.Failed, workflow.Transient, workflow.Timeout, workflow.Interrupted, workflow.Busy,
	workflow.Conflict, workflow.Damaged}

// metrics are the counters of this process. The gauges are read where they are asked for.
type metrics struct {
	registry *prometheus.Registry
	m        *Monitor
	rounds   *prometheus.CounterVec // by exit
	slots    *prometheus.CounterVec // by status
	notices  *prometheus.CounterVec // by channel, result
	outages  prometheus.Counter
	jumps    *prometheus.CounterVec // by direction
	damaged  prometheus.Counter
}

// Gauges of the workdir.
var (
	lastSlot    = gauge("last_slot_timestamp_seconds", "Time of the newest slot that was decided.")
	lastOutcome = gauge("last_slot_outcome", "1 for the outcome of the newest slot that was decided: the exit of its round, or skipped.", "outcome")
	lastSuccess = gauge("last_success_timestamp_seconds", "Time at which the round of a slot last ended well.")
	lastChange  = gauge("last_promotion_timestamp_seconds", "Time at which the model in service was promoted.")
	without     = gauge("slots_without_success", "Slots since the last success that failed, were refused or missed, or are due.")
	nextSlot    = gauge("next_slot_timestamp_seconds", "Time of the next slot.")
	readable    = gauge("schedule_readable", "1 where the last look at the schedule succeeded, else 0.")
	running     = gauge("rounds_running", "Rounds that this process runs now.")
	loss        = gauge("model_loss_nats", "Loss of the model in service that passed the gate, in nats a character.")
	size        = gauge("workdir_bytes", "Bytes of all objects in the workdir, when they were last counted.")
	objects     = gauge("workdir_objects", "Objects in the workdir, when they were last counted.")
	counted     = gauge("workdir_counted_timestamp_seconds", "Time at which the objects of the workdir were last counted.")
)

func gauge(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("quire_"+name, help, labels, nil)
}

func newMetrics(m *Monitor, version string) *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "quire_" + name, Help: help}, labels)
	}
	s := &metrics{registry: web.NewRegistry(), m: m,
		rounds:  counter("rounds_total", "Rounds that this process has run, by how they ended.", "exit"),
		slots:   counter("slots_total", "Slots that this process has decided.", "status"),
		notices: counter("notices_total", "Notices to notify.command and notify.webhook, delivered or not after all tries.", "channel", "result"),
		jumps:   counter("clock_jumps_total", "Jumps of this machine's clock by a minute or more, sleep of the machine included.", "direction"),
	}
	s.outages = prometheus.NewCounter(prometheus.CounterOpts{Name: "quire_schedule_outages_total",
		Help: "Times that this process began to be unable to read the schedule or to run a slot."})
	s.damaged = prometheus.NewCounter(prometheus.CounterOpts{Name: "quire_damaged_records_total",
		Help: "Records of slots that this process has found damaged."})
	for _, exit := range exits {
		s.rounds.WithLabelValues(exit)
	}
	for _, status := range []string{schedule.Ran, schedule.Skipped} {
		s.slots.WithLabelValues(status)
	}
	for _, channel := range []string{notice.Command, notice.Webhook} {
		s.notices.WithLabelValues(channel, "delivered")
		s.notices.WithLabelValues(channel, "failed")
	}
	s.jumps.WithLabelValues("forward")
	s.jumps.WithLabelValues("back")
	build := prometheus.NewGauge(prometheus.GaugeOpts{Name: "quire_build_info", Help: "1, with the version of the program.",
		ConstLabels: prometheus.Labels{"version": version}})
	build.Set(1)
	s.registry.MustRegister(s.rounds, s.slots, s.notices, s.outages, s.jumps, s.damaged, build, s)
	return s
}

// looked counts what a look found that the one before did not.
func (s *metrics) looked(before, l *schedule.View) {
	if l.Err != nil && before.Err == nil {
		s.outages.Inc()
	}
	switch {
	case l.Jump > 0:
		s.jumps.WithLabelValues("forward").Inc()
	case l.Jump < 0:
		s.jumps.WithLabelValues("back").Inc()
	}
	s.damaged.Add(float64(l.Standing.Damaged - before.Standing.Damaged))
}

// Describe implements prometheus.Collector.
func (s *metrics) Describe(c chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{lastSlot, lastOutcome, lastSuccess, lastChange, without, nextSlot, readable, running, loss, size, objects, counted} {
		c <- d
	}
}

// Collect implements prometheus.Collector. What is not known is left out.
func (s *metrics) Collect(c chan<- prometheus.Metric) {
	m := s.m
	m.mu.Lock()
	l, rounds, service, bytes := m.look, m.rounds, m.service, m.bytes
	m.mu.Unlock()
	set := func(d *prometheus.Desc, x float64, labels ...string) {
		c <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, x, labels...)
	}
	at := func(d *prometheus.Desc, t time.Time) {
		if !t.IsZero() {
			set(d, float64(t.Unix()))
		}
	}
	set(running, float64(rounds))
	if !l.At.IsZero() {
		set(readable, truth(l.Err == nil))
	}
	at(nextSlot, l.Next)
	if st := &l.Standing; st.Known {
		set(without, float64(l.Without()))
		at(lastSuccess, st.Success.When())
		if slot, err := schedule.ParseSlot(st.Last.Slot); err == nil {
			at(lastSlot, slot)
			for _, outcome := range append([]string{schedule.Skipped}, exits...) {
				set(lastOutcome, truth(outcome == outcomeOf(&st.Last)), outcome)
			}
		}
	}
	at(lastChange, service.promoted)
	if service.nats > 0 {
		set(loss, service.nats)
	}
	if !bytes.at.IsZero() {
		set(size, float64(bytes.bytes))
		set(objects, float64(bytes.objects))
		at(counted, bytes.at)
	}
}

// outcomeOf is the outcome of a slot in one word.
func outcomeOf(r *schedule.SlotRecord) string {
	switch {
	case r.Status == schedule.Skipped:
		return schedule.Skipped
	case r.Exit == "":
		return workflow.Done
	}
	return r.Exit
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
