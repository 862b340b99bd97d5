//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// streamsPerSource is how many streams leave from one source address: a
// quarter below the kernel's default range of about 28,000 ephemeral ports.
const streamsPerSource = 20_000

// sourcesOf is how many groups of source addresses n streams leave from.
func sourcesOf(n int) int { return (n + streamsPerSource - 1) / streamsPerSource }

// eventHandler gets what arrives on one worker's streams. All calls come from
// that worker. stream counts the worker's streams from 0 in the order they
// were begun; now is the wall clock in ns of the read that completed the event;
// data and push are valid during the call only.
type eventHandler interface {
	Opened(stream int, push []byte)           // the connect push came
	Event(stream int, data []byte, now int64) // any later event, pings included
	Flush()                                   // after a batch of reads
}

// idHandler is an eventHandler that follows the last event ids. LastID is
// called for every event, before Opened or Event is; an event without an id of
// its own leaves the id as it was, and it is empty until one came.
type idHandler interface {
	eventHandler
	LastID(stream int, id []byte)
}

// closeHandler is an eventHandler that goes on when streams end. Closed is
// called once for a stream that the server ended or that could not be opened,
// and reports whether the others go on; if not, the run fails.
type closeHandler interface {
	eventHandler
	Closed(stream int, e ending) bool
}

// ending is how a stream ended.
type ending struct {
	opened bool          // it had been open
	why    string        // in a few words
	retry  time.Duration // when it was told to come back; 0: it was not
}

// pieceHandler is an eventHandler that looks at events which are too large to be
// kept. Piece is called with each piece of a line that comes in several, before
// Opened or Event is called with the head of its data.
type pieceHandler interface {
	eventHandler
	Piece(stream int, b []byte)
}

// clientConfig says what newClient connects to. All fields down to handler but
// source are required.
type clientConfig struct {
	addr     netip.AddrPort
	workers  int
	inFlight int                     // streams connecting at a time
	source   int                     // group of source addresses of the first stream
	request  func(stream int) []byte // the request of the n-th stream of all
	handler  func(worker int) eventHandler

	headOpens bool // a stream is open with its response head, no connect push comes
	stall     bool // nothing is read once a stream is open
	mute      bool // nothing is ever read: a stream is open when its request is sent
	receive   int  // bytes of receive buffer, as SO_RCVBUF takes them; 0 = the kernel's choice
	skim      int  // so much is wanted of an event that comes in several reads; 0 = all
	read      int  // bytes that a read asks for; 0 = readBuffer
}

// client holds streams open: a few workers, each with an epoll of its own and
// thousands of bare sockets.
type client struct {
	// Immutable after newClient.
	cfg     clientConfig
	workers []*worker
	wg      sync.WaitGroup

	// Owned by the caller of open.
	begun int

	// Atomic.
	opened atomic.Int64 // streams whose connect push came
	closed atomic.Int64 // opened streams that the server ended

	changed chan struct{} // capacity 1, never closed: opened or firstErr changed

	mu sync.Mutex
	// Guarded by mu.
	firstErr error
}

func newClient(cfg clientConfig) (*client, error) {
	c := &client{cfg: cfg, changed: make(chan struct{}, 1)}
	for i := range cfg.workers {
		w, err := newWorker(c, cfg.handler(i), max(1, cfg.inFlight/cfg.workers))
		if err != nil {
			c.close()
			return nil, err
		}
		c.workers = append(c.workers, w)
		c.wg.Go(w.run)
	}
	return c, nil
}

// open adds n streams and returns when each has its connect push, or with the
// first error. It gives up when no stream opens for the time of quiet.
func (c *client) open(ctx context.Context, n int, quiet time.Duration) error {
	target := c.opened.Load() + int64(n)
	c.start(n)
	timer := time.NewTicker(quiet)
	defer timer.Stop()
	last := int64(-1)
	for {
		if err := c.err(); err != nil {
			return err
		}
		if c.opened.Load() >= target {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-c.changed:
		case <-timer.C:
			now := c.opened.Load()
			if now == last {
				return fmt.Errorf("bench: %d of %d streams are open, and none opened for %v", now, target, quiet)
			}
			last = now
		}
	}
}

// start adds n streams and does not wait for them.
func (c *client) start(n int) {
	begun := c.begun
	for i, w := range c.workers {
		first, count := share(n, len(c.workers), i)
		w.post(func() { w.begin(begun+first, count) })
	}
	c.begun += n
}

// onWorkers runs f on each worker in turn, between its reads, and waits.
func (c *client) onWorkers(f func(worker int)) {
	for i, w := range c.workers {
		done := make(chan struct{})
		w.post(func() { f(i); close(done) })
		<-done
	}
}

// readOn reads the streams that were left unread.
func (c *client) readOn() { c.onWorkers(func(i int) { c.workers[i].readOn() }) }

// sip reads once from each stream of a worker that was left unread. On that worker
// only.
func (c *client) sip(worker int) { c.workers[worker].sip() }

// taken is how many bytes a worker has read. On that worker only.
func (c *client) taken(worker int) int64 { return c.workers[worker].taken }

// close ends all streams and waits for the workers.
func (c *client) close() {
	for _, w := range c.workers {
		w.post(w.stop)
	}
	c.wg.Wait()
}

// err returns the first thing that went wrong with any stream. Any goroutine.
func (c *client) err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.firstErr
}

func (c *client) fail(err error) {
	c.mu.Lock()
	if c.firstErr == nil {
		c.firstErr = err
	}
	c.mu.Unlock()
	c.notify()
}

func (c *client) notify() {
	select {
	case c.changed <- struct{}{}:
	default:
	}
}

// dial begins a connection for the stream-th stream; the socket is
// non-blocking and not yet connected.
func (c *client) dial(stream int) (fd int, err error) {
	family, to := sockaddr(c.cfg.addr)
	fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("bench: socket for stream %d: %w", stream, err)
	}
	if c.cfg.receive > 0 {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, c.cfg.receive)
	}
	if err == nil {
		err = bindSource(fd, c.cfg.addr.Addr(), c.cfg.source+stream/streamsPerSource)
	}
	if err == nil {
		if err = unix.Connect(fd, to); errors.Is(err, unix.EINPROGRESS) {
			err = nil
		}
	}
	if err != nil {
		return -1, errors.Join(fmt.Errorf("bench: connect stream %d to %v: %w", stream, c.cfg.addr, err), unix.Close(fd))
	}
	return fd, nil
}

// bindSource gives the n-th group of streams a loopback source address of its
// own; the first group and remote targets keep the kernel's choice.
func bindSource(fd int, target netip.Addr, n int) error {
	if n == 0 || !target.Is4() || !target.IsLoopback() {
		return nil
	}
	// Why: with it the port is chosen at connect, per pair of addresses.
	if err := unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); err != nil {
		return err
	}
	return unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, byte((n + 1) >> 8), byte(n + 1)}})
}

func sockaddr(a netip.AddrPort) (family int, sa unix.Sockaddr) {
	if a.Addr().Is4() {
		return unix.AF_INET, &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return unix.AF_INET6, &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}
