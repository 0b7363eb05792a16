package store

import "time"

// Hurry shortens the time of an attempt, in tests that stall many.
func Hurry(attempt time.Duration) (restore func()) {
	old := defaultTiming
	defaultTiming.attempt = attempt
	return func() { defaultTiming = old }
}

// ChunkBytes is the largest size of an object that is sent in one request.
func ChunkBytes() int { return chunkBytes }
