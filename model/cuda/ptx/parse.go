package ptx

import (
	"encoding/binary"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Parse reads a PTX file. It refuses what this package does not execute, with the line.
func Parse(text string) (*Module, error) {
	p := &parser{text: blank(text), line: 1,
		module: &Module{kernels: map[string]*Kernel{}, constant: newSpace("constant", sharedSpan), symbols: map[string]uint64{}, shared: map[string]shared{}}}
	for {
		line, s := p.next()
		if line == 0 {
			return p.module, nil
		}
		if err := p.declare(line, s); err != nil {
			return nil, err
		}
	}
}

// blank takes comments out and keeps the lines.
func blank(text string) string {
	var b strings.Builder
	for {
		code, rest, found := strings.Cut(text, "/")
		b.WriteString(code)
		switch {
		case !found:
			return b.String()
		case strings.HasPrefix(rest, "/"):
			_, text, _ = strings.Cut(rest, "\n")
			b.WriteByte('\n')
		case strings.HasPrefix(rest, "*"):
			comment, after, _ := strings.Cut(rest[1:], "*/")
			b.WriteString(" " + strings.Repeat("\n", strings.Count(comment, "\n")))
			text = after
		default:
			b.WriteByte('/')
			text = rest
		}
	}
}

// A parser reads a text statement by statement.
type parser struct {
	text   string // that is left
	line   int    // of its first byte
	module *Module
}

var (
	header = regexp.MustCompile(`^\.(version|target|address_size)\b[^\n]*`)
	entry  = regexp.MustCompile(`^(\.\w+ )*\.(entry|func) `)
)

// next returns the next statement and its line, which is 0 at the end of the text. A
// statement is a brace, a label, a line of the file's header, the head of an entry up
// to its brace, or what a semicolon ends. White space becomes single spaces.
func (p *parser) next() (line int, statement string) {
	p.skip(len(p.text) - len(strings.TrimLeft(p.text, " \t\r\n")))
	if p.text == "" {
		return 0, ""
	}
	line = p.line
	n, end := 1, 0 // length of the statement and of what ends it
	dot := p.text[0] == '.'
	switch colon := strings.IndexFunc(p.text, notInName); {
	case strings.ContainsRune("{}", rune(p.text[0])):
	case colon > 0 && p.text[colon] == ':':
		n = colon + 1
	case dot && header.MatchString(p.text):
		n = len(header.FindString(p.text))
	default:
		ends := ";"
		if dot && entry.MatchString(p.text) {
			ends = "{"
		}
		i := strings.Index(p.text, ends)
		if i < 0 {
			i = len(p.text)
		}
		if n = i; ends == ";" && i < len(p.text) {
			end = 1
		}
	}
	statement = strings.Join(strings.Fields(p.text[:n]), " ")
	p.skip(n + end)
	return line, statement
}

func notInName(c rune) bool {
	return c != '$' && c != '_' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z')
}

func (p *parser) skip(n int) {
	p.line += strings.Count(p.text[:n], "\n")
	p.text = p.text[n:]
}

// declare reads a statement of the file: a line of its header, a variable or an entry.
func (p *parser) declare(line int, s string) error {
	word, value, _ := strings.Cut(s, " ")
	wants := map[string]string{".version": "7.0", ".target": "sm_70", ".address_size": "64"}
	var err error
	switch {
	case wants[word] != "":
		if value != wants[word] {
			err = fmt.Errorf("only %s is known", wants[word])
		}
	case entry.MatchString(s):
		return p.kernel(line, s)
	default:
		err = p.variable(s)
	}
	if err != nil {
		return fmt.Errorf("ptx: line %d `%s`: %w", line, s, err)
	}
	return nil
}

var variable = regexp.MustCompile(`^(?:\.(?:visible|weak|extern) )*\.(\w+)(?: \.align (\d+))? \.([bsuf]\d+) ([$\w]+)(?:\[(\d*)\])?(?: = (.*))?$`)

// variable reads a variable of the file.
func (p *parser) variable(s string) error {
	v := variable.FindStringSubmatch(s)
	if v == nil {
		return errors.New("unknown statement")
	}
	switch v[1] {
	case "shared":
		x, err := sharedVariable(v)
		p.module.shared[v[4]] = x
		return err
	case "const":
		return p.constant(v)
	case "local":
		return errLocal
	}
	return fmt.Errorf("a variable in .%s memory is not known", v[1])
}

// extent returns the size and the alignment of a variable; size 0 is that of `[]`.
func extent(v []string) (size, align uint64, err error) {
	bits, _ := strconv.ParseUint(v[3][1:], 10, 8)
	element := bits / 8
	size, align = element, element
	if strings.Contains(v[0], "[]") {
		size = 0
	} else if v[5] != "" {
		n, err := strconv.ParseUint(v[5], 10, 32)
		if err != nil {
			return 0, 0, err
		}
		size *= n
	}
	if v[2] != "" {
		if align, err = strconv.ParseUint(v[2], 10, 8); err != nil {
			return 0, 0, err
		}
	}
	if element == 0 || align == 0 || align&(align-1) != 0 || size > 1<<(sharedSpan-2) {
		return 0, 0, fmt.Errorf("a variable of %d bytes, aligned to %d", size, align)
	}
	return size, align, nil
}

func sharedVariable(v []string) (shared, error) {
	size, align, err := extent(v)
	return shared{name: v[4], size: size, align: align, dynamic: size == 0}, err
}

// constant places a variable in constant memory, with its values or zeros.
func (p *parser) constant(v []string) error {
	size, align, err := extent(v)
	if err != nil {
		return err
	}
	r := p.module.constant.add(v[4], size, align)
	p.module.symbols[v[4]] = dataWindow + r.base
	r.cells = nil
	clear(r.bytes)
	if v[6] == "" {
		return nil
	}
	element, _ := strconv.Atoi(v[3][1:])
	values := strings.Split(strings.Trim(v[6], "{} "), ",")
	if uint64(len(values)*element/8) > size {
		return fmt.Errorf("%d values for %d bytes", len(values), size)
	}
	for i, text := range values {
		x, err := literal(strings.TrimSpace(text))
		if err != nil {
			return err
		}
		var b [8]byte
		binary.LittleEndian.PutUint64(b[:], x)
		copy(r.bytes[i*element/8:], b[:element/8])
	}
	return nil
}

// literal reads a number: an integer, or the bits of a float after 0f or 0d.
func literal(s string) (uint64, error) {
	if len(s) == 10 && strings.EqualFold(s[:2], "0f") || len(s) == 18 && strings.EqualFold(s[:2], "0d") {
		return strconv.ParseUint(s[2:], 16, 64)
	}
	if v, err := strconv.ParseInt(s, 0, 64); err == nil {
		return uint64(v), nil
	}
	v, err := strconv.ParseUint(strings.TrimSuffix(s, "U"), 0, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is neither a register, a variable nor a number", s)
	}
	return v, nil
}
