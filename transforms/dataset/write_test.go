package dataset

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/quire-ml/quire/runners/store"
)

// many returns a manifest of n documents, whose names are of all kinds, each with one
// character that is dropped.
func many(t testing.TB, n int) *Manifest {
	m := tiny(t)
	sum := m.Documents[0].SHA256
	names := []string{"a&b<c>", "é", "q\"uote", "tab\t", "back\\slash", "\u2028", "\x7f", "plain", "日本", "z/\u0001"}
	for i := range n {
		m.Documents = append(m.Documents, Document{Name: fmt.Sprintf("z%06d %s", i, names[i%len(names)]), Bytes: 2, Chars: 1, SHA256: sum, DroppedChars: 1})
	}
	m.Chars += int64(n)
	m.DroppedChars += int64(n)
	if m.Documents[0].DroppedChars == 0 {
		m.Documents[0].DroppedChars = m.DroppedChars - int64(n)
	}
	return m
}

// TestWrite writes a manifest as encoding/json would, with every field of a document and
// without, and reads it.
func TestWrite(t *testing.T) {
	full := Document{}
	v := reflect.ValueOf(&full).Elem()
	for i := range v.NumField() {
		switch f := v.Field(i); f.Kind() {
		case reflect.String:
			f.SetString("x")
		case reflect.Int64:
			f.SetInt(int64(i + 7))
		default:
			t.Fatalf("field %s", v.Type().Field(i).Name)
		}
	}
	for _, n := range []int{0, 1, 10, 5000} {
		m := many(t, n)
		full.Name, full.SHA256, full.DroppedChars = "\U0001F600", m.Documents[0].SHA256, 0
		m.Documents = append(m.Documents, full)
		m.Documents[len(m.Documents)-1].DroppedChars = full.Chars
		m.Documents[len(m.Documents)-1].Bytes = full.Chars + 1
		m.Chars += full.Chars
		m.DroppedChars += full.Chars
		m.ReplacedChars += full.ReplacedChars
		want, err := store.MarshalSealed(m)
		if err != nil {
			t.Fatal(err)
		}
		got, err := m.Encode()
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%d documents: %v, or other bytes than\n%.900s", n, err, want)
		}
		again, err := decodeManifest("x", got)
		if err != nil || !reflect.DeepEqual(again, m) {
			t.Errorf("%d documents: read as another, %v", n, err)
		}
	}
}

// TestWriteFails: an error of the documents or of the writer ends a manifest unsealed.
func TestWriteFails(t *testing.T) {
	m := many(t, 3000)
	stop := errors.New("stop")
	var b bytes.Buffer
	err := m.Write(&b, func(yield func(Document, error) bool) {
		for i, d := range m.Documents {
			if i == 2500 {
				yield(d, stop)
				return
			}
			if !yield(d, nil) {
				return
			}
		}
	})
	if !errors.Is(err, stop) || bytes.Contains(b.Bytes(), []byte(`"digest": "sha256:`)) {
		t.Errorf("%v, %d bytes", err, b.Len())
	}
	docs := func(yield func(Document, error) bool) {
		for _, d := range m.Documents {
			if !yield(d, nil) {
				return
			}
		}
	}
	data, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for left := range slices.Values([]int{0, 70000, len(data) - 10}) {
		if err := m.Write(&full{left, stop}, docs); !errors.Is(err, stop) {
			t.Errorf("full after %d bytes: %v", left, err)
		}
	}
}

// full is a Writer with room for some bytes.
type full struct {
	left int
	err  error
}

func (f *full) Write(p []byte) (int, error) {
	if f.left -= len(p); f.left < 0 {
		return 0, f.err
	}
	return len(p), nil
}

// TestDocumentsForm: what follows the documents, a key that they do not have, or a value of
// another kind is an error with its byte.
func TestDocumentsForm(t *testing.T) {
	data, err := many(t, 5).Encode()
	if err != nil {
		t.Fatal(err)
	}
	body, err := store.Unseal("x", data)
	if err != nil {
		t.Fatal(err)
	}
	for what, change := range map[string][2]string{
		"unknown field":           {"\"bytes\": 2", "\"colour\": 2"},
		"cannot unmarshal string": {"\"bytes\": 2", "\"bytes\": \"2\""},
		"after array element":     {"},\n    {", "}\n    {"},
		"more follows":            {documentsEnd, documentsEnd + ",\n  \"x\": [" + documentsEnd},
	} {
		var b bytes.Buffer
		s := store.NewSealer(&b)
		at := strings.LastIndex(string(body), change[0])
		fmt.Fprintf(s, "%s%s%s", body[:at], change[1], body[at+len(change[0]):])
		if err := s.Seal(); err != nil {
			t.Fatal(err)
		}
		if _, err := decodeManifest("x.json", b.Bytes()); err == nil || !strings.Contains(err.Error(), what) ||
			!strings.Contains(err.Error(), "x.json: intact, but not of the expected form: byte ") {
			t.Errorf("%s: %v", what, err)
		}
	}
}
