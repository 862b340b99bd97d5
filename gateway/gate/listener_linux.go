package gate

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// acceptBatch bounds how many connections a door accepts before it looks at what
	// else there is to do.
	acceptBatch = 32
	// failedRest is for how long a listener is let be where nobody says; leastRest is
	// the least, that a door is not busy with it.
	failedRest = 50 * time.Millisecond
	leastRest  = time.Millisecond
	forever    = math.MaxInt64
)

// Listener is a listening socket of a gate. Make it with [Gate.Listen].
type Listener struct {
	// Immutable after Listen.
	gate   *Gate
	opt    ListenOptions
	fd     int
	number int

	idle chan struct{} // closed when it is closed and no door uses fd any more
	done chan struct{} // closed when Close is done

	// Guarded by mu.
	mu      sync.Mutex
	users   int // of fd: doors that accept
	closed  bool
	failing bool // a door is telling Failed

	// Owned by the door that tells Failed.
	reserve int // a descriptor for Shed; -1: there is none

	// Atomic.
	until atomic.Int64 // it is let be until then, see ticks
}

// resting is a listener that a door lets be.
type resting struct {
	ln    *Listener
	until int64 // see ticks
}

// Listen accepts the connections of a listener, which the caller may close: the gate has a
// descriptor of its own. With [Listener.Close] the gate lets go of it.
func (g *Gate) Listen(ln net.Listener, opt ListenOptions) (*Listener, error) {
	sc, ok := ln.(syscall.Conn)
	if !ok {
		return nil, fmt.Errorf("gate: a listener with a socket is needed, got a %T", ln)
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("gate: cannot use the listener: %w", err)
	}
	l := &Listener{gate: g, opt: opt, fd: -1, reserve: -1, idle: make(chan struct{}), done: make(chan struct{})}
	cerr := raw.Control(func(fd uintptr) { l.fd, err = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0) })
	if err = errors.Join(cerr, err); err == nil {
		err = unix.SetNonblock(l.fd, true)
	}
	if err != nil {
		l.release()
		return nil, fmt.Errorf("gate: cannot take the listener's socket: %w", err)
	}
	// Accepted sockets inherit it. Unix sockets do not have it.
	_ = unix.SetsockoptInt(l.fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	l.hold()
	if err := g.enter(l); err != nil {
		l.release()
		return nil, err
	}
	for i, d := range g.doors {
		if l.opt.only != 0 && l.opt.only != i+1 {
			continue
		}
		if err := d.listen(l); err != nil {
			_ = l.Close()
			return nil, fmt.Errorf("gate: cannot wait for connections: %w", err)
		}
	}
	return l, nil
}

// enter gives a listener a number.
func (g *Gate) enter(l *Listener) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return ErrClosed
	}
	all := append([]*Listener(nil), *g.listeners.Load()...)
	for l.number < len(all) && all[l.number] != nil {
		l.number++
	}
	if l.number == len(all) {
		all = append(all, nil)
	}
	all[l.number] = l
	g.listeners.Store(&all)
	return nil
}

// leave frees its number.
func (g *Gate) leave(l *Listener) {
	g.mu.Lock()
	defer g.mu.Unlock()
	all := append([]*Listener(nil), *g.listeners.Load()...)
	all[l.number] = nil
	g.listeners.Store(&all)
}

// listener returns the one with a number; nil if it was closed.
func (g *Gate) listener(number uint32) *Listener {
	if all := *g.listeners.Load(); int(number) < len(all) {
		return all[number]
	}
	return nil
}

// listen makes epoll look for connections. EPOLLEXCLUSIVE does not keep other doors from being
// woken for one: what waits for the epoll of a door is that of the runtime. They find none.
func (d *door) listen(l *Listener) error {
	if !l.use() {
		return ErrClosed
	}
	defer l.unuse()
	if !d.use() {
		return ErrClosed
	}
	defer d.unuse()
	return d.ctl(unix.EPOLL_CTL_ADD, l.fd, listenSlot, uint32(l.number), unix.EPOLLIN|unix.EPOLLEXCLUSIVE)
}

// unlisten makes epoll forget a listener. The caller keeps its descriptor open.
func (d *door) unlisten(l *Listener) {
	if d.use() {
		_ = d.ctl(unix.EPOLL_CTL_DEL, l.fd, 0, 0, 0)
		d.unuse()
	}
}

// use keeps the descriptor open until unuse; false if it is about to be closed.
func (l *Listener) use() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.users++
	return true
}

func (l *Listener) unuse() {
	l.mu.Lock()
	l.users--
	last := l.closed && l.users == 0
	l.mu.Unlock()
	if last {
		close(l.idle)
	}
}

// release closes the descriptors.
func (l *Listener) release() {
	for _, fd := range []int{l.fd, l.reserve} {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
}

// Close lets go of the listener: when it returns no door accepts from it any more. What was
// accepted stays. Any goroutine, but not from Accepted or Failed.
func (l *Listener) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		<-l.done
		return ErrClosed
	}
	l.closed = true
	if l.users == 0 {
		close(l.idle)
	}
	l.mu.Unlock()
	<-l.idle // nobody listens again, either
	for _, d := range l.gate.doors {
		d.unlisten(l)
	}
	l.gate.leave(l)
	l.release()
	close(l.done)
	return nil
}

// accept accepts what there is, up to a batch. A door.
func (d *door) accept(l *Listener) {
	if l == nil || !l.use() {
		return
	}
	defer l.unuse()
	if until := l.until.Load(); until > 0 && until > clock() {
		d.letBe(l, until)
		return
	}
	for range acceptBatch {
		if l.opt.Before != nil {
			if rest := l.ask(l.opt.Before); rest > 0 {
				d.letBe(l, clock()+int64(max(rest, leastRest)))
				return
			}
		}
		var sa unix.RawSockaddrAny
		size := uint32(unix.SizeofSockaddrAny)
		fd, _, e := unix.Syscall6(unix.SYS_ACCEPT4, uintptr(l.fd), uintptr(unsafe.Pointer(&sa)), uintptr(unsafe.Pointer(&size)), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
		switch e {
		case 0:
			d.admit(l, int(fd), &sa)
		case unix.EAGAIN:
			return
		case unix.EINTR, unix.ECONNABORTED: // the client has given up
		default:
			d.failed(l, os.NewSyscallError("accept4", e))
			return
		}
	}
}

// admit lets a connection in.
func (d *door) admit(l *Listener, fd int, sa *unix.RawSockaddrAny) {
	d.gate.accepted.Add(1)
	c := &Conn{door: d, fd: int32(fd), peer: peerOf(sa), farewell: l.opt.Farewell}
	defer c.survive()
	c.client = nobody{}
	if client := l.opt.Accepted(c); client != nil {
		c.client = client
		d.settle(c, false)
		return
	}
	c.drop()
}

// nobody is the client of a connection that is not wanted.
type nobody struct{}

func (nobody) Begins() bool      { return false }
func (nobody) Whole([]byte) bool { return false }
func (nobody) Serve()            {}
func (nobody) Waits() bool       { return false }
func (nobody) Plain([]byte) bool { return false }
func (nobody) Ended()            {}

// failed is told that accept failed: the listener is let be for a while.
func (d *door) failed(l *Listener, err error) {
	d.gate.failed.Add(1)
	l.mu.Lock()
	first := !l.failing
	l.failing = true
	l.mu.Unlock()
	until := clock() + int64(leastRest) // if another door is about to find out for how long
	if first {
		rest := failedRest
		if l.opt.Failed != nil {
			rest = l.ask(func() time.Duration { return l.opt.Failed(err) })
		}
		if until = max(clock()+int64(rest), until); rest < 0 {
			until = forever
		}
		l.until.Store(until)
		l.mu.Lock()
		l.failing = false
		l.mu.Unlock()
	}
	d.letBe(l, until)
}

// ask asks whoever made the listener for how long it is to be let be.
func (l *Listener) ask(f func() time.Duration) (rest time.Duration) {
	defer func() {
		if v := recover(); v != nil {
			rest = failedRest
			l.gate.panics.Add(1)
			l.gate.opt.Log.Error("who is asked about a listener has panicked", "panic", v, "stack", string(debug.Stack()))
		}
	}()
	return f()
}

// letBe makes the door look for connections again only later: epoll would tell of them all
// the time.
func (d *door) letBe(l *Listener, until int64) {
	d.unlisten(l)
	if until != forever {
		d.resting = append(d.resting, resting{l, until})
	}
}

// relisten looks for connections again where the rest is over.
func (d *door) relisten() {
	if len(d.resting) == 0 {
		return
	}
	now, kept := clock(), d.resting[:0]
	for _, r := range d.resting {
		switch until := max(r.until, r.ln.until.Load()); {
		case until == forever:
		case until > now:
			kept = append(kept, resting{r.ln, until})
		default:
			err := d.listen(r.ln)
			if err != nil && !errors.Is(err, ErrClosed) {
				kept = append(kept, resting{r.ln, now + int64(failedRest)})
			}
		}
	}
	clear(d.resting[len(kept):])
	d.resting = kept
}

// hold opens the reserve.
func (l *Listener) hold() {
	if fd, err := unix.Open(os.DevNull, unix.O_RDONLY|unix.O_CLOEXEC, 0); err == nil {
		l.reserve = fd
	}
}

// Shed closes a connection of the backlog without an answer where there is no descriptor
// for it, by means of one that the listener has in reserve. It reports whether there was
// one. From ListenOptions.Failed only.
func (l *Listener) Shed() bool {
	if l.reserve < 0 {
		l.hold()
		return false
	}
	_ = unix.Close(l.reserve)
	l.reserve = -1
	fd, _, err := unix.Accept4(l.fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
	if err == nil {
		_ = unix.Close(fd)
	}
	l.hold()
	return err == nil
}

// peerOf is the address of who has connected; on a Unix socket nobody has one.
func peerOf(sa *unix.RawSockaddrAny) netip.AddrPort {
	switch sa.Addr.Family {
	case unix.AF_INET:
		a := (*unix.RawSockaddrInet4)(unsafe.Pointer(sa))
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), hostOrder(a.Port))
	case unix.AF_INET6:
		a := (*unix.RawSockaddrInet6)(unsafe.Pointer(sa))
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr).Unmap(), hostOrder(a.Port))
	}
	return netip.AddrPort{}
}

// hostOrder is a port that came in the order of the network, on any machine.
func hostOrder(port uint16) uint16 {
	b := (*[2]byte)(unsafe.Pointer(&port))
	return uint16(b[0])<<8 | uint16(b[1])
}
