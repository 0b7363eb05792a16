package ptx

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// compute reads an operation of registers.
func (b *builder) compute(name string, operands []string) (step, error) {
	operation, is := operations[name]
	if !is {
		return nil, errUndone
	}
	if len(operands) == 0 {
		return nil, errors.New("no operands")
	}
	to, err := b.register(operands[0], 0)
	if err != nil {
		return nil, err
	}
	from, err := b.sources(operands[1:])
	if err != nil {
		return nil, err
	}
	var do step
	n := len(from)
	switch f := operation.(type) {
	case func(a uint64) uint64:
		if n == 1 {
			do = of1(f, to, from[0])
		}
	case func(a, b uint64) uint64:
		if n == 2 {
			do = of2(f, to, from[0], from[1])
		}
	case func(a, b, c uint64) uint64:
		if n == 3 {
			do = of3(f, to, from[0], from[1], from[2])
		}
	case func(a, b, c, d uint64) uint64:
		if n == 4 {
			do = of4(f, to, from)
		}
	case division:
		if n == 2 {
			do = f.step(to, from[0], from[1])
		}
	}
	if do == nil {
		return nil, fmt.Errorf("%d operands", len(operands))
	}
	return do, nil
}

func of1(f func(a uint64) uint64, to register, a int) step {
	mask := to.mask()
	return func(w *warp, active []uint8) *Fault {
		to, a := &w.frame[to.slot], &w.frame[a]
		for _, l := range active {
			to[l&31] = f(a[l&31]) & mask
		}
		return nil
	}
}

func of2(f func(a, b uint64) uint64, to register, a, b int) step {
	mask := to.mask()
	return func(w *warp, active []uint8) *Fault {
		to, a, b := &w.frame[to.slot], &w.frame[a], &w.frame[b]
		for _, l := range active {
			to[l&31] = f(a[l&31], b[l&31]) & mask
		}
		return nil
	}
}

func of3(f func(a, b, c uint64) uint64, to register, a, b, c int) step {
	mask := to.mask()
	return func(w *warp, active []uint8) *Fault {
		to, a, b, c := &w.frame[to.slot], &w.frame[a], &w.frame[b], &w.frame[c]
		for _, l := range active {
			to[l&31] = f(a[l&31], b[l&31], c[l&31]) & mask
		}
		return nil
	}
}

func of4(f func(a, b, c, d uint64) uint64, to register, from []int) step {
	mask := to.mask()
	return func(w *warp, active []uint8) *Fault {
		for _, l := range active {
			w.frame[to.slot][l] = f(w.frame[from[0]][l], w.frame[from[1]][l], w.frame[from[2]][l], w.frame[from[3]][l]) & mask
		}
		return nil
	}
}

// pack reads mov between a register and its halves or quarters in braces.
func (b *builder) pack(name string, operands []string) (step, error) {
	if len(operands) != 2 || !slices.Contains([]string{"mov.b32", "mov.b64"}, name) {
		return nil, errUndone
	}
	joins := operands[1][0] == '{'
	whole, list := operands[1], operands[0]
	if joins {
		whole, list = list, whole
	}
	parts := split(strings.Trim(list, "{}"))
	width := map[string]int{"mov.b32": 32, "mov.b64": 64}[name] / max(len(parts), 1)
	all, err := b.register(whole, width*len(parts))
	if err != nil {
		return nil, err
	}
	var pieces []register
	for _, s := range parts {
		p, err := b.register(s, width)
		if err != nil {
			return nil, err
		}
		pieces = append(pieces, p)
	}
	return func(w *warp, active []uint8) *Fault {
		for _, l := range active {
			v := w.frame[all.slot][l]
			if joins {
				v = 0
			}
			for i, p := range pieces {
				if joins {
					v |= w.frame[p.slot][l] << (i * width)
				} else {
					w.frame[p.slot][l] = v >> (i * width) & p.mask()
				}
			}
			w.frame[all.slot][l] = v
		}
		return nil
	}, nil
}
