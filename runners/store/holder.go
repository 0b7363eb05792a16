package store

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"
)

// A holder names the process that holds a lease.
type holder struct {
	ID      string    `json:"id"` // random, of one Acquire
	Host    string    `json:"host"`
	PID     int       `json:"pid"`
	Machine string    `json:"machine"`           // scope of the PID, see machine; empty where unknown
	Process string    `json:"process,omitempty"` // of earlier versions
	Since   time.Time `json:"since,omitzero"`    // it was taken; zero: of an earlier version
	Until   time.Time `json:"until"`
	Seconds float64   `json:"seconds,omitempty"` // from a renewal to the lease's expiry; 0: of an earlier version
}

// live has the IDs of the leases that this process holds.
var live sync.Map

func newHolder(st *Store, length time.Duration) holder {
	host, err := os.Hostname()
	if err != nil {
		host = "an unknown host"
	}
	return holder{ID: rand.Text(), Host: host, PID: os.Getpid(), Machine: st.where(), Seconds: length.Seconds()}
}

// length returns the time from a renewal to the lease's expiry, otherwise if the holder
// does not state it.
func (h *holder) length(otherwise time.Duration) time.Duration {
	if h.Seconds <= 0 {
		return otherwise
	}
	return time.Duration(h.Seconds * float64(time.Second))
}

// believable reports whether the end of a lease lies ahead of now, by at most two leases. A
// later one shows that the clocks differ.
func believable(until, now time.Time, length time.Duration) bool {
	ahead := until.Sub(now)
	return 0 < ahead && ahead <= 2*length
}

// Believable reports whether Acquire takes the holder for alive without watching it.
func (h *Holding) Believable(now time.Time) bool { return believable(h.Until, now, h.Length) }

// machine names the scope of a PID: on Linux the boot of the kernel and the PID
// namespace; elsewhere it is empty.
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

// dead reports whether the holder is known to have ended without a release: its process
// on the machine here is gone or a zombie, or this process no longer has the lease. Nothing is known
// of the processes of other machines.
func (h *holder) dead(here string) bool {
	if h.Machine == "" || h.Machine != here {
		return false
	}
	if h.PID == os.Getpid() {
		_, ok := live.Load(h.ID)
		return !ok
	}
	return errors.Is(syscall.Kill(h.PID, 0), syscall.ESRCH) || ended(h.PID)
}

// ended reports whether a process has ended and waits for its parent to ask how; false
// where there is no /proc.
func ended(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	state := stateOf(stat)
	return state == 'Z' || state == 'X'
}

// stateOf returns the state of a process in the text of its stat, 0 where there is none:
// "2300 (a name) Z 1 …". The name may hold anything, parentheses too.
func stateOf(stat []byte) byte {
	if at := bytes.LastIndexByte(stat, ')') + 2; at > 1 && at < len(stat) {
		return stat[at]
	}
	return 0
}
