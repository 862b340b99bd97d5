package loop

// table holds what only some streams or items have. An entry is named by its index+1,
// so that 0 names none, and is used anew once it was dropped. The zero value is ready.
type table[T any] struct {
	entries []T
	idle    []uint32 // names of dropped entries
}

// add returns the name of a new entry.
func (t *table[T]) add(v T) uint32 {
	if n := len(t.idle); n > 0 {
		name := t.idle[n-1]
		t.idle = t.idle[:n-1]
		t.entries[name-1] = v
		return name
	}
	t.entries = append(t.entries, v)
	return uint32(len(t.entries))
}

// at returns an entry that was added and not dropped. It is good until the next add.
func (t *table[T]) at(name uint32) *T { return &t.entries[name-1] }

// drop forgets an entry.
func (t *table[T]) drop(name uint32) {
	var none T
	t.entries[name-1] = none
	t.idle = append(t.idle, name)
}
