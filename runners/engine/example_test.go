package engine_test

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"

	"github.com/quire-ml/quire/runners/engine"
)

var shouted struct {
	sync.Mutex
	words []string
}

// shout stands for a step that writes somewhere: direct and prism run it in this
// process.
func shout(word string) {
	shouted.Lock()
	defer shouted.Unlock()
	shouted.words = append(shouted.words, word+"!")
}

func init() { beam.RegisterFunction(shout) }

func ExampleRun() {
	p, s := beam.NewPipelineWithRoot()
	beam.ParDo0(s, shout, beam.Create(s, "exit", "enter"))
	if err := engine.Run(context.Background(), "direct", p, engine.Options{}); err != nil {
		fmt.Println(err)
		return
	}
	slices.Sort(shouted.words)
	fmt.Println(shouted.words)
	fmt.Println(engine.Run(context.Background(), "spark", p, engine.Options{}))
	// Output:
	// [enter! exit!]
	// engine: runner "spark" is unknown; use direct, prism, flink or dataflow
}
