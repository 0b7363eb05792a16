package ptx

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

var (
	errLocal  = errors.New("local memory: a register did not fit, or an array has an index that is not a constant")
	errUndone = errors.New("unknown instruction")
)

var rounded = regexp.MustCompile(`^(add|sub|mul|fma|div|sqrt|rcp)\.(\w+\.)*f(32|64)$`)

// refusal says why an instruction of that name is not executed.
func refusal(name string) error {
	has := func(part string) bool { return strings.Contains(name+".", part) }
	switch {
	case has(".approx."):
		return errors.New(".approx: PTX does not define its bits")
	case has(".ftz."):
		return errors.New(".ftz: it takes subnormal numbers for zero")
	case strings.HasPrefix(name, "atom.") || strings.HasPrefix(name, "red."):
		return errors.New("an atomic: its result follows the order of the threads")
	case has(".local."):
		return errLocal
	case rounded.MatchString(name) && !has(".rn."):
		return errors.New("a float operation that is not .rn: it may be fused, or is rounded otherwise")
	}
	return errUndone
}

// decode reads an instruction.
func (b *builder) decode(s string) (instruction, error) {
	in := instruction{line: b.line, text: s, guard: -1}
	if guard, rest, has := strings.Cut(s, " "); has && guard[0] == '@' {
		name := strings.TrimPrefix(guard[1:], "!")
		p, err := b.register(name, 1)
		if err != nil {
			return in, err
		}
		in.guard, in.unless, s = p.slot, name != guard[1:], rest
	}
	name, rest, _ := strings.Cut(s, " ")
	operands := split(rest)
	var err error
	switch root, _, _ := strings.Cut(name, "."); root {
	case "bra", "ret", "exit", "bar", "trap":
		err = b.control(&in, name, operands)
	case "ld", "st":
		in.do, err = b.access(name, operands)
	case "shfl":
		in.kind = exchange
		in.move, err = b.shuffle(name, operands)
	case "setp":
		in.do, err = b.compare(name, operands)
	case "mov":
		if strings.Contains(rest, "{") {
			in.do, err = b.pack(name, operands)
			break
		}
		fallthrough
	default:
		in.do, err = b.compute(name, operands)
	}
	if errors.Is(err, errUndone) {
		err = refusal(name)
	}
	return in, err
}

// split divides operands at the commas outside of brackets and braces.
func split(s string) (list []string) {
	depth, from := 0, 0
	for i, c := range s {
		switch c {
		case '[', '{':
			depth++
		case ']', '}':
			depth--
		case ',':
			if depth == 0 {
				list = append(list, strings.TrimSpace(s[from:i]))
				from = i + 1
			}
		}
	}
	if s = strings.TrimSpace(s[from:]); s != "" {
		list = append(list, s)
	}
	return list
}

// control reads what decides where a thread goes on.
func (b *builder) control(in *instruction, name string, operands []string) error {
	switch {
	case (name == "bra" || name == "bra.uni") && len(operands) == 1:
		in.kind = branch
		b.jumps[len(b.code)] = operands[0]
	case (name == "ret" || name == "exit") && len(operands) == 0:
		in.kind = exit
	case name == "trap" && len(operands) == 0:
		in.kind = trap
	case name == "bar.sync" && slices.Equal(operands, []string{"0"}):
		in.kind = barrier
	default:
		return errUndone
	}
	return nil
}

// register returns a declared register; bits is what it must have, 0 for anything.
func (b *builder) register(name string, bits int) (register, error) {
	for _, scope := range slices.Backward(b.scopes) {
		if r, is := scope[name]; is {
			if bits != 0 && r.bits != bits {
				return r, fmt.Errorf("register %s has %d bits, want %d", name, r.bits, bits)
			}
			return r, nil
		}
	}
	return register{}, fmt.Errorf("%q is not a declared register", name)
}

var specials = regexp.MustCompile(`^%(?:(tid|ntid|ctaid|nctaid)\.([xyz])|(laneid))$`)

// source returns the slot of an operand that is read.
func (b *builder) source(s string) (int, error) {
	if r, err := b.register(s, 0); err == nil {
		return r.slot, nil
	}
	if v := specials.FindStringSubmatch(s); v != nil {
		x := special{slot: b.slot(), name: v[1] + v[3]}
		if v[2] != "" {
			x.axis = int(v[2][0] - 'x')
		}
		b.special = append(b.special, x)
		return x.slot, nil
	}
	v, err := b.address(s)
	if err != nil {
		if v, err = literal(s); err != nil {
			return 0, err
		}
	}
	return b.constant(v), nil
}

// sources returns the slots of operands.
func (b *builder) sources(operands []string) ([]int, error) {
	slots := make([]int, len(operands))
	for i, s := range operands {
		var err error
		if slots[i], err = b.source(s); err != nil {
			return nil, err
		}
	}
	return slots, nil
}

// constant returns the slot that holds v.
func (b *builder) constant(v uint64) int {
	slot, is := b.values[v]
	if !is {
		slot = b.slot()
		b.values[v] = slot
		b.constants = append(b.constants, constant{slot, v})
	}
	return slot
}

// address returns the address of a variable, with an offset after a plus.
func (b *builder) address(s string) (uint64, error) {
	name, offset, _ := strings.Cut(s, "+")
	at, is := b.module.symbols[name]
	if !is {
		v, is := b.module.shared[name]
		if _, here := b.places[name]; !is && !here {
			return 0, fmt.Errorf("no variable %s", name)
		}
		at = b.place(shared{name: name, size: v.size, align: v.align, dynamic: v.dynamic})
	}
	if offset == "" {
		return at, nil
	}
	v, err := literal(offset)
	return at + v, err
}
