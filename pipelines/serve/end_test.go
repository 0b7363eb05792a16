package serve

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quire-ml/quire/pipelines/text"
)

// TestPause: streams have 50 parts a second, and all of them together no more than 1,000.
func TestPause(t *testing.T) {
	for texts, want := range map[int64]time.Duration{0: 20, 1: 20, 20: 20, 21: 21, 64: 64, 500: 500} {
		if got := pause(texts); got != want*time.Millisecond {
			t.Errorf("beside %d texts: %v", texts, got)
		}
	}
}

// TestEndOfFault: a text whose end has a fault is counted, failed and waited for no longer.
func TestEndOfFault(t *testing.T) {
	var texts atomic.Int64
	m := &model{counts: newMetrics()}
	m.counts.texts = &texts
	texts.Store(1)
	c := &choice{of: m, answer: &answer{done: make(chan struct{}), news: make(chan struct{}, 1)}, prompt: text.NewEnding(nil, nil, false)} // without an ending
	c.answer.left.Store(1)
	func() {
		defer func() {
			if recover() == nil {
				t.Error("there is no fault")
			}
		}()
		c.end(nil)
	}()
	<-c.answer.done
	if _, _, _, err := c.take(); !errors.Is(err, errFault) || texts.Load() != 0 {
		t.Errorf("the text ended with %v, and %d are under way", err, texts.Load())
	}
}
