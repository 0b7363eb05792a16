package serve

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/quire-ml/quire/pipelines/web"
)

// metrics are the server's figures, in vLLM's words where it has some. A request is a text
// there: each choice counts.
type metrics struct {
	registry  *prometheus.Registry
	texts     *atomic.Int64 // of the server
	whole     atomic.Int64  // texts that came to their end
	running   prometheus.Gauge
	waiting   prometheus.Gauge
	open      prometheus.Gauge
	prompt    prometheus.Counter
	generated prometheus.Counter
	finished  *prometheus.CounterVec
	first     prometheus.Histogram
	latency   prometheus.Histogram
	requests  *prometheus.CounterVec
	swaps     *prometheus.CounterVec
	info      *prometheus.GaugeVec
	panics    prometheus.Counter
}

func newMetrics() *metrics {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	histogram := func(name, help string) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: prometheus.ExponentialBuckets(0.001, 2, 20)})
	}
	m := &metrics{registry: web.NewRegistry(),
		running:   gauge("quire_num_requests_running", "Texts that are being written."),
		waiting:   gauge("quire_num_requests_waiting", "Texts that wait for a place in the batch."),
		open:      gauge("quire_num_requests_open", "Requests with a body that are under way, those too whose client still reads."),
		prompt:    counter("quire_prompt_tokens_total", "Characters of prompts."),
		generated: counter("quire_generation_tokens_total", "Characters drawn."),
		finished:  counters("quire_request_success_total", "Texts that came to their end.", "finished_reason"),
		first:     histogram("quire_time_to_first_token_seconds", "From a request to its first drawn character."),
		latency:   histogram("quire_e2e_request_latency_seconds", "From a request to the end of its answer."),
		requests:  counters("quire_http_requests_total", "Answers.", "route", "code"),
		swaps: counters("quire_model_swaps_total",
			"Models taken into use in place of another, refused ones, and times that it could not be read whether there is another.", "outcome"),
		info: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "quire_model_info", Help: "The model in use: 1."},
			[]string{"model_name", "sha256"}),
		panics: counter("quire_faults_total", "Faults of the program that ended requests."),
	}
	m.registry.MustRegister(m.running, m.waiting, m.open, m.prompt, m.generated, m.finished, m.first, m.latency, m.requests, m.swaps, m.info, m.panics)
	for _, outcome := range []string{"taken", "refused", "unread"} {
		m.swaps.WithLabelValues(outcome) // so that the first is an increase
	}
	return m
}

// memory shows the memory that requests hold.
func (m *metrics) memory(of *memory) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "quire_request_memory_bytes",
		Help: "Memory of the bodies of requests, and of their answers at the longest."}, func() float64 { return float64(of.held.Load()) }))
}

// using says which model is in use.
func (m *metrics) using(now *model) {
	m.info.Reset()
	m.info.WithLabelValues(now.name, now.SHA256).Set(1)
}

// submitted counts the texts of an answer that wait.
func (m *metrics) submitted(a *answer) { m.waiting.Add(float64(len(a.choices))) }

// begun counts a text that waits no longer.
func (m *metrics) begun(*choice) {
	m.waiting.Dec()
	m.running.Inc()
}

// ended counts a text that is no longer written.
func (m *metrics) ended(c *choice) {
	m.running.Dec()
	m.texts.Add(-1)
	m.generated.Add(float64(c.drawn))
	if c.failed == nil {
		m.whole.Add(1)
		m.finished.WithLabelValues(string(c.ending.Finish())).Inc()
	}
}

// answered counts a completion whose answer has ended.
func (m *metrics) answered(a *answer, began time.Time) {
	m.latency.Observe(time.Since(began).Seconds())
	if at := a.first.Load(); at > 0 {
		m.first.Observe(time.Unix(0, at).Sub(began).Seconds())
	}
}
