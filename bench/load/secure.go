//go:build linux

package load

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// SecureClient holds streams behind TLS open. It uses a goroutine for each that
// connects, and none for those that are open, which are not read.
type SecureClient struct {
	// Immutable after NewSecure.
	cfg Config
	tls *tls.Config

	mu sync.Mutex
	// Guarded by mu.
	conns []*tls.Conn
	begun int

	// Atomic.
	opened  atomic.Int64
	Resumed atomic.Int64 // of the opened ones, those whose session was one of before
}

// NewSecure returns a client that has no streams yet; Close must be called. Of cfg it
// takes address, request, sources and how many connect at a time. secure says whom to
// trust; with resume sessions are resumed.
func NewSecure(cfg Config, secure *tls.Config, resume bool) *SecureClient {
	c := &SecureClient{cfg: cfg, tls: secure.Clone()}
	if resume {
		c.tls.ClientSessionCache = tls.NewLRUClientSessionCache(0)
	}
	return c
}

// Open adds n streams and returns when each has its connect push, or with the first
// error. A stream may take the time of quiet.
func (c *SecureClient) Open(ctx context.Context, n int, quiet time.Duration) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	var next atomic.Int64
	first := c.begun
	for range min(n, c.cfg.InFlight) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				if err := c.open(ctx, first+i, quiet); err != nil {
					cancel(fmt.Errorf("bench: stream %d behind TLS: %w", first+i, err))
				}
			}
		})
	}
	wg.Wait()
	c.begun += n
	return context.Cause(ctx)
}

// open opens the stream of that number.
func (c *SecureClient) open(ctx context.Context, stream int, quiet time.Duration) error {
	d := net.Dialer{Timeout: quiet, Control: func(_, _ string, raw syscall.RawConn) (err error) {
		controlErr := raw.Control(func(fd uintptr) {
			err = bindSource(int(fd), c.cfg.Addr.Addr(), c.cfg.Source+stream/streamsPerSource)
		})
		return errors.Join(controlErr, err)
	}}
	plain, err := d.DialContext(ctx, "tcp", c.cfg.Addr.String())
	if err != nil {
		return err
	}
	conn := tls.Client(plain, c.tls)
	stop := context.AfterFunc(ctx, func() { _ = plain.Close() })
	defer stop()
	if err = plain.SetDeadline(time.Now().Add(quiet)); err == nil {
		if _, err = conn.Write(c.cfg.Request(stream)); err == nil {
			err = awaitPush(conn)
		}
	}
	if err != nil {
		_ = plain.Close()
		return err
	}
	c.mu.Lock()
	c.conns = append(c.conns, conn)
	c.mu.Unlock()
	if conn.ConnectionState().DidResume {
		c.Resumed.Add(1)
	}
	c.opened.Add(1)
	return nil
}

// awaitPush reads up to the connect push.
func awaitPush(conn net.Conn) error {
	var split Splitter
	var wrong error
	seen := false
	buf := make([]byte, 4<<10)
	for !seen {
		n, err := conn.Read(buf)
		if err != nil {
			return err
		}
		if err := split.Feed(buf[:n], func(data []byte) {
			if !seen && !bytes.HasPrefix(data, connectPush) {
				wrong = fmt.Errorf("expected a connect push first, got %q", Cut(data, 200))
			}
			seen = true
		}); err != nil {
			return err
		}
	}
	return wrong
}

// Held is how many streams have opened.
func (c *SecureClient) Held() int64 { return c.opened.Load() }

// Err looks whether the server has ended one of the streams.
func (c *SecureClient) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, conn := range c.conns {
		raw, err := conn.NetConn().(*net.TCPConn).SyscallConn()
		if err != nil {
			return err
		}
		ended := false
		err = raw.Control(func(fd uintptr) {
			// Pings may lie there unread.
			n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}, 0)
			ended = n > 0 || err != nil && !errors.Is(err, unix.EINTR)
		})
		if err != nil || ended {
			return errors.Join(fmt.Errorf("bench: the server ended stream %d behind TLS", i), err)
		}
	}
	return nil
}

// Close ends all streams.
func (c *SecureClient) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.conns {
		// What it could report changes no figure.
		_ = conn.NetConn().Close()
	}
	c.conns = nil
}
