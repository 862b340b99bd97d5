package tally

import (
	"maps"
	"sync"
)

// Words counts what a word names, of which there are few: errors by reason. The zero value is empty. Any
// goroutine; it is for what is rare, since it takes a lock.
type Words struct {
	mu sync.Mutex
	by map[string]uint64
}

// Add counts one of a word.
func (w *Words) Add(word string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.by == nil {
		w.by = make(map[string]uint64)
	}
	w.by[word]++
}

// Read returns a copy of what was counted so far.
func (w *Words) Read() map[string]uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.by)
}
