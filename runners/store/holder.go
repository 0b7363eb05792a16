package store

import (
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
}

var (
	process = rand.Text() // tells this process from an earlier one with its PID
	live    sync.Map      // IDs of the leases that this process holds
)

func newHolder() holder {
	host, err := os.Hostname()
	if err != nil {
		host = "an unknown host"
	}
	return holder{ID: rand.Text(), Host: host, PID: os.Getpid(), Machine: machine(), Process: process}
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

// dead reports whether a holder is known to have ended without a release: a
// process of this machine that is gone, or a holding that this process has
// forgotten. Of others it cannot be known.
func (h *holder) dead() bool {
	if h.Machine == "" || h.Machine != machine() {
		return false
	}
	if h.PID == os.Getpid() {
		_, ok := live.Load(h.ID)
		return h.Process != process || !ok
	}
	return errors.Is(syscall.Kill(h.PID, 0), syscall.ESRCH)
}
