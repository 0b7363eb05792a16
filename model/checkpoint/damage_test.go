package checkpoint

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
)

// TestDamagedFile flips every byte of a checkpoint, cuts it to every length and
// makes it longer: each is found, with an address.
func TestDamagedFile(t *testing.T) {
	ctx := context.Background()
	st, p := save(t, tiny())
	path, file := st.Join(p.Name), goldenFile()
	check := func(what string, damaged []byte, item string) {
		t.Helper()
		if err := os.WriteFile(path, damaged, 0o644); err != nil {
			t.Fatal(err)
		}
		_, err1 := Load(ctx, st, p)
		_, err2 := Read(ctx, st, p.Name)
		for _, err := range []error{err1, err2} {
			if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "byte") || !strings.Contains(err.Error(), item) {
				t.Fatalf("%s: %v, want %s", what, err, item)
			}
		}
	}
	for at := range file {
		damaged := bytes.Clone(file)
		damaged[at] ^= 1 << (at % 8)
		check(fmt.Sprintf("byte %d flipped", at), damaged, itemAt(file, at))
	}
	for n := range file {
		check(fmt.Sprintf("cut to %d bytes", n), file[:n], "")
	}
	check("a byte more", append(bytes.Clone(file), 0), fmt.Sprintf("byte %d: the last tensor ends here, but the file has %d bytes", len(file), len(file)+1))
	check("twice", append(bytes.Clone(file), file...), "the last tensor ends here")
	if err := os.WriteFile(path, file, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(ctx, st, p); err != nil {
		t.Fatal(err)
	}
}

// itemAt returns the item that an error about a byte of the golden file must name.
func itemAt(file []byte, at int) string {
	data := len(file) - len(goldenValues)*valueBytes
	switch value := (at - data) / valueBytes; {
	case at < data:
		return "header"
	case value < 3:
		return fmt.Sprintf("tensor adam.m.w at byte %d: the sha256 of its 12 bytes is ", data)
	case value < 4:
		return fmt.Sprintf("tensor scalar at byte %d: the sha256 of its 4 bytes is ", data+12)
	}
	return fmt.Sprintf("tensor w at byte %d: the sha256 of its 24 bytes is ", data+16)
}

// TestEveryBit flips every bit, in memory.
func TestEveryBit(t *testing.T) {
	file := goldenFile()
	for at := range file {
		for bit := range 8 {
			file[at] ^= 1 << bit
			if _, _, err := decode(bytes.NewReader(file), int64(len(file))); err == nil {
				t.Errorf("bit %d of byte %d flipped: not found", bit, at)
			}
			file[at] ^= 1 << bit
		}
	}
}

// TestReadFails: a reader that stops early or fails is an error with its position,
// whatever the size of the file was said to be.
func TestReadFails(t *testing.T) {
	file, cause := goldenFile(), errors.New("the disk is on fire")
	for n := range file {
		if _, _, err := decode(bytes.NewReader(file[:n]), int64(len(file))); !errors.Is(err, io.ErrUnexpectedEOF) ||
			!strings.Contains(err.Error(), fmt.Sprintf("byte %d", n)) {
			t.Fatalf("ends at byte %d: %v", n, err)
		}
		r := io.MultiReader(bytes.NewReader(file[:n]), failing{cause})
		if _, _, err := decode(r, int64(len(file))); !errors.Is(err, cause) || !strings.Contains(err.Error(), fmt.Sprintf("byte %d", n)) {
			t.Fatalf("fails at byte %d: %v", n, err)
		}
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// forge makes a file with a right digest around any header and data.
func forge(header string, data []byte) []byte {
	file := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	file = append(file, header...)
	if len(file) >= digestAt+hexBytes {
		copy(file[digestAt:], noDigest)
		copy(file[digestAt:], digest(file))
	}
	return append(file, data...)
}

// TestStrict: intact headers of another form than Save's are refused.
func TestStrict(t *testing.T) {
	file := goldenFile()
	n := len(file) - len(goldenValues)*valueBytes
	header, data := string(file[lengthBytes:n]), file[n:]
	if _, _, err := decode(bytes.NewReader(forge(header, data)), int64(len(file))); err != nil {
		t.Fatal(err)
	}
	scalar := `"scalar":{"dtype":"F32","shape":[],"data_offsets":[12,16]}`
	for _, c := range []struct{ name, old, new, want string }{
		{"no padding", header, strings.TrimRight(header, " "), `found "", want " `},
		{"more padding", `[16,40]}}`, `[16,40]}}        `, `found "        ", want ""`},
		{"other tensor type", scalar, strings.Replace(scalar, "F32", "F64", 1), `found "64`},
		{"a gap", "[12,16]", "[16,20]", `found "6,20]`},
		{"an overlap", "[12,16]", "[8,12]", `found "8,12]`},
		{"sizes that do not match", `"shape":[3],"data_offsets":[0,12]`, `"shape":[4],"data_offsets":[0,12]`, `found "2]},\"none`},
		{"a duplicate tensor", scalar, scalar + "," + scalar, "found "},
		{"a duplicate key", `"shape":[3]`, `"shape":[3],"shape":[3]`, "found "},
		{"a duplicate string", `"unit":"rune"`, `"unit":"rune","unit":"rune"`, "found "},
		{"an unknown string", `"unit":"rune"`, `"unit":"rune","host":"me"`, "found "},
		{"an unknown key", `"shape":[3]`, `"shape":[3],"stride":1`, "found "},
		{"another order", `"cell":"gru","config"`, `"config":"1","cell":"gru","config"`, "found "},
		{"null for a shape", `"shape":[]`, `"shape":null`, "found "},
		{"spaces", `"shape":[3]`, `"shape": [3]`, `found " [3]`},
		{"another case", `"dtype":"F32","shape":[3]`, `"DTYPE":"F32","shape":[3]`, `found "DTYPE`},
		{"an escape", `"unit":"rune"`, `"unit":"\u0072une"`, "found "},
		{"a negative size", `"shape":[3]`, `"shape":[-3]`, "tensor adam.m.w: shape [-3] has a negative size"},
		{"a huge size", `"shape":[3]`, `"shape":[9223372036854775807,9]`, "tensor adam.m.w: shape [9223372036854775807 9] has more than"},
		{"a broken size", `"shape":[3]`, `"shape":[3.5]`, "tensor adam.m.w: json"},
		{"a step with a zero", `"step":"172"`, `"step":"0172"`, "found "},
		{"no step", `"step":"172"`, `"step":""`, "step: "},
		{"a negative step", `"step":"172"`, `"step":"-172"`, "step -172, epoch 1"},
		{"no epoch", `"epoch":"1"`, `"epoch":"one"`, "epoch: "},
		{"another format", "quire-checkpoint/1", "quire-checkpoint/2", `format is "quire-checkpoint/2", want "quire-checkpoint/1"`},
		{"broken config", `{\"model\":{\"hidden\":2}}`, `{\"model\"`, "config is not JSON"},
		{"a tensor without a sum", `\"scalar\":`, `\"scalaR\":`, "tensor scalar has no sha256"},
		{"a sum without a tensor", scalar + ",", "", "3 tensors, but the sha256 of 4"},
		{"broken sums", `{\"adam.m.w\":`, `[\"adam.m.w\":`, "sha256: "},
		{"cut off", `[16,40]}}`, `[16,40]}`, "unexpected end"},
		{"more after it", `[16,40]}}`, `[16,40]}} {}`, "invalid character"},
	} {
		changed := strings.Replace(header, c.old, c.new, 1)
		if changed == header {
			t.Fatalf("%s: the header has no %s", c.name, c.old)
		}
		forged := forge(changed, data)
		_, _, err := decode(bytes.NewReader(forged), int64(len(forged)))
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "header at byte") {
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		}
	}
}

// TestLongHeader writes the longest header of a training: 100,000 epochs, the most that
// a config may ask for, and the 155,063 characters of Unicode 16.
func TestLongHeader(t *testing.T) {
	c := tiny()
	line := `{"epoch":100000,"step":9999999999,"epoch_train_nats":1.2345678901234567,"validation_nats":1.2345678901234567}`
	c.Metrics = json.RawMessage(`{"epochs":[` + strings.Repeat(line+",", 99_999) + line + `]}`)
	c.Vocab = json.RawMessage(`{"chars":["x"` + strings.Repeat(`,"𠀀"`, 155_062) + `],"counts":[1` + strings.Repeat(",1000", 155_062) + `]}`)
	if _, err := plan(c); err != nil {
		t.Error(err)
	}
}

// TestLength: a header's length is believed only as far as the file goes.
func TestLength(t *testing.T) {
	for _, n := range []uint64{16<<20 + 1, 91_000_000, 1 << 40, 1<<64 - 1} {
		file := append(binary.LittleEndian.AppendUint64(nil, n), digestPrefix...)
		for _, size := range []int64{int64(len(file)), 1 << 62} {
			if _, _, err := decode(bytes.NewReader(file), size); err == nil || !strings.Contains(err.Error(),
				fmt.Sprintf("byte 0: the header's length is %d, want at most", n)) {
				t.Errorf("length %d in a file of %d: %v", n, size, err)
			}
		}
	}
}

// TestClaims: an intact header that claims a tensor of 1 TiB, in a small file, is refused by
// the size of the file before memory is taken.
func TestClaims(t *testing.T) {
	c := tiny()
	h := &header{c.Metadata, []Tensor{{Name: "dense.weight", Shape: []int{1 << 20, 1 << 18}}}, map[string]string{"dense.weight": strings.Repeat("0", hexBytes)}}
	file, err := h.encode()
	if err != nil {
		t.Fatal(err)
	}
	copy(file[digestAt:], digest(file))
	for _, size := range []int{len(file), len(file) + 4} {
		data := append(slices.Clone(file), make([]byte, size-len(file))...)
		var err error
		n := allocated(func() { _, _, err = decode(bytes.NewReader(data), int64(size)) })
		want := fmt.Sprintf("tensor dense.weight at byte %d of %d: shape [1048576 262144] has more than %d values", len(file), size, (size-len(file))/4)
		if err == nil || !strings.Contains(err.Error(), want) || n > 1<<20 {
			t.Errorf("%d bytes: %v after %d bytes of memory, want %s", size, err, n, want)
		}
	}
}

// TestForeign: files of other kinds are named, as far as their bytes say what they are; a
// checkpoint with a damaged byte is never called another kind.
func TestForeign(t *testing.T) {
	long := strings.Repeat("x", 600)
	for _, c := range []struct{ data, want string }{
		{"", "byte 0: the file is empty, want a header"},
		{"hello", "byte 0: it is text, no checkpoint of quire"},
		{strings.Repeat("Être ou ne pas être\r\n\t", 50), "byte 0: it is text, no checkpoint of quire"},
		{strings.Repeat("é", 300), "byte 0: it is text, no checkpoint of quire"},       // the head ends between characters
		{"a" + strings.Repeat("é", 300), "byte 0: it is text, no checkpoint of quire"}, // and inside one
		{`{"format": 1, "steps": [1, 2, 3]}`, "byte 0: it is text, no checkpoint of quire"},
		{"\x1f\x8b\x08\x00" + long, "byte 0: it is compressed by gzip, no checkpoint of quire"},
		{"BZh91AY&SY" + long, "byte 0: it is compressed by bzip2, no checkpoint of quire"},
		{"\xfd7zXZ\x00\x00" + long, "byte 0: it is compressed by xz, no checkpoint of quire"},
		{"\x28\xb5\x2f\xfd\x24" + long, "byte 0: it is compressed by zstd, no checkpoint of quire"},
		{"PK\x03\x04\x14\x00text.txt" + long, "byte 0: it is a zip archive, no checkpoint of quire"},
		{"PK\x03\x04\x00\x00model/data.pkl" + long, "byte 0: it is a file of PyTorch, no checkpoint of quire"},
		{"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02" + long, "byte 0: it is an old file of PyTorch, no checkpoint of quire"},
		{"\x89HDF\r\n\x1a\n" + long, "byte 0: it is an HDF5 file, no checkpoint of quire"},
		{"\x93NUMPY\x01\x00" + long, "byte 0: it is an array of NumPy, no checkpoint of quire"},
		{"GGUF\x03\x00\x00\x00" + long, "byte 0: it is a GGUF file, no checkpoint of quire"},
		{"PAR1\x15\x04" + long, "byte 0: it is a Parquet file, no checkpoint of quire"},
		{"\x80\x00\x00\x00\x00\x00\x00\x00" + `{"w":{"dtype":"F32","shape":[2]}}` + long,
			"byte 0: it is a safetensors file of another program, no checkpoint of quire"},
		{"\x20\x00\x00\x00\x00\x00\x00\x00" + `{"w":{"dtype":"F32","shape":[]}} `, "byte 0: it is a safetensors file of another program, no checkpoint of quire"},
		{"\xff\x00\x00\x00\x00\x00\x00\x01" + `{"w":{"dtype":"F32","shape":[2]}}` + long, `header at byte 8: found "{\"w\":`}, // longer than the file
		{"\x08\x07\x12\x07pytorch\x1a\x051.9.0" + long, `header at byte 8: found "rch\x1a\x051.9.0xxx`},                       // ONNX: nothing says so
		{"caf\xe9 au lait, texte en latin-1", `header at byte 8: found "lait, texte en latin-1", want it to start with "{\"__metadata__\":{\"digest\":\"": the file is no checkpoint of quire, or damaged`},
		{strings.Repeat("\x00", 300), `header at byte 8: found "\x00\x00`},
		{"\x10\x02\x00", "byte 3: the file ends here, want the 8 bytes of the header's length"},
	} {
		_, _, err := decode(strings.NewReader(c.data), int64(len(c.data)))
		if err == nil || !strings.HasPrefix(err.Error(), c.want) || errors.Is(err, ErrForeign) != strings.Contains(c.want, "byte 0: it is") {
			t.Errorf("%.20q: %v, want %s", c.data, err, c.want)
		}
	}
	file := goldenFile()
	for at := range file {
		for bit := range 8 {
			damaged := bytes.Clone(file)
			damaged[at] ^= 1 << bit
			if _, _, err := decode(bytes.NewReader(damaged), int64(len(file))); errors.Is(err, ErrForeign) {
				t.Errorf("bit %d of byte %d flipped: %v", bit, at, err)
			}
		}
		if _, _, err := decode(bytes.NewReader(file[:at]), int64(at)); errors.Is(err, ErrForeign) {
			t.Errorf("cut to %d bytes: %v", at, err)
		}
	}
}
