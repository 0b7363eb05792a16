package store

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

// TestWithFaults fails each operation on an object in turn, on every driver.
func TestWithFaults(t *testing.T) {
	cause := errors.New("no more")
	conform(t, func(t *testing.T, s *Store) {
		data := random(1, 1000)
		for nth := 1; ; nth++ {
			n, failed := 0, ""
			f := s.WithFaults(func(op, name string) error {
				if n++; n == nth {
					failed = op
					return cause
				}
				return nil
			})
			err := useAll(f, data)
			if n < nth {
				if err != nil || nth < 12 {
					t.Errorf("%d operations: %v", n, err)
				}
				break
			}
			if !errors.Is(err, cause) || !strings.HasPrefix(err.Error(), "store: "+s.URL()) {
				t.Errorf("operation %d, %s: %v", nth, failed, err)
			}
		}
	})
}

// useAll calls every operation of a store. It can be repeated.
func useAll(s *Store, data []byte) error {
	info, err := s.Put(ctx, "a/b", data)
	if err != nil {
		return err
	}
	if _, err := s.Swap(ctx, "a/c", data, ""); err != nil && !errors.Is(err, ErrConflict) {
		return err
	}
	if _, err := s.Stat(ctx, "a/b"); err != nil {
		return err
	}
	if list, err := s.List(ctx, "a/"); err != nil || len(list) != 2 {
		return errors.Join(err, s.Delete(ctx, "a/c", ""))
	}
	if got, _, err := s.Read(ctx, "a/b"); err != nil || !bytes.Equal(got, data) {
		return err
	}
	o, err := s.OpenObject(ctx, "a/b")
	if err != nil {
		return err
	}
	defer o.Close()
	if got, err := io.ReadAll(io.NewSectionReader(o, 0, o.Size())); err != nil || !bytes.Equal(got, data) {
		return err
	}
	return s.Delete(ctx, "a/b", info.Generation)
}

// TestPatience holds that a call on a bucket that is gone for good fails within two
// minutes, with the time of a stuck upload and of the look that follows.
func TestPatience(t *testing.T) {
	if d := patience(shipped); d > 2*time.Minute {
		t.Errorf("a call may take %v", d)
	}
}

func patience(t timing) time.Duration { return t.call + 2*lookTime + t.pauseMax }
