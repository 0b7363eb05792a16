package memory

import (
	"errors"
	"math"
	"testing"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// TestLimit takes the smaller limit of those that are known.
func TestLimit(t *testing.T) {
	defer func(old []memlimit.Provider) { providers = old }(providers)
	if n := Limit(); n < 1<<28 || n > 1<<50 {
		t.Errorf("this machine has %d bytes", n)
	}
	none := func() (uint64, error) { return 0, memlimit.ErrNoLimit }
	for _, c := range []struct {
		group, machine memlimit.Provider
		want           int64
	}{
		{memlimit.Limit(3e9), memlimit.Limit(8e9), 3e9}, {memlimit.Limit(9e9), memlimit.Limit(8e9), 8e9}, {none, memlimit.Limit(8e9), 8e9},
		{memlimit.Limit(math.MaxInt64 - 4095), memlimit.Limit(8e9), 8e9}, // version 1 of control groups, without a limit
		{memlimit.Limit(math.MaxInt64 - 4095), none, 0}, {memlimit.Limit(math.MaxUint64), memlimit.Limit(8e9), 8e9}, {none, none, 0},
	} {
		providers = []memlimit.Provider{c.group, c.machine}
		if got := Limit(); got != c.want {
			t.Errorf("got %d, want %d", got, c.want)
		}
		var short *ShortError
		if err := Check("to train", c.want+1); errors.As(err, &short) != (c.want > 0) || short != nil && (short.Has != c.want || short.Needs != c.want+1) {
			t.Errorf("%d bytes of %d: %v", c.want+1, c.want, err)
		}
		if err := Check("to train", c.want); err != nil {
			t.Error(err)
		}
	}
}
