package store

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// A silence is a service that does not answer, in a bubble of virtual time.
type silence struct {
	g        *gcs
	ctx      context.Context
	attempts int
	mu       sync.Mutex // of notices, and of began, from which they count
	notices  []string
	began    time.Time
	service  func(ctx context.Context) error
}

func newSilence() *silence {
	s := &silence{g: &gcs{name: "b", timing: shipped, outage: &outage{}}, began: time.Now()}
	s.ctx = WithNotices(ctx, func(line string) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.notices = append(s.notices, fmt.Sprint(time.Since(s.began).Round(time.Second), " ", line))
	})
	s.service = noAnswer
	return s
}

// said returns the notices since the last call.
func (s *silence) said() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	said := s.notices
	s.notices = nil
	return said
}

// become makes the service another one from now on.
func (s *silence) become(service func(ctx context.Context) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.service, s.began = service, time.Now()
}

func noAnswer(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

func refuses(context.Context) error {
	return &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
}

func answers(context.Context) error { return nil }

func (s *silence) call(ctx context.Context) error {
	return s.g.try(ctx, func(ctx context.Context) error {
		s.attempts++
		return s.service(ctx)
	})
}

// TestActionEnds: an action of many calls, one after another, ends within two minutes, and
// so does a stage that is tried three times, where the service never answers.
func TestActionEnds(t *testing.T) {
	for name, c := range map[string]struct {
		service  func(ctx context.Context) error
		silent   bool // each attempt takes its whole time
		answered bool
		least    time.Duration
	}{
		"never answers":       {service: noAnswer, silent: true, least: 50 * time.Second},
		"refuses":             {service: refuses, least: 35 * time.Second},
		"answers no more":     {service: noAnswer, silent: true, answered: true, least: 90 * time.Second},
		"refuses after a day": {service: refuses, answered: true, least: 75 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newSilence()
			if c.answered {
				s.service = answers
				if err := s.call(s.ctx); err != nil {
					t.Fatal(err)
				}
				time.Sleep(24 * time.Hour)
				s.began = time.Now()
			}
			s.service = c.service
			if err := s.call(s.ctx); err == nil || !Transient(err) {
				t.Errorf("%s: %v", name, err)
			}
			if took := time.Since(s.began); took < c.least || took > 95*time.Second {
				t.Errorf("%s: a call took %v", name, took)
			}
			for range 3 { // such as the round's record, and the release of a lease
				if err := s.call(s.ctx); err == nil || c.silent && !strings.Contains(err.Error(), "gave up after 1 attempt in") {
					t.Errorf("%s: a later call: %v", name, err)
				}
			}
			if took := time.Since(s.began); took > 2*time.Minute {
				t.Errorf("%s: the action took %v", name, took)
			}
			cause, patience := "", 50*time.Second
			if !c.silent {
				cause = " (dial tcp: connection refused)"
			}
			if c.answered {
				patience = 90 * time.Second
			}
			want := "5s store: gs://b: Cloud Storage has not answered for 5s" + cause + "; tries until " + s.began.Add(patience).Format(time.TimeOnly)
			if said := s.said(); len(said) != 1 || said[0] != want { // the outage is told once
				t.Errorf("%s: said %q, want %q", name, said, want)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		s := newSilence()
		for _, pause := range []time.Duration{15 * time.Second, 30 * time.Second, 0} { // the longest of round.pause_seconds 10
			if err := s.call(Action(s.ctx)); err == nil {
				t.Error("it answers")
			}
			time.Sleep(pause)
		}
		if took := time.Since(s.began); took > 2*time.Minute {
			t.Errorf("three attempts took %v", took)
		}
	})
}

// TestActionGoesOn: a service that has answered before has its whole patience in each
// attempt of a stage, and an outage that is over takes none of the next one's.
func TestActionGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSilence()
		s.service = answers
		if err := s.call(s.ctx); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			s.become(noAnswer)
			if err := s.call(Action(s.ctx)); err == nil {
				t.Error("it answers")
			}
			if took := time.Since(s.began); took < 85*time.Second || took > 95*time.Second {
				t.Errorf("an attempt took %v", took)
			}
			time.Sleep(15 * time.Second)
		}
		s.said()
		s.service = answers
		err := s.call(s.ctx)
		if said := s.said(); err != nil || len(said) != 1 || !strings.HasSuffix(said[0], "store: gs://b: Cloud Storage answers again") {
			t.Errorf("said %q, %v", said, err)
		}
		s.become(func(ctx context.Context) error {
			if time.Since(s.began) < 44*time.Second {
				return noAnswer(ctx)
			}
			return nil
		})
		if err := s.call(s.ctx); err != nil || time.Since(s.began) < 44*time.Second {
			t.Errorf("after %v: %v", time.Since(s.began), err)
		}
		// The failure of an hour ago says nothing of now.
		s.service = noAnswer
		if err := s.call(s.ctx); err == nil {
			t.Error("it answers")
		}
		time.Sleep(time.Hour)
		failures := 3
		s.service = func(ctx context.Context) error {
			if failures--; failures > 0 {
				return refuses(ctx)
			}
			return nil
		}
		if err := s.call(s.ctx); err != nil {
			t.Errorf("an hour later: %v", err)
		}
	})
}

// TestQuiet: a call that is done soon is not worth a line; one that ends with its context is
// neither an outage nor an answer.
func TestQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSilence()
		failures := 3
		s.service = func(ctx context.Context) error {
			time.Sleep(time.Second)
			if failures--; failures > 0 {
				return refuses(ctx)
			}
			return nil
		}
		err := s.call(s.ctx)
		if said := s.said(); err != nil || len(said) != 0 {
			t.Errorf("said %q, %v", said, err)
		}
		s.service = noAnswer
		stopped, stop := context.WithTimeout(s.ctx, time.Second)
		defer stop()
		if err := s.call(stopped); !errors.Is(err, context.DeadlineExceeded) || !s.g.outage.since.IsZero() {
			t.Errorf("%v, %+v", err, s.g.outage)
		}
	})
}
