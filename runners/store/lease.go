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

// A holder renews its lease leaseBeats times per lease. A Hold context ends leaseHold of
// these intervals after the start of the last successful renewal.
const (
	leaseTime  = time.Minute
	leaseBeats = 4
	leaseHold  = 3
)

// errLate is the cause of a lease that its holder could not renew in time.
var errLate = errors.New("it could not be renewed in time")

// ErrLost is wrapped by errors of a lease that another holder has taken over, or
// that could not be renewed. Nothing can be committed under a lost lease.
var ErrLost = errors.New("the lease is lost")

// A HeldError says who holds a lease.
type HeldError struct {
	Where string // the object
	Host  string
	PID   int
	Until time.Time // end of the lease, by the holder's clock, unless it is renewed
}

func (e *HeldError) Error() string {
	return fmt.Sprintf("store: %s: process %d on %s holds the lease until %s, and renews it as long as it lives; "+
		"wait for it to end, or stop it",
		e.Where, e.PID, e.Host, e.Until.UTC().Format(time.RFC3339))
}

// A Lease is the sole right to change a value: a small JSON object, stored in one
// object of the store together with the holder's name.
//
// A goroutine of the holder renews the lease four times per lease. Acquire decides
// whether a lease is free:
//
//   - A holder that is a dead process of this machine holds nothing.
//   - While the time Until in the object lies ahead, the lease is held.
//   - Once Until has passed, Acquire watches the object for one lease, by the
//     monotonic clock of its own process. A renewal shows that the lease is held.
//     Without a renewal Acquire takes the lease over.
//   - An Until more than two leases ahead shows that the clocks differ. Acquire
//     watches this lease likewise: a clock years ahead must not block everybody.
//
// So a wrong clock delays a takeover, and takes no lease from a living holder. That
// only one holder commits depends on no clock: a renewal, a commit and a takeover each
// replace the object from the generation that the caller has seen. A holder that has
// slept commits nothing after a takeover.
//
// A Lease is safe for concurrent use.
type Lease struct {
	st   *Store
	name string
	time time.Duration
	now  func() time.Time // the wall clock

	stop   context.CancelFunc
	beaten sync.WaitGroup

	held   context.Context // ends when the lease is lost or not renewed in time
	cancel context.CancelCauseFunc
	late   *time.Timer // cancels held

	mu         sync.Mutex // held while the object is written
	self       holder
	generation string
	value      json.RawMessage // null: none
	renewed    time.Time       // just before the last write, by the monotonic clock

	lost atomic.Pointer[error] // the reason; nil while the lease is held
}

// A leased is the content of the object.
type leased struct {
	Format string          `json:"format"`
	Holder *holder         `json:"holder,omitempty"` // nil: the lease is free
	Value  json.RawMessage `json:"value"`
}

// LeaseOptions are options of Acquire; nil means the defaults.
type LeaseOptions struct {
	Time time.Duration    // from a renewal to the lease's expiry; 0 is a minute
	Now  func() time.Time // the wall clock; nil is time.Now

	Value json.RawMessage // of an object that is absent; nil: it has none
}

// Acquire takes the lease of the object name, and makes the object if it is absent.
// The error is a *HeldError while another holder has the lease. Where the lease looks
// expired, Acquire watches it first, for up to one lease; see Lease. The end of ctx
// ends Acquire, not the lease: call Release in the end.
func Acquire(ctx context.Context, st *Store, name string, o *LeaseOptions) (*Lease, error) {
	l := &Lease{st: st, name: name, time: leaseTime, now: time.Now}
	if o != nil && o.Time > 0 {
		l.time = o.Time
	}
	if o != nil && o.Now != nil {
		l.now = o.Now
	}
	l.self = newHolder(st, l.time)
	live.Store(l.self.ID, true)
	l.held, l.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	var first json.RawMessage
	if o != nil {
		first = o.Value
	}
	if err := l.take(ctx, first); err != nil {
		live.Delete(l.self.ID)
		l.cancel(nil)
		return nil, err
	}
	beat, stop := context.WithCancel(context.WithoutCancel(ctx))
	l.stop = stop
	l.beaten.Go(func() { l.beat(beat) })
	return l, nil
}

// maxAbsent bounds the attempts to create an object that conflicts and is absent.
const maxAbsent = 10

// take writes this lease's holder into the object, unless another holds the lease. first
// is the value of an object that is absent.
func (l *Lease) take(ctx context.Context, first json.RawMessage) error {
	var watched string // generation
	var since time.Time
	for absent := 0; ; {
		found, generation, err := readLeased(ctx, l.st, l.name)
		if err != nil && !errors.Is(err, ErrNotExist) {
			return err
		}
		if h := found.Holder; h != nil && !h.dead(l.st.where()) {
			length := h.length(l.time)
			if watched == "" && !believable(h.Until, l.now(), length) {
				watched, since = generation, time.Now()
			}
			switch {
			case watched != generation:
				return &HeldError{Where: l.st.Join(l.name), Host: h.Host, PID: h.PID, Until: h.Until}
			case time.Since(since) < length:
				if err := Wait(ctx, length/leaseBeats); err != nil {
					return err
				}
				continue
			}
		}
		l.generation, l.self.Since = generation, l.now()
		if generation == "" {
			found.Value = first
			absent++
		}
		if err = l.put(ctx, found.Value); !errors.Is(err, ErrConflict) || absent == maxAbsent {
			return err
		}
		if ctx.Err() != nil { // another taker was quicker
			return ctx.Err()
		}
	}
}

// Hold returns a context for work that needs the lease. The context ends with ctx, with
// stop, and before another holder can take the lease over: three quarters of a lease
// after the last successful renewal. The cause of this last end wraps ErrLost.
func (l *Lease) Hold(ctx context.Context) (held context.Context, stop func()) {
	held, cancel := context.WithCancelCause(ctx)
	unlink := context.AfterFunc(l.held, func() { cancel(context.Cause(l.held)) })
	return held, func() {
		unlink()
		cancel(nil)
	}
}

// ReadLeased decodes the value of the leased object name into v, which stays as it is
// where the object has no value. held reports whether the object names a holder, alive
// or dead. The error wraps ErrNotExist where the object is absent.
func ReadLeased(ctx context.Context, st *Store, name string, v any) (held bool, err error) {
	found, _, err := readLeased(ctx, st, name)
	if err != nil {
		return false, err
	}
	return found.Holder != nil, found.decode(st.Join(name), v)
}

// A Holding is what the object of a lease says of its holder. Times are by the holder's clock.
type Holding struct {
	Host    string
	PID     int
	Since   time.Time     // the lease was taken; zero: an earlier version did not say
	Renewed time.Time     // the lease was written last: the holder's last sign of life
	Until   time.Time     // end of the lease, unless it is renewed
	Length  time.Duration // from a renewal to that end
	Dead    bool          // it is a process of this machine that has ended
}

// ReadHolder is ReadLeased for who wants to know the holder; nil: the lease is free. The
// generation changes with every renewal.
func ReadHolder(ctx context.Context, st *Store, name string, v any) (h *Holding, generation string, err error) {
	found, generation, err := readLeased(ctx, st, name)
	if err != nil {
		return nil, "", err
	}
	if f := found.Holder; f != nil {
		length := f.length(leaseTime)
		h = &Holding{Host: f.Host, PID: f.PID, Since: f.Since, Renewed: f.Until.Add(-length), Until: f.Until, Length: length,
			Dead: f.dead(st.where())}
	}
	return h, generation, found.decode(st.Join(name), v)
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

// Value decodes the value into v, which stays as it is where the lease has no value.
func (l *Lease) Value(v any) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return (&leased{Value: l.value}).decode(l.st.Join(l.name), v)
}

// Commit replaces the value by v, encoded as JSON, and renews the lease. An error that
// wraps ErrLost means that the lease is lost and the object unchanged.
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

// Err returns the reason for which the lease is lost, nil while it is held. Err does
// not wait for a write.
func (l *Lease) Err() error {
	if err := l.lost.Load(); err != nil {
		return *err
	}
	return nil
}

// put writes the value, this lease's holder and a new Until.
func (l *Lease) put(ctx context.Context, value json.RawMessage) error {
	self, began := l.self, time.Now()
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
	l.generation, l.value, l.renewed = info.Generation, value, began
	l.postpone(l.time*leaseHold/leaseBeats - time.Since(began))
	return nil
}

// swap replaces the object.
func (l *Lease) swap(ctx context.Context, data []byte) (info Info, err error) {
	err = l.change(ctx, func(generation string) error {
		info, err = l.st.Swap(ctx, l.name, data, generation)
		return err
	})
	return info, err
}

// change calls write with the generation of the object that was seen last. An earlier
// write that returned an error may have succeeded: the object then has another generation,
// and still this lease's holder. write is called again with that.
func (l *Lease) change(ctx context.Context, write func(generation string) error) error {
	err := write(l.generation)
	if !errors.Is(err, ErrConflict) {
		return err
	}
	found, generation, readErr := readLeased(ctx, l.st, l.name)
	if readErr != nil || found.Holder == nil || found.Holder.ID != l.self.ID {
		return err
	}
	return write(generation)
}

// postpone lets held end d from now.
func (l *Lease) postpone(d time.Duration) {
	if l.late == nil {
		l.late = time.AfterFunc(d, func() { l.cancel(l.loss(errLate)) })
		return
	}
	l.late.Reset(d)
}

// loss returns the error of the lost lease.
func (l *Lease) loss(cause error) error {
	return fmt.Errorf("store: %s: %w: %w", l.st.Join(l.name), ErrLost, cause)
}

// lose marks the lease as lost.
func (l *Lease) lose(cause error) error {
	err := l.loss(cause)
	l.lost.Store(&err)
	l.late.Stop()
	l.cancel(err)
	return err
}

// beat renews the lease until ctx ends. A failed renewal is tried again until the last
// successful one is 1.5 leases old: perhaps no other holder wanted the lease.
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

// renew renews the lease once and reports whether it is still held.
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
	case time.Since(l.renewed) > l.time*3/2:
		l.lose(fmt.Errorf("%w: %w", errLate, err))
	}
	return l.Err() == nil
}
