//go:build !linux

package loop

// What this package asks of the system, in the way of systems other than Linux. It is
// for development on them, not for load.

import (
	"bytes"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// poller stands in for epoll where there is none: a goroutine for each socket
// waits in poll(2).
type poller struct {
	events chan event
	done   chan struct{}
	timers atomic.Bool // as armed was told

	// Guarded by mu.
	mu      sync.Mutex
	watched map[int]*watch
}

type watch struct {
	slot, gen uint32
	write     bool
	stop      bool
}

func newPoller() (*poller, error) {
	return &poller{
		events: make(chan event, pollMost), done: make(chan struct{}), watched: make(map[int]*watch),
	}, nil
}

func (p *poller) add(fd int, slot, gen uint32) error {
	w := &watch{slot: slot, gen: gen}
	p.mu.Lock()
	p.watched[fd] = w
	p.mu.Unlock()
	go p.watch(fd, w)
	return nil
}

// watch asks for one stream's readiness again and again, until it is forgotten.
func (p *poller) watch(fd int, w *watch) {
	for {
		p.mu.Lock()
		stop, write := w.stop, w.write
		p.mu.Unlock()
		if stop {
			return
		}
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		if write {
			fds[0].Events |= unix.POLLOUT
		}
		n, err := unix.Poll(fds, int(pollCap/time.Millisecond))
		if err != nil && !errors.Is(err, unix.EINTR) {
			return
		}
		if n <= 0 {
			continue
		}
		got := fds[0].Revents
		ev := event{
			slot: w.slot, gen: w.gen,
			readable: got&unix.POLLIN != 0,
			writable: got&unix.POLLOUT != 0,
			hangup:   got&(unix.POLLHUP|unix.POLLERR|unix.POLLNVAL) != 0,
		}
		select {
		case p.events <- ev:
		case <-p.done:
			return
		}
		time.Sleep(time.Millisecond) // level-triggered: let the turn act on it
	}
}

func (p *poller) watchWrite(fd int, _, _ uint32, on bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if w := p.watched[fd]; w != nil {
		w.write = on
	}
	return nil
}

// closeForgets: closing a socket does not end its watch.
const closeForgets = false

func (p *poller) forget(fd int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if w := p.watched[fd]; w != nil {
		w.stop = true
		delete(p.watched, fd)
	}
}

func (p *poller) armed(timers bool)     { p.timers.Store(timers) }
func (p *poller) wake()                 {} // waits are short
func (p *poller) atMost() time.Duration { return pollCap }

func (p *poller) wait(events *[pollMost]event, most time.Duration) (n int, closed bool) {
	t := time.NewTimer(most)
	defer t.Stop()
	select {
	case events[0] = <-p.events:
		return 1, false
	case <-t.C:
		return 0, false
	case <-p.done:
		return 0, true
	}
}

func (p *poller) close()   { close(p.done) }
func (p *poller) release() {}

// dupCloseOnExec returns a duplicate of a descriptor.
func dupCloseOnExec(fd int) (int, error) {
	n, err := syscall.Dup(fd)
	if err == nil {
		syscall.CloseOnExec(n)
	}
	return n, err
}

func (o SocketOptions) set(int) {}

// ReusePort is refused here: other systems do not spread connections.
func ReusePort(string, string, syscall.RawConn) error {
	return errors.New("loop: a port can be shared by processes on Linux only")
}

// DeferAccept does nothing here.
func DeferAccept(net.Listener) {}

// Unsent cannot be told here.
func Unsent(syscall.Conn) int { return 0 }

// iovecs is the scratch list of one write.
type iovecs struct {
	pieces [][]byte
	joined []byte
}

func (v *iovecs) add(b []byte) { v.pieces = append(v.pieces, b) }

// join appends all pieces to dst.
func (v *iovecs) join(dst []byte) []byte { return append(dst, bytes.Join(v.pieces, nil)...) }

func (v *iovecs) reset() {
	clear(v.pieces)
	v.pieces = v.pieces[:0]
}

// write joins the gathered pieces and writes them at once.
func (l *Loop) write(fd, _ int) (int, error) {
	v := &l.iov
	v.joined = v.joined[:0]
	for _, p := range v.pieces {
		v.joined = append(v.joined, p...)
	}
	for {
		n, err := syscall.Write(fd, v.joined)
		if err != syscall.EINTR {
			return max(n, 0), err
		}
	}
}

// batch stands in for io_uring where there is none.
type batch struct{}

func newBatch() (*batch, error) { return nil, errors.New("loop: io_uring is a part of Linux") }

func (b *batch) close() {}

func (l *Loop) flushBatches() (more bool) { return l.flushOneByOne() }
