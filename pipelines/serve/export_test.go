package serve

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Retire retires the model in use, as a newer one does, and puts none in its place.
func (s *Server) Retire() { s.current.Load().retire() }

// Ended reports whether the model in use writes no more.
func (s *Server) Ended() bool {
	select {
	case <-s.current.Load().ended:
		return true
	default:
		return false
	}
}

// Gatherer has the server's figures.
func (s *Server) Gatherer() prometheus.Gatherer { return s.counts.registry }

// SetAlive sets the time after which a silent stream pings, until restore is called.
func SetAlive(d time.Duration) (restore func()) {
	before := alive
	alive = d
	return func() { alive = before }
}

// Pause is the least time between two parts of a stream.
var Pause = pause(1)
