package serve

import (
	"errors"
	"sync/atomic"
	"testing"

	"github.com/quire-ml/quire/pipelines/text"
)

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
