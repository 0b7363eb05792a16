package prepare

import (
	"fmt"

	"github.com/quire-ml/quire/transforms/charset"
	"github.com/quire-ml/quire/transforms/corpus"
	"github.com/quire-ml/quire/transforms/vocab"
)

// A TextError is about a document whose bytes are not text in its encoding.
type TextError struct {
	Document string
	Likely   string // an encoding that it may be in; empty: there is no evidence
	Reason   string
}

// Error names the document, the first byte, and the likely encoding.
func (e *TextError) Error() string { return fmt.Sprintf("prepare: %s: %s", e.Document, e.Reason) }

// CheckText returns a *TextError for the first document that is not text in the
// encoding that it was read with. A document without a digest passes: nobody has read
// it. Set fails on such documents, but for UTF-16, after it has counted the corpus.
func CheckText(docs []corpus.Document, o Options) error {
	if o.Unit == vocab.Byte && o.Encoding == "" {
		return nil // bytes of any kind
	}
	name := o.Encoding
	if name == "" {
		name = "UTF-8"
	}
	for _, d := range docs {
		e := &TextError{Document: d.Name, Likely: d.Signs.Likely}
		bad := d.Signs.Invalid
		if d.Undefined.Count > 0 {
			bad, e.Likely = d.Undefined, "" // the signs are of the decoded text
		}
		switch {
		case d.Signs.UTF16 != "" && o.Unit != vocab.Byte:
			e.Likely = d.Signs.UTF16
			e.Reason = fmt.Sprintf("it is UTF-16, and was read as %s", name)
			return e
		case bad.Count == 0 || o.InvalidUTF8 == "replace":
			continue
		case d.Signs.Other != "" && d.Undefined.Count == 0:
			e.Reason = fmt.Sprintf("it is %s, no text in %s; convert it to UTF-8, or leave it out", d.Signs.Other, name)
			return e
		}
		e.Reason = fmt.Sprintf("byte %d (0x%02x) is not valid %s, the first of %d", bad.Offset, bad.Byte, name, bad.Count)
		switch {
		case e.Likely != "":
			e.Reason += "; it is likely " + e.Likely
		case o.Encoding == "":
			e.Reason += "; correct it, or use invalid_utf8 replace or unit byte"
		default:
			e.Reason += "; correct it, or use invalid_utf8 replace"
		}
		return e
	}
	return nil
}

// Hints returns a line for each kind of thing in the documents that is allowed and
// rarely meant.
func Hints(docs []corpus.Document, newlines string) []string {
	n, first := 0, ""
	for _, d := range docs {
		if d.Signs.CR && newlines != charset.LF {
			if n++; n == 1 {
				first = d.Name
			}
		}
	}
	switch n {
	case 0:
		return nil
	case 1:
		return []string{first + ": CR alone ends its lines; with newlines lf, LF does"}
	}
	return []string{fmt.Sprintf("%s and others, %d documents in all: CR alone ends their lines; with newlines lf, LF does", first, n)}
}
