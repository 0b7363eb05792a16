package monitor_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/pipelines/gate"
	"github.com/quire-ml/quire/pipelines/internal/tiny"
	"github.com/quire-ml/quire/pipelines/monitor"
	"github.com/quire-ml/quire/pipelines/round"
	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/runners/schedule"
	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/runners/workflow"
)

// A pipes is a listener and dialer in memory: a bubble's time stands still while a real
// connection waits.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.closed) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

func (p *pipes) client() *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		select {
		case p.conns <- theirs:
			return ours, nil
		case <-p.closed:
			return nil, net.ErrClosed
		}
	}}}
}

// scrape returns the samples of a scrape of quire's metrics, by name and labels.
func scrape(t *testing.T, c *http.Client, url string) map[string]float64 {
	t.Helper()
	resp, err := c.Get(url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatal(resp.Status, err)
	}
	got := map[string]float64{}
	for name, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetValue())
			}
			if strings.HasPrefix(name, "quire_") {
				got[strings.Join(append([]string{strings.TrimPrefix(name, "quire_")}, labels...), " ")] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
	}
	return got
}

// Faults of a slot, or of the time after it.
const (
	good        = "done"
	failed      = "failed"
	refused     = "refused"
	passing     = "transient"   // in a first round; the second one of the slot is good
	interrupted = "interrupted" // the process that runs the round is told to end, and starts again
	outage      = "outage"      // of the store, for a while after the round
	undelivered = "undelivered" // the round fails, and so does its notice
	jump        = "jump"        // of the clocks, for a while after the round, and back
	damage      = "damage"      // of the record of a failed round; both processes start again
)

// A service is two processes that serve one schedule, in a bubble.
type service struct {
	t      *testing.T
	c      *configs.Config
	table  *schedule.Timetable
	every  time.Duration     // between two slots
	faults map[string]string // by slot

	mu       sync.Mutex
	worked   map[string]int     // rounds, by slot
	counts   map[string]float64 // of the counters of all lives that have ended
	injected map[string]float64
	offset   time.Duration // of the clocks
	broken   bool          // the store
	lives    []*life
}

// A life is a process from its start to its end.
type life struct {
	pipes *pipes
	stop  func()
	ended chan bool
}

func (s *service) inject(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.injected[name]++
}

func (s *service) clock() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Now().Add(s.offset)
}

func (s *service) set(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

var errTold = errors.New("no disk")

// night is the round of a slot.
func (s *service) night(ctx context.Context, place int) error {
	slot := schedule.ID(s.table.Last(s.clock()))
	s.mu.Lock()
	s.worked[slot]++
	n, fault := s.worked[slot], s.faults[slot]
	s.mu.Unlock()
	if err := store.Wait(ctx, time.Minute); err != nil {
		return err
	}
	switch {
	case fault == failed, fault == undelivered, fault == damage:
		return errTold
	case fault == refused:
		return fmt.Errorf("night: %w", gate.ErrRefused)
	case fault == passing && n <= s.c.Round.Attempts:
		return fmt.Errorf("no network: %w", store.ErrTransient)
	case fault == interrupted && n == 1:
		go s.end(place)
		return store.Wait(ctx, time.Hour)
	}
	return nil
}

// start starts the process at a place.
func (s *service) start(place int) {
	l := &life{pipes: newPipes(), ended: make(chan bool)}
	ctx, stop := context.WithCancel(s.t.Context())
	l.stop = stop
	s.mu.Lock()
	s.lives[place] = l
	s.mu.Unlock()
	st, err := text.OpenWorkdir(ctx, s.c)
	if err != nil {
		s.t.Error(err)
		return
	}
	m := monitor.New("test")
	serving, end := context.WithCancel(s.t.Context())
	var server sync.WaitGroup
	server.Go(func() {
		if err := m.Serve(serving, l.pipes, st, s.t.Logf); err != nil {
			s.t.Error(err)
		}
	})
	stage := func(*round.Stages) workflow.Node {
		return workflow.Stage[any, text.CorpusFacts]{Name: "night", Version: 1, Artifact: round.CorpusArtifact, Live: true,
			Run: func(ctx context.Context, _ any, _ *workflow.Task) (out workflow.Product[text.CorpusFacts], err error) {
				return out, s.night(ctx, place)
			}}
	}
	o := round.Options{Runner: "direct", Console: tiny.Console(), Watch: m, Clock: s.clock,
		Stages: []round.Stage{stage, round.Without("prep", "drift", "train", "evaluate", "gate", "promote", "sample")}}
	go func() {
		defer close(l.ended)
		defer st.Close()
		if err := round.Retrain(ctx, s.c, o); !errors.Is(err, context.Canceled) {
			s.t.Errorf("the process ended with %v", err)
		}
		got := scrape(s.t, l.pipes.client(), "http://localhost")
		s.set(func() {
			for name, x := range got {
				if strings.Contains(name, "_total") {
					s.counts[name] += x
				}
			}
		})
		end()
		server.Wait()
	}()
}

// end ends the process at a place, and starts another there a minute later.
func (s *service) end(place int) {
	s.mu.Lock()
	l := s.lives[place]
	s.mu.Unlock()
	l.stop()
	<-l.ended
	time.Sleep(time.Minute)
	s.start(place)
}

func (s *service) scrape(place int) map[string]float64 {
	s.t.Helper()
	s.mu.Lock()
	l := s.lives[place]
	s.mu.Unlock()
	return scrape(s.t, l.pipes.client(), "http://localhost")
}

// after injects the fault of the time after a slot.
func (s *service) after(slot, fault string) {
	switch fault {
	case outage:
		s.set(func() { s.broken = true })
		time.Sleep(s.every / 6)
		s.set(func() { s.broken = false })
		for range s.lives { // each process notes it
			s.inject("schedule_outages_total")
		}
	case jump:
		s.set(func() { s.offset += s.every / 6 })
		time.Sleep(s.every / 6)
		s.set(func() { s.offset -= s.every / 6 })
		for range s.lives {
			s.inject("clock_jumps_total forward")
			s.inject("clock_jumps_total back")
		}
	case damage:
		file := filepath.Join(s.c.Workdir, "schedule", "slots", slot+".json")
		data, err := os.ReadFile(file)
		if err != nil {
			s.t.Error(err)
			return
		}
		data[20] ^= 1
		if err := os.WriteFile(file, data, 0o666); err != nil {
			s.t.Error(err)
		}
		for place := range s.lives {
			s.end(place)
			s.inject("damaged_records_total")
		}
	}
}

// before injects the fault of a slot before it comes.
func (s *service) before(fault, hook string) {
	told := map[bool]string{false: "delivered", true: "failed"}[fault == undelivered]
	switch fault {
	case failed, undelivered, damage:
		s.inject("rounds_total failed")
		s.inject("notices_total command " + told)
	case passing:
		s.inject("rounds_total transient")
		s.inject("rounds_total done")
	case interrupted:
		s.inject("rounds_total interrupted")
		s.inject("rounds_total done")
	case refused:
		s.inject("rounds_total refused")
	default:
		s.inject("rounds_total done")
	}
	os.Remove(hook)
	if fault == undelivered {
		if err := os.WriteFile(hook, nil, 0o666); err != nil {
			s.t.Error(err)
		}
	}
}

// memory returns what the heap holds, and the number of goroutines, once all have come to rest.
func memory() (heap uint64, goroutines int) {
	synctest.Wait()
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc, runtime.NumGoroutine()
}

// heapGrowth is how much more the heap may hold at the end of the time than after the
// first month.
const heapGrowth = 1 << 20

// serve runs n slots, with a fault at every third, and compares what was counted with
// what was injected.
func serve(t *testing.T, n int, every time.Duration, cron string) {
	dir, err := os.MkdirTemp("/dev/shm", "monitor")
	if err != nil {
		dir = t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	c := tiny.Config(t, tiny.Line(), "workdir="+dir, "schedule.cron="+cron, "round.pause_seconds=1", "round.attempts=2", "notify.after_slots=0")
	hook := filepath.Join(t.TempDir(), "down")
	c.Notify.Command = "cat >/dev/null; test ! -e " + hook
	next, err := c.Schedule.Times()
	if err != nil {
		t.Fatal(err)
	}
	table, err := schedule.NewTimetable(next, "UTC")
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		s := &service{t: t, c: c, table: table, every: every, faults: map[string]string{}, worked: map[string]int{}, counts: map[string]float64{},
			injected: map[string]float64{}, lives: make([]*life, 2)}
		restore := store.InjectFaults(func(_, name string) error {
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.broken && strings.HasPrefix(name, "schedule/") {
				return fmt.Errorf("no network: %w", store.ErrTransient)
			}
			return nil
		})
		defer restore()
		s.run(n, hook)
		for place := range s.lives {
			l := s.lives[place]
			l.stop()
			<-l.ended
		}
		s.compare(n)
	})
}

// run runs n slots. The heap after the last must be that after the first 30, and
// goroutines too.
func (s *service) run(n int, hook string) {
	for place := range s.lives {
		s.start(place)
		time.Sleep(7 * time.Second)
	}
	kinds := []string{failed, refused, passing, interrupted, outage, undelivered, jump, damage}
	var heap, goroutines []int
	slot := s.table.Next(time.Now())
	for i := range n {
		fault := good
		if i%3 == 1 {
			fault = kinds[i/3%len(kinds)]
		}
		s.set(func() { s.faults[schedule.ID(slot)] = fault })
		s.before(fault, hook)
		time.Sleep(time.Until(slot.Add(s.every / 3)))
		s.after(schedule.ID(slot), fault)
		time.Sleep(time.Until(slot.Add(s.every * 5 / 6)))
		s.check(slot, fault)
		if i%30 == 29 {
			h, g := memory()
			heap, goroutines = append(heap, int(h)), append(goroutines, g)
		}
		slot = s.table.Next(slot)
	}
	s.t.Logf("every 30 slots: heap %d, goroutines %d", heap, goroutines)
	if last := len(heap) - 1; last > 0 && (heap[last] > heap[0]+heapGrowth || goroutines[last] != goroutines[0]) {
		s.t.Errorf("the heap grew from %d to %d bytes, goroutines from %d to %d", heap[0], heap[last], goroutines[0], goroutines[last])
	}
}

// check compares the gauges of both processes with what happened in a night.
func (s *service) check(at time.Time, fault string) {
	s.t.Helper()
	outcome := map[string]string{failed: failed, undelivered: failed, damage: "", refused: refused}[fault]
	if outcome == "" {
		outcome = good
	}
	slot := schedule.ID(at)
	for place := range s.lives {
		got := s.scrape(place)
		bad := fault == failed || fault == undelivered || fault == refused || fault == damage
		if fault != damage && (got["last_slot_outcome "+outcome] != 1 || got["last_slot_timestamp_seconds"] != float64(at.Unix())) ||
			bad && fault != damage && got["slots_without_success"] != 1 || !bad && got["slots_without_success"] != 0 {
			s.t.Errorf("slot %s, %s: process %d shows %v", slot, fault, place, got)
		}
		age := time.Since(time.Unix(int64(got["last_success_timestamp_seconds"]), 0))
		if bad {
			age -= s.every
		}
		if least := s.every/2 - 2*time.Minute; age < least || age > least+s.every/2 {
			s.t.Errorf("slot %s, %s: process %d had its last success %v ago, or a slot more", slot, fault, place, age)
		}
		if got["schedule_readable"] != 1 || got["next_slot_timestamp_seconds"] != float64(at.Add(s.every).Unix()) {
			s.t.Errorf("slot %s, %s: process %d shows %v", slot, fault, place, got)
		}
	}
}

// compare compares the counters of all lives with what was injected.
func (s *service) compare(days int) {
	s.t.Helper()
	s.injected["slots_total ran"] = float64(days)
	s.injected["notices_total command delivered"] += s.injected["schedule_outages_total"] // each process tells that it began
	for name := range s.counts {
		if s.counts[name] != s.injected[name] {
			s.t.Errorf("%s is %v, and %v were injected", name, s.counts[name], s.injected[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.injected)) {
		if s.counts[name] == 0 {
			s.t.Errorf("%s: %v were injected and none counted", name, s.injected[name])
		}
		s.t.Logf("%s: %v", name, s.injected[name])
	}
}

// TestService is 60 slots of an hour; a year of nights is TestSoakYear.
func TestService(t *testing.T) { serve(t, 60, time.Hour, "0 * * * *") }
