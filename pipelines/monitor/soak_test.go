//go:build soak

package monitor_test

import (
	"testing"
	"time"
)

// TestSoakYear is a year of nights:
//
//	go test -tags soak -run SoakYear -v -timeout 2h ./pipelines/monitor
func TestSoakYear(t *testing.T) { serve(t, 365, 24*time.Hour, "0 3 * * *") }
