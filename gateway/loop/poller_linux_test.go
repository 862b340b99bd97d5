package loop

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"sluice/codec"
	"sluice/gateway/testkit"
)

// eachPoller runs f with a poller that waits as a goroutine, and with one that waits as a
// thread, as where the runtime refuses its descriptor.
func eachPoller[T testing.TB](t T, run func(name string, f func(T)), f func(t T, p *poller)) {
	for _, name := range []string{"goroutine", "thread"} {
		run(name, func(t T) {
			p, err := newPoller()
			require.NoError(t, err)
			require.NotNil(t, p.conn)
			t.Cleanup(p.release)
			if name == "thread" {
				p.conn = nil
			}
			f(t, p)
		})
	}
}

// eachPollerOf is eachPoller in tests.
func eachPollerOf(t *testing.T, f func(t *testing.T, p *poller)) {
	eachPoller(t, func(name string, f func(*testing.T)) { t.Run(name, f) }, f)
}

// A wait that may last for a while ends, one without an end does not, whatever the one
// before was: but for one that is over too early, since what was set stays.
func TestAWaitLastsAsLongAsItMay(t *testing.T) {
	eachPollerOf(t, func(t *testing.T, p *poller) {
		var events [pollMost]event
		for range 3 {
			for _, most := range []time.Duration{time.Millisecond, 5 * time.Millisecond, time.Millisecond} {
				n, closed := p.wait(&events, most)
				require.Zero(t, n)
				require.False(t, closed)
			}
			far := watched(t, p, 1)[0]
			waits := make(chan int)
			go func() {
				n := 1
				for got, _ := p.wait(&events, 0); got == 0; n++ {
					got, _ = p.wait(&events, 0)
				}
				waits <- n
			}()
			p.wake()
			_, err := unix.Write(far, []byte("x"))
			require.NoError(t, err)
			require.LessOrEqual(t, <-waits, 3)
		}
	})
}

// A shorter wait than the one that was set before is not as long as that.
func TestAShorterWaitEndsTheLongerOne(t *testing.T) {
	eachPollerOf(t, func(t *testing.T, p *poller) {
		var events [pollMost]event
		p.wake()
		_, _ = p.wait(&events, time.Hour)
		n, closed := p.wait(&events, time.Millisecond)
		require.Zero(t, n)
		require.False(t, closed)
	})
}

// Whatever a wait may last for, and whenever that changes, its end and what ends it early
// are not lost: the deadline of the descriptor is set, moved and taken away at every distance
// from the wait.
func TestNoEndOfAWaitIsLost(t *testing.T) {
	eachPollerOf(t, func(t *testing.T, p *poller) {
		const rounds = 150
		var most, waits, seen atomic.Int64
		done := make(chan struct{})
		go func() {
			defer close(done)
			var events [pollMost]event
			for {
				n, closed := p.wait(&events, time.Duration(most.Load()))
				if closed {
					return
				}
				seen.Add(int64(n))
				waits.Add(1)
			}
		}()
		fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
		require.NoError(t, err)
		t.Cleanup(func() { _ = unix.Close(fd) })
		require.NoError(t, p.add(fd, 0, 1))
		await := func(what string, n *atomic.Int64, beyond int64) {
			t.Helper()
			testkit.EventuallyWithin(t, patience, func() bool { return n.Load() > beyond }, what)
		}
		pause := func() {
			for range rand.IntN(20_000) {
				runtime.KeepAlive(p)
			}
		}
		for range rounds {
			most.Store([]int64{0, int64(time.Hour), rand.Int64N(3e6) + 1}[rand.IntN(3)])
			p.wake()
			pause()
			if rand.IntN(2) == 0 {
				before := seen.Load()
				_, err := unix.Write(fd, []byte{1, 7: 0})
				require.NoError(t, err)
				await("an edge", &seen, before)
				continue
			}
			most.Store(rand.Int64N(1e6) + 1) // it ends by itself from here on
			p.wake()
			await("waits that end by themselves", &waits, waits.Load()+2)
		}
		p.close()
		<-done
	})
}

// A close ends the wait, though another wake-up is being taken at that moment.
func TestNoCloseIsLost(t *testing.T) {
	for range 2000 {
		p, err := newPoller()
		require.NoError(t, err)
		done := make(chan struct{})
		go func() {
			defer close(done)
			var events [pollMost]event
			for closed := false; !closed; {
				_, closed = p.wait(&events, 0)
			}
		}()
		p.wake()
		for range rand.IntN(60_000) { // until about then
			runtime.KeepAlive(p)
		}
		p.close()
		select {
		case <-done:
		case <-time.After(patience):
			t.Fatal("expected the end of a wait")
		}
		p.release()
	}
}

// watched makes sockets that the poller watches, and returns their far ends.
func watched(t testing.TB, p *poller, n int) (far []int) {
	t.Helper()
	for i := range n {
		pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		require.NoError(t, err)
		t.Cleanup(func() { _, _ = unix.Close(pair[0]), unix.Close(pair[1]) })
		require.NoError(t, p.add(pair[0], uint32(i), 1))
		far = append(far, pair[1])
	}
	return far
}

// What is ready behind the batch of one wait is seen by the next, which no edge announces.
func TestMoreReadinessThanOneWaitTakes(t *testing.T) {
	eachPollerOf(t, func(t *testing.T, p *poller) {
		const sockets = 300
		for _, fd := range watched(t, p, sockets) {
			_, err := unix.Write(fd, []byte("x"))
			require.NoError(t, err)
		}
		seen := map[uint32]bool{}
		for len(seen) < sockets {
			var events [pollMost]event
			n, closed := p.wait(&events, 0)
			require.False(t, closed)
			for _, ev := range events[:n] {
				require.True(t, ev.readable)
				require.False(t, seen[ev.slot], "expected an edge once, got it again for slot %d", ev.slot)
				seen[ev.slot] = true
			}
		}
	})
}

// Pollers that wait are parked goroutines: none is in a system call.
func TestAWaitHoldsNoThread(t *testing.T) {
	const pollers = 30
	done := make(chan bool)
	for range pollers {
		p, err := newPoller()
		require.NoError(t, err)
		t.Cleanup(p.release)
		t.Cleanup(func() { p.close(); require.True(t, <-done) })
		go func() {
			var events [pollMost]event
			_, closed := p.wait(&events, 0)
			done <- closed
		}()
	}
	stacks := make([]byte, 1<<20)
	require.Eventually(t, func() bool {
		parked := 0
		for _, g := range bytes.Split(stacks[:runtime.Stack(stacks, true)], []byte("\n\n")) {
			if bytes.Contains(g, []byte("[IO wait")) && bytes.Contains(g, []byte("(*poller).await")) {
				parked++
			}
		}
		return parked >= pollers
	}, 20*time.Second, time.Millisecond)
}

// A descriptor that the runtime does not take leaves the wait to a thread.
func TestADescriptorThatCannotBePolled(t *testing.T) {
	fd, err := unix.Open(filepath.Join(t.TempDir(), "file"), unix.O_CREAT|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	require.NoError(t, err)
	p := &poller{epfd: fd, wakefd: -1}
	p.open()
	require.Nil(t, p.conn)
	p.release()
	require.ErrorIs(t, p.file.Close(), os.ErrClosed)
}

// A loop serves its streams with either.
func TestALoopWhosePollerIsAThread(t *testing.T) {
	h := startGroup(t, 1, Options{}, func(l *Loop) { l.poller.conn = nil })
	c := h.open(tcpPair, codec.FramingChunked)
	h.do(func(l *Loop) { l.SetTimer(c.ref.Slot, l.Now()+1) })
	h.await("the timer", func() bool { return len(h.rec.fired(c.ref)) == 1 })
	c.close()
	h.awaitClosed(c, ReasonClientGone)
}

// BenchmarkPollerWake is what it takes from an edge of a descriptor to the end of the wait
// for it.
func BenchmarkPollerWake(b *testing.B) {
	eachPoller(b, func(name string, f func(*testing.B)) { b.Run(name, f) }, func(b *testing.B, p *poller) {
		p.timers.Store(true)
		fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
		require.NoError(b, err)
		b.Cleanup(func() { _ = unix.Close(fd) })
		require.NoError(b, p.add(fd, 0, 1))
		one, woken := []byte{1, 7: 0}, make(chan bool)
		go func() {
			defer close(woken)
			var events [pollMost]event
			for {
				n, closed := p.wait(&events, p.atMost())
				if closed {
					return
				}
				if n > 0 {
					woken <- true
				}
			}
		}()
		b.ReportAllocs()
		for b.Loop() {
			_, _ = unix.Write(fd, one)
			<-woken
		}
		p.close()
		<-woken
	})
}
