package gate

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// What epoll looks for at a connection. It is told once; that something can be written
// only if a write had to wait.
const (
	watchRead = 1 << iota
	watchWrite
)

// Slots in the table of a door are counted from 1; events of these are not connections'.
const (
	listenSlot = ^uint32(0)
	wakeSlot   = listenSlot - 1
)

// door is an epoll and the connections that it has told of.
type door struct {
	// Immutable after newDoor.
	gate   *Gate
	file   *os.File // the epoll; the poller of the runtime waits for it
	raw    syscall.RawConn
	poll   func(fd uintptr) bool // harvest, bound once: a method value allocates
	epfd   int
	wakefd int
	done   chan struct{} // closed when the goroutine has ended
	swept  func()        // tells Drain that nothing waits any more

	// Owned by the goroutine in run.
	events  [128]unix.EpollEvent
	got     int   // events
	err     error // of epoll_wait
	timed   int64 // the deadline of file, see ticks; 0: none
	resting []resting
	todo    []*Conn // what is to be served, before the queue has it

	// Guarded by mu.
	mu       sync.Mutex
	users    int // of the descriptors
	closed   bool
	draining bool
	slots    []*Conn
	free     []uint32 // of slots
	gen      uint32
	lists    [kinds]list
	awake    bool  // it will look at its lists before it waits
	armed    int64 // else when it will; 0: not before it is woken

	// Atomic.
	bytes  atomic.Int64  // of buffers
	rounds atomic.Uint64 // that the goroutine has gone
}

func newDoor(g *Gate) (*door, error) {
	d := &door{gate: g, done: make(chan struct{}), users: 1, swept: sync.OnceFunc(g.draining.Done)}
	d.lists[fresh].life = int64(g.opt.HeadTime)
	d.lists[head].life = int64(g.opt.HeadTime)
	d.lists[idle].life = int64(g.opt.IdleTime)
	epfd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("gate: cannot make an epoll: %w", os.NewSyscallError("epoll_create1", err))
	}
	if d.wakefd, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		_ = unix.Close(epfd)
		return nil, fmt.Errorf("gate: cannot make a descriptor to be woken by: %w", os.NewSyscallError("eventfd", err))
	}
	_ = unix.SetNonblock(epfd, true) // that the runtime waits for it
	d.epfd, d.file, d.poll = epfd, os.NewFile(uintptr(epfd), "epoll"), d.harvest
	if d.raw, err = d.file.SyscallConn(); err == nil {
		err = d.file.SetReadDeadline(time.Time{}) // an error if the runtime does not
	}
	if err == nil {
		err = d.ctl(unix.EPOLL_CTL_ADD, d.wakefd, wakeSlot, 0, unix.EPOLLIN)
	}
	if err != nil {
		d.shut()
		return nil, fmt.Errorf("gate: cannot wait for an epoll: %w", err)
	}
	return d, nil
}

// shut closes the descriptors.
func (d *door) shut() {
	_ = d.file.Close()
	_ = unix.Close(d.wakefd)
}

func (d *door) ctl(op, fd int, slot, gen, events uint32) error {
	ev := unix.EpollEvent{Events: events, Fd: int32(slot), Pad: int32(gen)}
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(d.epfd, op, fd, &ev))
}

// use keeps the descriptors of the door open until unuse; false if they are about to be
// closed.
func (d *door) use() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return false
	}
	d.users++
	return true
}

func (d *door) unuse() {
	d.mu.Lock()
	d.users--
	last := d.closed && d.users == 0
	d.mu.Unlock()
	if last {
		d.shut()
	}
}

// drains reports whether nothing may wait any more but for the rest of a request.
func (d *door) drains() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.draining
}

// wake makes the door look at its lists. Any goroutine.
func (d *door) wake() {
	if d.use() {
		d.ring()
		d.unuse()
	}
}

// ring is wake for who uses the descriptors.
func (d *door) ring() {
	one := [8]byte{1} // in whatever order of bytes: it is not zero
	_, _ = unix.Write(d.wakefd, one[:])
}

// watch makes epoll look for more at a connection. From whoever has it.
func (c *Conn) watch(what uint8) error {
	c.mu.Lock()
	was := c.watched
	if what|was == was {
		c.mu.Unlock()
		return nil
	}
	if c.state == stateClosed || c.state == stateTaken {
		c.mu.Unlock()
		return ErrClosed
	}
	c.pins++
	c.watched |= what
	what = c.watched
	c.mu.Unlock()
	defer c.unpin()
	op := unix.EPOLL_CTL_ADD
	if was != 0 {
		op = unix.EPOLL_CTL_MOD
	}
	for {
		err := c.door.tell(c, op, what)
		c.mu.Lock()
		told := what
		if what = c.watched; err != nil {
			c.watched = was
		}
		c.mu.Unlock()
		if err != nil || told == what {
			return err
		}
		op = unix.EPOLL_CTL_MOD // whoever wants more may have told it before this did
	}
}

// tell tells epoll what to look for at a connection.
func (d *door) tell(c *Conn, op int, what uint8) error {
	if !d.use() {
		return ErrClosed
	}
	defer d.unuse()
	slot, gen := d.enter(c)
	events := uint32(unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLET)
	if what&watchWrite != 0 {
		events |= unix.EPOLLOUT
	}
	for { // one who reads and one who writes may be here at once
		switch err := d.ctl(op, int(c.fd), slot, gen, events); {
		case op == unix.EPOLL_CTL_MOD && errors.Is(err, unix.ENOENT):
			op = unix.EPOLL_CTL_ADD
		case op == unix.EPOLL_CTL_ADD && errors.Is(err, unix.EEXIST):
			op = unix.EPOLL_CTL_MOD
		default:
			return err
		}
	}
}

// unwatch makes epoll forget a descriptor that lives on.
func (d *door) unwatch(c *Conn) {
	if !d.use() {
		return
	}
	defer d.unuse()
	_ = d.ctl(unix.EPOLL_CTL_DEL, int(c.fd), 0, 0, 0)
}

// enter gives a connection a place in the table.
func (d *door) enter(c *Conn) (slot, gen uint32) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if c.slot != 0 {
		return c.slot, c.gen
	}
	d.gen++
	c.gen = d.gen
	if n := len(d.free); n > 0 {
		c.slot = d.free[n-1]
		d.free = d.free[:n-1]
		d.slots[c.slot-1] = c
	} else {
		d.slots = append(d.slots, c)
		c.slot = uint32(len(d.slots))
	}
	return c.slot, c.gen
}

// tableKept is how many places an empty table keeps.
const tableKept = 1024

// forget takes a connection out of the table and the list where it is.
func (d *door) forget(c *Conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if c.in != unlisted {
		d.lists[c.in].remove(c)
	}
	if c.slot == 0 {
		return
	}
	d.slots[c.slot-1] = nil
	d.free = append(d.free, c.slot)
	c.slot = 0
	if len(d.free) == len(d.slots) && cap(d.slots) > tableKept {
		d.slots, d.free = nil, nil
	}
}

// at returns the connection in a place; nil if it is not the one that the event is of.
func (d *door) at(slot, gen uint32) *Conn {
	d.mu.Lock()
	defer d.mu.Unlock()
	if slot == 0 || int(slot) > len(d.slots) {
		return nil
	}
	if c := d.slots[slot-1]; c != nil && c.gen == gen {
		return c
	}
	return nil
}

// harvest takes the events that there are; done is false if there are none.
func (d *door) harvest(fd uintptr) (done bool) {
	for {
		if d.got, d.err = unix.EpollWait(int(fd), d.events[:], 0); d.err != unix.EINTR {
			return d.got != 0 || d.err != nil
		}
	}
}

// run is the door's goroutine.
func (d *door) run() {
	defer close(d.done)
	for {
		d.got = 0
		if err := d.raw.Read(d.poll); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) || d.err != nil {
			d.gate.opt.Log.Error("the gate cannot wait for connections", "error", errors.Join(err, d.err))
			d.err = nil
			time.Sleep(failedRest) // cannot be: but if it is, not in a busy loop
		}
		d.mu.Lock()
		d.awake = true
		d.mu.Unlock()
		for i := range max(d.got, 0) {
			ev := &d.events[i]
			switch slot, gen := uint32(ev.Fd), uint32(ev.Pad); slot {
			case listenSlot:
				d.accept(d.gate.listener(gen))
			case wakeSlot:
				var n [8]byte
				_, _ = unix.Read(d.wakefd, n[:])
			default:
				d.ready(slot, gen, ev.Events)
			}
		}
		d.relisten()
		if !d.sweep() {
			return
		}
		d.rounds.Add(1)
	}
}

// handOver gives the queue what is to be served. It returns when the door is to look at the
// queue again, 0 for never.
func (d *door) handOver(now int64) (by int64) {
	q := &d.gate.queue
	if q.most == 0 {
		return 0
	}
	if len(d.todo) > 0 {
		q.add(d.todo, now)
		clear(d.todo)
		d.todo = d.todo[:0]
	}
	return q.look(now)
}
