package redis

// verb is what a reader asks of the server.
type verb bool

const (
	subscribe   verb = true
	unsubscribe verb = false
)

// order is one channel that a caller wants to be subscribed or not.
type order struct {
	what    verb
	channel string
	call    *call // who waits for it
}

// call is who waits for some orders. Its fields are guarded by the mu of its reader,
// but for err, which is read after done is closed.
type call struct {
	channels []string // the caller's
	left     int
	err      error
	done     chan struct{}
}

func newCall(orders int) *call { return &call{left: orders, done: make(chan struct{})} }

// acknowledge notes that an order is done, or refused with an error; it reports whether
// it was the last.
func (c *call) acknowledge(err error) bool {
	if c.finished() {
		return false
	}
	if err != nil {
		c.err = err
	}
	if c.left--; c.left > 0 {
		return false
	}
	close(c.done)
	return true
}

// finish ends the call, whatever is left.
func (c *call) finish(err error) {
	if !c.finished() {
		c.err = err
		close(c.done)
	}
}

func (c *call) finished() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// fifo is a queue that gives back its memory when it is empty. The zero value is empty.
type fifo[T any] struct {
	items []T
	head  int
}

func (q *fifo[T]) len() int { return len(q.items) - q.head }

func (q *fifo[T]) push(item T) { q.items = append(q.items, item) }

// first returns a pointer to the oldest item; there is one.
func (q *fifo[T]) first() *T { return &q.items[q.head] }

// pop removes the oldest item; there is one.
func (q *fifo[T]) pop() (item T) {
	var none T
	item, q.items[q.head] = q.items[q.head], none
	q.head++
	switch {
	case q.head == len(q.items):
		q.head = 0
		if q.items = q.items[:0]; cap(q.items) > 1024 {
			q.items = nil
		}
	case q.head >= 4096 && 2*q.head >= len(q.items):
		rest := make([]T, len(q.items)-q.head)
		copy(rest, q.items[q.head:])
		q.items, q.head = rest, 0
	}
	return item
}

// orders are orders that wait to be sent: those to do again first.
type orders struct {
	again, rest fifo[order]
}

func (q *orders) len() int { return q.again.len() + q.rest.len() }

func (q *orders) push(o order) { q.rest.push(o) }

// next returns the queue that holds the next order; there is one.
func (q *orders) next() *fifo[order] {
	if q.again.len() > 0 {
		return &q.again
	}
	return &q.rest
}

const (
	// mostPerCommand is how many channels one SUBSCRIBE names.
	mostPerCommand = 512
	// mostFlying is how many channels are on their way. Why: the answers count
	// against Redis' limit for what a subscriber has not read.
	mostFlying = 8192
	// mostQueued is how many channels wait to be sent on a connection, above those that
	// are wanted. Why so: while a handler blocks, callers come and give up.
	mostQueued = 1 << 20
)

// flight is a command on its way, of which the server answers each channel, or the
// whole with an error.
type flight struct {
	what   verb
	orders []order
	acked  int
}

// take makes the next command of what waits, nil if nothing does or enough is on its
// way. The caller holds mu.
func (r *Reader) take() *flight {
	if r.queue.len() == 0 || r.flying >= mostFlying {
		return nil
	}
	from := r.queue.next()
	f := &flight{what: from.first().what}
	// Why orders to do again go alone: one channel is refused, not all with it.
	most := mostPerCommand
	if from == &r.queue.again || r.via.sharded { // SSUBSCRIBE takes channels of one slot
		most = 1
	}
	f.orders = make([]order, 0, min(most, from.len()))
	for len(f.orders) < most && from.len() > 0 && from.first().what == f.what {
		f.orders = append(f.orders, from.pop())
	}
	r.flying += len(f.orders)
	r.flights.push(f)
	return f
}

// append appends the command of a flight.
func (f *flight) append(b []byte, sharded bool) []byte {
	name := "SUBSCRIBE"
	switch {
	case f.what == unsubscribe && sharded:
		name = "SUNSUBSCRIBE"
	case f.what == unsubscribe:
		name = "UNSUBSCRIBE"
	case sharded:
		name = "SSUBSCRIBE"
	}
	b = appendHead(b, '*', 1+len(f.orders))
	b = append(append(appendHead(b, '$', len(name)), name...), '\r', '\n')
	for _, o := range f.orders {
		b = append(append(appendHead(b, '$', len(o.channel)), o.channel...), '\r', '\n')
	}
	return b
}
