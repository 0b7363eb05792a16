//go:build !amd64 || purego

package kernel

// variants lists what this build has, the fastest last.
func variants() []*variant { return []*variant{generic} }
