package gate

import "time"

// base is what deadlines are counted from, on the clock that nobody sets.
var base = time.Now()

// clock is the time since base, in nanoseconds.
func clock() int64 { return int64(time.Since(base)) }

// ticks is t on that clock; 0 if t is zero, 1 if it lies before base.
func ticks(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return max(int64(t.Sub(base)), 1)
}

// kind is what a connection waits for; it says in which list of its door it is.
type kind uint8

const (
	unlisted kind = iota
	fresh         // something of its first request
	head          // the rest of a request
	idle          // something of a further request
	kinds
)

// list has connections in the order of their deadlines: all of them may wait equally long.
// It is guarded by the mu of its door.
type list struct {
	first, last *Conn
	n           int
	life        int64 // how long they may wait; 0: for ever
}

// push puts a connection behind all others.
func (l *list) push(c *Conn, k kind, now int64) {
	c.in, c.by, c.prev, c.next = k, 0, l.last, nil
	if l.life > 0 {
		c.by = now + l.life
	}
	if l.last != nil {
		l.last.next = c
	} else {
		l.first = c
	}
	l.last = c
	l.n++
}

// remove takes a connection out.
func (l *list) remove(c *Conn) {
	if c.prev != nil {
		c.prev.next = c.next
	} else {
		l.first = c.next
	}
	if c.next != nil {
		c.next.prev = c.prev
	} else {
		l.last = c.prev
	}
	c.prev, c.next, c.in = nil, nil, unlisted
	l.n--
}
