package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
)

// called are the items that a function of the tests was called for.
var called struct {
	sync.Mutex
	items []string
}

func init() {
	Register("engine.test", func(_ context.Context, item []byte) error {
		called.Lock()
		defer called.Unlock()
		called.items = append(called.items, string(item))
		if string(item) == "bad" {
			return fmt.Errorf("item %s: no good", item)
		}
		return nil
	})
}

func TestEach(t *testing.T) {
	for _, runner := range []string{"direct", "prism"} {
		called.items = nil
		if err := Each(t.Context(), runner, "engine.test", [][]byte{[]byte("a"), []byte("b"), []byte("c")}, Options{}); err != nil {
			t.Errorf("%s: %v", runner, err)
		}
		if slices.Sort(called.items); strings.Join(called.items, " ") != "a b c" {
			t.Errorf("%s: called for %v", runner, called.items)
		}
		err := Each(t.Context(), runner, "engine.test", [][]byte{[]byte("bad")}, Options{})
		if want := "engine: " + runner + ": item bad: no good"; err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if err := Each(t.Context(), "direct", "other", nil, Options{}); err == nil || err.Error() != "engine: no function is registered as other" {
		t.Errorf("got %v", err)
	}
}
