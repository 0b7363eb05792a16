package ptx

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// A register is a slot of a frame and the bits that it has.
type register struct {
	slot int
	bits int
}

// mask has the bits of the register set.
func (r register) mask() uint64 { return 1<<r.bits - 1 }

// A builder reads the body of an entry.
type builder struct {
	*Kernel
	scopes []map[string]register // from outside to inside
	labels map[string]int        // places in the code
	jumps  map[int]string        // the label of the branch at a place
	values map[uint64]int        // slots of constants
	places map[string]uint64     // addresses of shared variables
	line   int                   // of the statement
	text   string
}

var (
	head      = regexp.MustCompile(`^(?:\.visible |\.weak )?\.entry ([$\w]+) ?\((.*)\)(.*)$`)
	parameter = regexp.MustCompile(`^\.param(?: \.align (\d+))? \.([bsuf]\d+) ([$\w]+)(?:\[(\d+)\])?$`)
	registers = regexp.MustCompile(`^\.reg \.(pred|[bsu](?:16|32|64)|f(?:32|64)) ([%$\w]+)(?:<(\d+)>)?$`)
)

// kernel reads an entry from its head to its closing brace.
func (p *parser) kernel(line int, s string) error {
	h := head.FindStringSubmatch(s)
	if h == nil {
		return fmt.Errorf("ptx: line %d `%s`: only entries are known, no functions", line, s)
	}
	k := &Kernel{name: h[1], module: p.module}
	b := &builder{Kernel: k, labels: map[string]int{}, jumps: map[int]string{}, values: map[uint64]int{}, places: map[string]uint64{}, line: line, text: s}
	err := errors.Join(b.parameters(h[2]), b.limit(h[3]))
	if err == nil {
		err = b.body(p)
	}
	if err != nil {
		return fmt.Errorf("ptx: kernel %s, line %d `%s`: %w", k.name, b.line, b.text, err)
	}
	if p.module.kernels[k.name] != nil {
		return fmt.Errorf("ptx: kernel %s, line %d: a second one of that name", k.name, line)
	}
	p.module.kernels[k.name] = k
	return nil
}

func (b *builder) parameters(list string) error {
	if strings.TrimSpace(list) == "" {
		return nil
	}
	offset := 0
	for _, s := range strings.Split(list, ",") {
		v := parameter.FindStringSubmatch(strings.TrimSpace(s))
		if v == nil {
			return fmt.Errorf("parameter %q", s)
		}
		bits, _ := strconv.Atoi(v[2][1:])
		size := bits / 8
		align := size
		if v[1] != "" {
			align, _ = strconv.Atoi(v[1])
		}
		if v[4] != "" {
			n, _ := strconv.Atoi(v[4])
			size *= n
		}
		if size == 0 || align == 0 {
			return fmt.Errorf("parameter %q", s)
		}
		offset = (offset + align - 1) / align * align
		b.params = append(b.params, param{name: v[3], size: size, offset: offset})
		offset += size
	}
	return nil
}

// limit reads the directives between the parameters and the body.
func (b *builder) limit(s string) error {
	for _, directive := range strings.Split(strings.TrimSpace(s), ".") {
		name, numbers, _ := strings.Cut(directive, " ")
		switch name {
		case "", "minnctapersm":
			continue
		case "maxntid":
		default:
			return fmt.Errorf("unknown directive %s", name)
		}
		b.maximum = 1
		for _, n := range strings.Split(numbers, ",") {
			x, err := strconv.ParseUint(strings.TrimSpace(n), 10, 16)
			if err != nil {
				return err
			}
			b.maximum *= uint32(x)
		}
	}
	return nil
}

// body reads the statements between the braces.
func (b *builder) body(p *parser) error {
	for {
		line, s := p.next()
		if line == 0 {
			return errors.New("its closing brace is missing")
		}
		b.line, b.text = line, s
		var err error
		switch {
		case s == "{":
			b.scopes = append(b.scopes, map[string]register{})
		case s == "}":
			if b.scopes = b.scopes[:len(b.scopes)-1]; len(b.scopes) == 0 {
				return b.finish()
			}
		case strings.HasSuffix(s, ":"):
			if _, twice := b.labels[s[:len(s)-1]]; twice {
				return errors.New("a second label of that name")
			}
			b.labels[s[:len(s)-1]] = len(b.code)
		case strings.HasPrefix(s, "."):
			err = b.directive(s)
		default:
			var in instruction
			in, err = b.decode(s)
			b.code = append(b.code, in)
		}
		if err != nil {
			return err
		}
	}
}

// directive declares registers or a shared variable.
func (b *builder) directive(s string) error {
	if strings.HasPrefix(s, ".pragma ") {
		return nil
	}
	if v := variable.FindStringSubmatch(s); v != nil && v[1] == "shared" {
		x, err := sharedVariable(v)
		b.place(x)
		return err
	} else if v != nil && v[1] == "local" {
		return errLocal
	}
	v := registers.FindStringSubmatch(s)
	if v == nil {
		return errors.New("unknown directive")
	}
	bits := 1
	if v[1] != "pred" {
		bits, _ = strconv.Atoi(v[1][1:])
	}
	scope := b.scopes[len(b.scopes)-1]
	if v[3] == "" {
		scope[v[2]] = register{b.slot(), bits}
		return nil
	}
	n, err := strconv.ParseUint(v[3], 10, 16)
	if err != nil {
		return err
	}
	for i := range int(n) {
		scope[v[2]+strconv.Itoa(i)] = register{b.slot(), bits}
	}
	return nil
}

// slot returns the next slot of a frame.
func (b *builder) slot() int {
	b.slots++
	return b.slots - 1
}

// place gives a shared variable its address.
func (b *builder) place(v shared) uint64 {
	if at, is := b.places[v.name]; is {
		return at
	}
	b.shared = append(b.shared, v)
	b.places[v.name] = base(sharedSpan, len(b.shared), v.align)
	return b.places[v.name]
}

// finish ends the code with an exit and finds the targets of the branches.
func (b *builder) finish() error {
	b.code = append(b.code, instruction{line: b.line, text: "}", guard: -1, kind: exit})
	for at, name := range b.jumps {
		target, is := b.labels[name]
		if !is {
			b.line, b.text = b.code[at].line, b.code[at].text
			return fmt.Errorf("no label %s", name)
		}
		b.code[at].target = target
	}
	return nil
}
