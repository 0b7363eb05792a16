package corpus

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/quire-ml/quire/transforms/charset"
)

// The kinds of records. JSONL and CSV stand before the name of a key or column.
const (
	RecordFile  = "file"   // a document is one record
	RecordLine  = "line"   // every line is one
	RecordJSONL = "jsonl:" // every line is an object of JSON; the record is the text at a key
	RecordCSV   = "csv:"   // every row is one; the record is the text in a column, which the first row names
)

// maxRecord bounds the bytes of a record, and of the line or row that it is in. Tests
// lower it.
var maxRecord = 64 << 20

// A recordReader returns the records of a text, one after the other: next returns
// io.EOF after the last one. Where the error is another one, line is the line at which
// it was found, from 1, or 0 for the whole document.
type recordReader interface {
	next() (record []byte, line int, err error)
}

// newRecords returns the records of a text. Lines and rows end in LF, CR LF or CR. A
// record is valid until the next call.
func newRecords(kind string, text io.Reader) (recordReader, error) {
	if kind == "" || kind == RecordFile {
		return &whole{r: text}, nil
	}
	text, err := charset.NewReader(text, charset.Form{Newlines: charset.LF})
	if err != nil {
		return nil, err
	}
	if column, ok := strings.CutPrefix(kind, RecordCSV); ok {
		return &csvRecords{text: budget{r: text}, column: column}, nil
	}
	lines := lines{r: bufio.NewReaderSize(text, 1<<16)}
	if key, ok := strings.CutPrefix(kind, RecordJSONL); ok {
		return &jsonRecords{lines: lines, key: key}, nil
	}
	return &lines, nil
}

// whole returns a text as one record.
type whole struct{ r io.Reader }

func (w *whole) next() ([]byte, int, error) {
	if w.r == nil {
		return nil, 0, io.EOF
	}
	data, err := io.ReadAll(io.LimitReader(w.r, int64(maxRecord)+1))
	if w.r = nil; err == nil && len(data) > maxRecord {
		err = fmt.Errorf("it has more than %d bytes: too long to be joined with others", maxRecord)
	}
	return data, 0, err
}

// lines returns lines, without their ends.
type lines struct {
	r    *bufio.Reader
	line int
	buf  []byte
}

func (l *lines) next() ([]byte, int, error) {
	l.buf = l.buf[:0]
	l.line++
	for {
		part, err := l.r.ReadSlice('\n')
		if l.buf = append(l.buf, part...); len(l.buf) > maxRecord {
			return nil, l.line, fmt.Errorf("the line has more than %d bytes", maxRecord)
		}
		switch {
		case err == bufio.ErrBufferFull:
		case err == io.EOF && len(l.buf) > 0:
			return l.buf, l.line, nil
		case err != nil:
			return nil, l.line, err
		default:
			return l.buf[:len(l.buf)-1], l.line, nil
		}
	}
}

// jsonRecords returns the texts at a key of objects, one object a line. Empty lines are
// passed over.
type jsonRecords struct {
	lines lines
	key   string
}

func (j *jsonRecords) next() ([]byte, int, error) {
	for {
		data, line, err := j.lines.next()
		if err != nil {
			return nil, line, err
		}
		if len(bytes.TrimSpace(data)) == 0 {
			continue
		}
		record, err := j.text(data)
		return record, line, err
	}
}

// text returns the text at the key of an object.
func (j *jsonRecords) text(data []byte) ([]byte, error) {
	if !utf8.Valid(data) {
		return nil, errors.New("it is not UTF-8, as JSON is")
	}
	d := json.NewDecoder(bytes.NewReader(data))
	if t, err := d.Token(); err != nil {
		return nil, fmt.Errorf("it is not JSON: %w", err)
	} else if t != json.Delim('{') {
		return nil, errors.New("it is not an object of JSON; a line must be one object, such as {\"text\": \"…\"}")
	}
	var found json.RawMessage
	var keys []string
	for d.More() {
		t, err := d.Token()
		var value json.RawMessage
		if err == nil {
			err = d.Decode(&value)
		}
		if err != nil {
			return nil, fmt.Errorf("it is not JSON: %w", err)
		}
		key, _ := t.(string)
		if key == j.key && found != nil {
			return nil, fmt.Errorf("the key %q comes twice", key)
		} else if key == j.key {
			found = value
		}
		keys = append(keys, key)
	}
	if _, err := d.Token(); err != nil {
		return nil, fmt.Errorf("it is not JSON: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("more follows the object; a line must be one object")
	}
	if found == nil {
		return nil, wrong(Records, "no key %q; the keys are %s", j.key, listed(keys))
	}
	return unquoted(j.key, found)
}

// Escapes of JSON: those that mean a character by themselves or as a pair, and of
// the rest, half of a pair.
var (
	wholeEscape = regexp.MustCompile(`\\u[dD][89abAB]..\\u[dD][c-fC-F]..|\\[^u]`)
	halfEscape  = regexp.MustCompile(`\\u[dD][89a-fA-F]`)
)

// unquoted returns the text that a value of JSON is.
func unquoted(key string, value json.RawMessage) ([]byte, error) {
	if value[0] != '"' {
		kind := map[byte]string{'{': "an object", '[': "a list", 'n': "null", 't': "true", 'f': "false"}[value[0]]
		if kind == "" {
			kind = "a number"
		}
		return nil, wrong(Records, "the value of %q is %s; a record must be text", key, kind)
	}
	var s string
	if err := json.Unmarshal(value, &s); err != nil {
		return nil, fmt.Errorf("it is not JSON: %w", err)
	}
	// The decoder puts U+FFFD in the place of half a pair.
	if strings.Contains(s, "\uFFFD") && halfEscape.Match(wholeEscape.ReplaceAll(value, nil)) {
		return nil, fmt.Errorf("the value of %q has half of a surrogate pair: it is cut within a character", key)
	}
	return []byte(s), nil
}

// listed returns names, for a message.
func listed(names []string) string {
	const most = 20
	more := ""
	if len(names) > most {
		names, more = names[:most], ", …"
	}
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = fmt.Sprintf("%q", n)
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(quoted, ", ") + more
}

// csvRecords returns the texts in a column. The first row names the columns. Fields are
// apart by the one of comma, semicolon and tab that makes the column one of them.
type csvRecords struct {
	text   budget
	column string
	head   []byte      // what was read, while the first row is not
	rows   *csv.Reader // nil before the first row is read
	field  int         // of the column
}

// Write keeps what is read of the first row.
func (c *csvRecords) Write(p []byte) (int, error) {
	if c.rows == nil {
		c.head = append(c.head, p...)
	}
	return len(p), nil
}

func (c *csvRecords) next() ([]byte, int, error) {
	if c.rows == nil {
		if err := c.begin(); err != nil {
			return nil, 1, err
		}
	}
	c.text.left = maxRecord
	row, err := c.rows.Read()
	if err == nil {
		line, _ := c.rows.FieldPos(c.field)
		return []byte(row[c.field]), line, nil
	}
	var bad *csv.ParseError
	if !errors.As(err, &bad) {
		return nil, 0, err
	}
	if errors.Is(err, csv.ErrFieldCount) {
		return nil, bad.Line, fmt.Errorf("the row has %s, the first row %d", fields(len(row)), c.rows.FieldsPerRecord)
	}
	if bad.Line != bad.StartLine {
		return nil, bad.Line, fmt.Errorf("column %d of the row that starts at line %d: %w", bad.Column, bad.StartLine, bad.Err)
	}
	return nil, bad.Line, fmt.Errorf("column %d: %w", bad.Column, bad.Err)
}

func fields(n int) string {
	if n == 1 {
		return "1 field"
	}
	return fmt.Sprint(n, " fields")
}

// begin reads the first row.
func (c *csvRecords) begin() (first error) {
	var names []string
	for _, comma := range []rune{',', ';', '\t'} {
		c.text.left = maxRecord
		r := csv.NewReader(io.MultiReader(bytes.NewReader(c.head), io.TeeReader(&c.text, c)))
		r.Comma, r.ReuseRecord = comma, true
		row, err := r.Read()
		if err == io.EOF {
			return err
		} else if err != nil {
			if first == nil {
				first = fmt.Errorf("the first row, the names of the columns: %w", err)
			}
			continue
		}
		if len(row) > len(names) {
			names = slices.Clone(row)
		}
		at := slices.Index(row, c.column)
		if at < 0 {
			continue
		}
		if slices.Contains(row[at+1:], c.column) {
			return wrong(Records, "two columns are called %q", c.column)
		}
		c.rows, c.field, c.head = r, at, nil
		return nil
	}
	if names == nil {
		return first
	}
	return wrong(Records, "no column %q; the first row has %s", c.column, listed(names))
}

// A budget is a Reader that may give only left more bytes.
type budget struct {
	r    io.Reader
	left int
}

// Read reads the next bytes.
func (b *budget) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, fmt.Errorf("a row has more than %d bytes; a quote may be missing", maxRecord)
	}
	n, err := b.r.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}
