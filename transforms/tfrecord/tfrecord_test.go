package tfrecord

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"
)

// bitwise is CRC-32C by its definition, one bit at a time.
func bitwise(data []byte) uint32 {
	crc := ^uint32(0)
	for _, b := range data {
		crc ^= uint32(b)
		for range 8 {
			crc = crc>>1 ^ 0x82f63b78*(crc&1)
		}
	}
	return ^crc
}

func TestChecksumGolden(t *testing.T) {
	for _, c := range []struct {
		data string
		want uint32
	}{
		// From an event file that TensorFlow wrote, as TensorBoard's
		// masked_crc.rs has it: Event(file_version="CRC test, one two").
		{"\x1a\x11CRC test, one two", 0x5794d08a},
		// The length 24 that starts every TensorFlow event file: bytes a3 7f 4b 22.
		{"\x18\x00\x00\x00\x00\x00\x00\x00", 0x224b7fa3},
		// RFC 3720, B.4, with the mask applied by hand.
		{"", 0xa282ead8},
		{strings.Repeat("\x00", 32), mask(0x8a9136aa)},
		{strings.Repeat("\xff", 32), mask(0x62a8ab43)},
	} {
		if got := Checksum([]byte(c.data)); got != c.want {
			t.Errorf("%q: got %#08x, want %#08x", c.data, got, c.want)
		}
	}
	var data []byte
	for n := range 300 {
		if got, want := Checksum(data), mask(bitwise(data)); got != want {
			t.Fatalf("%d bytes: got %#08x, want %#08x", n, got, want)
		}
		data = append(data, byte(n*n>>3^n))
	}
}

// mask is the format's other formula: both halves of the rotation apart.
func mask(crc uint32) uint32 {
	return uint32((uint64(crc)>>15|uint64(crc)<<17)&0xffffffff + 0xa282ead8)
}

// TestGolden reads and writes a file that TensorFlow wrote; see make_golden.py.
func TestGolden(t *testing.T) {
	file, err := os.ReadFile("testdata/golden.tfrecord")
	if err != nil {
		t.Fatal(err)
	}
	got, err := readAll(NewReader("golden.tfrecord", bytes.NewReader(file)))
	want := []string{
		"\n\x10\n\x0e\n\x03ids\x12\a\x1a\x05\n\x03\x01\x02\x40",
		"",
		"\n\x12\n\x10\n\x03ids\x12\t\x1a\a\n\x05\x00\x01\x02\x03\x04",
	}
	if err != io.EOF || fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
		t.Errorf("got  %q, %v\nwant %q", got, err, want)
	}
	frames := []byte("before")
	for _, p := range want {
		frames = AppendFrame(frames, []byte(p))
	}
	if string(frames) != "before"+string(file) {
		t.Errorf("got\n%s want\n%s", hex.Dump(frames[6:]), hex.Dump(file))
	}
}

var samples = []string{"first", "", "the third one", strings.Repeat("\x00", 300), "\xff"}

// file returns the records of samples and where each starts.
func file(t testing.TB) (data []byte, offsets []int) {
	var b bytes.Buffer
	w := NewWriter(&b)
	for _, s := range samples {
		offsets = append(offsets, b.Len())
		if err := w.Write([]byte(s)); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes(), offsets
}

// readAll returns the payloads before the first error, and that error.
func readAll(r *Reader) (all []string, err error) {
	for {
		p, err := r.Next()
		if err != nil {
			return all, err
		}
		all = append(all, string(p))
	}
}

func TestRoundTrip(t *testing.T) {
	data, _ := file(t)
	for _, r := range []io.Reader{bytes.NewReader(data), iotest.OneByteReader(bytes.NewReader(data)), iotest.DataErrReader(bytes.NewReader(data))} {
		reader := NewReader("x", r)
		got, err := readAll(reader)
		if err != io.EOF || fmt.Sprint(got) != fmt.Sprint(samples) {
			t.Errorf("got %q, %v", got, err)
		}
		if _, err := reader.Next(); err != io.EOF {
			t.Errorf("after the end: %v", err)
		}
	}
}

func TestEveryByteFlipped(t *testing.T) {
	data, offsets := file(t)
	record := 0
	for i := range data {
		if record+1 < len(offsets) && offsets[record+1] == i {
			record++
		}
		for bit := range 8 {
			damaged := bytes.Clone(data)
			damaged[i] ^= 1 << bit
			got, err := readAll(NewReader("train-00003-of-00016.tfrecord", bytes.NewReader(damaged)))
			where := fmt.Sprintf("tfrecord: train-00003-of-00016.tfrecord: record %d at byte %d: ", record, offsets[record])
			if !errors.Is(err, ErrCorrupt) || !strings.HasPrefix(err.Error(), where) {
				t.Fatalf("byte %d bit %d: %v, want %s", i, bit, err, where)
			}
			if len(got) != record {
				t.Fatalf("byte %d: %d records before it, want %d", i, len(got), record)
			}
			var e *Error
			if !errors.As(err, &e) || e.Record != int64(record) || e.Offset != int64(offsets[record]) {
				t.Fatalf("byte %d: %+v", i, e)
			}
		}
	}
}

func TestEveryLengthCut(t *testing.T) {
	data, offsets := file(t)
	ends := map[int]int{0: 0, len(data): len(offsets)} // length → whole records
	for i, o := range offsets {
		ends[o] = i
	}
	last := 0
	for n := range len(data) + 1 {
		got, err := readAll(NewReader("x", bytes.NewReader(data[:n])))
		if whole, ok := ends[n]; ok {
			last = whole
			if err != io.EOF || len(got) != whole {
				t.Fatalf("%d bytes: %d records, %v", n, len(got), err)
			}
			continue
		}
		where := fmt.Sprintf("record %d at byte %d: ", last, offsets[last])
		if !errors.Is(err, ErrTruncated) || !strings.Contains(err.Error(), where) || len(got) != last {
			t.Fatalf("%d bytes: %d records, %v, want %s", n, len(got), err, where)
		}
	}
}

func TestMessages(t *testing.T) {
	data, offsets := file(t)
	at := func(i int, with string) []byte {
		d := bytes.Clone(data)
		copy(d[i:], with)
		return d
	}
	for _, c := range []struct {
		data []byte
		want string
	}{
		{at(offsets[2]+14, "!"), "tfrecord: x: record 2 at byte 37: payload checksum 0x4104de64, want 0xa06aa3c7: corrupt record"},
		{at(offsets[1], "\x01"), "tfrecord: x: record 1 at byte 21: length checksum 0x41de7501, want 0x07980329: corrupt record"},
		{data[:offsets[1]+3], "tfrecord: x: record 1 at byte 21: 3 of 12 bytes of header: truncated record"},
		{data[:offsets[2]+15], "tfrecord: x: record 2 at byte 37: 3 of 17 bytes of payload and checksum: truncated record"},
	} {
		if _, err := readAll(NewReader("x", bytes.NewReader(c.data))); err == nil || err.Error() != c.want {
			t.Errorf("got  %v\nwant %s", err, c.want)
		}
	}
}

// TestHugeLength reads a header of a right checksum and a length that no file
// has: nothing of that size may be allocated.
func TestHugeLength(t *testing.T) {
	for _, n := range []uint64{MaxPayload + 1, 1 << 40, 1<<64 - 1} {
		head := binary.LittleEndian.AppendUint64(nil, n)
		head = binary.LittleEndian.AppendUint32(head, Checksum(head))
		_, err := NewReader("x", bytes.NewReader(head)).Next()
		if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), fmt.Sprint(n)) {
			t.Errorf("length %d: %v", n, err)
		}
	}
	if err := NewWriter(io.Discard).Write(make([]byte, MaxPayload+1)); err == nil {
		t.Error("a payload above the limit was written")
	}
}

func TestPayload(t *testing.T) {
	frame := AppendFrame(nil, []byte("text"))
	if p, err := Payload(frame); err != nil || string(p) != "text" {
		t.Fatalf("%q, %v", p, err)
	}
	for n := range frame {
		if _, err := Payload(frame[:n]); !errors.Is(err, ErrTruncated) {
			t.Errorf("%d bytes: %v", n, err)
		}
		d := bytes.Clone(frame)
		d[n] ^= 0x10
		if _, err := Payload(d); !errors.Is(err, ErrCorrupt) {
			t.Errorf("byte %d: %v", n, err)
		}
	}
	if _, err := Payload(append(frame, 0)); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a byte more: %v", err)
	}
}

func TestFailingReader(t *testing.T) {
	data, _ := file(t)
	broken := errors.New("disk on fire")
	r := NewReader("x", io.MultiReader(bytes.NewReader(data[:30]), iotest.ErrReader(broken)))
	got, err := readAll(r)
	if !errors.Is(err, broken) || errors.Is(err, ErrTruncated) || !strings.Contains(err.Error(), "record 1 at byte 21") || len(got) != 1 {
		t.Errorf("%q, %v", got, err)
	}
	if _, again := r.Next(); again != err {
		t.Errorf("then: %v", again)
	}
}

// fullDisk takes n bytes and then fails.
type fullDisk int

func (f *fullDisk) Write(p []byte) (int, error) {
	if len(p) > int(*f) {
		return 0, errors.New("no space left")
	}
	*f -= fullDisk(len(p))
	return len(p), nil
}

func TestFailingWriter(t *testing.T) {
	disk := fullDisk(50)
	w := NewWriter(&disk)
	err := w.Write(make([]byte, 30))
	if err != nil {
		t.Fatal(err)
	}
	if err = w.Write(nil); err == nil || err.Error() != "tfrecord: record 1: no space left" {
		t.Errorf("got %v", err)
	}
}

func FuzzRoundTrip(f *testing.F) {
	data, _ := file(f)
	f.Add(data)
	f.Add(data[:50])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		// Whatever the bytes are, the records read are those that, written
		// again, give the same bytes.
		got, err := readAll(NewReader("x", bytes.NewReader(data)))
		var again bytes.Buffer
		w := NewWriter(&again)
		for _, p := range got {
			if err := w.Write([]byte(p)); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.HasPrefix(data, again.Bytes()) || (err == io.EOF) != (again.Len() == len(data)) {
			t.Errorf("%d records of %d bytes, %v", len(got), again.Len(), err)
		}
		// And any payload comes back.
		p, err := Payload(AppendFrame(nil, data))
		if err != nil || !bytes.Equal(p, data) {
			t.Errorf("%x: %v", data, err)
		}
	})
}

func BenchmarkNext(b *testing.B) {
	var file []byte
	for range 10000 {
		file = AppendFrame(file, make([]byte, 250))
	}
	b.SetBytes(int64(len(file)))
	for b.Loop() {
		if all, err := readAll(NewReader("x", bytes.NewReader(file))); err != io.EOF || len(all) != 10000 {
			b.Fatal(err)
		}
	}
}
