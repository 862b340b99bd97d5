package gate

import (
	"time"

	"golang.org/x/sys/unix"
)

// ready is told by epoll that something happened at a connection.
func (d *door) ready(slot, gen, events uint32) {
	c := d.at(slot, gen)
	if c == nil {
		return
	}
	hungUp := events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0
	c.mu.Lock()
	if events&unix.EPOLLIN != 0 || hungUp {
		c.readable = true
		c.hungUp = c.hungUp || hungUp
		c.signal(forReading)
	}
	if events&(unix.EPOLLOUT|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		c.writable = true
		c.signal(forWriting)
	}
	if c.state != stateWaiting || !c.readable {
		c.mu.Unlock()
		return
	}
	c.state = stateHeld
	c.mu.Unlock()
	d.settle(c, false)
}

// settle lets the door do what there is to do at a connection that it holds.
//
// It counts as served before it leaves the list where it waits, so that whoever counts both
// misses none.
func (d *door) settle(c *Conn, due bool) {
	handed := false
	d.gate.served.Add(1)
	defer func() {
		if !handed {
			d.gate.served.Add(-1)
		}
	}()
	defer c.survive()
	if handed = c.settle(due); handed {
		d.gate.submit(c)
	}
}

// settle reads what there is of a request and reports whether the connection is to be
// served; it is then the client's. If not it waits from now on, or is closed. The caller
// holds the connection. due says that its time is over: what has come all the same, while
// nobody looked, is in time.
func (c *Conn) settle(due bool) bool {
	for {
		had := c.buf != nil
		serves := c.begins()
		if due && !serves && !c.ended && (had || c.buf == nil) {
			c.door.gate.late.Add(1)
			c.late, serves = true, c.buf != nil || c.farewells()
			c.ended = c.ended || !serves
		}
		due = false
		if serves {
			if !had && c.buf != nil && !c.client.Begins() {
				c.drop()
				return false
			}
			return c.serve()
		}
		if c.ended || !had && c.buf != nil && !c.client.Begins() || c.watch(watchRead) != nil {
			c.drop()
			return false
		}
		if c.wait() {
			return false
		}
	}
}

// serve makes the connection the client's, and reports whether it may be.
func (c *Conn) serve() bool {
	if c.in != unlisted {
		c.door.unlist(c)
	}
	c.mu.Lock()
	if c.cut {
		c.mu.Unlock()
		c.drop()
		return false
	}
	c.state = stateServing
	c.mu.Unlock()
	c.known = true
	return true
}

// wait lets a connection wait, or closes it; it reports false if there is something to do
// by now.
func (c *Conn) wait() bool {
	d := c.door
	what := fresh
	switch {
	case c.buf != nil:
		what = head
	case c.asked:
		what = idle
	}
	c.mu.Lock()
	if c.readable && !c.cut {
		c.mu.Unlock()
		return false
	}
	wake, answer := false, mayNot
	if !c.cut {
		wake, answer = d.list(c, what)
	}
	switch {
	case answer == may:
		c.state = stateWaiting
		c.mu.Unlock()
	case answer == drains && c.farewells():
		c.late = true
		c.mu.Unlock()
		return false
	default:
		c.close()
		c.client.Ended()
	}
	if wake {
		d.wake()
	}
	return true
}

// farewells reports whether its client has something to say instead of being closed. From
// whoever has it.
func (c *Conn) farewells() bool { return c.farewell && c.known }

// answer says whether a connection may wait.
type answer int

const (
	may    answer = iota
	mayNot        // the gate is closed
	drains        // the gate drains
)

// list puts a connection into a list, unless it is in it. wake says that the door does not
// know that it has to look that early.
func (d *door) list(c *Conn, what kind) (wake bool, a answer) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.closed:
		return false, mayNot
	case d.draining && what != head:
		return false, drains
	case c.in == what:
		return false, may
	case c.in != unlisted:
		d.lists[c.in].remove(c)
	}
	d.lists[what].push(c, what, clock())
	if c.by == 0 || d.awake || d.armed != 0 && d.armed <= c.by {
		return false, may
	}
	d.armed = c.by // nobody else needs to wake it
	return true, may
}

func (d *door) unlist(c *Conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lists[c.in].remove(c)
}

// sweep ends the wait of those whose time is over, and sets the clock for the next. It
// reports false when the gate is closed, and everything that waited.
func (d *door) sweep() bool {
	now, draining := clock(), d.drains()
	for what := fresh; what < kinds; what++ {
		for {
			c, drained := d.overdue(what, now)
			if c == nil {
				break
			}
			d.expire(c, drained)
			d.gate.served.Add(-1)
		}
	}
	looks := d.handOver(now) // again, by then
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		d.end()
		return false
	}
	next := int64(0)
	for i := range d.lists {
		if c := d.lists[i].first; c != nil && c.by != 0 && (next == 0 || c.by < next) {
			next = c.by
		}
	}
	if looks != 0 && (next == 0 || looks < next) {
		next = looks
	}
	for _, r := range d.resting {
		if next == 0 || r.until < next {
			next = r.until
		}
	}
	// What is first now may be gone by then: once too often is cheaper than a timer
	// that is set for every request.
	if now < d.timed && (next == 0 || d.timed <= next) {
		next = d.timed
	}
	d.armed, d.awake = next, false
	d.mu.Unlock()
	if draining {
		d.swept()
	}
	if next != d.timed {
		d.timed = next
		var by time.Time
		if next != 0 {
			by = base.Add(time.Duration(next))
		}
		_ = d.file.SetReadDeadline(by)
	}
	return true
}

// overdue takes one out of a list whose time is over, or that is to be drained; nil if
// there is none.
func (d *door) overdue(what kind, now int64) (c *Conn, drained bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	c = d.lists[what].first
	drained = d.draining && what != head
	if c == nil || !drained && (c.by == 0 || c.by > now) {
		return nil, false
	}
	d.gate.served.Add(1) // as in settle
	d.lists[what].remove(c)
	return c, drained
}

// expire ends the wait of a connection that was taken out of its list, after a last look:
// something may have come that nobody has looked at. One of which something has come is
// served, and its client finds out that it is late; so is one that has something to say.
func (d *door) expire(c *Conn, drained bool) {
	defer c.survive()
	c.mu.Lock()
	if c.state != stateWaiting {
		c.mu.Unlock()
		return
	}
	c.state = stateHeld
	c.readable = true
	c.mu.Unlock()
	d.settle(c, !drained)
}

// end closes what waits, and makes what is served end.
func (d *door) end() {
	d.mu.Lock()
	all := append([]*Conn(nil), d.slots...)
	d.mu.Unlock()
	for _, c := range all {
		if c != nil {
			d.cutOff(c)
		}
	}
	d.swept()
	d.unuse() // of newDoor
}

func (d *door) cutOff(c *Conn) {
	defer c.survive()
	c.sever()
}
