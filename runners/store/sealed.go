package store

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"strconv"
	"strings"
)

// A sealed file is a JSON object whose last key is the digest of the bytes
// before it:
//
//	{
//	  "step": 172,
//	  "loss": 1.71,
//	  "digest": "sha256:6b86…"
//	}
//
// The digest covers the bytes before the comma in front of its key. The bytes from that
// comma on are fixed, but for the digest itself. So every flipped, missing or additional
// byte shows.
const (
	digestKey = "digest"
	sealStart = ",\n  \"" + digestKey + "\": \"sha256:"
	sealEnd   = "\"\n}\n"
	sealBytes = len(sealStart) + 2*sha256.Size + len(sealEnd)
)

// MarshalSealed returns v as JSON with a digest inside. It is an error if v does not
// encode to an object with at least one key, or if one of the keys is "digest".
func MarshalSealed(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("store: seal: %w", err)
	}
	if !bytes.HasPrefix(b.Bytes(), []byte("{\n  \"")) {
		return nil, fmt.Errorf("store: seal: %T is not a JSON object with keys", v)
	}
	// A line that starts with two spaces and a quotation mark has a key of v.
	for line := range bytes.Lines(b.Bytes()) {
		name, found := bytes.CutPrefix(line, []byte("  \""))
		if key, _, _ := bytes.Cut(name, []byte("\"")); found && strings.EqualFold(string(key), digestKey) {
			return nil, fmt.Errorf("store: seal: %T has the key %q, which the seal needs", v, key)
		}
	}
	body := bytes.TrimSuffix(b.Bytes(), []byte("\n}\n"))
	return append(body, seal(body)...), nil
}

// UnmarshalSealed decodes data, which MarshalSealed has encoded, into v. where is the
// place of the data, for errors. The error of a flipped, missing or additional byte
// names that byte and wraps ErrDamaged. A key that v does not have is an error.
func UnmarshalSealed(where string, data []byte, v any) error {
	return Sealed{}.decode(where, data, v)
}

// A Sealed describes the sealed object that a reader expects.
type Sealed struct {
	Format string       // value of the key "format"; empty: not compared
	Older  string       // an earlier format that v decodes, too; empty: none
	Check  func() error // compares the decoded value with the object's name; nil: not compared
	Else   string       // remedy besides an intact copy: "delete it: the run then begins again"; empty: none
	Bytes  int64        // size of the largest object; 0 is SmallBytes
}

// ReadSealed decodes the object name into v and returns its generation. The error wraps
// ErrNotExist where the object is absent, ErrDamaged where a byte is flipped, missing or
// added, and ErrForm where an intact object is not as want describes, such as one of a later
// version. It names the object, the cause, and the remedy: an intact copy, or want.Else.
func (s *Store) ReadSealed(ctx context.Context, name string, v any, want Sealed) (generation string, err error) {
	data, info, err := s.ReadUpTo(ctx, name, cmp.Or(want.Bytes, SmallBytes))
	if err == nil {
		err = want.decode(s.Join(name), data, v)
	} else if !errors.Is(err, ErrDamaged) {
		return "", err
	}
	switch {
	case err == nil:
		return info.Generation, nil
	case want.Else == "":
		return "", fmt.Errorf("%w; put back an intact copy", err)
	default:
		return "", fmt.Errorf("%w; put back an intact copy, or %s", err, want.Else)
	}
}

// decode compares the format before the other keys, which may differ with it.
func (want Sealed) decode(where string, data []byte, v any) error {
	body, err := Unseal(where, data)
	if err != nil {
		return err
	}
	object := append(bytes.Clone(body), "\n}\n"...)
	var found struct {
		Format json.RawMessage `json:"format"`
	}
	is := func(format string) bool { return format != "" && string(found.Format) == strconv.Quote(format) }
	if json.Unmarshal(object, &found) == nil && want.Format != "" && !is(want.Format) && !is(want.Older) {
		return unlike{fmt.Errorf("store: %s: format is %s, want %q", where, cmp.Or(string(found.Format), "missing"), want.Format)}
	}
	d := json.NewDecoder(bytes.NewReader(object))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return unlike{fmt.Errorf("store: %s: byte %d: intact, but not of the expected form: %w", where, d.InputOffset(), err)}
	}
	if want.Check != nil {
		if err := want.Check(); err != nil {
			return unlike{fmt.Errorf("store: %s: %w", where, err)}
		}
	}
	return nil
}

// unlike is an error that is ErrForm, without the text of ErrForm.
type unlike struct{ error }

func (unlike) Is(target error) bool { return target == ErrForm }

func (e unlike) Unwrap() error { return e.error }

// damaged is an error that is ErrDamaged, without the text of ErrDamaged.
type damaged struct{ error }

func (damaged) Is(target error) bool { return target == ErrDamaged }

// tooLarge is the error of an object that is not read into memory.
func tooLarge(bytes, limit int64) error {
	return damaged{fmt.Errorf("it has %d bytes, want at most %d: these are not the bytes that were written", bytes, limit)}
}

// unseal returns the bytes that a sealed file's digest covers.
func unseal(data []byte) ([]byte, error) {
	at := len(data) - sealBytes
	if at < 1 {
		return nil, fmt.Errorf("byte %d: the file ends here, want at least %d bytes: it is cut off", len(data), sealBytes+1)
	}
	body, end := data[:at], data[at:]
	want := seal(body)
	for i := range want {
		hex := i >= len(sealStart) && i < len(want)-len(sealEnd)
		if !hex && end[i] != want[i] {
			return nil, fmt.Errorf("byte %d: found %q, want %q: the end of the file is damaged or cut off", at+i, end[i], want[i])
		}
	}
	if !bytes.Equal(end, want) {
		from, to := len(sealStart), len(want)-len(sealEnd)
		return nil, fmt.Errorf("bytes 0 to %d: their sha256 is %s, want %s, found at byte %d: a byte of one or the other is damaged",
			at-1, want[from:to], end[from:to], at+from)
	}
	return body, nil
}

// A Sealer writes a sealed file in pieces. It is for one goroutine.
type Sealer struct {
	w   io.Writer
	sum hash.Hash
}

// NewSealer returns a Sealer that writes to w.
func NewSealer(w io.Writer) *Sealer { return &Sealer{w, sha256.New()} }

// Write writes the next bytes of the object: as MarshalSealed encodes it, without the line
// break and the brace at its end.
func (s *Sealer) Write(p []byte) (int, error) {
	s.sum.Write(p)
	return s.w.Write(p)
}

// Seal writes the end of the object.
func (s *Sealer) Seal() error {
	_, err := s.w.Write(sealOf([sha256.Size]byte(s.sum.Sum(nil))))
	return err
}

// Unseal returns the object in data, which MarshalSealed or a Sealer has written, without the
// line break and the brace at its end. where is the place of the data, for errors. The error
// of a flipped, missing or additional byte names that byte and wraps ErrDamaged.
func Unseal(where string, data []byte) ([]byte, error) {
	body, err := unseal(data)
	if err != nil {
		return nil, damaged{fmt.Errorf("store: %s: %w", where, err)}
	}
	return body, nil
}

// seal returns the end of a sealed file that starts with body.
func seal(body []byte) []byte { return sealOf(sha256.Sum256(body)) }

func sealOf(sum [sha256.Size]byte) []byte { return fmt.Appendf(nil, "%s%x%s", sealStart, sum, sealEnd) }
