package loop

import (
	"errors"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// poller is one epoll instance and an eventfd that wakes its wait. Readiness is
// edge-triggered; EPOLLOUT is asked for only after a write met EAGAIN. The user
// data of an event is slot and generation: descriptors are reused by the
// kernel, generations are not.
//
// The Go runtime's own poller waits for the epoll instance, which is a descriptor like
// any other: a wait is a goroutine that is parked, not a thread. Why: a thread in
// epoll_wait holds a P until sysmon takes that away, and it must be woken, and get a P
// again, for whatever comes.
type poller struct {
	// Immutable after newPoller.
	epfd, wakefd int
	file         *os.File           // owns epfd
	look         func(uintptr) bool // bound once: a method value allocates each time

	// Owned by the goroutine in wait.
	conn syscall.RawConn // nil: the runtime does not wait for it, so a thread does
	raw  [pollMost]unix.EpollEvent
	got  int       // how many of raw the last look saw
	end  time.Time // of a wait, as the runtime has been told; zero: none

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
	p.open()
	if err := p.ctl(unix.EPOLL_CTL_ADD, wakefd, wakeSlot, 0, unix.EPOLLIN|unix.EPOLLET); err != nil {
		p.release()
		return nil, err
	}
	return p, nil
}

// open gives the epoll instance to the runtime. What is not non-blocking, or cannot be
// polled, has no deadlines: then a thread waits.
func (p *poller) open() {
	_ = unix.SetNonblock(p.epfd, true)
	p.look = p.lookFor
	p.file = os.NewFile(uintptr(p.epfd), "epoll")
	if conn, err := p.file.SyscallConn(); err == nil && p.file.SetReadDeadline(time.Time{}) == nil {
		p.conn = conn
	}
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
func (p *poller) wait(events *[pollMost]event, most time.Duration) (n int, closed bool) {
	p.await(most)
	for i := range p.got {
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
	// Why not before: the drain may have taken the wake-up of a close since, and no other
	// comes.
	if p.closed.Load() {
		return 0, true
	}
	return n, false
}

// await waits until raw has something in it, or for so long if that is not 0.
func (p *poller) await(most time.Duration) {
	if p.conn == nil {
		timeout := -1
		if most != 0 {
			timeout = int((most + time.Millisecond - 1) / time.Millisecond)
		}
		p.see(timeout)
		return
	}
	p.got = 0
	p.setEnd(most)
	switch err := p.conn.Read(p.look); {
	case err == nil:
	case errors.Is(err, os.ErrDeadlineExceeded):
		p.end = time.Unix(0, 0) // and it stays so until another is set
	default:
		p.conn = nil
	}
}

// setEnd lets the next wait last for at most most, or without an end if that is 0. What
// was set stays while it is not too late: most waits are over long before, and each
// setting moves a timer of the runtime's. So a wait may be over too early, now and then.
func (p *poller) setEnd(most time.Duration) {
	if most == 0 && p.end.IsZero() {
		return
	}
	now := time.Now()
	var end time.Time
	if most != 0 {
		end = now.Add(most)
	}
	if over := now.After(p.end); over || most != 0 && end.Before(p.end) {
		p.end = end
		_ = p.file.SetReadDeadline(end)
	}
}

// lookFor looks without waiting, and reports whether there is no need to wait.
func (p *poller) lookFor(uintptr) bool { return p.see(0) }

// see fills raw, waiting for so many milliseconds, and reports whether it is over.
func (p *poller) see(timeout int) bool {
	got, err := unix.EpollWait(p.epfd, p.raw[:], timeout)
	p.got = max(got, 0)
	return got > 0 || err != nil // EINTR: nothing was lost
}

// close ends wait for good.
func (p *poller) close() {
	p.closed.Store(true)
	p.wake()
}

// release closes the descriptors, once nobody waits.
func (p *poller) release() {
	_ = p.file.Close()
	_ = unix.Close(p.wakefd)
}
