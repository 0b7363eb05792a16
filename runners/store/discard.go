package store

import (
	"context"
	"errors"
)

// Discard gives the lease up and deletes its object, with the value. The lease of an object
// that another holder has taken over deletes nothing.
func (l *Lease) Discard(ctx context.Context) error {
	l.stop()
	l.beaten.Wait()
	defer live.Delete(l.self.ID)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.Err() != nil {
		return nil
	}
	l.lose(errors.New("it was released"))
	if err := l.st.Delete(ctx, l.name, l.generation); !errors.Is(err, ErrConflict) {
		return err
	}
	found, generation, err := readLeased(ctx, l.st, l.name) // the last renewal had an error, and has succeeded
	if err != nil || found.Holder == nil || found.Holder.ID != l.self.ID {
		return nil
	}
	return l.st.Delete(ctx, l.name, generation)
}
