package gate

import (
	"errors"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const short = 50 * time.Millisecond

func TestWhatSendsNothingInTimeIsClosed(t *testing.T) {
	r := newRig(t, Options{HeadTime: short, IdleTime: time.Hour}, nil)
	c := r.dial()
	expectEnd(t, c)
	r.await("its client", func() bool { return r.ended.Load() == 1 })
	require.EqualValues(t, 1, r.gate.Stats().Late)
	require.Zero(t, r.echo(0).begun.Load())
}

func TestWhatIsIdleForTooLongIsClosed(t *testing.T) {
	r := newRig(t, Options{HeadTime: time.Hour, IdleTime: short}, nil)
	c := r.dial()
	for range 3 {
		write(t, c, "hello\n\n")
	}
	expect(t, c, "1:hello\n\n2:hello\n\n3:hello\n\n")
	expectEnd(t, c)
	r.await("its client", func() bool { return r.ended.Load() == 1 })
	require.EqualValues(t, 1, r.gate.Stats().Late)
}

// A door may be busy, or the machine may stand still, when a time is over: what has come by
// then is not late.
func TestWhatCameWhileTheDoorWasBusyIsInTime(t *testing.T) {
	const limit = 30 * short
	busy, goOn := make(chan struct{}), make(chan struct{})
	r := newRig(t, Options{Doors: 1, HeadTime: limit, IdleTime: limit}, func(r *rig) {
		r.begins = func(e *echo) bool {
			if e == r.echo(2) {
				close(busy)
				<-goOn
			}
			return true
		}
	})
	idle, head, block := r.dial(), r.dial(), r.dial()
	r.echo(2)
	write(t, head, "hel")
	write(t, idle, "hello\n\n")
	expect(t, idle, "1:hello\n\n")
	r.await("both to wait", func() bool { st := r.gate.Stats(); return st.Idle == 1 && st.Head == 1 })
	write(t, block, "x\n\n")
	<-busy
	write(t, head, "lo\n\n")
	write(t, idle, "again\n\n")
	time.Sleep(limit) // not for something to happen, but for the time to be over
	close(goOn)
	expect(t, head, "1:hello\n\n")
	expect(t, idle, "2:again\n\n")
	require.Zero(t, r.gate.Stats().Late)
}

// The client may say why, so it is told behind what has come. Trickling gives no time.
func TestAHeadThatIsNotWholeInTimeIsServedLate(t *testing.T) {
	r := newRig(t, Options{HeadTime: 4 * short, IdleTime: time.Hour}, nil)
	begun := time.Now()
	c := r.dial()
	sent := 0
	for ; r.gate.Stats().Late == 0 && time.Since(begun) < liveness; sent++ {
		if _, err := c.Write([]byte("x")); err != nil {
			break
		}
		time.Sleep(short / 5)
	}
	expectEnd(t, c)
	e := r.echo(0)
	r.await("its client", func() bool { return r.closed.Load() == 1 })
	require.ErrorIs(t, e.last, os.ErrDeadlineExceeded)
	require.Equal(t, byte('x'), e.got[0])
	require.GreaterOrEqual(t, time.Since(begun), 4*short)
	require.EqualValues(t, 1, r.gate.Stats().Late)
	require.Zero(t, r.ended.Load())
}

func TestTheTimeOfAHeadBeginsWithItsFirstByte(t *testing.T) {
	r := newRig(t, Options{HeadTime: time.Hour, IdleTime: time.Hour}, nil)
	c := r.dial()
	r.await("it to wait", func() bool { return r.gate.Stats().Fresh == 1 })
	e := r.echo(0)
	by := func() int64 {
		e.c.door.mu.Lock()
		defer e.c.door.mu.Unlock()
		return e.c.by
	}
	first := by()
	write(t, c, "hel")
	r.await("the head", func() bool { return r.gate.Stats().Head == 1 })
	second := by()
	require.Greater(t, second, first)
	write(t, c, "lo")
	time.Sleep(time.Millisecond)
	require.Equal(t, second, by(), "more of it gives no more time")
}

func TestWithoutLimitsNoTimerIsSet(t *testing.T) {
	r := newRig(t, Options{}, nil)
	c := r.dial()
	write(t, c, "hello\n\n")
	expect(t, c, "1:hello\n\n")
	r.await("it to wait", func() bool { return r.gate.Stats().Idle == 1 })
	for _, d := range r.gate.doors {
		d.mu.Lock()
		require.Zero(t, d.armed)
		d.mu.Unlock()
	}
}

func TestBeginsAndWaitsMayRefuse(t *testing.T) {
	var begins, waits atomic.Bool
	r := newRig(t, Options{}, func(r *rig) {
		r.begins = func(*echo) bool { return begins.Load() }
		r.waits = func(*echo) bool { return waits.Load() }
	})
	a := r.dial()
	write(t, a, "hello\n\n")
	expectEnd(t, a)
	begins.Store(true)
	b := r.dial()
	write(t, b, "hello\n\n")
	expect(t, b, "1:hello\n\n")
	expectEnd(t, b)
	waits.Store(true)
	c := r.dial()
	write(t, c, "hello\n\n")
	expect(t, c, "1:hello\n\n")
	r.await("it to wait", func() bool { return r.gate.Stats().Idle == 1 })
	begins.Store(false)
	write(t, c, "h")
	expectEnd(t, c)
	r.await("their clients", func() bool { return r.ended.Load() == 3 })
}

func TestDrain(t *testing.T) {
	hold := make(chan struct{})
	r := newRig(t, Options{HeadTime: time.Hour, IdleTime: time.Hour}, func(r *rig) {
		r.do = func(_ *echo, request []byte) bool {
			if string(request) == "hold\n\n" {
				<-hold
			}
			return true
		}
	})
	fresh, head, idle, served := r.dial(), r.dial(), r.dial(), r.dial()
	write(t, head, "hel")
	write(t, idle, "hello\n\n")
	expect(t, idle, "1:hello\n\n")
	write(t, served, "hold\n\n")
	r.await("all of them", func() bool {
		st := r.gate.Stats()
		return st.Fresh == 1 && st.Head == 1 && st.Idle == 1 && st.Served == 1
	})
	r.gate.Drain()
	st := r.gate.Stats()
	require.Equal(t, [3]int{0, 1, 0}, [3]int{st.Fresh, st.Head, st.Idle})
	expectEnd(t, fresh)
	expectEnd(t, idle)
	close(hold)
	expect(t, served, "1:hold\n\n")
	expectEnd(t, served)
	write(t, head, "lo\n\n")
	expect(t, head, "1:hello\n\n")
	expectEnd(t, head)
	late := r.dial()
	expectEnd(t, late)
	r.gate.Drain()
	require.Zero(t, r.gate.Stats().Late)
	r.await("their clients", func() bool { return r.ended.Load() == 5 })
}

// What has come before the gate drains is answered, even if no door has seen it yet.
func TestDrainLosesNoRequestThatHasCome(t *testing.T) {
	for range 20 {
		block, blocked := make(chan struct{}), make(chan struct{})
		r := newRig(t, Options{Doors: 1}, func(r *rig) {
			r.begins = func(e *echo) bool {
				if e.c.buf.b[0] == 'x' {
					close(blocked)
					<-block
				}
				return true
			}
		})
		c := r.dial()
		write(t, c, "hello\n\n")
		expect(t, c, "1:hello\n\n")
		r.await("it to wait", func() bool { return r.gate.Stats().Idle == 1 })
		other := r.dial()
		write(t, other, "x")
		<-blocked // the door
		write(t, c, "again\n\n")
		go func() {
			for !r.gate.doors[0].drains() {
				time.Sleep(time.Millisecond)
			}
			close(block)
		}()
		r.gate.Drain()
		expect(t, c, "2:again\n\n")
		expectEnd(t, c)
	}
}

func TestCloseEndsEverything(t *testing.T) {
	stuck := make(chan error, 1)
	r := newRig(t, Options{HeadTime: time.Hour, IdleTime: time.Hour}, func(r *rig) {
		r.do = func(e *echo, request []byte) bool {
			if string(request) == "hold\n\n" {
				_, err := e.c.Read(make([]byte, 1))
				stuck <- err
			}
			return true
		}
	})
	head, idle, served := r.dial(), r.dial(), r.dial()
	write(t, head, "hel")
	write(t, idle, "hello\n\n")
	expect(t, idle, "1:hello\n\n")
	write(t, served, "hold\n\n")
	r.await("all of them", func() bool {
		st := r.gate.Stats()
		return st.Head == 1 && st.Idle == 1 && st.Served == 1
	})
	r.gate.Close()
	r.gate.Close()
	if err := <-stuck; !errors.Is(err, net.ErrClosed) && !errors.Is(err, ErrClosed) {
		t.Errorf("expected what waits to be told, got %v", err)
	}
	expectEnd(t, head)
	expectEnd(t, idle)
	expectEnd(t, served)
	_, err := r.gate.Listen(r.ln, ListenOptions{})
	require.ErrorIs(t, err, ErrClosed)
}

func TestAGateThatNeverStarted(t *testing.T) {
	g, err := New(Options{Doors: 3, Workers: 1})
	require.NoError(t, err)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = ln.Close() }()
	l, err := g.Listen(ln, ListenOptions{})
	require.NoError(t, err)
	g.Drain()
	g.Close()
	g.Start()
	require.ErrorIs(t, l.Close(), ErrClosed)
	_, err = New(Options{})
	require.Error(t, err)
}

// Events of a connection that is gone must not reach the one that has its place.
func TestEventsOfWhatIsGoneAreIgnored(t *testing.T) {
	g, err := New(Options{Doors: 1, Workers: 1})
	require.NoError(t, err)
	defer g.Close()
	d := g.doors[0]
	a, b := &Conn{door: d}, &Conn{door: d}
	slot, gen := d.enter(a)
	d.forget(a)
	slot2, gen2 := d.enter(b)
	require.Equal(t, slot, slot2)
	require.NotEqual(t, gen, gen2)
	require.Nil(t, d.at(slot, gen))
	require.Same(t, b, d.at(slot2, gen2))
	require.Nil(t, d.at(0, gen))
	require.Nil(t, d.at(99, gen))
	d.forget(b)
	require.Nil(t, d.at(slot2, gen2))
}

func TestAnEmptyTableGivesBack(t *testing.T) {
	g, err := New(Options{Doors: 1, Workers: 1})
	require.NoError(t, err)
	defer g.Close()
	d := g.doors[0]
	var all []*Conn
	for range tableKept + 1 {
		all = append(all, &Conn{door: d})
		d.enter(all[len(all)-1])
	}
	for _, c := range all {
		d.forget(c)
	}
	require.Nil(t, d.slots)
	require.Nil(t, d.free)
}

// Many slow heads have no goroutine each, and what is idle has no buffer.
func TestSlowHeadsAndIdleConnectionsHaveNoGoroutine(t *testing.T) {
	r := newRig(t, Options{HeadTime: time.Hour, IdleTime: time.Hour, WorkerIdle: 10 * time.Millisecond}, nil)
	const many = 300
	for n := range many {
		c := r.dial()
		if n%2 == 0 {
			write(t, c, "slow")
			continue
		}
		write(t, c, "hello\n\n")
		expect(t, c, "1:hello\n\n")
	}
	r.await("all to wait", func() bool {
		st := r.gate.Stats()
		return st.Head == many/2 && st.Idle == many/2 && st.Served == 0
	})
	require.EqualValues(t, many/2*sizes[0], r.gate.Stats().Bytes)
	r.await("the workers to end", func() bool { return r.gate.pool.Running() == 0 })
}

func TestFarewell(t *testing.T) {
	hold := make(chan struct{})
	r := newRig(t, Options{HeadTime: 10 * short, IdleTime: 4 * short}, func(r *rig) {
		r.bye = "bye"
		r.do = func(_ *echo, request []byte) bool {
			if string(request) == "hold\n\n" {
				<-hold
			}
			return true
		}
	})
	require.NoError(t, r.l.Close())
	_, err := r.gate.Listen(r.ln, ListenOptions{Accepted: r.accept, Farewell: true})
	require.NoError(t, err)
	silent, late := r.dial(), r.dial()
	write(t, late, "hello\n\n")
	expect(t, late, "1:hello\n\nbye")
	expectEnd(t, late)
	expectEnd(t, silent)
	r.await("the ends", func() bool { return r.closed.Load() == 1 && r.ended.Load() == 1 })

	idle, served := r.dial(), r.dial()
	write(t, served, "hold\n\n")
	r.await("it to be served", func() bool { return r.gate.Stats().Handed == 3 })
	write(t, idle, "hello\n\n")
	expect(t, idle, "1:hello\n\n")
	r.await("it to wait", func() bool { return r.gate.Stats().Idle == 1 })
	r.gate.Drain()
	expect(t, idle, "bye")
	expectEnd(t, idle)
	close(hold)
	expect(t, served, "1:hold\n\nbye")
	expectEnd(t, served)
	r.await("the ends", func() bool { return r.closed.Load() == 3 && r.ended.Load() == 1 })
}

// What epoll says between the last look at a socket and the wait is not lost: the window
// is too small to be met from outside.
func TestWhatEpollSaysBeforeTheWaitIsNotLost(t *testing.T) {
	g, err := New(Options{Doors: 1, Workers: 1})
	require.NoError(t, err)
	defer g.Close()
	c := &Conn{door: g.doors[0], client: nobody{}, readable: true}
	require.False(t, c.wait())
	require.Equal(t, stateHeld, c.state)
	require.Zero(t, g.Stats().Fresh)

	c.readBy = 1 // over: the socket is not tried, so it may be readable still
	require.True(t, c.try(forReading))
	require.True(t, c.readable)
	c.readBy = 0
	require.False(t, c.try(forReading))
	require.False(t, c.readable)
	require.True(t, c.wait())
	require.Equal(t, 1, g.Stats().Fresh)
	g.doors[0].unlist(c) // it has no descriptor that could be closed
}
