//go:build linux

package load

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"sluice/bench/proc"
)

// Publishers publishes through the server API over a few keep-alive
// connections, each with a pipeline of its own. Every connection is one
// publisher with its own sequence numbers: the server answers a connection's
// requests in order, so a stream sees them in order.
type Publishers struct {
	// Immutable after NewPublishers.
	addr  netip.AddrPort
	depth int // requests in flight per connection
	quiet time.Duration
	t     *Target

	// Owned by the caller.
	conns []*publishConn
	burst sync.WaitGroup
	errs  []error // one per connection, of the running burst
}

// publishConn is one publisher. One goroutine at a time.
type publishConn struct {
	id          int
	accepts     func(status int, body []byte) bool
	nc          net.Conn
	release     func() bool // ends the tie between nc and its context
	in          *bufio.Reader
	request     []byte // head and body, the payload at payloadAt
	payloadAt   int
	numberAt    int     // where in request the channel's number stands, if there are several
	own         Numbers // the channels it publishes to; none: the only one
	next        uint32  // sequence number of the next message
	outstanding int
	out         []byte
	body        []byte // of the last answer
}

// maxAnswer is how much of an answer's body is looked at.
const maxAnswer = 256

// NewPublishers prepares inFlight requests over conns connections; Prepare
// must be called before the first message. With channels above zero the
// messages go round that many channels, named by NumberedChannel.
func NewPublishers(addr netip.AddrPort, u *url.URL, t *Target, conns, inFlight, size, channels int, quiet time.Duration) (*Publishers, error) {
	if conns < 1 || conns > maxPublishers || inFlight < conns {
		return nil, fmt.Errorf("bench: expected 1 to %d publishing connections and at least one message in flight on each, got %d and %d", maxPublishers, conns, inFlight)
	}
	if channels != 0 && channels < conns || channels > maxChannels {
		return nil, fmt.Errorf("bench: expected %d to %d channels, at least one for each publishing connection, got %d", conns, maxChannels, channels)
	}
	payload, err := NewPayload(size)
	if err != nil {
		return nil, err
	}
	channel := t.Channel
	if channels > 0 {
		channel = NumberedChannel(t.Channel, 0)
	}
	request, payloadAt, err := t.Dialect().Publish(u, t.APIKey, channel, payload)
	if err != nil {
		return nil, err
	}
	numberAt := bytes.Index(request, []byte(channel)) + len(channel) - channelDigits
	if channels > 0 && numberAt < 0 {
		return nil, fmt.Errorf("bench: -channel should hold characters that need no escaping, not %q", t.Channel)
	}
	p := &Publishers{addr: addr, depth: inFlight / conns, quiet: quiet, t: t}
	for i := range conns {
		p.conns = append(p.conns, &publishConn{
			id: i, accepts: t.Dialect().Accepts, request: bytes.Clone(request), payloadAt: payloadAt,
			numberAt: numberAt, own: NumbersOf(i, conns, channels),
		})
	}
	return p, nil
}

// Prepare implements the source of a side (mode/fanout): it dials afresh, because
// servers close connections that were idle while the other side had its turn.
func (p *Publishers) Prepare(ctx context.Context) error {
	p.Close()
	var d net.Dialer
	for _, c := range p.conns {
		nc, err := d.DialContext(ctx, "tcp", p.addr.String())
		if err != nil {
			return fmt.Errorf("bench: publisher %d: %w", c.id, err)
		}
		c.nc, c.in, c.outstanding = nc, bufio.NewReaderSize(nc, 16<<10), 0
		// So that nobody waits for an answer after Ctrl-C.
		c.release = context.AfterFunc(ctx, func() { _ = nc.Close() })
	}
	return nil
}

// Close closes the connections; Prepare opens them again.
func (p *Publishers) Close() {
	for _, c := range p.conns {
		if c.nc != nil {
			// The answers are read; what close could report changes no figure.
			c.release()
			_ = c.nc.Close()
			c.nc = nil
		}
	}
}

// Start implements the source of a side (mode/fanout). One message goes out at once
// over the first connection without waiting for its answer; more make a burst over all.
func (p *Publishers) Start(ctx context.Context, n int) error {
	if n == 1 {
		c := p.conns[0]
		if c.outstanding == p.depth {
			if err := c.receive(p.quiet); err != nil {
				return err
			}
		}
		return c.send(1)
	}
	left := new(atomic.Int64)
	left.Store(int64(n))
	p.errs = make([]error, len(p.conns))
	for i, c := range p.conns {
		p.burst.Go(func() {
			if p.errs[i] = c.drain(p.quiet); p.errs[i] == nil {
				p.errs[i] = c.run(ctx, left, p.depth, p.quiet)
			}
		})
	}
	return nil
}

// Finish implements the source of a side (mode/fanout): all messages started were answered.
func (p *Publishers) Finish() error {
	p.burst.Wait()
	err := errors.Join(p.errs...)
	p.errs = nil
	for _, c := range p.conns {
		if err == nil {
			err = c.drain(p.quiet)
		}
	}
	return err
}

// Sent implements the source of a side (mode/fanout).
func (p *Publishers) Sent() []uint32 {
	next := make([]uint32, len(p.conns))
	for i, c := range p.conns {
		next[i] = c.next
	}
	return next
}

// CPU implements the source of a side (mode/fanout): the server's CPU time, with all its processes.
func (p *Publishers) CPU() (time.Duration, error) { return proc.CPU(p.t.PIDs) }

// run publishes as long as left has messages, depth at a time.
func (c *publishConn) run(ctx context.Context, left *atomic.Int64, depth int, quiet time.Duration) error {
	for {
		k := depth - c.outstanding
		if rest := left.Add(int64(-k)); rest < 0 {
			k = max(0, k+int(rest))
		}
		if k > 0 {
			if err := c.send(k); err != nil {
				return err
			}
		}
		if c.outstanding == 0 {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := c.receive(quiet); err != nil {
			return err
		}
		for c.outstanding > 0 && c.in.Buffered() > 0 {
			if err := c.receive(quiet); err != nil {
				return err
			}
		}
	}
}

// send writes n requests, each stamped with the time, in one write.
func (c *publishConn) send(n int) error {
	c.out = c.out[:0]
	for range n {
		StampPayload(c.request[c.payloadAt:], Message{Sent: time.Now().UnixNano(), Publisher: c.id, Seq: c.next})
		if c.own.count > 0 {
			putDigits(c.request[c.numberAt:c.numberAt+channelDigits], uint64(c.own.Channel(c.next)))
		}
		c.out = append(c.out, c.request...)
		c.next++
	}
	c.outstanding += n
	if _, err := c.nc.Write(c.out); err != nil {
		return fmt.Errorf("bench: publisher %d: %w", c.id, err)
	}
	return nil
}

// drain reads the answers that are outstanding.
func (c *publishConn) drain(quiet time.Duration) error {
	for c.outstanding > 0 {
		if err := c.receive(quiet); err != nil {
			return err
		}
	}
	return nil
}

// answer reads one answer, of whose body the first bytes are returned; they
// are valid until the next call.
func (c *publishConn) answer(quiet time.Duration) (status int, body []byte, err error) {
	if err := c.nc.SetReadDeadline(time.Now().Add(quiet)); err != nil {
		return 0, nil, fmt.Errorf("bench: publisher %d: %w", c.id, err)
	}
	status, length, err := readAnswerHead(c.in)
	if err != nil {
		return 0, nil, fmt.Errorf("bench: publisher %d: %w", c.id, err)
	}
	if c.body == nil {
		c.body = make([]byte, maxAnswer)
	}
	body = c.body[:min(length, maxAnswer)]
	if _, err = io.ReadFull(c.in, body); err == nil {
		_, err = c.in.Discard(length - len(body))
	}
	if err != nil {
		return 0, nil, fmt.Errorf("bench: publisher %d: %w", c.id, err)
	}
	return status, body, nil
}

// receive reads one answer, which must say that the message was taken.
func (c *publishConn) receive(quiet time.Duration) error {
	status, body, err := c.answer(quiet)
	if err != nil {
		return err
	}
	c.outstanding--
	if !c.accepts(status, body) {
		return fmt.Errorf("bench: a publish was answered %d %s; check -key and the server's log", status, body)
	}
	return nil
}
