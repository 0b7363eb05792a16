package store

import (
	"cmp"
	"crypto/rand"
	"errors"
	"os"
	"sync"
	"syscall"
	"time"
)

// A holder is who holds a lease.
type holder struct {
	ID      string    `json:"id"` // of this holding, random
	Host    string    `json:"host"`
	PID     int       `json:"pid"`
	Machine string    `json:"machine"` // of the PID: this start of the machine, and namespace; empty where unknown
	Process string    `json:"process"` // random
	Until   time.Time `json:"until"`
	Seconds float64   `json:"seconds,omitempty"` // of the lease without a renewal; 0: it is of an earlier version
}

var (
	process = rand.Text() // tells this process from an earlier one with its PID
	live    sync.Map      // IDs of the leases that this process holds
)

func newHolder(st *Store, length time.Duration) holder {
	host, err := os.Hostname()
	if err != nil {
		host = "an unknown host"
	}
	return holder{ID: rand.Text(), Host: host, PID: os.Getpid(), Machine: st.where(), Process: process, Seconds: length.Seconds()}
}

// length returns how long the lease lasts without a renewal.
func (h *holder) length(otherwise time.Duration) time.Duration {
	if h.Seconds <= 0 {
		return otherwise
	}
	return time.Duration(h.Seconds * float64(time.Second))
}

// believable reports whether Until lies ahead of now, and no further than clocks that
// nearly agree can have put it.
func (h *holder) believable(now time.Time, length time.Duration) bool {
	ahead := h.Until.Sub(now)
	return 0 < ahead && ahead <= 2*length
}

// machine names what gives a PID its meaning: on Linux the start of the kernel
// and the namespace. It is empty where that is not known.
var machine = sync.OnceValue(func() string {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	namespace, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return ""
	}
	return string(boot[:len(boot)-1]) + " " + namespace
})

// where returns the machine on which leases of s are taken.
func (s *Store) where() string { return cmp.Or(s.machine, machine()) }

// dead reports whether a holder is known to have ended without a release: a
// process of the machine here that is gone, or a lease that this process has
// forgotten. The processes of other machines are unknown.
func (h *holder) dead(here string) bool {
	if h.Machine == "" || h.Machine != here {
		return false
	}
	if h.PID == os.Getpid() {
		_, ok := live.Load(h.ID)
		return h.Process != process || !ok
	}
	return errors.Is(syscall.Kill(h.PID, 0), syscall.ESRCH)
}
