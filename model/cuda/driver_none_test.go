//go:build !linux || nogpu

package cuda

import (
	"errors"
	"runtime"
	"testing"
)

// TestNotBuilt: without the binding everything says so.
func TestNotBuilt(t *testing.T) {
	reason, want := NotBuilt, "cuda: this program was built without GPUs (tag nogpu): take the one that was built without the tag"
	if runtime.GOOS != "linux" {
		reason, want = OtherSystem, "cuda: GPUs are used on Linux alone, this system is "+runtime.GOOS
	}
	for name, f := range map[string]func() error{
		"Load":  func() error { _, err := Load(); return err },
		"Open":  func() error { _, err := Open(nil); return err },
		"Probe": func() error { _, err := Probe(nil); return err },
	} {
		var u *Unavailable
		if err := f(); !errors.As(err, &u) || u.Reason != reason || err.Error() != want {
			t.Errorf("%s: %v, want %s", name, err, want)
		}
	}
}
