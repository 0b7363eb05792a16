package ptx

import (
	"cmp"
	"errors"
	"slices"
	"strings"
)

// A comparison of two values: whether the first is less, whether they are equal, and
// whether one of them is not a number.
type comparison func(a, b uint64) (less, equal, unordered bool)

var comparisons = map[string]comparison{
	"u16": compare[uint16], "u32": compare[uint32], "u64": compare[uint64],
	"s16": compare[int16], "s32": compare[int32], "s64": compare[int64],
	"b16": compare[uint16], "b32": compare[uint32], "b64": compare[uint64],
	"f32": func(a, b uint64) (less, equal, unordered bool) { return order(f32(a), f32(b)) },
	"f64": func(a, b uint64) (less, equal, unordered bool) { return order(f64(a), f64(b)) },
}

func compare[T integer](a, b uint64) (less, equal, unordered bool) { return order(T(a), T(b)) }

func order[T cmp.Ordered](a, b T) (less, equal, unordered bool) {
	return a < b, a == b, a != a || b != b
}

// relations has what the comparison of setp asks for, by its name. A relation of
// floats is false where one is not a number, unless its name ends with u.
var relations = map[string]func(less, equal, unordered bool) bool{
	"eq":  func(_, equal, _ bool) bool { return equal },
	"ne":  func(_, equal, unordered bool) bool { return !equal && !unordered },
	"lt":  func(less, _, _ bool) bool { return less },
	"le":  func(less, equal, _ bool) bool { return less || equal },
	"gt":  func(less, equal, unordered bool) bool { return !less && !equal && !unordered },
	"ge":  func(less, _, unordered bool) bool { return !less && !unordered },
	"num": func(_, _, unordered bool) bool { return !unordered },
	"nan": func(_, _, unordered bool) bool { return unordered },
}

// relation returns that of a name for a type, nil for none.
func relation(name, t string) func(less, equal, unordered bool) bool {
	r := relations[name]
	switch {
	case t[0] == 'f' && len(name) == 3 && name[2] == 'u' && relations[name[:2]] != nil:
		r = relations[name[:2]]
		return func(less, equal, unordered bool) bool { return unordered || r(less, equal, unordered) }
	case t[0] == 'u' && slices.Contains([]string{"lo", "ls", "hi", "hs"}, name):
		return relations[map[string]string{"lo": "lt", "ls": "le", "hi": "gt", "hs": "ge"}[name]]
	case t[0] == 'b' && name != "eq" && name != "ne", t[0] != 'f' && len(name) == 3:
		return nil
	}
	return r
}

// compare reads setp, which may have a second predicate, for the opposite, and may
// combine the comparison with a third one.
func (b *builder) compare(name string, operands []string) (step, error) {
	parts := strings.Split(name, ".")
	if n := len(parts); n < 3 || n > 4 || len(operands) != n {
		return nil, errUndone
	}
	t := parts[len(parts)-1]
	values := comparisons[t]
	if values == nil {
		return nil, errUndone
	}
	holds := relation(parts[1], t)
	if holds == nil {
		return nil, errUndone
	}
	names := strings.Split(operands[0], "|")
	to, err := b.register(names[0], 1)
	if err != nil {
		return nil, err
	}
	opposite := register{slot: -1}
	if len(names) == 2 {
		if opposite, err = b.register(names[1], 1); err != nil {
			return nil, err
		}
	}
	from, err := b.sources(operands[1:3])
	if err != nil {
		return nil, err
	}
	combine, with, flip := func(p, q uint64) uint64 { return p }, from[0], uint64(0)
	if len(parts) == 4 {
		f, is := operations[parts[2]+".pred"].(func(a, b uint64) uint64)
		third := strings.TrimPrefix(operands[3], "!")
		p, err := b.register(third, 1)
		if !is || err != nil {
			return nil, errors.Join(errUndone, err)
		}
		combine, with = f, p.slot
		if third != operands[3] {
			flip = 1
		}
	}
	return func(w *warp, active []uint8) *Fault {
		x, y := &w.frame[from[0]], &w.frame[from[1]]
		for _, l := range active {
			p := uint64(0)
			if holds(values(x[l&31], y[l&31])) {
				p = 1
			}
			q := w.frame[with][l&31] ^ flip
			if w.frame[to.slot][l&31] = combine(p, q); opposite.slot >= 0 {
				w.frame[opposite.slot][l&31] = combine(1-p, q)
			}
		}
		return nil
	}, nil
}
