//go:build linux

package publish

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"

	"sluice/bench/figures"
	"sluice/bench/load"
)

// Hammer sends the same request over a few keep-alive connections from one
// thread with an epoll of its own, one request in flight on each, so that the
// generator takes as little of the machine as it can. Each message is stamped with
// when it was due; every connection is a publisher with numbers of its own. One
// goroutine at a time.
type Hammer struct {
	// Immutable after newHammer.
	request   []byte // stamped before each write
	payloadAt int    // where in it the message stands; -1: nothing is stamped
	accepts   func(status int, body []byte) bool
	quiet     time.Duration

	epfd, timerfd int
	conns         []*hammerConn
	free          []int // connections without a request in flight; the last is next
	buf           []byte

	wall   int64 // the wall clock's lead over the monotonic one, ns
	done   int64
	failed error
	lag    *hdrhistogram.Histogram
}

// hammerConn is one connection. due is when its request was to be sent, in ns
// of the monotonic clock.
type hammerConn struct {
	fd   int
	due  int64
	next uint32 // number of the next message
	head []byte // the answer so far
}

// timerData marks the timer among epoll events.
const timerData = -1

func newHammer(addr netip.AddrPort, conns int, request []byte, payloadAt int, accepts func(status int, body []byte) bool, quiet time.Duration) (h *Hammer, err error) {
	h = &Hammer{request: request, payloadAt: payloadAt, accepts: accepts, quiet: quiet, epfd: -1, timerfd: -1, buf: make([]byte, 64<<10)}
	defer func() {
		if err != nil {
			h.Close()
		}
	}()
	if h.epfd, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("bench: epoll_create1: %w", err)
	}
	if h.timerfd, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC); err != nil {
		return nil, fmt.Errorf("bench: timerfd_create: %w", err)
	}
	if err = h.watch(h.timerfd, timerData); err != nil {
		return nil, err
	}
	family, to := load.Sockaddr(addr)
	for i := range conns {
		fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return nil, fmt.Errorf("bench: socket: %w", err)
		}
		h.conns = append(h.conns, &hammerConn{fd: fd})
		if err = unix.Connect(fd, to); err == nil {
			err = errors.Join(unix.SetNonblock(fd, true), unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1))
		}
		if err != nil {
			return nil, fmt.Errorf("bench: connect to %v: %w", addr, err)
		}
		if err = h.watch(fd, i); err != nil {
			return nil, err
		}
	}
	return h, nil
}

func (h *Hammer) watch(fd, data int) error {
	ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(data)}
	if err := unix.EpollCtl(h.epfd, unix.EPOLL_CTL_ADD, fd, &ev); err != nil {
		return fmt.Errorf("bench: epoll_ctl: %w", err)
	}
	return nil
}

// Close closes all connections; what it could report changes no figure.
func (h *Hammer) Close() {
	for _, c := range h.conns {
		_ = unix.Close(c.fd)
	}
	for _, fd := range []int{h.epfd, h.timerfd} {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
}

// Hammered is what a run of a hammer brought.
type Hammered struct {
	Answers int64
	Elapsed time.Duration
	Lag     *hdrhistogram.Histogram // of the answers: µs since the request was due
}

// PerSecond is how many answers came in a second.
func (x Hammered) PerSecond() float64 { return float64(x.Answers) / max(x.Elapsed, 1).Seconds() }

// Run sends for d, and awaits the last answers. With rate 0 a connection sends
// again as soon as it has its answer; with a rate requests are due on a fixed
// schedule, and wait for a free connection where all are taken.
func (h *Hammer) Run(ctx context.Context, d time.Duration, rate float64) (Hammered, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	h.done, h.failed, h.lag, h.free = 0, nil, figures.NewHistogram(), h.free[:0]
	for i := range h.conns {
		h.free = append(h.free, i)
	}
	begin := monotonic()
	h.wall = time.Now().UnixNano() - begin
	end := begin + d.Nanoseconds()
	schedule := schedule{begin: begin, end: end, rate: rate}
	events := make([]unix.EpollEvent, len(h.conns)+1)
	for now, last := begin, begin; ; now = monotonic() {
		if err := ctx.Err(); err != nil {
			return Hammered{}, err
		}
		h.sendDue(&schedule, now)
		over := schedule.over(now)
		if h.failed != nil || over && len(h.free) == len(h.conns) {
			return Hammered{h.done, time.Duration(now - begin), h.lag}, h.failed
		}
		if err := h.arm(&schedule, now, over); err != nil {
			return Hammered{}, err
		}
		n, err := unix.EpollWait(h.epfd, events, int(h.quiet.Milliseconds()))
		if err != nil && !errors.Is(err, unix.EINTR) {
			return Hammered{}, fmt.Errorf("bench: epoll_wait: %w", err)
		}
		before := h.done
		for i := range max(n, 0) {
			if events[i].Fd != timerData {
				h.read(int(events[i].Fd))
			}
		}
		if h.done > before || len(h.free) == len(h.conns) {
			last = monotonic()
		} else if monotonic()-last > h.quiet.Nanoseconds() {
			return Hammered{}, fmt.Errorf("bench: no answer for %v", h.quiet)
		}
	}
}

// schedule says when requests are due.
type schedule struct {
	begin, end int64
	rate       float64 // 0: as soon as there is a connection
	sent       int64
}

// next is when the next request is due.
func (s *schedule) next(now int64) int64 {
	if s.rate == 0 {
		return now
	}
	return s.begin + int64(float64(s.sent)/s.rate*1e9)
}

// over reports whether nothing is to be sent any more.
func (s *schedule) over(now int64) bool { return s.next(now) >= s.end }

// sendDue sends what is due while connections are free.
func (h *Hammer) sendDue(s *schedule, now int64) {
	for len(h.free) > 0 && h.failed == nil {
		due := s.next(now)
		if due > now || due >= s.end {
			return
		}
		i := h.free[len(h.free)-1]
		h.free = h.free[:len(h.free)-1]
		c := h.conns[i]
		c.due, c.head = due, c.head[:0]
		if h.payloadAt >= 0 {
			load.StampPayload(h.request[h.payloadAt:], load.Message{Sent: due + h.wall, Publisher: i, Seq: c.next})
		}
		c.next++
		if n, err := unix.Write(c.fd, h.request); err != nil || n < len(h.request) {
			h.failed = fmt.Errorf("bench: only %d of %d request bytes fit into a socket: %w", n, len(h.request), err)
		}
		s.sent++
	}
}

// arm sets the timer for the next request, if a connection is free for it.
func (h *Hammer) arm(s *schedule, now int64, over bool) error {
	if s.rate == 0 || over || len(h.free) == 0 {
		return nil
	}
	wait := max(1, s.next(now)-now)
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(wait)}
	if err := unix.TimerfdSettime(h.timerfd, 0, &spec, nil); err != nil {
		return fmt.Errorf("bench: timerfd_settime: %w", err)
	}
	return nil
}

// read takes an answer, or a part of one, of connection i.
func (h *Hammer) read(i int) {
	c := h.conns[i]
	n, err := unix.Read(c.fd, h.buf)
	switch {
	case errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR):
		return
	case err != nil:
		h.failed = fmt.Errorf("bench: read of an answer: %w", err)
		return
	case n == 0:
		h.failed = errors.New("bench: the server closed a keep-alive connection")
		return
	}
	answer := h.buf[:n]
	if len(c.head) > 0 {
		c.head = append(c.head, answer...)
		answer = c.head
	}
	status, body, whole, err := load.ParseAnswer(answer)
	switch {
	case err != nil:
		h.failed = err
	case !whole && len(c.head) == 0:
		c.head = append(c.head, answer...)
	case !whole:
	case !h.accepts(status, body):
		h.failed = fmt.Errorf("bench: an answer was %d %s; check -key and the server's log", status, load.Cut(body, 200))
	default:
		h.done++
		figures.RecordMicros(h.lag, monotonic()-c.due)
		h.free = append(h.free, i)
		c.head = c.head[:0]
	}
}

// monotonic is the time in ns of the clock that timers use.
func monotonic() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		panic(fmt.Sprintf("BUG: clock_gettime failed: %v", err))
	}
	return ts.Nano()
}
