package ptx

import (
	"encoding/binary"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// An access is a load or a store of 1, 2 or 4 elements at consecutive addresses.
type access struct {
	space    string // global, shared, const, "" for generic
	write    bool
	cached   bool // ld.global.nc: nobody writes there in this launch
	base     int  // slot of the address
	offset   uint64
	width    uint64 // bytes of an element
	elements []register
	extend   func(uint64) uint64 // of a load of signed elements
}

var accesses = regexp.MustCompile(`^(ld|st)(?:\.(global|shared|const|param))?(\.nc)?(?:\.(v2|v4))?\.([bsuf])(8|16|32|64)$`)

// access reads a load or a store.
func (b *builder) access(name string, operands []string) (step, error) {
	v := accesses.FindStringSubmatch(name)
	if v == nil || v[5]+v[6] == "f8" || v[5]+v[6] == "f16" || len(operands) != 2 {
		return nil, errUndone
	}
	a := &access{space: v[2], write: v[1] == "st", cached: v[3] != ""}
	if a.cached && name[:9] != "ld.global" || a.write && (a.space == "const" || a.space == "param") {
		return nil, errUndone
	}
	a.width = map[string]uint64{"8": 1, "16": 2, "32": 4, "64": 8}[v[6]]
	if v[5] == "s" {
		a.extend = extend["s"+v[6]]
	}
	place, list := operands[1], operands[0]
	if a.write {
		place, list = list, place
	}
	if err := b.elements(a, list, v[4]); err != nil {
		return nil, err
	}
	if len(place) < 3 || place[0] != '[' || place[len(place)-1] != ']' {
		return nil, fmt.Errorf("address %s", place)
	}
	place = place[1 : len(place)-1]
	if a.space == "param" {
		return b.parameter(a, place)
	}
	if err := b.located(a, place); err != nil {
		return nil, err
	}
	return a.step, nil
}

// elements reads the registers, or for a store the values, of a vector or of one.
func (b *builder) elements(a *access, list, vector string) error {
	names := []string{list}
	if vector != "" {
		names = split(strings.Trim(list, "{}"))
	}
	if want := map[string]int{"": 1, "v2": 2, "v4": 4}[vector]; len(names) != want || uint64(want)*a.width > 16 {
		return fmt.Errorf("%d elements of %d bytes", len(names), a.width)
	}
	for _, s := range names {
		r, err := b.register(s, 0)
		if err != nil && a.write {
			r.slot, err = b.source(s)
		} else if err == nil && uint64(r.bits) < 8*a.width {
			err = fmt.Errorf("register %s has %d bits", s, r.bits)
		}
		if err != nil {
			return err
		}
		a.elements = append(a.elements, r)
	}
	return nil
}

// located reads a register or a variable with an offset.
func (b *builder) located(a *access, place string) (err error) {
	name, offset, _ := strings.Cut(place, "+")
	r, err := b.register(name, 0)
	if err != nil {
		v, err := b.address(place)
		a.base = b.constant(v)
		return err
	}
	if offset != "" {
		a.offset, err = literal(offset)
	}
	a.base = r.slot
	return err
}

// parameter reads a load of a parameter, which has no other address than its name.
func (b *builder) parameter(a *access, place string) (step, error) {
	name, offset, _ := strings.Cut(place, "+")
	i := slices.IndexFunc(b.params, func(p param) bool { return p.name == name })
	if i < 0 {
		return nil, fmt.Errorf("no parameter %s", name)
	}
	p, at := b.params[i], uint64(0)
	var err error
	if offset != "" {
		if at, err = literal(offset); err != nil {
			return nil, err
		}
	}
	n := a.width * uint64(len(a.elements))
	if at > uint64(p.size) || n > uint64(p.size)-at || at%a.width != 0 {
		return nil, fmt.Errorf("%d bytes at byte %d of a parameter of %d", n, at, p.size)
	}
	return func(w *warp, active []uint8) *Fault {
		for _, l := range active {
			a.take(w, l, w.block.params[uint64(p.offset)+at:])
		}
		return nil
	}, nil
}

// step executes the access for the lanes in active.
func (a *access) step(w *warp, active []uint8) *Fault {
	var (
		n         = a.width * uint64(len(a.elements))
		addresses = &w.frame[a.base]
		r         = &region{} // that of the last lane
		from      uint64      // its address
		t         *clock
		err       error
	)
	for _, l := range active {
		p := addresses[l&31] + a.offset
		at := p - from
		if size := uint64(len(r.bytes)); at >= size || n > size-at || p&(n-1) != 0 {
			if r, from, t, err = a.find(w.block, p, n); err != nil {
				return w.fault(l, "%v", err)
			}
			at = p - from
		}
		if r.cells != nil {
			me := t.interval | uint64(w.thread(l))
			cells := r.cells[at/4 : (at+n+3)/4]
			for i := range cells {
				if c := &cells[i]; !c.note(t, me, a.write, a.cached) {
					return w.fault(l, "%s", w.block.explain(c, t, me, a.write, a.cached))
				}
			}
		}
		if bytes := r.bytes[at : at+n]; a.write {
			a.put(w, l, bytes)
		} else {
			a.take(w, l, bytes)
		}
	}
	return nil
}

// find returns the region that has n bytes at p, the address at which it begins, and
// the clock of its accesses, or says what is wrong with p.
func (a *access) find(b *block, p, n uint64) (r *region, from uint64, t *clock, err error) {
	space, window := &b.memory.global, uint64(0)
	t = &b.global
	switch {
	case p%n != 0:
		return nil, 0, nil, fmt.Errorf("address %#x is not a multiple of %d", p, n)
	case a.space == "shared":
		space, t = &b.variables, &b.shared
	case a.space == "" && p&sharedWindow != 0:
		space, t, window = &b.variables, &b.shared, sharedWindow
	case p&dataWindow != 0 && !a.write:
		space, window = &b.kernel.module.constant, dataWindow
	case a.space == "const":
		return nil, 0, nil, fmt.Errorf("address %#x is not in constant memory", p)
	}
	r, _, err = space.find(p-window, n)
	if err != nil {
		return nil, 0, nil, err
	}
	return r, r.base + window, t, nil
}

// take puts the elements in bytes into the registers of a lane.
func (a *access) take(w *warp, l uint8, bytes []byte) {
	for i, r := range a.elements {
		var v uint64
		switch b := bytes[uint64(i)*a.width:]; a.width {
		case 1:
			v = uint64(b[0])
		case 2:
			v = uint64(binary.LittleEndian.Uint16(b))
		case 4:
			v = uint64(binary.LittleEndian.Uint32(b))
		default:
			v = binary.LittleEndian.Uint64(b)
		}
		if a.extend != nil {
			v = a.extend(v) & r.mask()
		}
		w.frame[r.slot][l&31] = v
	}
}

// put does the reverse.
func (a *access) put(w *warp, l uint8, bytes []byte) {
	for i, r := range a.elements {
		v := w.frame[r.slot][l&31]
		switch b := bytes[uint64(i)*a.width:]; a.width {
		case 1:
			b[0] = byte(v)
		case 2:
			binary.LittleEndian.PutUint16(b, uint16(v))
		case 4:
			binary.LittleEndian.PutUint32(b, uint32(v))
		default:
			binary.LittleEndian.PutUint64(b, v)
		}
	}
}
