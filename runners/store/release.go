package store

import (
	"context"
	"errors"
)

// Release gives the lease up. The value stays; an object without a value is deleted.
// The release of a lost lease changes nothing and returns nil.
func (l *Lease) Release(ctx context.Context) error { return l.end(ctx, l.free) }

// Discard is Release that deletes the object with its value.
func (l *Lease) Discard(ctx context.Context) error { return l.end(ctx, l.remove) }

// end stops the renewals and gives the lease up by giveUp, unless it is lost.
func (l *Lease) end(ctx context.Context, giveUp func(context.Context) error) error {
	l.stop()
	l.beaten.Wait()
	defer live.Delete(l.self.ID)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.Err() != nil {
		return nil
	}
	l.lose(errors.New("it was released"))
	err := giveUp(ctx)
	if errors.Is(err, ErrConflict) { // another holder has it
		return nil
	}
	return err
}

// free writes the value without a holder.
func (l *Lease) free(ctx context.Context) error {
	if len(l.value) == 0 || string(l.value) == "null" {
		return l.remove(ctx)
	}
	data, err := MarshalSealed(leased{Format: leaseFormat, Value: l.value})
	if err != nil {
		return err
	}
	_, err = l.swap(ctx, data)
	return err
}

func (l *Lease) remove(ctx context.Context) error {
	return l.change(ctx, func(generation string) error { return l.st.Delete(ctx, l.name, generation) })
}
