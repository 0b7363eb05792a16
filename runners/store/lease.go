package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

const leaseFormat = "quire-lease/1"

// leaseTime is how long a lease lasts that its holder does not renew, and
// leaseBeats how often the holder renews it in that time. A holder that lives
// is never late by more than one beat, so the clocks of machines may differ by
// three quarters of a lease, less what a write takes.
const (
	leaseTime  = time.Minute
	leaseBeats = 4
)

// errExpired is the cause of a lease that its holder could not renew in time.
var errExpired = errors.New("it could not be renewed in time")

// ErrLost is wrapped by errors of a lease that another holder has taken over, or
// that could not be renewed. Nothing can be committed under it any more.
var ErrLost = errors.New("the lease is lost")

// A HeldError says who holds a lease.
type HeldError struct {
	Where string // the object
	Host  string
	PID   int
	Until time.Time // when it can be taken over, unless its holder renews it
}

func (e *HeldError) Error() string {
	return fmt.Sprintf("store: %s: process %d on %s holds the lease until %s, and renews it as long as it lives; wait for it to end, or stop it",
		e.Where, e.PID, e.Host, e.Until.UTC().Format(time.RFC3339))
}

// A Lease is the sole right to change a value, a small JSON object that is kept
// in one object together with the name of its holder.
//
// The holder renews it from a goroutine of its own. Who wants it while it is
// held gets a HeldError; once it has expired, or its holder is a process of the
// same machine that has died, it is taken over. Clocks decide only when that
// happens. That one holder alone commits does not depend on them: a renewal, a
// commit and a takeover each replace the object from the generation that the
// caller has seen, so that a holder that has slept cannot commit anything after
// another has taken the lease over.
//
// It is safe for concurrent use.
type Lease struct {
	st   *Store
	name string
	time time.Duration
	now  func() time.Time

	stop   context.CancelFunc
	beaten sync.WaitGroup

	mu         sync.Mutex // held while the object is written
	self       holder
	generation string
	value      json.RawMessage // null without one
	until      time.Time

	lost atomic.Pointer[error] // why it is, nil while it is held
}

// A leased is what the object holds.
type leased struct {
	Format string          `json:"format"`
	Holder *holder         `json:"holder,omitempty"` // nil: it is free
	Value  json.RawMessage `json:"value"`
}

// LeaseOptions may be nil.
type LeaseOptions struct {
	Time time.Duration // that a lease lasts without a renewal; 0 is a minute
}

// Acquire takes the lease of the object name, which is made where there is none.
// The error is a *HeldError while another holder has it. Call Release in the end.
func Acquire(ctx context.Context, st *Store, name string, o *LeaseOptions) (*Lease, error) {
	l := &Lease{st: st, name: name, time: leaseTime, now: time.Now}
	if o != nil && o.Time > 0 {
		l.time = o.Time
	}
	if err := l.acquire(ctx); err != nil {
		return nil, err
	}
	return l, nil
}

func (l *Lease) acquire(ctx context.Context) error {
	l.self = newHolder()
	live.Store(l.self.ID, true)
	if err := l.take(ctx); err != nil {
		live.Delete(l.self.ID)
		return err
	}
	beat, stop := context.WithCancel(context.WithoutCancel(ctx))
	l.stop = stop
	l.beaten.Go(func() { l.beat(beat) })
	return nil
}

// take makes this lease the holder, if there is no other.
func (l *Lease) take(ctx context.Context) error {
	for {
		found, generation, err := readLeased(ctx, l.st, l.name)
		if err != nil && !errors.Is(err, ErrNotExist) {
			return err
		}
		if h := found.Holder; h != nil && !h.dead() && l.now().Before(h.Until) {
			return &HeldError{Where: l.st.Join(l.name), Host: h.Host, PID: h.PID, Until: h.Until}
		}
		l.generation = generation
		if err = l.put(ctx, found.Value); !errors.Is(err, ErrConflict) {
			return err
		}
		if ctx.Err() != nil { // someone else has been quicker
			return ctx.Err()
		}
	}
}

// ReadLeased returns the value of a leased object into v, and whether somebody
// holds it. The error wraps ErrNotExist where there is no such object.
func ReadLeased(ctx context.Context, st *Store, name string, v any) (held bool, err error) {
	found, _, err := readLeased(ctx, st, name)
	if err != nil {
		return false, err
	}
	return found.Holder != nil, found.decode(st.Join(name), v)
}

func readLeased(ctx context.Context, st *Store, name string) (found leased, generation string, err error) {
	generation, err = st.ReadSealed(ctx, name, &found, Sealed{Format: leaseFormat})
	return found, generation, err
}

func (d *leased) decode(where string, v any) error {
	if len(d.Value) == 0 || string(d.Value) == "null" {
		return nil
	}
	if err := json.Unmarshal(d.Value, v); err != nil {
		return fmt.Errorf("store: %s: value: %w", where, err)
	}
	return nil
}

// Value decodes the value into v, which stays as it is where there is none.
func (l *Lease) Value(v any) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return (&leased{Value: l.value}).decode(l.st.Join(l.name), v)
}

// Commit replaces the value, and renews the lease. An error that wraps ErrLost
// says that another holder has it: nothing has changed.
func (l *Lease) Commit(ctx context.Context, v any) error {
	value, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("store: %s: value: %w", l.st.Join(l.name), err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.Err(); err != nil {
		return err
	}
	if err = l.put(ctx, value); errors.Is(err, ErrConflict) {
		return l.lose(err)
	}
	return err
}

// Err returns why the lease is lost, nil while it is held. It does not wait.
func (l *Lease) Err() error {
	if err := l.lost.Load(); err != nil {
		return *err
	}
	return nil
}

// Release gives the lease up; the value stays. Where there is none, the object
// goes. A lease that is lost needs no release.
func (l *Lease) Release(ctx context.Context) error {
	l.stop()
	l.beaten.Wait()
	defer live.Delete(l.self.ID)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.Err() != nil {
		return nil
	}
	l.lose(errors.New("it was released"))
	err := l.free(ctx)
	if errors.Is(err, ErrConflict) { // another has it, so this one is free of it
		return nil
	}
	return err
}

func (l *Lease) free(ctx context.Context) error {
	if len(l.value) == 0 || string(l.value) == "null" {
		return l.st.Delete(ctx, l.name, l.generation)
	}
	data, err := MarshalSealed(leased{Format: leaseFormat, Value: l.value})
	if err != nil {
		return err
	}
	_, err = l.swap(ctx, data)
	return err
}

// put replaces the object by one that this lease holds. A write that failed
// before may have come through after all: then the object is another than was
// last seen, but still this lease's.
func (l *Lease) put(ctx context.Context, value json.RawMessage) error {
	self := l.self
	self.Until = l.now().Add(l.time)
	if len(value) == 0 {
		value = json.RawMessage("null")
	}
	data, err := MarshalSealed(leased{Format: leaseFormat, Holder: &self, Value: value})
	if err != nil {
		return err
	}
	info, err := l.swap(ctx, data)
	if err != nil {
		return err
	}
	l.generation, l.value, l.until = info.Generation, value, self.Until
	return nil
}

func (l *Lease) swap(ctx context.Context, data []byte) (Info, error) {
	info, err := l.st.Swap(ctx, l.name, data, l.generation)
	if !errors.Is(err, ErrConflict) {
		return info, err
	}
	found, generation, readErr := readLeased(ctx, l.st, l.name)
	if readErr != nil || found.Holder == nil || found.Holder.ID != l.self.ID {
		return info, err
	}
	return l.st.Swap(ctx, l.name, data, generation)
}

func (l *Lease) lose(cause error) error {
	err := fmt.Errorf("store: %s: %w: %w", l.st.Join(l.name), ErrLost, cause)
	l.lost.Store(&err)
	return err
}

// beat renews the lease until ctx ends. A renewal that fails is tried again, also
// for a while after the lease has expired: nobody may have wanted it.
func (l *Lease) beat(ctx context.Context) {
	t := time.NewTicker(l.time / leaseBeats)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			if !l.renew(ctx) {
				return
			}
		}
	}
}

func (l *Lease) renew(ctx context.Context) (held bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.Err() != nil {
		return false
	}
	beat, cancel := context.WithTimeout(ctx, l.time/leaseBeats) // a commit may be waiting
	defer cancel()
	err := l.put(beat, l.value)
	switch {
	case err == nil || ctx.Err() != nil:
	case errors.Is(err, ErrConflict):
		l.lose(err)
	case l.now().After(l.until.Add(l.time / 2)):
		l.lose(fmt.Errorf("%w: %w", errExpired, err))
	}
	return l.Err() == nil
}
