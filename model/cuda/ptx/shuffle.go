package ptx

import (
	"fmt"
	"slices"
	"strings"
)

// A shuffle is the operands of shfl.sync: the slots of the value, the distance or
// lane, the clamp with the segment mask, and the mask of the lanes that take part.
type shuffle struct {
	mode                           string
	to                             register
	reached                        int // slot of the predicate, -1 for none
	value, distance, clamp, member int
}

// shuffle reads shfl.sync.
func (b *builder) shuffle(name string, operands []string) (*shuffle, error) {
	mode := strings.TrimSuffix(strings.TrimPrefix(name, "shfl.sync."), ".b32")
	if !slices.Contains([]string{"up", "down", "bfly", "idx"}, mode) || name != "shfl.sync."+mode+".b32" {
		return nil, errUndone
	}
	if len(operands) != 5 {
		return nil, fmt.Errorf("%d operands", len(operands))
	}
	s := &shuffle{mode: mode, reached: -1}
	names := strings.Split(operands[0], "|")
	var err error
	if s.to, err = b.register(names[0], 32); err != nil {
		return nil, err
	}
	if len(names) == 2 {
		p, err := b.register(names[1], 1)
		if err != nil {
			return nil, err
		}
		s.reached = p.slot
	}
	from, err := b.sources(operands[1:])
	if err != nil {
		return nil, err
	}
	s.value, s.distance, s.clamp, s.member = from[0], from[1], from[2], from[3]
	return s, nil
}

// exchange executes a shuffle that lanes wait for, where none of them can run. It
// reports whether there was one.
func (w *warp) exchange() (moved bool, first *Fault) {
	for l := range uint8(w.size) {
		if w.state[l] != exchange {
			continue
		}
		in := &w.block.kernel.code[w.pc[l]]
		f := w.shuffle(l, in)
		if f == nil {
			return true, nil
		}
		if first == nil {
			first = f.at(in)
		}
	}
	return false, first
}

// shuffle executes in for the lanes of the mask of lane first.
func (w *warp) shuffle(first uint8, in *instruction) *Fault {
	s := in.move
	mask := uint32(w.frame[s.member][first])
	if mask>>first&1 == 0 {
		return w.fault(first, "shuffle: lane %d is not in its mask %#x", first, mask)
	}
	var takes []uint8
	for l := range uint8(lanes) {
		switch {
		case mask>>l&1 == 0 || w.state[l] == exit:
		case w.pc[l] != w.pc[first] || uint32(w.frame[s.member][l]) != mask:
			return w.fault(first, "shuffle: lane %d, which the mask %#x names, is not there", l, mask)
		default:
			takes = append(takes, l)
		}
	}
	values := w.frame[s.value]
	for _, l := range takes {
		from, reached := s.source(uint32(l), uint32(w.frame[s.distance][l]), uint32(w.frame[s.clamp][l]))
		if mask>>from&1 == 0 || w.state[from] != exchange {
			return w.fault(l, "shuffle: reads lane %d, which takes no part", from)
		}
		w.frame[s.to.slot][l] = values[from] & s.to.mask()
		if s.reached >= 0 {
			w.frame[s.reached][l] = reached
		}
	}
	for _, l := range takes {
		w.state[l], w.pc[l] = running, w.pc[l]+1
	}
	return nil
}

// source returns the lane that lane reads, and 1 where that is the one asked for and
// not, out of its segment, the lane itself.
func (s *shuffle) source(lane, distance, clamp uint32) (from uint32, reached uint64) {
	distance &= 31
	segment, clamp := clamp>>8&31, clamp&31
	lowest := lane & segment
	highest := lowest | clamp&^segment
	ok := false
	switch s.mode {
	case "up":
		from = lane - distance
		ok = int32(from) >= int32(highest)
	case "down":
		from = lane + distance
		ok = from <= highest
	case "bfly":
		from = lane ^ distance
		ok = from <= highest
	case "idx":
		from = lowest | distance&^segment
		ok = from <= highest
	}
	if !ok {
		return lane, 0
	}
	return from, 1
}
