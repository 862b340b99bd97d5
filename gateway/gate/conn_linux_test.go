package gate

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// A connection that waits has this and what its client is; nothing of the runtime.
func TestAConnectionIsSmall(t *testing.T) {
	require.LessOrEqual(t, unsafe.Sizeof(Conn{}), uintptr(208))
}

// serving makes a rig where the first connection runs do on its worker, once.
func serving(t *testing.T, opt Options, do func(c *Conn)) (r *rig, c *net.TCPConn, done chan struct{}) {
	done = make(chan struct{})
	r = newRig(t, opt, func(r *rig) {
		r.do = func(e *echo, _ []byte) bool {
			defer close(done)
			do(e.c)
			_ = e.c.Close()
			return false
		}
	})
	c = r.dial()
	write(t, c, "go\n\n")
	return r, c, done
}

func wait(t *testing.T, what string, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(liveness):
		t.Fatalf("waited %v for %s", liveness, what)
	}
}

func TestReadsAndWritesThatWait(t *testing.T) {
	const size = 16 << 20 // more than sockets take
	_, c, done := serving(t, Options{}, func(c *Conn) {
		got := make([]byte, 5)
		_, err := io.ReadFull(c, got)
		require.NoError(t, err)
		n, err := c.Write(bytes.Repeat(got, size/5))
		require.NoError(t, err)
		require.Equal(t, size/5*5, n)
		n, err = c.Read(nil)
		require.Zero(t, n)
		require.NoError(t, err)
	})
	for _, b := range []string{"h", "el", "lo"} {
		write(t, c, b)
		time.Sleep(time.Millisecond) // better in pieces, but either way
	}
	got, err := io.ReadAll(c)
	require.NoError(t, err)
	require.True(t, bytes.Equal(bytes.Repeat([]byte("hello"), size/5), got))
	wait(t, "the worker", done)
}

func TestOneReadsWhileAnotherWrites(t *testing.T) {
	const size = 8 << 20
	_, c, done := serving(t, Options{}, func(c *Conn) {
		written := make(chan error, 1)
		go func() { _, err := c.Write(make([]byte, size)); written <- err }()
		n, err := io.CopyN(io.Discard, c, size)
		require.NoError(t, err)
		require.EqualValues(t, size, n)
		require.NoError(t, <-written)
	})
	go func() { _, _ = c.Write(make([]byte, size)) }()
	n, err := io.Copy(io.Discard, c)
	require.NoError(t, err)
	require.EqualValues(t, size, n)
	wait(t, "the worker", done)
}

func TestDeadlinesOfWorkers(t *testing.T) {
	_, c, done := serving(t, Options{}, func(c *Conn) {
		some, much := make([]byte, 10), make([]byte, 64<<20)
		// Over before it begins, over meanwhile, and none again.
		require.NoError(t, c.SetReadDeadline(time.Unix(1, 0)))
		_, err := c.Read(some)
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.NoError(t, c.SetDeadline(time.Now().Add(time.Millisecond)))
		_, err = c.Read(some)
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		var timeout net.Error
		require.True(t, errors.As(err, &timeout) && timeout.Timeout())
		require.NoError(t, c.SetWriteDeadline(time.Now().Add(time.Second)))
		n, err := c.Write(much)
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.Positive(t, n)
		require.Less(t, n, len(much))
		_, err = c.Write(some)
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		// One that somebody else sets, for who waits already.
		require.NoError(t, c.SetReadDeadline(time.Time{}))
		time.AfterFunc(time.Millisecond, func() { _ = c.SetReadDeadline(time.Unix(1, 0)) })
		_, err = c.Read(some)
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.NoError(t, c.SetReadDeadline(time.Now().Add(time.Hour)))
		time.AfterFunc(time.Millisecond, func() { _ = c.Close() })
		_, err = c.Read(some)
		require.ErrorIs(t, err, net.ErrClosed)
		require.ErrorIs(t, c.SetDeadline(time.Time{}), net.ErrClosed)
		require.ErrorIs(t, c.Close(), net.ErrClosed)
	})
	wait(t, "the worker", done)
	_, err := io.Copy(io.Discard, c)
	require.NoError(t, err)
}

// Deadlines are those of one who serves a request, and not of the next one.
func TestDeadlinesEndWhereTheConnectionWaits(t *testing.T) {
	r := newRig(t, Options{}, func(r *rig) {
		r.mute = true
		r.do = func(e *echo, request []byte) bool {
			if request[0] == 'b' {
				_, err := io.ReadFull(e.c, make([]byte, 4)) // which has not come yet
				require.NoError(t, err)
			}
			_, err := e.c.Write(request)
			require.NoError(t, err)
			require.NoError(t, e.c.SetDeadline(time.Unix(1, 0)))
			return true
		}
	})
	waits := func() bool { return r.gate.Stats().Idle == 1 }
	c := r.dial()
	write(t, c, "a\n\n")
	expect(t, c, "a\n\n")
	for range 3 {
		r.await("it to wait", waits)
		served := r.served.Load()
		write(t, c, "b\n\n")
		r.await("it to be served", func() bool { return r.served.Load() > served })
		write(t, c, "body")
		expect(t, c, "b\n\n")
	}
	r.await("it to wait", waits)
}

// One who reads and one who writes may both be about to wait for the first time, and tell
// epoll in either order: who writes is woken.
func TestWhoWaitsFirstMayTellEpollLast(t *testing.T) {
	pretend := func(c *Conn, watched uint8) {
		c.mu.Lock()
		c.watched = watched
		c.mu.Unlock()
	}
	for name, before := range map[string]func(c *Conn){
		"changed before it is added": func(c *Conn) { c.door.unwatch(c); pretend(c, watchRead) },
		"added twice":                func(c *Conn) { require.NoError(t, c.watch(watchRead)); pretend(c, 0) },
		"less told last": func(c *Conn) {
			c.door.unwatch(c)
			pretend(c, 0)
			slot, gen := c.door.enter(c)
			c.door.mu.Lock() // nobody else tells
			told := make(chan error)
			go func() { told <- c.watch(watchRead) }()
			for reads := false; !reads; runtime.Gosched() {
				c.mu.Lock()
				reads = c.watched == watchRead
				c.mu.Unlock()
			}
			pretend(c, watchRead|watchWrite)
			events := uint32(unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLOUT | unix.EPOLLET)
			require.NoError(t, c.door.ctl(unix.EPOLL_CTL_ADD, int(c.fd), slot, gen, events))
			c.door.mu.Unlock()
			require.NoError(t, <-told)
		},
	} {
		t.Run(name, func(t *testing.T) {
			const size = 16 << 20 // more than sockets take
			written := make(chan error, 1)
			r, c, done := serving(t, Options{}, func(c *Conn) {
				before(c)
				_, err := c.Write(make([]byte, size))
				written <- err
			})
			e := r.echo(0)
			r.await("the writer to wait", func() bool {
				e.c.mu.Lock()
				defer e.c.mu.Unlock()
				return e.c.waits[forWriting] != nil || len(written) > 0
			})
			n, err := io.Copy(io.Discard, c)
			require.NoError(t, err)
			require.NoError(t, <-written)
			require.EqualValues(t, size, n)
			wait(t, "the worker", done)
		})
	}
}

func TestCutWakesWhoWaits(t *testing.T) {
	for _, reading := range []bool{true, false} {
		r, c, done := serving(t, Options{}, func(c *Conn) {
			time.AfterFunc(time.Millisecond, c.Cut)
			var err error
			if reading {
				_, err = c.Read(make([]byte, 10))
			} else {
				_, err = c.Write(make([]byte, 64<<20))
			}
			if !errors.Is(err, net.ErrClosed) && !errors.Is(err, syscall.EPIPE) && err != io.EOF { // in the midst of a system call
				t.Errorf("expected an error for what was cut, got %v", err)
			}
			_, ok := c.TakeFD()
			require.False(t, ok)
			require.ErrorIs(t, c.CloseWrite(), net.ErrClosed)
			require.Error(t, rawConn{c}.Control(func(uintptr) { t.Error("lent a descriptor that was cut") }))
			c.Cut()
		})
		wait(t, "the worker", done)
		_, _ = io.Copy(io.Discard, c)
		r.await("the count", func() bool { return r.gate.Stats().Cut == 1 })
		require.Zero(t, r.ended.Load(), "its client closed it")
	}
}

func TestCutClosesWhatWaits(t *testing.T) {
	r := newRig(t, Options{}, nil)
	for n, sent := range []string{"", "half", "whole\n\n"} {
		c := r.dial()
		write(t, c, sent)
		e := r.echo(n)
		r.await("it to wait", func() bool {
			st := r.gate.Stats()
			return st.Served == 0 && [...]int{st.Fresh, st.Head, st.Idle}[n] == 1
		})
		e.c.Cut()
		require.EqualValues(t, 1, e.ended.Load(), "at once")
		if n == 2 {
			expect(t, c, "1:whole\n\n")
		}
		expectEnd(t, c)
		e.c.Cut()
	}
	require.Equal(t, Stats{Accepted: 3, Cut: 3, Handed: r.gate.Stats().Handed}, r.gate.Stats())
}

func TestATakenDescriptorIsTheTakers(t *testing.T) {
	for _, waited := range []bool{false, true} {
		fds := make(chan int, 1)
		r := newRig(t, Options{}, func(r *rig) {
			r.do = func(e *echo, request []byte) bool {
				if string(request) != "take\n\n" {
					return true
				}
				require.NoError(t, rawConn{e.c}.Control(func(fd uintptr) { require.EqualValues(t, e.c.fd, fd) }))
				fd, ok := e.c.TakeFD()
				require.True(t, ok)
				_, ok = e.c.TakeFD()
				require.False(t, ok)
				require.ErrorIs(t, e.c.Close(), net.ErrClosed)
				_, err := e.c.Read(make([]byte, 1))
				require.ErrorIs(t, err, net.ErrClosed)
				e.c.Cut()
				fds <- fd
				return false
			}
		})
		c := r.dial()
		if waited { // then epoll knows it
			write(t, c, "wait\n\n")
			expect(t, c, "1:wait\n\n")
			r.await("it to wait", func() bool { return r.gate.Stats().Idle == 1 })
		}
		write(t, c, "take\n\n")
		fd := <-fds
		r.await("the worker", func() bool { return r.gate.Stats().Served == 0 })
		write(t, c, "to the taker")
		_, err := unix.Write(fd, []byte("from the taker"))
		require.NoError(t, err)
		expect(t, c, "from the taker")
		require.NoError(t, unix.Close(fd))
		require.Zero(t, r.ended.Load()+r.closed.Load())
		require.Equal(t, Stats{Accepted: 1, Handed: r.gate.Stats().Handed}, r.gate.Stats())
	}
}

// A descriptor that somebody uses is not given away: he would use what it is next.
func TestADescriptorInUseIsNotTaken(t *testing.T) {
	r := newRig(t, Options{}, func(r *rig) {
		r.do = func(e *echo, _ []byte) bool {
			require.NoError(t, rawConn{e.c}.Control(func(uintptr) {
				_, ok := e.c.TakeFD()
				require.False(t, ok)
			}))
			fd, ok := e.c.TakeFD()
			require.True(t, ok)
			require.NoError(t, unix.Close(fd))
			return false
		}
	})
	c := r.dial()
	write(t, c, "take\n\n")
	expectEnd(t, c)
}

// A read of the head ends with it, however much came; what is behind comes with the next.
func TestAReadThatBeginsInAHeadEndsWithIt(t *testing.T) {
	for sent, want := range map[string][2]string{
		"a\n\n":                 {"a\n\n", ""},
		"\r\n\na\n\nbehind":     {"\r\n\na\n\n", "behind"},
		"a\n\n" + "b\n\n" + "c": {"a\n\n", "b\n\nc"},
	} {
		got := make(chan [2]string, 1)
		r := newRig(t, Options{}, func(r *rig) {
			r.do = func(e *echo, request []byte) bool {
				rest, _ := io.ReadAll(e.c)
				_ = e.c.Close()
				got <- [2]string{string(request), string(rest)}
				return false
			}
		})
		c := r.dial()
		write(t, c, sent)
		require.NoError(t, c.CloseWrite())
		require.Equal(t, want, <-got, "%q", sent)
	}
}

func TestAddresses(t *testing.T) {
	var local, remote, peer string
	_, c, done := serving(t, Options{}, func(c *Conn) {
		local, remote, peer = c.LocalAddr().String(), c.RemoteAddr().String(), c.Peer().String()
		require.NoError(t, c.CloseWrite())
	})
	wait(t, "the worker", done)
	require.Equal(t, [3]string{c.RemoteAddr().String(), c.LocalAddr().String(), c.LocalAddr().String()}, [3]string{local, remote, peer})
	expectEnd(t, c)
}

// A connection is quiet while its client is waited for and all that has come was seen.
func TestQuiet(t *testing.T) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	defer func() { _, _ = unix.Close(pair[0]), unix.Close(pair[1]) }()
	c := &Conn{fd: int32(pair[0]), state: stateWaiting}
	require.True(t, c.Awaited() && c.Quiet())
	for _, other := range []state{stateHeld, stateServing, stateTaken, stateClosed} {
		c.state = other
		require.False(t, c.Awaited() || c.Quiet(), other)
	}
	c.state, c.waits[forReading] = stateServing, &waiter{}
	require.True(t, c.Quiet(), "it is waited for by whoever serves it")
	c.waits[forReading], c.waits[forWriting] = nil, &waiter{}
	require.True(t, c.Quiet(), "it takes nothing")
	c.writable = true
	require.False(t, c.Quiet(), "it takes more")
	c.writable = false
	c.state, c.readable, c.waits[forWriting] = stateWaiting, true, nil
	require.False(t, c.Quiet(), "epoll has told of something")
	c.readable = false
	_, err = unix.Write(pair[1], []byte("x"))
	require.NoError(t, err)
	require.False(t, c.Quiet())
	require.False(t, c.Quiet(), "looking takes nothing")
	_, err = unix.Read(pair[0], make([]byte, 9))
	require.NoError(t, err)
	require.True(t, c.Quiet())
}
