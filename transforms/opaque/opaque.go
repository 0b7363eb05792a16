// Package opaque keeps engines from looking into elements.
//
// By default, Beam's coder of a struct is one for rows, whose fields an engine
// reads. Flink's job server keeps such coders by the name of the type, from one job
// to the next. It would read a job of a later version of this program, in which the
// struct has another field, by the earlier coder. The coder of a registered struct
// is a custom one of the Go SDK: to the engine, its elements are bytes.
package opaque

import (
	"bytes"
	"encoding/gob"
	"reflect"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
)

// Register makes the struct T an element that engines do not look into. Call it
// in an init function.
func Register[T any]() { beam.RegisterCoder(reflect.TypeFor[T](), encode, decode) }

// Gob and not JSON: the counts of a corpus are a million small numbers.

func encode(x beam.T) ([]byte, error) {
	var b bytes.Buffer
	err := gob.NewEncoder(&b).Encode(x)
	return b.Bytes(), err
}

func decode(t reflect.Type, data []byte) (beam.T, error) {
	x := reflect.New(t)
	err := gob.NewDecoder(bytes.NewReader(data)).DecodeValue(x)
	return x.Elem().Interface(), err
}
