package ptx

import (
	"fmt"
	"math/rand/v2"
)

// What every GPU takes without being asked for more.
const (
	maxThreads = 1024
	maxShared  = 48 << 10
)

var (
	maxBlock = [3]uint32{1024, 1024, 64}
	maxGrid  = [3]uint32{1<<31 - 1, 1<<16 - 1, 1<<16 - 1}
)

// Launch runs a kernel on blocks of threads. shared is the size of the dynamic shared
// memory in bytes, params the parameters, each at a multiple of its alignment. The error
// is a *Fault where the kernel did what it may not do; memory is then as it was left.
func (m *Memory) Launch(k *Kernel, grid, block [3]uint32, shared uint32, params []byte) error {
	if err := k.check(grid, block, shared, params); err != nil {
		return fmt.Errorf("ptx: launch %s: %w", k.name, err)
	}
	b := newBlock(m, k, grid, block, shared, params)
	for z := range grid[2] {
		for y := range grid[1] {
			for x := range grid[0] {
				b.start([3]uint32{x, y, z})
				if f := b.run(); f != nil {
					f.Kernel, f.Block = k.name, b.index
					return f
				}
			}
		}
	}
	return nil
}

// check refuses what the driver refuses of a launch.
func (k *Kernel) check(grid, block [3]uint32, shared uint32, params []byte) error {
	threads := uint64(1)
	for i := range 3 {
		if grid[i] == 0 || grid[i] > maxGrid[i] || block[i] == 0 || block[i] > maxBlock[i] {
			return fmt.Errorf("a grid of %d blocks of %d threads; the limits are %d and %d", grid, block, maxGrid, maxBlock)
		}
		threads *= uint64(block[i])
	}
	limit := uint64(maxThreads)
	if k.maximum != 0 {
		limit = uint64(k.maximum)
	}
	if threads > limit {
		return fmt.Errorf("a block of %d threads; the limit is %d", threads, limit)
	}
	used, dynamic := uint64(shared), false
	for _, v := range k.shared {
		used += v.size
		dynamic = dynamic || v.dynamic
	}
	if used > maxShared {
		return fmt.Errorf("%d bytes of shared memory; the limit is %d", used, maxShared)
	}
	if shared > 0 && !dynamic {
		return fmt.Errorf("%d bytes of dynamic shared memory, which the kernel does not have", shared)
	}
	want := 0
	if n := len(k.params); n > 0 {
		want = k.params[n-1].offset + k.params[n-1].size
	}
	if len(params) != want {
		return fmt.Errorf("%d bytes of parameters, want %d", len(params), want)
	}
	return nil
}

// A block executes the blocks of a launch, one after the other.
type block struct {
	memory        *Memory
	kernel        *Kernel
	params        []byte
	grid, threads [3]uint32
	index         [3]uint32
	warps         []*warp
	order         []int // of the warps
	random        *rand.Rand

	variables space // in shared memory
	global    clock
	shared    clock
}

func newBlock(m *Memory, k *Kernel, grid, threads [3]uint32, shared uint32, params []byte) *block {
	b := &block{memory: m, kernel: k, params: params, grid: grid, threads: threads,
		random:    rand.New(rand.NewPCG(m.Seed, m.interval)),
		variables: newSpace("shared", sharedSpan)}
	for _, v := range k.shared {
		if v.dynamic {
			v.size = uint64(shared)
		}
		b.variables.add(v.name, v.size, v.align)
	}
	b.global.launch = (m.interval + 1) << stampBits
	if !m.Unwritten {
		b.global.since = byHost
	}
	n := int(threads[0] * threads[1] * threads[2])
	warps := (n + lanes - 1) / lanes
	if len(m.frames) < warps*k.slots {
		m.frames = make([]frame, warps*k.slots)
	}
	for i := range warps {
		w := &warp{block: b, first: i * lanes, size: min(n-i*lanes, lanes), frame: m.frames[i*k.slots : (i+1)*k.slots]}
		for _, c := range k.constants {
			w.frame[c.slot].fill(c.value)
		}
		for _, s := range k.special {
			w.fill(s)
		}
		b.warps, b.order = append(b.warps, w), append(b.order, i)
	}
	return b
}

// position returns the place of a thread in its block.
func (b *block) position(thread uint32) [3]uint32 {
	x, y := b.threads[0], b.threads[1]
	return [3]uint32{thread % x, thread / x % y, thread / x / y}
}

// start makes the threads of the block at index.
func (b *block) start(index [3]uint32) {
	b.index = index
	b.next()
	now := b.global.interval
	b.global.block, b.shared = now, clock{launch: now, block: now, interval: now, since: now}
	for _, w := range b.warps {
		w.pc, w.state = [lanes]int{}, [lanes]kind{}
		for l := w.size; l < lanes; l++ {
			w.state[l] = exit
		}
		for _, s := range b.kernel.special {
			if s.name == "ctaid" {
				w.fill(s)
			}
		}
	}
}

// next begins another interval.
func (b *block) next() {
	b.memory.interval++
	b.global.interval = b.memory.interval << stampBits
	b.shared.interval = b.global.interval
	b.random.Shuffle(len(b.order), func(i, j int) { b.order[i], b.order[j] = b.order[j], b.order[i] })
}

// run executes the block from barrier to barrier.
func (b *block) run() *Fault {
	for {
		for _, i := range b.order {
			if f := b.warps[i].run(); f != nil {
				return f
			}
		}
		done, f := b.release()
		if done || f != nil {
			return f
		}
		b.next()
	}
}

// release lets the threads go on that wait at a barrier, all at the same one. It
// reports whether there are none.
func (b *block) release() (done bool, f *Fault) {
	first := -1
	for _, w := range b.warps {
		for l := range w.size {
			switch {
			case w.state[l] == exit:
			case first < 0:
				first = w.pc[l]
			case w.pc[l] != first:
				f := w.fault(uint8(l), "barrier: another thread of the block waits at the one of line %d", b.kernel.code[first].line)
				return false, f.at(&b.kernel.code[w.pc[l]])
			}
		}
	}
	for _, w := range b.warps {
		for l := range w.size {
			if w.state[l] == barrier {
				w.state[l], w.pc[l] = running, w.pc[l]+1
			}
		}
	}
	return first < 0, nil
}
