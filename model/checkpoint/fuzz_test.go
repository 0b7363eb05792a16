package checkpoint

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"math"
	"testing"
)

// FuzzDecode: no input panics or takes more memory than the file's size, and a
// decoded file encodes to the same bytes. The test repairs the header's digest;
// otherwise hardly an input would pass it.
func FuzzDecode(f *testing.F) {
	file := goldenFile()
	f.Add(file, true)
	f.Add(file[:len(file)-1], false)
	f.Add([]byte{}, true)
	f.Add(encode(f, &Checkpoint{}), true)
	f.Fuzz(func(t *testing.T, file []byte, repair bool) {
		if repair && len(file) >= lengthBytes {
			if n := binary.LittleEndian.Uint64(file); n <= uint64(len(file)-lengthBytes) {
				end := lengthBytes + int(n)
				file = forge(string(file[lengthBytes:end]), file[end:])
			}
		}
		c, _, err := decode(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			return
		}
		if !bytes.Equal(encode(t, c), file) {
			t.Errorf("%q decodes to %+v, which encodes differently", file, c)
		}
	})
}

// FuzzRoundTrip: a checkpoint that was saved is read back bit for bit.
func FuzzRoundTrip(f *testing.F) {
	f.Add("gru", "rune", `{"a":1}`, int64(172), "w", []byte{0, 0, 192, 127, 1, 0, 0, 0})
	f.Add("<&>\u2028\x00", `"digest":"`, `"\ud800"`, int64(0), `__metadata__","`, []byte{})
	f.Fuzz(func(t *testing.T, cell, unit, config string, step int64, name string, values []byte) {
		c := &Checkpoint{Metadata: Metadata{Cell: cell, Unit: unit, Config: raw(config), Step: step}}
		x := Tensor{Name: name, Shape: []int{len(values) / 4}, Data: []float32{}}
		for ; len(values) >= 4; values = values[4:] {
			x.Data = append(x.Data, math.Float32frombits(binary.LittleEndian.Uint32(values)))
		}
		c.Tensors = []Tensor{x, {Name: "scalar", Data: []float32{1}}}
		l, err := plan(c)
		if err != nil {
			return
		}
		var file bytes.Buffer
		if _, err := l.write(&file); err != nil {
			t.Fatal(err)
		}
		got, _, err := decode(bytes.NewReader(file.Bytes()), l.size)
		if err != nil {
			t.Fatal(err)
		}
		if got.Cell != cell || got.Unit != unit || !bytes.Equal(got.Config, json.RawMessage(config)) || got.Step != step {
			t.Errorf("metadata came back as %+v", got.Metadata)
		}
		if y, ok := got.Tensor(name); !ok || !bytes.Equal(bits(y.Data), bits(x.Data)) {
			t.Errorf("tensor came back as %+v", y)
		}
	})
}

func bits(values []float32) []byte {
	var b bytes.Buffer
	write(&b, values, make([]byte, 64))
	return b.Bytes()
}
