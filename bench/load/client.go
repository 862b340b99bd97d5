//go:build linux

package load

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

// streamsPerSource is how many streams leave from one source address.
//
// Why: of its 28,000 ephemeral ports the kernel gives a connect half, and looks for a
// free one by trial, which beyond some thousand costs more than all the rest.
const streamsPerSource = 5000

// SourcesOf is how many groups of source addresses n streams leave from.
func SourcesOf(n int) int { return (n + streamsPerSource - 1) / streamsPerSource }

// Config says what New connects to. All fields down to Handler but
// source are required.
type Config struct {
	Addr     netip.AddrPort
	Workers  int
	InFlight int                     // streams connecting at a time
	Source   int                     // group of source addresses of the first stream
	Spread   int                     // so many groups take turns; 0: one after the other is filled
	Request  func(stream int) []byte // the request of the n-th stream of all
	Handler  func(worker int) Handler

	// What the answer must be like where a connection gets one with Content-Length and
	// not a stream: it is open then, and nothing comes behind. nil: streams.
	Answers func(status int, body []byte) bool

	HeadOpens bool // a stream is open with its response head, no connect push comes
	Stall     bool // nothing is read once a stream is open
	Mute      bool // nothing is ever read: a stream is open when its request is sent
	Receive   int  // bytes of receive buffer, as SO_RCVBUF takes them; 0 = the kernel's choice
	Skim      int  // so much is wanted of an event that comes in several reads; 0 = all
	Read      int  // bytes that a read asks for; 0 = readBuffer
}

// Client holds streams open: a few workers, each with an epoll of its own and
// thousands of bare sockets.
type Client struct {
	// Immutable after New.
	cfg     Config
	workers []*worker
	wg      sync.WaitGroup

	// Owned by the caller of Open.
	begun int

	// Atomic.
	Opened atomic.Int64 // streams whose connect push came
	Closed atomic.Int64 // opened streams that the server ended

	changed chan struct{} // capacity 1, never closed: Opened or firstErr changed

	mu sync.Mutex
	// Guarded by mu.
	firstErr error
}

// New starts the workers of a client, which has no streams yet; Close must be called.
func New(cfg Config) (*Client, error) {
	c := &Client{cfg: cfg, changed: make(chan struct{}, 1)}
	for i := range cfg.Workers {
		w, err := newWorker(c, cfg.Handler(i), max(1, cfg.InFlight/cfg.Workers))
		if err != nil {
			c.Close()
			return nil, err
		}
		c.workers = append(c.workers, w)
		c.wg.Go(w.run)
	}
	return c, nil
}

// Open adds n streams and returns when each has its connect push, or with the
// first error. It gives up when no stream opens for the time of quiet.
func (c *Client) Open(ctx context.Context, n int, quiet time.Duration) error {
	target := c.Opened.Load() + int64(n)
	c.Start(n)
	return c.await(ctx, target, quiet)
}

// await returns when target streams have opened, or with the first error.
func (c *Client) await(ctx context.Context, target int64, quiet time.Duration) error {
	timer := time.NewTicker(quiet)
	defer timer.Stop()
	last := int64(-1)
	for {
		if err := c.Err(); err != nil {
			return err
		}
		if c.Opened.Load() >= target {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-c.changed:
		case <-timer.C:
			now := c.Opened.Load()
			if now == last {
				return fmt.Errorf("bench: %d of %d streams are open, and none opened for %v", now, target, quiet)
			}
			last = now
		}
	}
}

// Start adds n streams and does not wait for them.
func (c *Client) Start(n int) {
	begun := c.begun
	for i, w := range c.workers {
		first, count := Share(n, len(c.workers), i)
		w.post(func() { w.begin(begun+first, count) })
	}
	c.begun += n
}

// OnWorkers runs f on each worker in turn, between its reads, and waits.
func (c *Client) OnWorkers(f func(worker int)) {
	for i, w := range c.workers {
		done := make(chan struct{})
		w.post(func() { f(i); close(done) })
		<-done
	}
}

// ReadOn reads the streams that were left unread.
func (c *Client) ReadOn() { c.OnWorkers(func(i int) { c.workers[i].readOn() }) }

// Sip reads once from each stream of a worker that was left unread. On that worker
// only.
func (c *Client) Sip(worker int) { c.workers[worker].sip() }

// Taken is how many bytes a worker has read. On that worker only.
func (c *Client) Taken(worker int) int64 { return c.workers[worker].taken }

// Held is how many streams have opened.
func (c *Client) Held() int64 { return c.Opened.Load() }

// Close ends all streams and waits for the workers.
func (c *Client) Close() {
	for _, w := range c.workers {
		w.post(w.stop)
	}
	c.wg.Wait()
}

// Err returns the first thing that went wrong with any stream. Any goroutine.
func (c *Client) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.firstErr
}

func (c *Client) fail(err error) {
	c.mu.Lock()
	if c.firstErr == nil {
		c.firstErr = err
	}
	c.mu.Unlock()
	c.notify()
}

func (c *Client) notify() {
	select {
	case c.changed <- struct{}{}:
	default:
	}
}

// dial begins a connection for the stream-th stream; the socket is
// non-blocking and not yet connected.
func (c *Client) dial(stream int) (fd int, err error) {
	family, to := Sockaddr(c.cfg.Addr)
	fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("bench: socket for stream %d: %w", stream, err)
	}
	if c.cfg.Receive > 0 {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, c.cfg.Receive)
	}
	if err == nil {
		group := stream / streamsPerSource
		if c.cfg.Spread > 0 {
			group = stream % c.cfg.Spread
		}
		err = bindSource(fd, c.cfg.Addr.Addr(), c.cfg.Source+group)
	}
	if err == nil {
		if err = unix.Connect(fd, to); errors.Is(err, unix.EINPROGRESS) {
			err = nil
		}
	}
	if err != nil {
		return -1, errors.Join(fmt.Errorf("bench: connect stream %d to %v: %w", stream, c.cfg.Addr, err), unix.Close(fd))
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

// Sockaddr is a as system calls take it.
func Sockaddr(a netip.AddrPort) (family int, sa unix.Sockaddr) {
	if a.Addr().Is4() {
		return unix.AF_INET, &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return unix.AF_INET6, &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}
