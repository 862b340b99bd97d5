package redis

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// link is one connection of a reader, from connect to loss.
type link struct {
	wire *wire
	gone chan struct{} // closed when it is over

	once  sync.Once
	cause error // why it is over; read after gone is closed
}

// cut ends the connection. Any goroutine.
func (l *link) cut(cause error) {
	l.once.Do(func() {
		l.cause = cause
		close(l.gone)
		_ = l.wire.Close()
	})
}

// run connects and reads until the reader is closed. It is a goroutine.
func (r *Reader) run() {
	pause := firstRetry
	var told time.Time
	for {
		started := time.Now()
		err := r.session()
		select {
		case <-r.closed:
			r.end()
			return
		default:
		}
		if time.Since(started) > lastRetry { // it had worked
			pause = firstRetry
			continue
		}
		if time.Since(told) > remindEvery {
			told = time.Now()
			e := r.s.readerError(err)
			r.s.log.Warn("redis: no pub/sub connection", "reader", r.name, "reason", e.Reason, "error", e.Err, "remedy", e.Remedy())
		}
		select {
		case <-r.closed:
			r.end()
			return
		case <-time.After(pause/2 + rand.N(pause)):
		}
		pause = min(2*pause, lastRetry)
	}
}

// readerError makes an Error of why a reader has no connection.
func (s *Shard) readerError(err error) *Error {
	var known *Error
	var dial *dialError
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(err, &dial):
		return s.unavailable(dial.reason, err)
	}
	return s.unavailable(ReasonBroken, err)
}

// end gives all who wait an error.
func (r *Reader) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gather()
	for _, c := range r.suspended {
		c.finish(r.s.unavailable(ReasonClosed, errClosed))
	}
	r.suspended = nil
}

// session is one connection, from dial to loss. It returns why it ended.
func (r *Reader) session() error {
	w, err := r.via.dial(r.ctx)
	if err != nil {
		return err
	}
	l := &link{wire: w, gone: make(chan struct{})}
	r.begin(l)
	var writer sync.WaitGroup
	writer.Go(func() { r.write(l) })
	l.cut(r.read(l))
	writer.Wait()
	r.lose(l)
	return l.cause
}

// begin makes l the connection: all that is wanted is to be subscribed.
func (r *Reader) begin(l *link) {
	r.counts.connects.Add(1)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.link = l
	if r.over {
		l.cut(errClosed)
	}
	r.wanted[r.via.marker] = struct{}{}
	r.denied = nil
	r.resync = newCall(len(r.wanted))
	r.queue.push(order{subscribe, r.via.marker, r.resync})
	for ch := range r.wanted {
		if ch != r.via.marker {
			r.queue.push(order{subscribe, ch, r.resync})
		}
	}
	r.wakeWriter()
}

// gather takes the calls of all orders under way to those that wait for a connection.
// The caller holds mu.
func (r *Reader) gather() {
	seen := map[*call]struct{}{r.resync: {}}
	add := func(o order) {
		if _, ok := seen[o.call]; !ok {
			seen[o.call] = struct{}{}
			if o.what == unsubscribe && !o.call.finished() {
				o.call.finish(nil) // it is, with the connection
			} else if !o.call.finished() {
				r.suspended = append(r.suspended, o.call)
			}
		}
	}
	for r.flights.len() > 0 {
		for _, o := range r.flights.pop().orders {
			add(o)
		}
	}
	for r.queue.len() > 0 {
		add(r.queue.next().pop())
	}
	r.flying, r.resync = 0, nil
}

// lose ends what the connection was.
func (r *Reader) lose(l *link) {
	r.mu.Lock()
	r.link = nil
	r.gather()
	was := r.live
	r.live = false
	r.mu.Unlock()
	r.marks.lost()
	select {
	case <-r.closed:
		return // nobody is told
	default:
	}
	if was {
		r.s.log.Info("redis: a pub/sub connection was cut", "reader", r.name, "address", l.wire.addr, "error", l.cause, "remedy", remedies[ReasonBroken])
		r.counts.losses.Add(1)
		r.handling.Store(true)
		r.h.Lost(r.of, l.cause)
		r.handling.Store(false)
	}
}

// write sends orders, and a PING where nothing came for a while. It is a goroutine, one
// for each connection.
func (r *Reader) write(l *link) {
	every := min(pingAfter, r.s.t.io/4)
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	var buf []byte
	for {
		select {
		case <-l.gone:
			return
		case <-r.wake:
		case <-ticker.C:
			buf = appendCommand(buf, "PING")
		}
		for {
			r.mu.Lock()
			for f := r.take(); f != nil; f = r.take() {
				buf = f.append(buf, r.via.sharded)
			}
			r.mu.Unlock()
			if len(buf) == 0 {
				break
			}
			_ = l.wire.SetWriteDeadline(time.Now().Add(r.s.t.io))
			if _, err := l.wire.Write(buf); err != nil {
				l.cut(err)
				return
			}
			if buf = buf[:0]; cap(buf) > keepPayload {
				buf = nil
			}
		}
	}
}

// read hands over what comes until the connection ends.
func (r *Reader) read(l *link) error {
	l.wire.pace.limit = r.s.t.io
	var e event
	for {
		if err := l.wire.next(&e); err != nil {
			return err
		}
		switch e.kind {
		case messageEvent:
			if string(e.channel) == r.via.marker {
				r.marks.came(e.payload, &r.counts)
				continue
			}
			r.counts.messages.Add(1)
			r.counts.bytes.Add(uint64(len(e.payload)))
			r.handling.Store(true)
			r.h.Message(e.channel, e.payload)
			r.handling.Store(false)
		case subscribedEvent, unsubscribedEvent:
			if err := r.back(r.acknowledged(&e)); err != nil {
				return err
			}
		case errorEvent:
			if err := r.back(r.refused(string(e.payload))); err != nil {
				return err
			}
		case oversizeEvent:
			r.counts.oversize.Add(1)
			r.s.log.Warn("redis: a message left out: it is too long", "channel", string(e.channel), "bytes", e.size, "allowed", maxPayload,
				"remedy", "find who publishes there: no node of the fleet sends so much")
		}
	}
}

// back tells the handler, if so, that the reader is back. It returns err.
func (r *Reader) back(back bool, err error) error {
	if back {
		r.handling.Store(true)
		r.h.Back(r.of, true)
		r.handling.Store(false)
	}
	return err
}

// acknowledged notes what the server did, which is the next thing asked of it. It
// reports whether that was the last of all that was wanted.
func (r *Reader) acknowledged(e *event) (back bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.asked(e) {
		if r.via.sharded && e.kind == unsubscribedEvent {
			r.via.moved() // its slot is on another server now
			return false, nil
		}
		return false, fmt.Errorf("%w: an answer to what was not asked", errProtocol)
	}
	f := *r.flights.first()
	o := f.orders[f.acked]
	f.acked++
	r.flying--
	if f.acked == len(f.orders) {
		r.flights.pop()
	}
	if r.flying == mostFlying/2 && r.queue.len() > 0 {
		r.wakeWriter()
	}
	return r.settle(o, nil), nil
}

// asked reports whether an answer is to the next thing that was asked. The caller holds
// mu.
func (r *Reader) asked(e *event) bool {
	if r.flights.len() == 0 {
		return false
	}
	f := *r.flights.first()
	o := f.orders[f.acked]
	return (e.kind == subscribedEvent) == bool(o.what) && string(e.channel) == o.channel
}

// settle ends an order. It reports whether that was the last of all that was wanted.
// The caller holds mu.
func (r *Reader) settle(o order, err error) (back bool) {
	if !o.call.acknowledge(err) || o.call != r.resync {
		return false
	}
	r.resync = nil
	r.live = true
	for _, c := range r.suspended {
		c.finish(r.denial(c))
	}
	r.suspended = nil
	return true
}

// denial returns the error of a call of whose channels the server refused one. The
// caller holds mu.
func (r *Reader) denial(c *call) error {
	if len(r.denied) == 0 {
		return nil
	}
	for _, ch := range c.channels {
		if err := r.denied[ch]; err != nil {
			return err
		}
	}
	return nil
}

// isNew reports whether a channel that is wanted was never acknowledged: somebody waits for
// that. The caller holds mu.
func (r *Reader) isNew(channel string) bool {
	for _, c := range r.suspended {
		if slices.Contains(c.channels, channel) {
			return true
		}
	}
	return false
}

// refused notes that the server answered a command with an error. One of several
// channels is asked again for each; one of a single channel is refused.
func (r *Reader) refused(text string) (back bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.flights.len() == 0 {
		return false, nil // of a PING, which the user may not
	}
	f := *r.flights.first()
	reason, kind := ofReply(text)
	if r.via.sharded && reason == ReasonClusterDown && len(f.orders) == 1 {
		r.flights.pop()
		r.flying--
		r.via.moved()
		return r.settle(f.orders[0], errMoved), nil
	}
	if kind != ErrRefused || f.acked > 0 {
		return false, replyError(text)
	}
	r.flights.pop()
	r.flying -= len(f.orders)
	r.wakeWriter()
	if len(f.orders) > 1 {
		for _, o := range f.orders {
			r.queue.again.push(o)
		}
		return false, nil
	}
	o := f.orders[0]
	r.counts.refused.Add(1)
	refusal := &Error{Kind: ErrRefused, Reason: reason, Shard: r.s.name, Err: fmt.Errorf("channel %q: %w", o.channel, replyError(text))}
	if o.call == r.resync && o.channel != r.via.marker && !r.isNew(o.channel) {
		// Whoever wants it relies on it: a connection without it is none, and the next one may have it.
		return false, refusal
	}
	delete(r.wanted, o.channel)
	if r.denied == nil {
		r.denied = make(map[string]error)
	}
	r.denied[o.channel] = refusal
	if r.s.remind("a channel: " + reason) { // every new connection asks for the marker's again
		r.s.log.Warn("redis: a channel is refused", "reader", r.name, "reason", reason, "channel", o.channel, "error", text,
			"remedy", "allow the user of Redis the channels of the prefix (ACL SETUSER … &prefix.*) and SUBSCRIBE")
	}
	return r.settle(o, refusal), nil
}
