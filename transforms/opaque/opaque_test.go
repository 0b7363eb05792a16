package opaque

import (
	"reflect"
	"testing"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
)

type inner struct{ A, B int64 }

type outer struct {
	Name  string
	Part  float64
	Known bool
	Data  []byte
	All   []inner
	One   inner
}

// TestRegister encodes structs and gets them back, in the type that was asked for.
func TestRegister(t *testing.T) {
	Register[outer]()
	for _, want := range []outer{
		{},
		{Name: "é\x00", Part: 0.1, Known: true, Data: []byte{0, 255}, All: []inner{{1, -1}, {}, {1 << 62, 3}}, One: inner{B: 7}},
	} {
		data, err := encode(want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := decode(reflect.TypeFor[outer](), data)
		if err != nil || !reflect.DeepEqual(got, beam.T(want)) {
			t.Errorf("got %+v, %v, want %+v", got, err, want)
		}
		for n := range data {
			if _, err := decode(reflect.TypeFor[outer](), data[:n]); err == nil {
				t.Errorf("%d of %d bytes are no error", n, len(data))
			}
		}
	}
}
