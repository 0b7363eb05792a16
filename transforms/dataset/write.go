package dataset

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"strconv"

	"github.com/quire-ml/quire/runners/store"
)

// documentsKey starts the last key of a manifest, documentsEnd ends it, and a document
// is indented by 4 spaces. writeBytes is the size of one write.
const (
	documentsKey = ",\n  \"documents\": ["
	documentsEnd = "\n  ]"
	writeBytes   = 1 << 16
)

// Write writes manifest.json to w, with these documents in place of m.Documents, which may
// be more than memory holds. A manifest that contradicts itself is an error, and so
// is one of more than 4 GiB, which ReadManifest would not read; some of it may have been
// written then.
func (m *Manifest) Write(w io.Writer, docs iter.Seq2[Document, error]) error {
	if err := m.checkHead(); err != nil {
		return fmt.Errorf("dataset: manifest: %w", err)
	}
	head := *m
	head.Documents = []Document{}
	data, err := store.MarshalSealed(&head)
	if err != nil {
		return err
	}
	start := bytes.LastIndex(data, []byte(documentsKey)) + len(documentsKey)
	to := store.NewSealer(w)
	buf := append(make([]byte, 0, writeBytes+4096), data[:start]...)
	var sums documentSums
	written := int64(0)
	for d, err := range docs {
		if err != nil {
			return err
		}
		if err := sums.add(d); err != nil {
			return fmt.Errorf("dataset: manifest: %w", err)
		}
		if sums.count > 1 {
			buf = append(buf, ',')
		}
		if buf, err = appendDocument(buf, d); err != nil {
			return fmt.Errorf("dataset: manifest: %w", err)
		}
		if written+int64(len(buf)) > MaxManifest-writeBytes {
			return fmt.Errorf("dataset: manifest: %d documents take more than %d bytes", sums.count, MaxManifest)
		}
		if len(buf) < writeBytes {
			continue
		}
		if _, err := to.Write(buf); err != nil {
			return err
		}
		written += int64(len(buf))
		buf = buf[:0]
	}
	if err := m.checkSums(sums); err != nil {
		return fmt.Errorf("dataset: manifest: %w", err)
	}
	if sums.count > 0 {
		buf = append(buf, "\n  "...)
	}
	if _, err := to.Write(append(buf, ']')); err != nil {
		return err
	}
	return to.Seal()
}

// appendDocument appends a document as encoding/json does.
func appendDocument(dst []byte, d Document) ([]byte, error) {
	var err error
	dst = append(dst, "\n    {\n      \"name\": "...)
	if dst, err = appendString(dst, d.Name); err != nil {
		return dst, err
	}
	field := func(key string, n int64) {
		dst = append(dst, ",\n      \""...)
		dst = append(dst, key...)
		dst = strconv.AppendInt(append(dst, "\": "...), n, 10)
	}
	field("bytes", d.Bytes)
	field("chars", d.Chars)
	dst = append(dst, ",\n      \"sha256\": \""...)
	dst = append(append(dst, d.SHA256...), '"')
	if d.DroppedChars != 0 {
		field("dropped_chars", d.DroppedChars)
	}
	if d.ReplacedChars != 0 {
		field("replaced_chars", d.ReplacedChars)
	}
	if d.Records != 0 {
		field("records", d.Records)
	}
	return append(dst, "\n    }"...), nil
}

// appendString appends a string of JSON.
func appendString(dst []byte, s string) ([]byte, error) {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' || s[i] == '"' || s[i] == '\\' {
			var b bytes.Buffer
			e := json.NewEncoder(&b)
			e.SetEscapeHTML(false)
			err := e.Encode(s)
			return append(dst, bytes.TrimSuffix(b.Bytes(), []byte("\n"))...), err
		}
	}
	return append(append(append(dst, '"'), s...), '"'), nil
}

// readDocuments decodes a manifest whose last key is its documents, one of these after the
// other: the text and a tree of it would be several times as large. ok is false where the
// text has another form.
func (m *Manifest) readDocuments(body []byte) (ok bool, err error) {
	at := bytes.Index(body, []byte(documentsKey+"\n"))
	if at < 0 || !bytes.HasSuffix(body, []byte(documentsEnd)) {
		return false, nil
	}
	head := json.NewDecoder(io.MultiReader(bytes.NewReader(body[:at]), bytes.NewReader([]byte("\n}\n"))))
	head.DisallowUnknownFields()
	if err := head.Decode(m); err != nil {
		return true, fmt.Errorf("byte %d: %w", head.InputOffset(), err)
	}
	at += len(documentsKey) - 1
	list := json.NewDecoder(bytes.NewReader(body[at:]))
	list.DisallowUnknownFields()
	_, err = list.Token()
	for err == nil && list.More() {
		var d Document
		if err = list.Decode(&d); err == nil {
			m.Documents = append(m.Documents, d)
		}
	}
	if err == nil {
		if _, err = list.Token(); err == nil && at+int(list.InputOffset()) != len(body) {
			err = errors.New("more follows the documents")
		}
	}
	if err != nil {
		return true, fmt.Errorf("byte %d: %w", at+int(list.InputOffset()), err)
	}
	return true, nil
}
