// Package opaque keeps engines from looking into elements.
//
// Beam gives a struct a coder for rows, whose fields an engine reads. Flink's job
// server keeps such coders by the name of the type, from one job to the next: a
// job of a later version of this program, in which the struct has another field,
// would then be read by the older one's. The coder of a registered struct is a
// custom one of the Go SDK, and its elements are bytes to the engine.
package opaque

import (
	"encoding/json"
	"reflect"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
)

// Register makes the struct T an element that engines do not look into. Call it
// in an init function.
func Register[T any]() { beam.RegisterCoder(reflect.TypeFor[T](), encode, decode) }

func encode(x beam.T) ([]byte, error) { return json.Marshal(x) }

func decode(t reflect.Type, data []byte) (beam.T, error) {
	x := reflect.New(t)
	err := json.Unmarshal(data, x.Interface())
	return x.Elem().Interface(), err
}
