package web

import "time"

// SetTimes sets the time for a header and that for a request, until restore is called.
func SetTimes(header, read time.Duration) (restore func()) {
	h, r := headerTime, readTime
	headerTime, readTime = header, read
	return func() { headerTime, readTime = h, r }
}
