package cluster

// windowSize is how many ids of a sender are told apart behind the highest, in which
// order they may come: over several shards they overtake each other.
const windowSize = 4096

// window knows which ids of a sender were here. The zero value has seen none.
type window struct {
	top  uint64
	bits [windowSize / 64]uint64 // of ids in (top-windowSize, top], by id modulo windowSize
}

// once reports whether an id comes for the first time. One that is too far behind the
// highest counts as a repeat.
func (w *window) once(id uint64) bool {
	switch {
	case id > w.top && id-w.top >= windowSize:
		w.bits = [windowSize / 64]uint64{}
		w.top = id
	case id > w.top:
		for w.top < id {
			w.top++
			*w.word(w.top) &^= bit(w.top)
		}
	case w.top-id >= windowSize || *w.word(id)&bit(id) != 0:
		return false
	}
	*w.word(id) |= bit(id)
	return true
}

func (w *window) word(id uint64) *uint64 { return &w.bits[id%windowSize/64] }

func bit(id uint64) uint64 { return 1 << (id % 64) }
