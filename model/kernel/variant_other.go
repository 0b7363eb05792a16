//go:build (!amd64 && !arm64) || purego

package kernel

// variants lists the variants of this build, the fastest last.
func variants() []*variant { return []*variant{generic} }
