package checkpoint

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Format is the version of checkpoints that this package reads and writes.
const Format = "quire-checkpoint/1"

const (
	metadataKey  = "__metadata__"
	hexBytes     = 2 * sha256.Size
	lengthBytes  = 8
	maxHeader    = 16 << 20 // a reader holds it some 15 times; see TestLongHeader for what has room
	digestPrefix = `{"` + metadataKey + `":{"digest":"`
	digestAt     = lengthBytes + len(digestPrefix) // in the file
	dtype        = "F32"
	valueBytes   = 4
)

// noDigest stands in place of the digest while it is computed.
var noDigest = strings.Repeat("0", hexBytes)

// fields are the strings of __metadata__, in the order of the file.
type fields struct {
	Digest    string `json:"digest"`
	Format    string `json:"format"`
	Cell      string `json:"cell"`
	Config    string `json:"config"`
	Vocab     string `json:"vocab"`
	Unit      string `json:"unit"`
	Normalize string `json:"normalize"`
	Step      string `json:"step"`
	Epoch     string `json:"epoch"`
	Set       string `json:"set"`
	Metrics   string `json:"metrics"`
	Ancestors string `json:"ancestors,omitempty"`
	SHA256    string `json:"sha256"`
}

// entry is the value of a tensor's name in the header.
type entry struct {
	Dtype   string   `json:"dtype"`
	Shape   []int    `json:"shape"`
	Offsets [2]int64 `json:"data_offsets"` // in the data
}

// check refuses metadata that Load would not return unchanged.
func (m Metadata) check() error {
	for _, f := range []struct {
		name, value string
		json        bool
	}{{"cell", m.Cell, false}, {"config", string(m.Config), true}, {"vocab", string(m.Vocab), true}, {"unit", m.Unit, false},
		{"normalize", m.Normalize, false}, {"set", m.Set, false}, {"metrics", string(m.Metrics), true},
		{"ancestors", string(m.Ancestors), true}} {
		if !utf8.ValidString(f.value) {
			return fmt.Errorf("%s is not UTF-8", f.name)
		}
		if f.json && f.value != "" && !json.Valid([]byte(f.value)) {
			return fmt.Errorf("%s is not JSON: %.80q", f.name, f.value)
		}
	}
	if m.Step < 0 || m.Epoch < 0 {
		return fmt.Errorf("step %d, epoch %d: want 0 or more", m.Step, m.Epoch)
	}
	return nil
}

// sorted returns the tensors in the order of the file. Their data may be
// missing.
func sorted(list []Tensor) ([]Tensor, error) {
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b Tensor) int { return strings.Compare(a.Name, b.Name) })
	for i, t := range list {
		if t.Name == "" || t.Name == metadataKey || !utf8.ValidString(t.Name) {
			return nil, fmt.Errorf("a tensor's name is %q", t.Name)
		}
		if i > 0 && t.Name == list[i-1].Name {
			return nil, fmt.Errorf("tensor %s comes twice", t.Name)
		}
	}
	return list, nil
}

// size returns the number of values in a shape, at most limit.
func size(shape []int, limit int64) (int64, error) {
	for _, d := range shape {
		if d < 0 {
			return 0, fmt.Errorf("shape %v has a negative size", shape)
		}
	}
	if slices.Contains(shape, 0) {
		return 0, nil
	}
	n := int64(1)
	for _, d := range shape {
		if int64(d) > limit/n {
			return 0, fmt.Errorf("shape %v has more than %d values, all that there is room for", shape, limit)
		}
		n *= int64(d)
	}
	return n, nil
}

// header is the part of a file before the data.
type header struct {
	Metadata
	tensors []Tensor          // sorted; without their data
	sums    map[string]string // sha256 of each tensor's bytes, by name
}

// encode returns length and header, with noDigest for the digest.
func (h *header) encode() ([]byte, error) {
	sums, err := json.Marshal(h.sums)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	b.Write(make([]byte, lengthBytes))
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	put := func(before string, v any) {
		b.WriteString(before)
		err = errors.Join(err, e.Encode(v))
		b.Truncate(b.Len() - 1) // the encoder's line end
	}
	put(`{"`+metadataKey+`":`, fields{Digest: noDigest, Format: Format, Cell: h.Cell, Config: string(h.Config), Vocab: string(h.Vocab),
		Unit: h.Unit, Normalize: h.Normalize, Step: strconv.FormatInt(h.Step, 10), Epoch: strconv.Itoa(h.Epoch),
		Set: h.Set, Metrics: string(h.Metrics), Ancestors: string(h.Ancestors), SHA256: string(sums)})
	at := int64(0)
	for _, t := range h.tensors {
		n, err := size(t.Shape, (1<<62-at)/valueBytes)
		if err != nil {
			return nil, fmt.Errorf("tensor %s: %w", t.Name, err)
		}
		put(",", t.Name)
		put(":", entry{dtype, append([]int{}, t.Shape...), [2]int64{at, at + n*valueBytes}})
		at += n * valueBytes
	}
	if err != nil {
		return nil, err
	}
	b.WriteByte('}')
	for b.Len()%8 != 0 {
		b.WriteByte(' ')
	}
	n := b.Len() - lengthBytes
	if n > maxHeader {
		return nil, fmt.Errorf("the header has %d bytes, want at most %d", n, maxHeader)
	}
	binary.LittleEndian.PutUint64(b.Bytes(), uint64(n))
	return b.Bytes(), nil
}

// digest returns the digest of length and header. plain has noDigest in its place.
func digest(plain []byte) string {
	sum := sha256.Sum256(plain)
	return hex.EncodeToString(sum[:])
}

// decodeHeader verifies length and header, and reads them.
func decodeHeader(data []byte) (*header, error) {
	if len(data) < digestAt+hexBytes || string(data[lengthBytes:digestAt]) != digestPrefix {
		return nil, fmt.Errorf("header at byte %d: found %.60q, want %q and a digest", lengthBytes, data[min(lengthBytes, len(data)):], digestPrefix)
	}
	plain := slices.Clone(data)
	copy(plain[digestAt:], noDigest)
	found := string(data[digestAt : digestAt+hexBytes])
	if got := digest(plain); found != got {
		return nil, fmt.Errorf("header, bytes 0 to %d: its sha256 is %s, want %q, found at byte %d: a byte of one or the other is damaged",
			len(data)-1, got, found, digestAt)
	}
	h, err := parse(data[lengthBytes:])
	var want []byte
	if err == nil {
		want, err = h.encode()
	}
	if err != nil {
		return nil, fmt.Errorf("header at byte %d: intact, but not quire's: %w", lengthBytes, err)
	}
	if at := differ(plain, want); at >= 0 {
		return nil, fmt.Errorf("header at byte %d: intact, but not quire's: found %.60q, want %.60q", at, plain[at:], want[at:])
	}
	return h, nil
}

// differ returns the first position after the length at which two headers
// differ, -1 for none.
func differ(a, b []byte) int {
	n := min(len(a), len(b))
	for i := lengthBytes; i < n; i++ {
		if a[i] != b[i] {
			return i
		}
	}
	if len(a) != len(b) {
		return n
	}
	return -1
}

// parse reads a header's content in any form; decodeHeader checks the form.
func parse(data []byte) (*header, error) {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(data, &all); err != nil {
		return nil, err
	}
	var f fields
	if err := json.Unmarshal(all[metadataKey], &f); err != nil {
		return nil, fmt.Errorf("%s: %w", metadataKey, err)
	}
	if f.Format != Format {
		return nil, fmt.Errorf("format is %q, want %q", f.Format, Format)
	}
	h := &header{Metadata: Metadata{Cell: f.Cell, Config: raw(f.Config), Vocab: raw(f.Vocab), Unit: f.Unit, Normalize: f.Normalize,
		Set: f.Set, Metrics: raw(f.Metrics), Ancestors: raw(f.Ancestors)}}
	var err error
	if h.Step, err = strconv.ParseInt(f.Step, 10, 64); err != nil {
		return nil, fmt.Errorf("step: %w", err)
	}
	if h.Epoch, err = strconv.Atoi(f.Epoch); err != nil {
		return nil, fmt.Errorf("epoch: %w", err)
	}
	if err := h.check(); err != nil {
		return nil, err
	}
	if err := json.Unmarshal([]byte(f.SHA256), &h.sums); err != nil {
		return nil, fmt.Errorf("sha256: %w", err)
	}
	delete(all, metadataKey)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		var e entry
		if err := json.Unmarshal(all[name], &e); err != nil {
			return nil, fmt.Errorf("tensor %s: %w", name, err)
		}
		if _, ok := h.sums[name]; !ok {
			return nil, fmt.Errorf("tensor %s has no sha256", name)
		}
		h.tensors = append(h.tensors, Tensor{Name: name, Shape: e.Shape})
	}
	if len(h.sums) != len(h.tensors) {
		return nil, fmt.Errorf("%d tensors, but the sha256 of %d", len(h.tensors), len(h.sums))
	}
	h.tensors, err = sorted(h.tensors)
	return h, err
}

// raw returns JSON, nil for none.
func raw(s string) json.RawMessage {
	if s == "" {
		return nil
	}
	return json.RawMessage(s)
}
