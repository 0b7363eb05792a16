// Package memory is the memory that a process may take.
package memory

import (
	"fmt"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// A ShortError says that work needs more memory than there is.
type ShortError struct {
	Work       string // such as "to train gru, 1 layer, embedding 64, hidden 256"
	Needs, Has int64  // bytes
}

func (e *ShortError) Error() string {
	return fmt.Sprintf("memory: %s takes %.1f GB of memory, and this machine, or the control group of this process, has %.1f GB",
		e.Work, float64(e.Needs)/1e9, float64(e.Has)/1e9)
}

// providers are the limits of memory in bytes. (Tests replace them.)
var providers = []memlimit.Provider{memlimit.FromCgroup, memlimit.FromSystem}

// Limit returns the bytes of memory that this process may take: those of the machine, or
// fewer where a control group limits them; 0 where neither is known.
func Limit() (bytes int64) {
	for _, limit := range providers {
		if n, err := limit(); err == nil && n < 1<<62 && (bytes == 0 || int64(n) < bytes) {
			bytes = int64(n)
		}
	}
	return bytes
}

// Check returns a *ShortError where work needs more bytes than there are.
func Check(work string, needs int64) error {
	if has := Limit(); has > 0 && needs > has {
		return &ShortError{work, needs, has}
	}
	return nil
}
