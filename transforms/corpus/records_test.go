package corpus

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

// readRecords returns the records of a text, each with its line: 3 "abc".
func readRecords(kind string, text io.Reader) (got []string, line int, err error) {
	r, err := newRecords(kind, text)
	if err != nil {
		return nil, 0, err
	}
	for {
		record, line, err := r.next()
		if err == io.EOF {
			return got, 0, nil
		}
		if err != nil {
			return got, line, err
		}
		got = append(got, fmt.Sprintf("%d %q", line, record))
	}
}

// TestRecords has the records that Python's str.splitlines, json and csv find.
func TestRecords(t *testing.T) {
	long := strings.Repeat("0123456789", 200_000) // longer than any buffer
	for _, c := range []struct {
		kind, text string
		want       []string
	}{
		{"file", "a\r\nb\n", []string{`0 "a\r\nb\n"`}},
		{"line", "", nil},
		{"line", "ann\nbob", []string{`1 "ann"`, `2 "bob"`}},
		{"line", "ann\r\n\r\nbob\rcy\n\n", []string{`1 "ann"`, `2 ""`, `3 "bob"`, `4 "cy"`, `5 ""`}},
		{"line", long + "\r\n" + long, []string{fmt.Sprintf("1 %q", long), fmt.Sprintf("2 %q", long)}},
		{"jsonl:text", "", nil},
		{"jsonl:text", `{"id": 1, "text": "caf\u00e9 \"x\" \ud83c\udf08\n", "more": {"text": "no"}, "list": [1, {"text": 2}]}` + "\r\n\n  \n" + `{"text":""}`,
			[]string{`1 "café \"x\" 🌈\n"`, `4 ""`}},
		{"jsonl:text", `{"text": "\ufffd` + "\uFFFD" + `"}`, []string{`1 "` + "\uFFFD\uFFFD" + `"`}},
		{"jsonl:text", `{"text": "\\ud83c \ud83c\uDF08 \uFFFD"}`, []string{`1 "\\ud83c 🌈 ` + "\uFFFD" + `"`}},
		{"jsonl:", `{"": "a"}`, []string{`1 "a"`}},
		{"csv:name", "", nil},
		{"csv:name", "id,name\r\n1,\"Ann, \"\"A\"\" \r\nfrom B\"\r\n\r\n2,Bob", []string{`2 "Ann, \"A\" \nfrom B"`, `5 "Bob"`}},
		{"csv:b c", "\"a\nx\",b c\n1,2\n", []string{`3 "2"`}},
		{"csv:name", "name;text\nAnn;1,2\nBob;\"x;y\"\n", []string{`2 "Ann"`, `3 "Bob"`}},
		{"csv:text", "name\ttext\nAnn\ta, b; c\n", []string{`2 "a, b; c"`}},
		{"csv:name", "name\rann\r\"bob\rb\"\r", []string{`2 "ann"`, `3 "bob\nb"`}},
		{"csv:x", "x\n" + long + "\n\"" + long + "\"\n", []string{fmt.Sprintf("2 %q", long), fmt.Sprintf("3 %q", long)}},
	} {
		for name, r := range map[string]io.Reader{"whole": strings.NewReader(c.text), "by half": iotest.HalfReader(strings.NewReader(c.text))} {
			if got, line, err := readRecords(c.kind, r); err != nil || !slices.Equal(got, c.want) {
				t.Errorf("%s of %.60q, %s: %.200q, line %d, %v\nwant %.200q", c.kind, c.text, name, got, line, err, c.want)
			}
		}
	}
}

// TestRecordsBounded: a text may be longer than a record, and what was read of it goes.
func TestRecordsBounded(t *testing.T) {
	defer func(n int) { maxRecord = n }(maxRecord)
	maxRecord = 10_000
	row := "\"" + strings.Repeat("0123456789", 800) + "\"\n"
	for kind, text := range map[string]string{"csv:x": "x\n" + strings.Repeat(row, 20), "line": strings.Repeat(row, 20)} {
		if got, line, err := readRecords(kind, strings.NewReader(text)); err != nil || len(got) != 20 {
			t.Errorf("%s: %d records, line %d, %v", kind, len(got), line, err)
		}
	}
	whole := strings.NewReader(strings.Repeat(row, 200))
	if _, _, err := readRecords("file", whole); err == nil || whole.Len() < 1_000_000 {
		t.Errorf("%d bytes are left of a text that is too long, %v", whole.Len(), err)
	}
	c := &csvRecords{text: budget{r: strings.NewReader("x\n" + strings.Repeat(row, 20))}, column: "x"}
	for {
		_, _, err := c.next()
		if err == io.EOF {
			break
		}
		if err != nil || len(c.head) > 0 {
			t.Fatalf("%d bytes are kept, %v", len(c.head), err)
		}
	}
}

// TestRecordErrors has texts with a mistake, whose line is named.
func TestRecordErrors(t *testing.T) {
	defer func(n int) { maxRecord = n }(maxRecord)
	maxRecord = 10_000
	long := strings.Repeat("0123456789", 2000)
	for _, c := range []struct {
		kind, text string
		line       int
		part       string
		field      string
	}{
		{"file", long, 0, "more than 10000 bytes", ""},
		{"line", "a\n" + long, 2, "more than 10000 bytes", ""},
		{"jsonl:text", `{"text": "a"}` + "\n" + `{"body": "b", "id": 1}`, 2, `no key "text"; the keys are "body", "id"`, Records},
		{"jsonl:text", `{}`, 1, "the keys are none", Records},
		{"jsonl:text", `{"text": 5}`, 1, "is a number", Records},
		{"jsonl:text", `{"text": null}`, 1, "is null", Records},
		{"jsonl:text", `{"text": ["a"]}`, 1, "is a list", Records},
		{"jsonl:text", `{"text": {"text": "a"}}`, 1, "is an object", Records},
		{"jsonl:text", `{"text": "a", "text": "b"}`, 1, `"text" comes twice`, ""},
		{"jsonl:text", "\n" + `[{"text": "a"}]`, 2, "a line must be one object", ""},
		{"jsonl:text", `{"text": "a"} {"text": "b"}`, 1, "more follows the object", ""},
		{"jsonl:text", `{"text": "a"`, 1, "not JSON", ""},
		{"jsonl:text", "{\n\"text\": \"a\"}", 1, "not JSON", ""},
		{"jsonl:text", `{"text": "\ud83c"}`, 1, "half of a surrogate pair", ""},
		{"jsonl:text", `{"text": "\ufffd \ud83c"}`, 1, "half of a surrogate pair", ""},
		{"jsonl:text", `{"text": "\ud83c\ud83c\udf08` + "\uFFFD" + `"}`, 1, "half of a surrogate pair", ""},
		{"jsonl:text", `{"text": "\\ufffd \\\uDF08"}`, 1, "half of a surrogate pair", ""},
		{"jsonl:text", "{\"text\": \"\xff\"}", 1, "not UTF-8", ""},
		{"csv:text", "id,body\n1,a\n", 1, `no column "text"; the first row has "id", "body"`, Records},
		{"csv:text", "text,text\n1,a\n", 1, `two columns are called "text"`, Records},
		{"csv:text", "id,text\n1,a\n2\n", 3, "the row has 1 field, the first row 2", ""},
		{"csv:text", "id,text\n1,a\n2,b,c\n3,d\n", 3, "the row has 3 fields, the first row 2", ""},
		{"csv:text", "id,text\n1,a\n2,b\"b\"\n", 3, `column 4: bare "`, ""},
		{"csv:text", "id,text\n1,\"a\n\nb", 4, "the row that starts at line 2", ""},
		{"csv:text", "id,text\n1,\"a\n" + long, 0, "a row has more than 10000 bytes; a quote may be missing", ""},
	} {
		_, line, err := readRecords(c.kind, strings.NewReader(c.text))
		var wrong *FieldError
		field := ""
		if errors.As(err, &wrong) {
			field = wrong.Field
		}
		if err == nil || line != c.line || !strings.Contains(err.Error(), c.part) || field != c.field {
			t.Errorf("%s of %.60q: line %d, field %q, %v\nwant line %d, field %q, %q", c.kind, c.text, line, field, err, c.line, c.field, c.part)
		}
	}
}
