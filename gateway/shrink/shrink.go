// Package shrink has tables that give their memory back. A Go map keeps the
// buckets of its largest size for good, and a slice its capacity: what a crowd
// filled once would stay for the life of the process.
//
// Promises: a table that fell to a quarter of its peak is moved into a smaller
// one, a few entries with each change, so no call takes long whatever the size;
// the zero value of each type is an empty table. Nothing here has a lock: the
// owner of a table has it.
package shrink

import (
	"iter"
	"reflect"
)

const (
	// worthIt is the peak below which a table is left as it is.
	worthIt = 256
	// fraction of the peak at which a table moves: it is then at most half
	// full once moved, so it does not grow and move in turns.
	fraction = 4
	// step is how many entries a change moves. More than fraction would do
	// for the move to end before the next one is due.
	step = 16
)

// Map is a map that shrinks. Its methods follow the rules of a Go map: reads
// may run beside each other, changes may not.
type Map[K comparable, V any] struct {
	cur  map[K]V
	peak int         // of cur since it was made
	move *move[K, V] // nil without one
}

// move is what has yet to go into the smaller map. No key is in both.
type move[K comparable, V any] struct {
	old  map[K]V
	next *reflect.MapIter // over old
}

// Get returns the value of k, and whether there is one.
func (m *Map[K, V]) Get(k K) (v V, ok bool) {
	if v, ok = m.cur[k]; !ok && m.move != nil {
		v, ok = m.move.old[k]
	}
	return v, ok
}

// Value is Get for values whose zero value means that there is none.
func (m *Map[K, V]) Value(k K) V {
	v, _ := m.Get(k)
	return v
}

// Len returns how many keys there are.
func (m *Map[K, V]) Len() int {
	if m.move == nil {
		return len(m.cur)
	}
	return len(m.cur) + len(m.move.old)
}

// Set gives k a value.
func (m *Map[K, V]) Set(k K, v V) {
	if m.cur == nil {
		m.cur = make(map[K]V)
	}
	m.cur[k] = v
	if m.move != nil {
		delete(m.move.old, k)
		m.moveSome()
	}
	m.peak = max(m.peak, len(m.cur))
}

// Delete removes k if it is there.
func (m *Map[K, V]) Delete(k K) {
	delete(m.cur, k)
	if m.move != nil {
		delete(m.move.old, k)
		m.moveSome()
		return
	}
	if m.peak < worthIt || len(m.cur) > m.peak/fraction {
		return
	}
	// Why reflect: it has the only iterator of a map that can be put down
	// and taken up again.
	m.move = &move[K, V]{old: m.cur, next: reflect.ValueOf(m.cur).MapRange()}
	m.cur, m.peak = make(map[K]V), 0
	m.moveSome()
}

// moveSome takes some entries from old to cur.
func (m *Map[K, V]) moveSome() {
	var k K
	old, next := m.move.old, m.move.next
	at := reflect.ValueOf(&k).Elem()
	for range step {
		if len(old) == 0 || !next.Next() {
			m.move = nil
			break
		}
		at.SetIterKey(next)
		m.cur[k] = old[k]
		delete(old, k)
	}
	m.peak = max(m.peak, len(m.cur))
}

// All returns every key with its value, in no order. The map must not be
// changed meanwhile.
func (m *Map[K, V]) All() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		for k, v := range m.cur {
			if !yield(k, v) {
				return
			}
		}
		if m.move == nil {
			return
		}
		for k, v := range m.move.old {
			if !yield(k, v) {
				return
			}
		}
	}
}

// Slice returns s, or a copy with less capacity if s fills no more than a
// quarter of what it has. The copy takes as long as moving so many elements, a
// block at once.
func Slice[S ~[]E, E any](s S) S {
	if cap(s) < worthIt || len(s) > cap(s)/fraction {
		return s
	}
	small := make(S, len(s), 2*len(s))
	copy(small, s)
	return small
}

// Queue is a queue, first in first out, in blocks that go as they are emptied.
type Queue[T any] struct {
	head, tail  *block[T]
	first, last int // places in head and behind the last in tail
	n           int
}

const blockSize = 128

type block[T any] struct {
	items [blockSize]T
	next  *block[T]
}

// Len returns how many elements there are.
func (q *Queue[T]) Len() int { return q.n }

// Push puts v behind all others.
func (q *Queue[T]) Push(v T) {
	switch {
	case q.tail == nil:
		q.head = &block[T]{}
		q.tail, q.first, q.last = q.head, 0, 0
	case q.last == blockSize:
		q.tail.next = &block[T]{}
		q.tail, q.last = q.tail.next, 0
	}
	q.tail.items[q.last] = v
	q.last++
	q.n++
}

// Front returns the first element, which must be there.
func (q *Queue[T]) Front() T { return q.head.items[q.first] }

// Pop removes the first element, which must be there, and returns it.
func (q *Queue[T]) Pop() T {
	v := q.head.items[q.first]
	var none T
	q.head.items[q.first] = none
	q.first++
	q.n--
	switch {
	case q.n == 0:
		*q = Queue[T]{}
	case q.first == blockSize:
		q.head, q.first = q.head.next, 0
	}
	return v
}
