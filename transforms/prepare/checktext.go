package prepare

import (
	"fmt"
	"strings"

	"github.com/quire-ml/quire/transforms/charset"
	"github.com/quire-ml/quire/transforms/corpus"
	"github.com/quire-ml/quire/transforms/vocab"
)

// A TextError is about a document whose bytes are not text in its encoding.
type TextError struct {
	Document string
	Likely   string // an encoding that it may be in; empty: there is no evidence
	Binary   bool   // it is no text in any encoding
	Reason   string
}

// Error names the document, the first byte, and the likely encoding.
func (e *TextError) Error() string { return fmt.Sprintf("prepare: %s: %s", e.Document, e.Reason) }

// packed says of kinds of files, by the names of package charset, which texts are in them.
var packed = map[string]string{
	"application/x-gzip":           "it is compressed by gzip, and its name does not end in .gz; rename it, or decompress it (gunzip)",
	"application/x-bzip2":          "it is compressed by bzip2; decompress it (bunzip2)",
	"application/x-xz":             "it is compressed by xz; decompress it (unxz)",
	"application/zstd":             "it is compressed by zstd; decompress it (unzstd)",
	"application/zip":              "it is a zip archive; unpack it (unzip) and name the files, or their folder",
	"application/x-7z-compressed":  "it is a 7z archive; unpack it and name the files, or their folder",
	"application/x-rar-compressed": "it is a rar archive; unpack it and name the files, or their folder",
	"application/x-tar":            "it is a tar archive; unpack it (tar -xf) and name the files, or their folder",
}

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
		case o.InvalidUTF8 == "replace":
			continue
		case d.Signs.Other != "" && d.Undefined.Count == 0:
			e.Binary = true
			kind := d.Signs.Other
			if kind == "application/x-gzip" && strings.HasSuffix(d.Name, ".tgz") {
				kind = "application/x-tar"
			}
			if e.Reason = packed[kind]; e.Reason == "" {
				e.Reason = fmt.Sprintf("it is %s, no text in %s; convert it to UTF-8, or leave it out", d.Signs.Other, name)
			}
			return e
		case bad.Count == 0:
			continue
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
