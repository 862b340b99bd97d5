package redis

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
)

// Handler is told what comes on a Reader's connection, on the goroutine that reads it
// and in the order of the connection. Its methods must not wait for a method of that
// Reader.
type Handler interface {
	// Message is a message. Both slices are good during the call only. It may
	// block: Redis then waits, or cuts the connection, of which Lost tells.
	Message(channel, payload []byte)
	// Lost tells that the connection of a part is gone: from now on messages of its
	// channels are missed. It comes once for each Back.
	Lost(p *Part, err error)
	// Back tells that a part has a connection, and that the server acknowledged all
	// channels that were wanted; it comes after the first connect, too. Messages of
	// channels that are subscribed already may come before it, in order: the first
	// one of a channel after Lost may follow a gap. What Redis accepts after Back
	// comes, so positions read from Redis after Back cover all that was missed. whole
	// says that all parts have a connection now.
	Back(p *Part, whole bool)
}

// Part is the channels of a reader that one connection brings: all of them, but with
// sharded pub/sub, where each master of the Cluster has a part for its slots. When slots
// move, the parts concerned are lost and others come back, which are told by their
// address. A Part does not change.
type Part struct{ slots *[slots]bool } // nil: all

// Has reports whether the channels of a slot belong to the part.
func (p *Part) Has(slot int) bool { return p.slots == nil || p.slots[slot] }

// Reader is a connection to a shard that receives messages of channels. It connects by
// itself, again and again. Methods may be called from any goroutine, but for the
// Handler's.
type Reader struct {
	// Immutable after NewReader.
	s      *Shard
	name   string
	h      Handler
	via    path
	of     *Part           // what it brings
	fan    *fan            // with sharded pub/sub: all is up to its parts
	ctx    context.Context // of the reader: it ends with Close
	cancel context.CancelFunc
	closed <-chan struct{} // of ctx
	done   sync.WaitGroup
	wake   chan struct{} // the writer has something to do

	// Atomic.
	handling atomic.Bool // the handler has not returned

	counts readerCounts
	marks  markers

	// Guarded by mu.
	mu        sync.Mutex
	wanted    map[string]struct{}
	queue     orders           // to be sent on this connection
	flights   fifo[*flight]    // sent, in the order of their answers
	flying    int              // channels in flights
	denied    map[string]error // channels that this server refused
	resync    *call            // of the channels wanted when this connection was made
	suspended []*call          // their orders died with a connection; over when resync is
	link      *link            // this connection, nil while there is none
	live      bool             // between Back and Lost
	over      bool
}

var errReaderLost = errors.New("the connection of the reader is lost")

// path is what tells the connection of a reader from others.
type path struct {
	dial    func(ctx context.Context) (*wire, error)
	marker  string // the channel of markers
	sharded bool   // SSUBSCRIBE
	moved   func() // a channel is not, or not any more, on this server
}

// NewReader makes a reader and starts to connect it; name tells it from others. Close it,
// or its Redis.
func (s *Shard) NewReader(name string, h Handler) *Reader {
	r := newReader(s, name, h, path{dial: s.dial.forReader, marker: s.marker})
	if s.sharded {
		r.fan = newFan(r)
	}
	s.mu.Lock()
	s.readers[r] = struct{}{}
	r.over = s.over
	s.mu.Unlock()
	switch {
	case r.over:
		r.cancel()
	case r.fan != nil:
		r.done.Go(r.fan.manage)
	default:
		r.start()
	}
	return r
}

// newReader makes a reader, which start starts.
func newReader(s *Shard, name string, h Handler, via path) *Reader {
	r := &Reader{s: s, name: name, h: h, via: via, of: new(Part), wake: make(chan struct{}, 1), wanted: make(map[string]struct{})}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	r.closed = r.ctx.Done()
	return r
}

func (r *Reader) start() {
	r.done.Go(r.run)
	r.done.Go(r.probe)
}

// Close ends the reader and waits for its goroutines; the handler is not told. Callers
// get an error.
func (r *Reader) Close() {
	r.mu.Lock()
	already := r.over
	r.over = true
	if !already {
		r.cancel()
		if r.link != nil {
			r.link.cut(net.ErrClosed)
		}
	}
	r.mu.Unlock()
	r.done.Wait()
	r.s.mu.Lock()
	delete(r.s.readers, r)
	r.s.mu.Unlock()
}

// Live reports whether the reader is between Back and Lost.
func (r *Reader) Live() bool {
	if r.fan != nil {
		return r.fan.live()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.live
}

// Subscribe makes the reader receive messages of channels, names as Keys makes them, and
// returns when the server acknowledged all. While there is no connection it waits for
// one. When ctx ends first, they stay wanted: Unsubscribe them. Those that the server
// refuses are not wanted; the error (ErrRefused) names one of them.
func (r *Reader) Subscribe(ctx context.Context, channels ...string) error {
	if r.fan != nil {
		return r.fan.subscribe(ctx, channels)
	}
	return r.order(ctx, subscribe, channels)
}

// Unsubscribe ends what Subscribe began and returns when the server acknowledged it. It
// is done, whatever the error: at the latest when the connection is lost.
func (r *Reader) Unsubscribe(ctx context.Context, channels ...string) error {
	if r.fan != nil {
		return r.fan.unsubscribe(ctx, channels)
	}
	return r.order(ctx, unsubscribe, channels)
}

// order queues what is to be done with channels and waits for it.
func (r *Reader) order(ctx context.Context, what verb, channels []string) error {
	if len(channels) == 0 {
		return nil
	}
	c := newCall(len(channels))
	c.channels = channels
	r.mu.Lock()
	switch {
	case r.over:
		r.mu.Unlock()
		return r.s.unavailable(ReasonClosed, errClosed)
	case what == unsubscribe:
		for _, ch := range channels {
			delete(r.wanted, ch)
		}
	default:
		for _, ch := range channels {
			r.wanted[ch] = struct{}{}
		}
	}
	switch {
	case r.link != nil:
		for _, ch := range channels {
			r.queue.push(order{what, ch, c})
		}
		if r.queue.len() > mostQueued+len(r.wanted) {
			r.link.cut(errors.New("too much waits to be subscribed")) // the next one takes what is wanted then
		}
		r.wakeWriter()
	case what == unsubscribe:
		c.finish(nil)
	default:
		r.suspended = append(r.suspended, c)
	}
	r.mu.Unlock()
	return r.await(ctx, c)
}

// await waits for a call.
func (r *Reader) await(ctx context.Context, c *call) error {
	select {
	case <-c.done:
		return c.err
	case <-ctx.Done():
	case <-r.closed:
		return r.s.unavailable(ReasonClosed, errClosed)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.suspended = without(r.suspended, c)
	if c.finished() {
		return c.err
	}
	return r.s.unavailable(ReasonTimeout, fmt.Errorf("not acknowledged: %w", ctx.Err()))
}

func without(calls []*call, c *call) []*call {
	for i, each := range calls {
		if each == c {
			calls[i] = calls[len(calls)-1]
			calls[len(calls)-1] = nil
			return calls[:len(calls)-1]
		}
	}
	return calls
}

// wakeWriter tells the writer that there is something to send.
func (r *Reader) wakeWriter() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// leave cuts the connection if it is not one to the server at addr, which is the master
// now.
func (r *Reader) leave(addr string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.link != nil && r.link.wire.addr != addr {
		r.link.cut(errors.New("the master is another server"))
	}
}
