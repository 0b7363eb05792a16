package vocab

// Map returns, for each id of v, the id that its character has in w, or -1 where w
// has no id for that character alone. [UNK] counts as a character: its id in w is
// that of w's [UNK]. Between vocabularies of different units every id is -1.
func (v *Vocab) Map(w *Vocab) []int32 {
	ids := make([]int32, v.Size())
	for id := range ids {
		ids[id] = -1
	}
	if v.unit != w.unit {
		return ids
	}
	if v.unknown && w.unknown {
		ids[0] = 0
	}
	first := v.Size() - len(v.chars) // 1 where id 0 is [UNK]
	for i, c := range v.chars {
		if id, ok := w.ID(c); ok && !(w.unknown && id == 0) {
			ids[first+i] = id
		}
	}
	return ids
}
