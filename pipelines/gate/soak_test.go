//go:build soak

package gate

import "testing"

// TestSoakGate is 100 good candidates and 100 bad ones:
//
//	go test -tags soak -run SoakGate -v -timeout 2h ./pipelines/stages
func TestSoakGate(t *testing.T) { newGateLab(t).try(100, 100) }
