package ptx

import (
	"encoding/binary"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// An access is a load or a store of 1, 2 or 4 elements at consecutive addresses.
type access struct {
	space    string // global, shared, const, "" for generic
	write    bool
	constant bool // ld.global.nc: nobody writes there in this launch
	base     int  // slot of the address
	offset   uint64
	width    uint64 // bytes of an element
	elements []register
	extend   func(uint64) uint64 // of a load
}

var accesses = regexp.MustCompile(`^(ld|st)(?:\.(global|shared|const|param))?(\.nc)?(?:\.(v2|v4))?\.([bsuf])(8|16|32|64)$`)

// access reads a load or a store.
func (b *builder) access(name string, operands []string) (step, error) {
	v := accesses.FindStringSubmatch(name)
	if v == nil || v[5]+v[6] == "f8" || v[5]+v[6] == "f16" || len(operands) != 2 {
		return nil, errUndone
	}
	a := &access{space: v[2], write: v[1] == "st", constant: v[3] != ""}
	if a.constant && name[:9] != "ld.global" || a.write && (a.space == "const" || a.space == "param") {
		return nil, errUndone
	}
	a.width = map[string]uint64{"8": 1, "16": 2, "32": 4, "64": 8}[v[6]]
	sign := "u"
	if v[5] == "s" {
		sign = "s"
	}
	a.extend = extend[sign+v[6]]
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
	if a.write {
		return a.store, nil
	}
	return a.load, nil
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

// take puts the elements in bytes into the registers of a lane.
func (a *access) take(w *warp, l uint8, bytes []byte) {
	for i, r := range a.elements {
		var b [8]byte
		copy(b[:a.width], bytes[uint64(i)*a.width:])
		w.frame[r.slot][l] = a.extend(binary.LittleEndian.Uint64(b[:])) & r.mask()
	}
}

func (a *access) load(w *warp, active []uint8) *Fault {
	for _, l := range active {
		bytes, err := a.reach(w, l)
		if err != nil {
			return w.fault(l, "%v", err)
		}
		a.take(w, l, bytes)
	}
	return nil
}

func (a *access) store(w *warp, active []uint8) *Fault {
	for _, l := range active {
		bytes, err := a.reach(w, l)
		if err != nil {
			return w.fault(l, "%v", err)
		}
		for i, r := range a.elements {
			var b [8]byte
			binary.LittleEndian.PutUint64(b[:], w.frame[r.slot][l])
			copy(bytes[uint64(i)*a.width:], b[:a.width])
		}
	}
	return nil
}

// reach returns the bytes at the address of a lane, or says why the lane may not have
// them.
func (a *access) reach(w *warp, l uint8) ([]byte, error) {
	b := w.block
	n := a.width * uint64(len(a.elements))
	p := w.frame[a.base][l] + a.offset
	if p%n != 0 {
		return nil, fmt.Errorf("address %#x is not a multiple of %d", p, n)
	}
	space, clock := &b.memory.global, &b.global
	switch {
	case a.space == "shared":
		space, clock = &b.variables, &b.shared
	case a.space == "" && p&sharedWindow != 0:
		space, clock, p = &b.variables, &b.shared, p-sharedWindow
	case p&dataWindow != 0 && !a.write:
		space, p = &b.kernel.module.constant, p-dataWindow
	case a.space == "const":
		return nil, fmt.Errorf("address %#x is not in constant memory", p)
	}
	r, at, err := space.find(p, n)
	if err != nil {
		return nil, err
	}
	if r.cells == nil {
		return r.bytes[at : at+n], nil
	}
	me := clock.interval | uint64(w.thread(l))
	for i := at / 4; i < (at+n+3)/4; i++ {
		if c := &r.cells[i]; !c.note(clock, me, a.write, a.constant) {
			return nil, errors.New(b.explain(c, clock, me, a.write, a.constant))
		}
	}
	return r.bytes[at : at+n], nil
}
