package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quire-ml/quire/runners/store/gcstest"
)

// faulty returns a store on a fresh stand-in.
func faulty(t *testing.T) (*Store, *gcstest.Server) {
	server := gcstest.New(t)
	return mustOpen(t, "gs://bucket/run"), server
}

// A faultyOperation is an operation whose requests have faults. The store has the
// objects small and large.
type faultyOperation struct {
	name string
	ops  []gcstest.Op // of its requests
	do   func(s *Store) error
	then func(s *Store) error // verifies what it has done
}

func faultyOperations(small, large []byte) []faultyOperation {
	read := func(name string, want []byte) func(s *Store) error {
		return func(s *Store) error {
			data, _, err := s.Read(ctx, name)
			if err == nil && !bytes.Equal(data, want) {
				err = fmt.Errorf("read %d other bytes", len(data))
			}
			return err
		}
	}
	return []faultyOperation{
		{"put", []gcstest.Op{gcstest.Upload}, func(s *Store) error {
			_, err := s.Put(ctx, "new", small)
			return err
		}, read("new", small)},
		{"put large", []gcstest.Op{gcstest.Start, gcstest.Chunk}, func(s *Store) error {
			_, err := s.Put(ctx, "new", large)
			return err
		}, read("new", large)},
		{"swap", []gcstest.Op{gcstest.Attrs, gcstest.Upload}, func(s *Store) error {
			info, err := s.Stat(ctx, "small")
			if err == nil {
				_, err = s.Swap(ctx, "small", []byte("other"), info.Generation)
			}
			return err
		}, read("small", []byte("other"))},
		{"swap large", []gcstest.Op{gcstest.Start, gcstest.Chunk}, func(s *Store) error {
			_, err := s.Swap(ctx, "new", large, "")
			return err
		}, read("new", large)},
		{"read", []gcstest.Op{gcstest.Attrs, gcstest.Read}, read("large", large), read("large", large)},
		{"list", []gcstest.Op{gcstest.List}, func(s *Store) error {
			list, err := s.List(ctx, "")
			if err == nil && (len(list) != 2 || list[0].Name != "large" || list[1].Name != "small") {
				err = fmt.Errorf("list %v", list)
			}
			return err
		}, nil},
		{"delete", []gcstest.Op{gcstest.Attrs, gcstest.Delete}, func(s *Store) error { return s.Delete(ctx, "small", "") }, func(s *Store) error {
			if _, err := s.Stat(ctx, "small"); !errors.Is(err, ErrNotExist) {
				return fmt.Errorf("after delete: %v", err)
			}
			return nil
		}},
	}
}

// TestEveryFault gives every request of every operation every fault: all operations
// succeed.
func TestEveryFault(t *testing.T) {
	small, large := random(1, 1000), random(2, 3*chunkBytes+1000)
	defer func(t timing) { defaultTiming = t }(defaultTiming)
	defaultTiming.attempt = 300 * time.Millisecond // of a stall
	kinds := []gcstest.Kind{gcstest.Unavailable, gcstest.Lost, gcstest.TooMany, gcstest.Reset,
		gcstest.LostReset, gcstest.Cut, gcstest.Stall, gcstest.Damage}
	for _, o := range faultyOperations(small, large) {
		for _, op := range o.ops {
			for _, kind := range kinds {
				for _, skip := range []int{0, 3} { // the last of four chunks too
					if skip > 0 && op != gcstest.Chunk {
						continue
					}
					t.Run(fmt.Sprintf("%s/%s/%d/%d", o.name, op, kind, skip), func(t *testing.T) {
						s, server := faulty(t)
						server.Set("bucket", "run/small", small)
						server.Set("bucket", "run/large", large)
						for range skip {
							server.Inject(gcstest.Fault{Op: op, Kind: gcstest.None})
						}
						server.Inject(gcstest.Fault{Op: op, Kind: kind, At: 100}, gcstest.Fault{Op: op, Kind: gcstest.Unavailable})
						if err := o.do(s); err != nil {
							t.Fatal(err)
						}
						if left := server.Left(); len(left) > 1 {
							t.Fatalf("faults that did not happen: %v", left)
						}
						if o.then != nil {
							if err := o.then(s); err != nil {
								t.Fatal(err)
							}
						}
					})
				}
			}
		}
	}
}

// TestRot holds that a flipped bit in the bucket is an error.
func TestRot(t *testing.T) {
	s, server := faulty(t)
	data := random(5, 2*rangeBytes+100)
	if _, err := s.Put(ctx, "o", data); err != nil {
		t.Fatal(err)
	}
	server.Rot("bucket", "run/o", rangeBytes+5)
	if _, _, err := s.Read(ctx, "o"); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "gs://bucket/run/o: ") ||
		!strings.Contains(err.Error(), "want") {
		t.Errorf("read: %v", err)
	}
	o, err := s.OpenObject(ctx, "o")
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	for off := 0; off < len(data) && err == nil; off += 1000 {
		_, err = o.ReadAt(make([]byte, min(1000, len(data)-off)), int64(off))
	}
	if !errors.Is(err, ErrDamaged) {
		t.Errorf("ranges: %v", err)
	}
}

// TestReplacedWhileOpen holds that an open object never mixes the bytes of two
// generations.
func TestReplacedWhileOpen(t *testing.T) {
	s, server := faulty(t)
	server.Set("bucket", "run/o", random(1, 3*aheadBytes))
	o, err := s.OpenObject(ctx, "o")
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	if _, err := o.ReadAt(make([]byte, 10), 0); err != nil {
		t.Fatal(err)
	}
	server.Set("bucket", "run/o", random(2, 3*aheadBytes))
	if _, err := o.ReadAt(make([]byte, 10), int64(2*aheadBytes)); !errors.Is(err, errReplaced) {
		t.Errorf("read: %v", err)
	}
}

// TestRefusals holds that calls on a bucket that does not exist fail, in one line.
func TestRefusals(t *testing.T) {
	gcstest.New(t)
	s := mustOpen(t, "gs://"+gcstest.NoBucket+"/run")
	_, putErr := s.Put(ctx, "o", []byte("x"))
	_, largeErr := s.Put(ctx, "o", make([]byte, 3*chunkBytes))
	_, listErr := s.List(ctx, "")
	_, _, readErr := s.Read(ctx, "o")
	for i, err := range []error{putErr, largeErr, listErr, readErr} {
		if err == nil || strings.Contains(err.Error(), "\n") || !strings.HasPrefix(err.Error(), "store: gs://"+gcstest.NoBucket) {
			t.Errorf("%d: %v", i, err)
		}
	}
	if !strings.Contains(putErr.Error(), "bucket") || !strings.Contains(listErr.Error(), "bucket") {
		t.Errorf("put: %v; list: %v", putErr, listErr)
	}
}

// TestOutage holds that calls end during an outage, and that their errors tell the
// number of attempts.
func TestOutage(t *testing.T) {
	s, server := faulty(t)
	g := s.d.(*gcs)
	g.timing.call, g.timing.first = 100*time.Millisecond, 100*time.Millisecond
	for range 5000 {
		server.Inject(gcstest.Fault{Kind: gcstest.Unavailable})
	}
	_, statErr := s.Stat(ctx, "o")
	_, putErr := s.Put(ctx, "o", []byte("x"))
	for _, err := range []error{statErr, putErr} {
		if err == nil || !strings.Contains(err.Error(), "gave up after") || strings.Contains(err.Error(), "\n") {
			t.Error(err)
		}
	}
	if _, err := s.Put(ctx, "large", make([]byte, 3*chunkBytes)); err == nil {
		t.Error("a large object is written")
	}
}

// TestForbidden: a request that the account may not make has no effect and is not
// repeated, and the error says so.
func TestForbidden(t *testing.T) {
	small, large := random(1, 1000), random(2, 3*chunkBytes+1000)
	for _, o := range faultyOperations(small, large) {
		s, server := faulty(t)
		server.Set("bucket", "run/small", small)
		server.Set("bucket", "run/large", large)
		server.Inject(gcstest.Fault{Op: o.ops[len(o.ops)-1], Kind: gcstest.Forbidden})
		err := o.do(s)
		if err == nil || Transient(err) || strings.Contains(err.Error(), "\n") ||
			!strings.Contains(err.Error(), "Cloud Storage answers 403: ") || !strings.Contains(err.Error(), "grant the account") {
			t.Errorf("%s: %v", o.name, err)
		}
		gotSmall, _ := server.Object("bucket", "run/small")
		gotLarge, _ := server.Object("bucket", "run/large")
		if names := server.Names("bucket"); len(names) != 2 || !bytes.Equal(gotSmall, small) || !bytes.Equal(gotLarge, large) {
			t.Errorf("%s: it had an effect: there are %q", o.name, names)
		}
	}
}

// TestRate writes an object more often than the service allows.
func TestRate(t *testing.T) {
	s, server := faulty(t)
	s.d.(*gcs).timing.attempt = time.Minute // no attempt is late
	var clock time.Time
	server.Rate(time.Second, func() time.Time {
		clock = clock.Add(400 * time.Millisecond) // with every attempt
		return clock
	})
	for name, size := range map[string]int{"small": 10, "large": 3 * chunkBytes} {
		before, generation := server.Limited(), ""
		for n := range 3 {
			info, err := s.Swap(ctx, name, random(uint64(n), size), generation)
			if err != nil {
				t.Fatalf("%s, write %d: %v", name, n, err)
			}
			generation = info.Generation
		}
		if refused := server.Limited() - before; refused != 4 {
			t.Errorf("%s: %d writes were refused, want 2 before each of the later writes", name, refused)
		}
	}
}

// TestPauseEnds: the pause before another attempt ends with the context.
func TestPauseEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gcs{outage: &outage{answered: true}, timing: timing{attempt: time.Hour, call: 10 * time.Hour, quiet: time.Hour, pause: time.Hour, pauseMax: time.Hour}}
		short, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		began, attempts := time.Now(), 0
		err := g.try(short, func(context.Context) error {
			attempts++
			return io.ErrUnexpectedEOF
		})
		if took := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || attempts != 1 || took != time.Minute {
			t.Errorf("%v after %d attempts and %v", err, attempts, took)
		}
	})
}

// TestDamagedUpload holds that a new object of which the service reports other bytes is
// removed.
func TestDamagedUpload(t *testing.T) {
	s, server := faulty(t)
	server.Inject(gcstest.Fault{Op: gcstest.Upload, Kind: gcstest.Damage})
	for range readings {
		server.Inject(gcstest.Fault{Op: gcstest.Attrs, Kind: gcstest.Damage})
	}
	if _, err := s.Put(ctx, "o", []byte("bytes")); !errors.Is(err, ErrDamaged) {
		t.Errorf("put: %v", err)
	}
	if data, ok := server.Object("bucket", "run/o"); ok {
		t.Errorf("left %q", data)
	}
	if _, err := s.Put(ctx, "o", []byte("bytes")); err != nil {
		t.Error(err)
	}
}

// TestLostReplyIsNoConflict: a swap whose reply was lost succeeds. A swap of the same
// bytes that another client has written meanwhile is a conflict.
func TestLostReplyIsNoConflict(t *testing.T) {
	s, server := faulty(t)
	first, err := s.Swap(ctx, "p", []byte("1"), "")
	if err != nil {
		t.Fatal(err)
	}
	server.Inject(gcstest.Fault{Op: gcstest.Upload, Kind: gcstest.Lost})
	second, err := s.Swap(ctx, "p", []byte("2"), first.Generation)
	if err != nil {
		t.Fatalf("a lost reply: %v", err)
	}
	server.Set("bucket", "run/p", []byte("3"))
	server.Inject(gcstest.Fault{Op: gcstest.Upload, Kind: gcstest.Unavailable})
	if _, err := s.Swap(ctx, "p", []byte("3"), second.Generation); !errors.Is(err, ErrConflict) {
		t.Errorf("somebody else's bytes: %v, want a conflict", err)
	}
}

// TestEmulatorIsSaid holds that a program whose gs:// objects are a stand-in's, so that
// it does not sign in, says so once, on stderr.
func TestEmulatorIsSaid(t *testing.T) {
	gcstest.New(t)
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), childVariable+"=open gs://bucket/run")
	out, err := c.CombinedOutput()
	if err != nil || strings.Count(string(out), "STORAGE_EMULATOR_HOST is set: ALL gs:// objects are those of 127.0.0.1:") != 1 ||
		strings.Count(string(out), "\n") != 1 {
		t.Errorf("%v: %s", err, out)
	}
}
