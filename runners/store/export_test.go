package store

import "time"

// Hurry shortens what a call waits for an answer, in tests that stall many.
func Hurry(attempt time.Duration) (restore func()) {
	old := defaultTiming
	defaultTiming.attempt = attempt
	return func() { defaultTiming = old }
}

// ChunkBytes is the size from which an object is sent in several requests.
func ChunkBytes() int { return chunkBytes }
