package engine

import (
	"context"
	"fmt"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
)

func init() { beam.RegisterDoFn(&eachFn{}) }

// A Function does the work of one item for Each. It leaves its result in a place that
// the caller knows. Each may call it again for an item that is done.
type Function func(ctx context.Context, item []byte) error

var functions = map[string]Function{}

// Register makes f known to workers by a name. Call it in an init function.
func Register(name string, f Function) {
	if functions[name] != nil {
		panic("engine: two functions are registered as " + name)
	}
	functions[name] = f
}

// Each calls a registered function for every item, on the named runner, whose
// workers share the items. It returns the first error, as Run does. Items should be
// small: the engine carries their bytes.
func Each(ctx context.Context, runner, function string, items [][]byte, o Options) error {
	if functions[function] == nil {
		return fmt.Errorf("engine: no function is registered as %s", function)
	}
	p, s := beam.NewPipelineWithRoot()
	// Without the reshuffle all items would be one bundle, on one worker.
	beam.ParDo0(s, &eachFn{Function: function}, beam.Reshuffle(s, beam.CreateList(s, items)))
	return Run(ctx, runner, p, o)
}

// eachFn calls a function of the worker's program.
type eachFn struct{ Function string }

func (f *eachFn) ProcessElement(ctx context.Context, item []byte) error {
	call := functions[f.Function]
	if call == nil {
		return fmt.Errorf("engine: this worker knows no function %s: it runs another version of the program", f.Function)
	}
	return call(ctx, item)
}
