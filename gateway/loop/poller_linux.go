package loop

import (
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// poller is one epoll instance and an eventfd that wakes its wait. Readiness is
// edge-triggered; EPOLLOUT is asked for only after a write met EAGAIN. The user
// data of an event is slot and generation: descriptors are reused by the
// kernel, generations are not.
type poller struct {
	// Immutable after newPoller.
	epfd, wakefd int

	// Owned by the goroutine in wait.
	raw [128]unix.EpollEvent

	// Atomic.
	timers atomic.Bool // one wait may last for pollCap; else it has no end
	closed atomic.Bool
}

// wakeSlot marks the eventfd's own events; no slab is that large.
const wakeSlot = ^uint32(0)

func newPoller() (*poller, error) {
	epfd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	wakefd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		_ = unix.Close(epfd)
		return nil, os.NewSyscallError("eventfd", err)
	}
	descriptors.took(wakefd)
	p := &poller{epfd: epfd, wakefd: wakefd}
	if err := p.ctl(unix.EPOLL_CTL_ADD, wakefd, wakeSlot, 0, unix.EPOLLIN|unix.EPOLLET); err != nil {
		p.release()
		return nil, err
	}
	return p, nil
}

func (p *poller) ctl(op, fd int, slot, gen uint32, events uint32) error {
	ev := unix.EpollEvent{Events: events, Fd: int32(slot), Pad: int32(gen)}
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(p.epfd, op, fd, &ev))
}

const readEvents = unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLET

// add begins to watch a socket for input and hang-up.
func (p *poller) add(fd int, slot, gen uint32) error {
	return p.ctl(unix.EPOLL_CTL_ADD, fd, slot, gen, readEvents)
}

// watchWrite turns the watch for writability on or off. Turning it on reports
// at once if the socket is writable already, so no edge is lost.
func (p *poller) watchWrite(fd int, slot, gen uint32, on bool) error {
	events := uint32(readEvents)
	if on {
		events |= unix.EPOLLOUT
	}
	return p.ctl(unix.EPOLL_CTL_MOD, fd, slot, gen, events)
}

// closeForgets: closing a socket ends its watch, if there is no other descriptor of it
// (epoll(7), question 6).
const closeForgets = true

// forget ends the watch of a socket of which the HTTP server may hold a duplicate for a
// moment longer.
func (p *poller) forget(fd int) {
	_ = unix.EpollCtl(p.epfd, unix.EPOLL_CTL_DEL, fd, nil)
}

// armed tells the poller whether it may wait for at most pollCap, for the sake of timers.
// On-loop only.
func (p *poller) armed(timers bool) {
	if p.timers.Load() == timers {
		return
	}
	p.timers.Store(timers)
	if timers {
		p.wake()
	}
}

// wake ends a wait early. Any goroutine.
func (p *poller) wake() {
	one := [8]byte{1}
	_, _ = unix.Write(p.wakefd, one[:])
}

// atMost returns for how long the next wait may last, 0 without an end. One goroutine.
func (p *poller) atMost() time.Duration {
	if p.timers.Load() {
		return pollCap
	}
	return 0
}

// wait blocks until something is ready, or for so long if that is not 0. One
// goroutine.
func (p *poller) wait(events []event, most time.Duration) (n int, closed bool) {
	timeout := -1
	if most != 0 {
		timeout = int((most + time.Millisecond - 1) / time.Millisecond)
	}
	got, err := unix.EpollWait(p.epfd, p.raw[:len(events)], timeout)
	if p.closed.Load() {
		return 0, true
	}
	if err != nil { // EINTR: nothing was lost
		return 0, false
	}
	for i := range got {
		ev := &p.raw[i]
		if uint32(ev.Fd) == wakeSlot {
			var drain [8]byte
			_, _ = unix.Read(p.wakefd, drain[:])
			continue
		}
		events[n] = event{
			slot: uint32(ev.Fd), gen: uint32(ev.Pad),
			readable: ev.Events&unix.EPOLLIN != 0,
			writable: ev.Events&unix.EPOLLOUT != 0,
			hangup:   ev.Events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0,
		}
		n++
	}
	return n, false
}

// close ends wait for good.
func (p *poller) close() {
	p.closed.Store(true)
	p.wake()
}

// release closes the descriptors, once nobody waits.
func (p *poller) release() {
	_ = unix.Close(p.epfd)
	_ = unix.Close(p.wakefd)
}
