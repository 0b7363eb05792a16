package completion

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// value is a field of an object, as it stands in the body.
type value struct {
	name string
	raw  json.RawMessage
}

// read reads the value of a field.
type read func(value) *Error

// into returns what reads a value into dst.
func into[T any](dst *T, of func(value) (T, *Error)) read {
	return func(v value) (err *Error) {
		*dst, err = of(v)
		return err
	}
}

// pointer returns what reads a value that may be missing.
func pointer[T any](of func(value) (T, *Error)) func(value) (*T, *Error) {
	return func(v value) (*T, *Error) {
		x, err := of(v)
		return &x, err
	}
}

// object reads each field of a JSON object but those that are null, with what find returns
// for its name: nil for a field that there is not. Names count as they are written.
func object(body []byte, find func(name string) read) *Error {
	if err := wellFormed(body); err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(body))
	if begin, err := d.Token(); err != nil || begin != json.Delim('{') {
		return refuse("", "%s is no JSON object", clip(string(body)))
	}
	seen := map[string]bool{}
	for d.More() {
		key, err := d.Token()
		v := value{}
		v.name, _ = key.(string)
		if err == nil {
			err = d.Decode(&v.raw)
		}
		name, of := clip(v.name), find(v.name)
		switch {
		case err != nil:
			return refuse("", "the request is no valid JSON: %v", err)
		case of == nil:
			return refuse(name, "unknown field %q: the server would have to ignore it", name)
		case seen[v.name]:
			return refuse(name, "field %q is given twice", name)
		}
		seen[v.name] = true
		if string(v.raw) == "null" {
			continue
		}
		if err := of(v); err != nil {
			return err
		}
	}
	return nil
}

// wellFormed refuses a body that is no JSON, or that a lenient reader would change: bytes
// that are not UTF-8, and escapes of half a surrogate pair.
func wellFormed(body []byte) *Error {
	for at := 0; at < len(body); {
		c, size := utf8.DecodeRune(body[at:])
		if c == utf8.RuneError && size == 1 {
			return refuse("", "the request is not valid UTF-8 at byte %d", at)
		}
		at += size
	}
	var any json.RawMessage
	if err := json.Unmarshal(body, &any); err != nil {
		return refuse("", "the request is no valid JSON: %v", err)
	}
	for i := 0; i < len(body); i++ {
		if body[i] != '\\' { // valid JSON has one in strings alone, and a character behind it
			continue
		}
		high, low := escape(body[i:]), escape(body[min(len(body), i+6):])
		i++
		switch {
		case high&0xfc00 == 0xd800 && low&0xfc00 == 0xdc00:
			i += 10
		case high&0xf800 == 0xd800:
			return refuse("", "the request has half of a surrogate pair at byte %d", i-1)
		}
	}
	return nil
}

// escape returns the code unit of a \uXXXX at the beginning of b, or 0.
func escape(b []byte) uint64 {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0
	}
	unit, err := strconv.ParseUint(string(b[2:6]), 16, 16)
	if err != nil {
		return 0
	}
	return unit
}

// wrong refuses a value of another type, or out of range.
func (v value) wrong(want string) *Error {
	return refuse(v.name, "%s is %s, want %s", v.name, clip(string(v.raw)), want)
}

func text(v value) (s string, _ *Error) {
	if json.Unmarshal(v.raw, &s) != nil {
		return "", v.wrong("a string")
	}
	return s, nil
}

// empty takes a string that says nothing.
func empty(v value) *Error {
	if s, err := text(v); err != nil || s != "" {
		return v.wrong("the empty string: the model writes from left to right")
	}
	return nil
}

func boolean(v value) (b bool, _ *Error) {
	if json.Unmarshal(v.raw, &b) != nil {
		return false, v.wrong("true or false")
	}
	return b, nil
}

// off takes false alone.
func off(v value) *Error {
	if b, err := boolean(v); err != nil || b {
		return v.wrong("false: the server has no such thing")
	}
	return nil
}

// integer returns a whole number, which may be written as 16.0 or 1e3.
func (v value) integer() (n int64, ok bool) {
	if n, err := strconv.ParseInt(string(v.raw), 10, 64); err == nil {
		return n, true
	}
	const exact = 1 << 53
	x, err := strconv.ParseFloat(string(v.raw), 64)
	if err != nil || x != math.Trunc(x) || math.Abs(x) > exact {
		return 0, false
	}
	return int64(x), true
}

// whole returns what reads a whole number from lo to hi.
func whole(lo, hi int) func(value) (int, *Error) {
	return func(v value) (int, *Error) {
		n, ok := v.integer()
		if !ok || n < int64(lo) || n > int64(hi) {
			return 0, v.wrong("a whole number from " + strconv.Itoa(lo) + " to " + strconv.Itoa(hi))
		}
		return int(n), nil
	}
}

func seed(v value) (*int64, *Error) {
	n, ok := v.integer()
	if !ok {
		return nil, v.wrong("a whole number of 64 bits")
	}
	return &n, nil
}

func (v value) float() (x float64, ok bool) {
	x, err := strconv.ParseFloat(string(v.raw), 64)
	return x, err == nil
}

// number returns what reads a number from lo to hi.
func number(lo, hi float64) func(value) (float64, *Error) {
	return func(v value) (float64, *Error) {
		x, ok := v.float()
		if !ok || x < lo || x > hi {
			return 0, v.wrong("a number from " + decimal(lo) + " to " + decimal(hi))
		}
		return x, nil
	}
}

// positive returns what reads a number above 0, up to hi.
func positive(hi float64) func(value) (float64, *Error) {
	return func(v value) (float64, *Error) {
		x, ok := v.float()
		if !ok || x <= 0 || x > hi {
			return 0, v.wrong("a number above 0, up to " + decimal(hi))
		}
		return x, nil
	}
}

// zero takes 0 alone.
func zero(v value) *Error {
	if x, ok := v.float(); !ok || x != 0 {
		return v.wrong("0: the server has repetition_penalty instead")
	}
	return nil
}

func decimal(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) }

// list returns the elements of a list of up to most values, each under the list's name.
func (v value) list(most int, want string) ([]value, *Error) {
	var raw []json.RawMessage
	if v.raw[0] != '[' || json.Unmarshal(v.raw, &raw) != nil {
		return nil, v.wrong(want)
	}
	if len(raw) > most {
		return nil, refuse(v.name, "%s has a list of %d elements, at most %d are allowed", v.name, len(raw), most)
	}
	all := make([]value, len(raw))
	for i, r := range raw {
		all[i] = value{v.name, r}
	}
	return all, nil
}

func stops(v value) (all []string, err *Error) {
	const want = "a string or a list of strings"
	items := []value{v}
	if v.raw[0] == '[' {
		if items, err = v.list(maxStops, want); err != nil {
			return nil, err
		}
	}
	for _, item := range items {
		s, err := item.string()
		switch {
		case err != nil:
			return nil, v.wrong(want)
		case s == "":
			return nil, refuse(v.name, "stop has an empty string, with which every text begins")
		case len(s) > maxStopBytes:
			return nil, refuse(v.name, "stop has a string of %d bytes, at most %d are allowed", len(s), maxStopBytes)
		}
		all = append(all, s)
	}
	return all, nil
}

// string is text where null is no string.
func (v value) string() (string, *Error) {
	if v.raw[0] != '"' {
		return "", v.wrong("a string")
	}
	return text(v)
}

// ids returns what reads a list of up to most ids.
func ids(most int) func(value) ([]int32, *Error) {
	return func(v value) ([]int32, *Error) {
		items, err := v.list(most, "a list of ids")
		if err != nil {
			return nil, err
		}
		all := make([]int32, len(items))
		for i, item := range items {
			id, err := whole(0, math.MaxInt32)(item)
			if err != nil {
				return nil, err
			}
			all[i] = int32(id)
		}
		return all, nil
	}
}

func bias(v value) (map[int32]float64, *Error) {
	if v.raw[0] != '{' {
		return nil, v.wrong("an object of ids and numbers from -100 to 100")
	}
	all := map[int32]float64{}
	err := object(v.raw, func(name string) read {
		id, err := strconv.ParseInt(name, 10, 32)
		if err != nil || id < 0 || strconv.FormatInt(id, 10) != name {
			return nil
		}
		return func(b value) (wrong *Error) {
			all[int32(id)], wrong = number(-maxBias, maxBias)(value{v.name, b.raw})
			return wrong
		}
	})
	return all, err
}

// prompts returns what reads prompts in any of their four forms.
func prompts(l Limits) func(value) ([]Prompt, *Error) {
	one := func(v value) (Prompt, *Error) {
		if v.raw[0] == '"' {
			s, err := v.string()
			return Prompt{Text: s}, err
		}
		list, err := ids(l.Prompt)(v)
		return Prompt{IDs: list}, err
	}
	return func(v value) ([]Prompt, *Error) {
		items := []value{v}
		if v.raw[0] == '[' {
			all, err := v.list(max(l.Prompt, l.Choices), "")
			switch {
			case err != nil:
				return nil, err
			case len(all) == 0:
				return nil, refuse(v.name, "prompt is an empty list")
			case strings.ContainsRune(`"[`, rune(all[0].raw[0])):
				items = all
			}
		}
		if len(items) > l.Choices {
			return nil, refuse(v.name, "prompt has %d prompts, a request may have %d texts", len(items), l.Choices)
		}
		var out []Prompt
		for _, item := range items {
			p, err := one(item)
			switch {
			case err != nil:
				return nil, err
			case len(out) > 0 && (out[0].IDs == nil) != (p.IDs == nil):
				return nil, refuse(v.name, "prompt has texts and lists of ids; use one of the two")
			}
			out = append(out, p)
		}
		return out, nil
	}
}

// clip shortens what an error quotes.
func clip(s string) string {
	const most = 60
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most]) + "…"
}
