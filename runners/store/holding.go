package store

import (
	"context"
	"time"
)

// Holding returns who holds the lease of the object name, and decodes its value into v. It
// returns nil where nobody does, or where the holder is known to have ended. Nothing is
// known of the processes of other machines: there, stale reports whether the lease has run
// out by the clock now, by more than a lease. Acquire then finds out whether the holder
// lives. The error wraps ErrNotExist where the object is absent.
func Holding(ctx context.Context, st *Store, name string, now time.Time, v any) (held *HeldError, stale bool, err error) {
	found, _, err := readLeased(ctx, st, name)
	if err != nil {
		return nil, false, err
	}
	if h := found.Holder; h != nil && !h.dead(st.where()) {
		held = &HeldError{Where: st.Join(name), Host: h.Host, PID: h.PID, Until: h.Until}
		stale = now.Sub(h.Until) > h.length(leaseTime)
	}
	return held, stale, found.decode(st.Join(name), v)
}
