package serve

import "time"

// SetAlive sets the time after which a silent stream pings, until restore is called.
func SetAlive(d time.Duration) (restore func()) {
	before := alive
	alive = d
	return func() { alive = before }
}

// Pause is the least time between two parts of a stream.
const Pause = pause
