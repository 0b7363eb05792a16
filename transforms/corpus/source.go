package corpus

import (
	"context"
	"fmt"
	"strings"
)

// A kind is a kind of source: the place that the sources of a scheme name.
//
// The documents of every kind are files of this machine or objects that package
// store opens, so a new kind is its entry here and its resolve function; a new
// kind of store needs no function of its own.
type kind struct {
	scheme  string // with ://; empty for paths of this machine
	resolve func(ctx context.Context, source string, o *ResolveOptions) ([]Document, error)
}

// kinds are all kinds of sources.
var kinds = []kind{
	{"https://", download},
	{"gs://", objects},
	{"", files},
}

// resolve returns the documents of one source, in any order.
func resolve(ctx context.Context, source string, o *ResolveOptions) ([]Document, error) {
	if source == "" {
		return nil, wrong(Sources, "an empty source")
	}
	scheme, _, isURL := strings.Cut(source, "://")
	if isURL {
		scheme += "://"
	} else {
		scheme = ""
	}
	if before, _, ok := strings.Cut(source, ":/"); !isURL && ok && strings.HasPrefix(strings.ToLower(before), "http") {
		return nil, wrong(Sources, "a URL begins with https://")
	}
	use := "a path"
	for _, k := range kinds {
		if k.scheme == scheme {
			return k.resolve(ctx, source, o)
		}
		if k.scheme != "" {
			use += " or " + k.scheme
		}
	}
	return nil, wrong(Sources, "unknown scheme %s; use %s", scheme, use)
}

// The inputs that a FieldError can name.
const (
	Sources  = "sources"
	SHA256   = "sha256"
	Encoding = "encoding"
	Records  = "records"
)

// A FieldError is an error that another value of an input mends.
type FieldError struct {
	Field string // Sources, SHA256, Encoding or Records
	Err   error
}

// Error returns the error's text, which does not name the field.
func (e *FieldError) Error() string { return e.Err.Error() }

// Unwrap returns the error.
func (e *FieldError) Unwrap() error { return e.Err }

// wrong returns a FieldError whose text is formatted as fmt.Errorf does.
func wrong(field, format string, args ...any) error {
	return &FieldError{field, fmt.Errorf(format, args...)}
}
