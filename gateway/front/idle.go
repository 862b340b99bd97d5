package front

// idleList has the idle connections of one address, those that are so for longest first.
// Guarded by the lock of the stripe that has it.
//
// A connection may be told to leave before it was told to enter, by others than entered
// it: listed counts both, and it is in the list where that is 1.
type idleList struct{ first, last *Conn }

func (l *idleList) enter(c *Conn) {
	p := &c.place
	if p.listed++; p.listed != 1 {
		return
	}
	p.prev, p.next = l.last, nil
	if l.last != nil {
		l.last.place.next = c
	} else {
		l.first = c
	}
	l.last = c
}

func (l *idleList) leave(c *Conn) {
	p := &c.place
	if p.listed--; p.listed != 0 {
		return
	}
	if p.prev != nil {
		p.prev.place.next = p.next
	} else {
		l.first = p.next
	}
	if p.next != nil {
		p.next.place.prev = p.prev
	} else {
		l.last = p.prev
	}
	p.prev, p.next = nil, nil
}

// looksAt bounds the search for one that may be closed.
const looksAt = 16

// oldest returns some of those that have been idle for longest, and at least since by: of the
// oldest, the client may still be taking an answer.
func (l *idleList) oldest(by instant, all *[looksAt]*Conn) (n int) {
	c := l.first
	for range looksAt {
		if c == nil {
			break
		}
		if since := c.place.since.Load(); since > 0 && since <= int64(by) {
			all[n] = c
			n++
		}
		c = c.place.next
	}
	return n
}
