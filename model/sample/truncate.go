package sample

// entry is a candidate in the heap.
type entry struct {
	logit float32
	id    int32
}

// before orders candidates: larger logits first, equal ones in order of id.
func (a entry) before(b entry) bool {
	return a.logit > b.logit || a.logit == b.logit && a.id < b.id
}

// fill makes a heap of all ids above -Inf. A heap sorts only the ids that are
// kept.
func (s *Sampler) fill(logits []float32) {
	s.heap = s.heap[:0]
	for id, l := range logits {
		if l > negInf {
			s.heap = append(s.heap, entry{l, int32(id)})
		}
	}
	for i := len(s.heap)/2 - 1; i >= 0; i-- {
		s.down(i)
	}
}

// down lets the entry at i sink to its place.
func (s *Sampler) down(i int) {
	h, e := s.heap, s.heap[i]
	for {
		child := 2*i + 1
		if child >= len(h) {
			break
		}
		if child+1 < len(h) && h[child+1].before(h[child]) {
			child++
		}
		if !h[child].before(e) {
			break
		}
		h[i], i = h[child], child
	}
	h[i] = e
}

// pop removes the first candidate.
func (s *Sampler) pop() entry {
	first, last := s.heap[0], len(s.heap)-1
	s.heap[0] = s.heap[last]
	if s.heap = s.heap[:last]; last > 0 {
		s.down(0)
	}
	return first
}

// topK keeps the first TopK candidates.
func (s *Sampler) topK(logits []float32, top float64) {
	s.fill(logits)
	for n := min(s.o.TopK, len(s.heap)); n > 0; n-- {
		e := s.pop()
		s.add(e.id, s.weight(e.logit, top))
	}
}

// topP shortens the kept ids, whose weights sum to total, to their shortest
// prefix with the share TopP.
func (s *Sampler) topP(total float64) {
	if s.o.TopP >= 1 {
		return
	}
	var sum float64
	for i, w := range s.weights {
		if sum += w; sum >= s.o.TopP*total {
			s.ids, s.weights, s.sum = s.ids[:i+1], s.weights[:i+1], sum
			return
		}
	}
}

// nucleus keeps the shortest prefix of all candidates with the share TopP.
func (s *Sampler) nucleus(logits []float32, top float64) {
	var total float64 // in order of id
	for _, l := range logits {
		if l > negInf {
			total += s.weight(l, top)
		}
	}
	s.fill(logits)
	for len(s.heap) > 0 && !(s.sum >= s.o.TopP*total) {
		e := s.pop()
		s.add(e.id, s.weight(e.logit, top))
	}
}

// minP drops the kept ids whose weight is below MinP. The largest weight is 1.
func (s *Sampler) minP() {
	if s.o.MinP <= 0 {
		return
	}
	ids, weights := s.ids, s.weights
	s.ids, s.weights, s.sum = ids[:0], weights[:0], 0
	for i, w := range weights {
		if w >= s.o.MinP {
			s.add(ids[i], w)
		}
	}
}
