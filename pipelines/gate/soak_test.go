//go:build soak

package gate

import "testing"

// TestSoakGate is 100 good candidates and 100 bad ones:
//
//	go test -tags soak -run SoakGate -v -timeout 3h ./pipelines/gate
func TestSoakGate(t *testing.T) { newLab(t).try(100, 100) }
