package ptx

import "fmt"

// lanes is the number of threads in a warp.
const lanes = 32

// A frame is a register, or a constant, of each lane of a warp. Registers hold
// their value zero-extended to 64 bits.
type frame [lanes]uint64

func (f *frame) fill(v uint64) {
	for l := range f {
		f[l] = v
	}
}

// An instruction is executed for some lanes of a warp at once.
type instruction struct {
	line   int
	text   string
	guard  int  // slot of the predicate of those lanes that execute it, -1 for all
	unless bool // the predicate is negated
	kind   kind
	do     step     // of an instruction that goes on
	target int      // of a branch
	move   *shuffle // of a shuffle
}

// A step executes an instruction for the lanes in active.
type step func(w *warp, active []uint8) *Fault

// A kind is what an instruction does to the course of a thread; of a thread, what it
// waits for.
type kind uint8

const (
	running kind = iota // goes on to the next instruction
	branch
	barrier
	exchange // between the lanes of a warp
	exit
	trap
)

// A warp is up to 32 threads of a block. Lanes that are at the same instruction
// execute it together.
type warp struct {
	block *block
	first int // its first thread in the block
	size  int
	frame []frame
	pc    [lanes]int
	state [lanes]kind

	order          [lanes]uint8 // of the lanes
	group, guarded [lanes]uint8 // memory of next and of allowed
}

// thread returns the number of a lane's thread in its block.
func (w *warp) thread(l uint8) uint32 { return uint32(w.first) + uint32(l) }

// fill sets the slot of a special register.
func (w *warp) fill(s special) {
	b := w.block
	for l := range uint8(lanes) {
		triple := b.position(w.thread(l))
		switch s.name {
		case "ntid":
			triple = b.threads
		case "ctaid":
			triple = b.index
		case "nctaid":
			triple = b.grid
		case "laneid":
			triple[0] = uint32(l)
		}
		w.frame[s.slot][l] = uint64(triple[s.axis])
	}
}

// fault makes the fault of a lane, but for its instruction.
func (w *warp) fault(l uint8, format string, args ...any) *Fault {
	return &Fault{Thread: w.block.position(w.thread(l)), Cause: fmt.Sprintf(format, args...)}
}

// at adds the instruction.
func (f *Fault) at(in *instruction) *Fault {
	f.Line, f.Text = in.line, in.text
	return f
}

// run executes the warp until each lane waits at a barrier or has exited.
func (w *warp) run() *Fault {
	for l := range w.order {
		w.order[l] = uint8(l)
	}
	w.block.random.Shuffle(w.size, func(i, j int) { w.order[i], w.order[j] = w.order[j], w.order[i] })
	for {
		pc, limit, group := w.next()
		if len(group) == 0 {
			moved, f := w.exchange()
			if f != nil || !moved {
				return f
			}
			continue
		}
		if f := w.advance(pc, limit, group); f != nil {
			return f
		}
	}
}

// next returns the lanes that are least far in the code, their place, and the place
// of those that come next. To let the last go first brings the lanes together again
// after a branch that divided them.
func (w *warp) next() (pc, limit int, group []uint8) {
	pc, limit = len(w.block.kernel.code), len(w.block.kernel.code)
	for _, l := range w.order[:w.size] {
		if w.state[l] != running {
			continue
		}
		switch at := w.pc[l]; {
		case at < pc:
			pc, limit = at, pc
		case at > pc && at < limit:
			limit = at
		}
	}
	group = w.group[:0]
	for _, l := range w.order[:w.size] {
		if w.state[l] == running && w.pc[l] == pc {
			group = append(group, l)
		}
	}
	return pc, limit, group
}

// advance executes the lanes of group from pc to where they part, wait, or meet others
// at limit. The last instruction of the code is an exit.
func (w *warp) advance(pc, limit int, group []uint8) *Fault {
	for pc < limit {
		in := &w.block.kernel.code[pc]
		w.block.memory.executed += int64(len(group))
		active := group
		if in.guard >= 0 {
			active = w.allowed(in, group)
		}
		if in.kind == running {
			if f := in.do(w, active); f != nil {
				return f.at(in)
			}
			pc++
			continue
		}
		if in.kind == branch && len(active) == len(group) {
			pc = in.target
			continue
		}
		if len(active) == 0 {
			pc++
			continue
		}
		if in.kind == trap {
			return w.fault(active[0], "trap").at(in)
		}
		for _, l := range group {
			w.pc[l] = pc + 1
		}
		for _, l := range active {
			w.pc[l] = in.target
			if in.kind != branch {
				w.pc[l], w.state[l] = pc, in.kind
			}
		}
		return nil
	}
	for _, l := range group {
		w.pc[l] = pc
	}
	return nil
}

// allowed returns the lanes of group whose predicate lets them execute in.
func (w *warp) allowed(in *instruction, group []uint8) []uint8 {
	active, predicate := w.guarded[:0], &w.frame[in.guard]
	for _, l := range group {
		if (predicate[l&31] != 0) != in.unless {
			active = append(active, l)
		}
	}
	return active
}
