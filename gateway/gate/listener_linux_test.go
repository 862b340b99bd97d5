package gate

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// withFew makes descriptors scarce while f runs: so many more can be opened.
func withFew(t *testing.T, more int, f func()) {
	t.Helper()
	probe, err := unix.Dup(0)
	require.NoError(t, err)
	require.NoError(t, unix.Close(probe))
	var was unix.Rlimit
	require.NoError(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &was))
	few := was
	few.Cur = uint64(probe + more)
	require.NoError(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &few))
	defer func() { require.NoError(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &was)) }()
	f()
}

func TestAcceptWithoutDescriptors(t *testing.T) {
	var failures, shed atomic.Int64
	var wrong atomic.Pointer[error]
	r := newRig(t, Options{}, nil)
	require.NoError(t, r.l.Close())
	var l *Listener
	ready := make(chan struct{})
	var err error
	// One door: another might accept with the descriptor that the reserve was.
	l, err = r.gate.Listen(r.ln, ListenOptions{only: 1, Accepted: r.accept, Failed: func(err error) time.Duration {
		<-ready
		failures.Add(1)
		if !errors.Is(err, syscall.EMFILE) {
			wrong.Store(&err)
		}
		if l.Shed() {
			shed.Add(1)
		}
		return 0 // a millisecond at least
	}})
	require.NoError(t, err)
	close(ready)
	c, err := net.Dial("tcp", r.ln.Addr().String()) // opens what the runtime needs for it
	require.NoError(t, err)
	r.echo(0)
	require.NoError(t, c.Close())
	r.await("the end", func() bool { return r.ended.Load() == 1 })
	withFew(t, 1, func() {
		c, err = net.Dial("tcp", r.ln.Addr().String())
		require.NoError(t, err)
		_ = c.SetDeadline(time.Now().Add(liveness))
		expectEnd(t, c)
		require.NoError(t, c.Close())
	})
	require.Nil(t, wrong.Load())
	require.EqualValues(t, 1, shed.Load())
	require.Positive(t, failures.Load())
	r.await("the counts", func() bool { return r.gate.Stats().Failed >= uint64(failures.Load()) })
	again := r.dial()
	write(t, again, "hello\n\n")
	expect(t, again, "1:hello\n\n")
}

// All doors let the listener be, and none is busy with it.
func TestAListenerIsLetBe(t *testing.T) {
	var failures atomic.Int64
	r := newRig(t, Options{Doors: 4}, nil)
	require.NoError(t, r.l.Close())
	_, err := r.gate.Listen(r.ln, ListenOptions{Accepted: r.accept, Failed: func(error) time.Duration {
		failures.Add(1)
		return time.Hour
	}})
	require.NoError(t, err)
	c, err := net.Dial("tcp", r.ln.Addr().String())
	require.NoError(t, err)
	r.echo(0)
	withFew(t, 1, func() {
		more, err := net.Dial("tcp", r.ln.Addr().String())
		require.NoError(t, err)
		defer func() { _ = more.Close() }()
		r.await("the failure", func() bool { return failures.Load() > 0 })
	})
	time.Sleep(20 * time.Millisecond) // what would be wrong would be so at once
	require.LessOrEqual(t, failures.Load(), int64(4))
	require.LessOrEqual(t, r.gate.Stats().Failed, uint64(100), "each door may find out once, and then every millisecond while another asks")
	write(t, c, "hello\n\n") // others are in nobody's way
	_ = c.SetDeadline(time.Now().Add(liveness))
	expect(t, c, "1:hello\n\n")
	require.NoError(t, c.Close())
}

func TestAcceptedMayRefuse(t *testing.T) {
	r := newRig(t, Options{}, nil)
	require.NoError(t, r.l.Close())
	_, err := r.gate.Listen(r.ln, ListenOptions{Accepted: func(*Conn) Client { return nil }})
	require.NoError(t, err)
	expectEnd(t, r.dial())
	require.Zero(t, r.ended.Load())
}

// Closed while doors accept, a listener accepts nothing when Close has returned, and what
// was accepted lives on.
func TestAListenerIsClosedWhileDoorsAccept(t *testing.T) {
	r := newRig(t, Options{Doors: 4}, nil)
	held := r.dial()
	r.echo(0)
	require.NoError(t, r.l.Close())
	for range 30 {
		var accepted atomic.Int64
		l, err := r.gate.Listen(r.ln, ListenOptions{Accepted: func(c *Conn) Client { accepted.Add(1); return nil }})
		require.NoError(t, err)
		var wg sync.WaitGroup
		stop := make(chan struct{})
		for range 2 {
			wg.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					if c, err := net.Dial("tcp", r.ln.Addr().String()); err == nil {
						_ = c.(*net.TCPConn).SetLinger(0)
						_ = c.Close()
					}
				}
			})
		}
		r.await("some to be accepted", func() bool { return accepted.Load() > 5 })
		wg.Go(func() { _ = l.Close() })
		_ = l.Close()
		n := accepted.Load()
		time.Sleep(time.Millisecond)
		require.Equal(t, n, accepted.Load())
		close(stop)
		wg.Wait()
	}
	write(t, held, "hello\n\n")
	expect(t, held, "1:hello\n\n")
}

func TestTheCallersListenerMayBeClosed(t *testing.T) {
	r := newRig(t, Options{}, nil)
	addr := r.ln.Addr().String()
	require.NoError(t, r.ln.Close())
	c, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	defer func() { _ = c.Close() }()
	write(t, c, "hello\n\n")
	expect(t, c, "1:hello\n\n")
	require.NoError(t, r.l.Close())
	_, err = net.Dial("tcp", addr)
	require.Error(t, err)
	_, err = r.gate.Listen(r.ln, ListenOptions{})
	require.Error(t, err)
	_, err = r.gate.Listen(struct{ net.Listener }{}, ListenOptions{})
	require.ErrorContains(t, err, "socket")
}

func TestWhatThePoolRefusesIsServed(t *testing.T) {
	hold := make(chan struct{})
	r := newRig(t, Options{Workers: 1}, func(r *rig) {
		r.do = func(*echo, []byte) bool { <-hold; return true }
	})
	var all []*net.TCPConn
	for range 5 {
		all = append(all, r.dial())
		write(t, all[len(all)-1], "hello\n\n")
	}
	r.await("all to be served, four beside the pool", func() bool {
		st := r.gate.Stats()
		return st.Served == 5 && st.Fallbacks == 4
	})
	close(hold)
	for _, c := range all {
		expect(t, c, "1:hello\n\n")
	}
}

func TestAPanicCostsItsConnection(t *testing.T) {
	r := newRig(t, Options{HeadTime: time.Second, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}, func(r *rig) {
		r.onEnd = func() {
			if r.gate.Stats().Late > 0 {
				panic("ended")
			}
		}
		r.begins = func(e *echo) bool {
			if e.c.buf.b[0] == 'b' {
				panic("begins")
			}
			return true
		}
		r.waits = func(*echo) bool { panic("waits") }
		r.do = func(_ *echo, request []byte) bool {
			if request[0] == 's' {
				panic("serve")
			}
			return true
		}
	})
	for n, s := range []string{"b\n\n", "s\n\n", "w\n\n"} {
		c := r.dial()
		write(t, c, s)
		if s[0] == 'w' {
			expect(t, c, "1:w\n\n")
		}
		expectEnd(t, c)
		r.await("the count", func() bool { return r.gate.Stats().Panics == uint64(n+1) && r.ended.Load() == int64(n+1) })
	}
	late := r.dial() // its client panics when it is told that it ended
	expectEnd(t, late)
	r.await("the count", func() bool { return r.gate.Stats().Panics == 4 })
	require.NoError(t, r.l.Close())
	_, err := r.gate.Listen(r.ln, ListenOptions{Accepted: func(*Conn) Client { panic("accepted") }})
	require.NoError(t, err)
	expectEnd(t, r.dial())
	r.await("the count", func() bool { return r.gate.Stats().Panics == 5 && r.gate.Stats().Served == 0 })
}

func TestBeforeLetsTheListenerBe(t *testing.T) {
	var full atomic.Bool
	var asked atomic.Int64
	r := newRig(t, Options{}, nil)
	require.NoError(t, r.l.Close())
	full.Store(true)
	_, err := r.gate.Listen(r.ln, ListenOptions{Accepted: r.accept, Before: func() time.Duration {
		if asked.Add(1); full.Load() {
			return 2 * time.Millisecond
		}
		return 0
	}})
	require.NoError(t, err)
	c := r.dial()
	write(t, c, "hello\n\n")
	r.await("some questions", func() bool { return asked.Load() > 5 })
	require.Zero(t, r.accepted.Load())
	full.Store(false)
	expect(t, c, "1:hello\n\n")
}

func TestAFailureThatIsFinal(t *testing.T) {
	var failures atomic.Int64
	r := newRig(t, Options{}, nil)
	require.NoError(t, r.l.Close())
	l, err := r.gate.Listen(r.ln, ListenOptions{Accepted: r.accept, Failed: func(error) time.Duration {
		failures.Add(1)
		return -1
	}})
	require.NoError(t, err)
	require.NoError(t, unix.Shutdown(l.fd, unix.SHUT_RDWR)) // it listens no more
	r.await("the failure", func() bool { return failures.Load() > 0 })
	time.Sleep(5 * time.Millisecond) // what would be wrong would be so at once
	require.LessOrEqual(t, failures.Load(), int64(2), "doors")
	require.NoError(t, l.Close())
}
