package gate

import (
	"fmt"
	"io"
	"math"
	"net"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// patient is a rig with a queue where nobody is found stuck, and that is never opened, so that
// nothing but what a test is about lets others take on.
func patient(t *testing.T, runners int, do func(e *echo, request []byte) bool) *rig {
	r := newRig(t, Options{Runners: runners}, func(r *rig) {
		r.do = do
		r.gate.queue.stuck, r.gate.queue.still = int64(time.Hour), int64(time.Hour)
	})
	return r
}

// oneStuck is a rig where a client waits until over is closed, and says nothing of it: one
// worker is busy with that. c expects the answer to "s". The queue is never opened.
func oneStuck(t *testing.T, runners int) (r *rig, c *net.TCPConn, over chan struct{}) {
	begun, over := make(chan struct{}), make(chan struct{})
	r = newRig(t, Options{Runners: runners}, func(r *rig) {
		r.gate.queue.still, r.gate.queue.many = int64(time.Hour), math.MaxInt
		r.do = func(_ *echo, request []byte) bool {
			if request[0] == 's' {
				close(begun)
				<-over
			}
			return true
		}
	})
	c = r.dial()
	write(t, c, "s\n\n")
	wait(t, "the one that is stuck", begun)
	return r, c, over
}

// awaitNoWorker waits until all workers of the queue have left, and none is counted on: one
// that was, and was not there, would be for ever.
func (r *rig) awaitNoWorker() {
	r.t.Helper()
	q := &r.gate.queue
	r.await("workers to leave", func() bool {
		q.mu.Lock()
		defer q.mu.Unlock()
		return len(q.workers) == 0 && len(q.conns) == 0 && q.atWork == 0
	})
}

// ask sends a request and expects its answer, on a connection of its own.
func ask(t *testing.T, r *rig, what string) {
	t.Helper()
	c := r.dial()
	write(t, c, what+"\n\n")
	expect(t, c, "1:"+what+"\n\n")
	_ = c.Close()
}

func TestNobodyWaitsBehindWhoSaysThatItWaits(t *testing.T) {
	begun, over := make(chan struct{}), make(chan struct{})
	r := patient(t, 1, func(e *echo, request []byte) bool {
		if request[0] != 'w' {
			return true
		}
		require.True(t, e.c.BeginWait())
		require.False(t, e.c.BeginWait(), "it waits already")
		close(begun)
		<-over
		e.c.EndWait()
		return true
	})
	waiting := r.dial()
	write(t, waiting, "w\n\n")
	wait(t, "the one that waits", begun)
	for n := range 40 {
		ask(t, r, fmt.Sprint("a", n))
	}
	close(over)
	expect(t, waiting, "1:w\n\n")
	write(t, waiting, "again\n\n")
	expect(t, waiting, "2:again\n\n")
	require.Zero(t, r.gate.Stats().Opened)
}

func TestNobodyWaitsBehindWhoReadsABody(t *testing.T) {
	r := patient(t, 1, func(e *echo, request []byte) bool {
		if request[0] == 'b' {
			_, err := io.ReadFull(e.c, make([]byte, 4))
			require.NoError(t, err)
		}
		return true
	})
	slow := r.dial()
	write(t, slow, "b\n\n12")
	for n := range 40 {
		ask(t, r, fmt.Sprint("a", n))
	}
	write(t, slow, "34")
	expect(t, slow, "1:b\n\n")
}

func TestAStuckWorkerOpensTheQueue(t *testing.T) {
	const all = 30
	var entered sync.WaitGroup
	entered.Add(all)
	r := newRig(t, Options{Runners: 1}, func(r *rig) {
		r.do = func(*echo, []byte) bool {
			entered.Done()
			entered.Wait() // each waits for all others, and says nothing
			return true
		}
	})
	var conns []*net.TCPConn
	for range all {
		c := r.dial()
		write(t, c, "s\n\n")
		conns = append(conns, c)
	}
	for _, c := range conns {
		expect(t, c, "1:s\n\n")
	}
	require.NotZero(t, r.gate.Stats().Opened)
}

func TestRunnersAreSoMany(t *testing.T) {
	for _, runners := range []int{1, 2} {
		var atWork, most atomic.Int64
		r := patient(t, runners, func(*echo, []byte) bool {
			n := atWork.Add(1)
			for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
			}
			for range 20 {
				runtime.Gosched()
			}
			atWork.Add(-1)
			return true
		})
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for n := range 20 {
					ask(t, r, fmt.Sprint(n))
				}
			})
		}
		wg.Wait()
		require.LessOrEqual(t, most.Load(), int64(runners))
		r.awaitNoWorker()
	}
}

// One who is stuck for long holds up others once, and not each time again.
func TestWhoIsStuckDoesNotCount(t *testing.T) {
	r, c, over := oneStuck(t, 1)
	for n := range 20 {
		ask(t, r, fmt.Sprint(n))
	}
	require.Zero(t, r.gate.Stats().Opened)
	close(over)
	expect(t, c, "1:s\n\n")
	r.awaitNoWorker()
}

// One who is stuck beside others, who are not, does not count either.
func TestOneWhoIsStuckBesideOthers(t *testing.T) {
	r, c, over := oneStuck(t, 2)
	q := &r.gate.queue
	found := func() bool {
		q.mu.Lock()
		defer q.mu.Unlock()
		return slices.ContainsFunc(q.workers, func(w *worker) bool { return w.duty == stuck })
	}
	var flood sync.WaitGroup
	for range 8 {
		flood.Go(func() {
			for deadline := time.Now().Add(liveness); !found() && time.Now().Before(deadline); {
				ask(t, r, "a")
			}
		})
	}
	flood.Wait()
	require.True(t, found())
	close(over)
	expect(t, c, "1:s\n\n")
}

// A client that ends the goroutine costs its connection, and not the queue.
func TestAWorkerThatEndsIsReplaced(t *testing.T) {
	r := patient(t, 1, func(e *echo, request []byte) bool {
		if request[0] == 'x' {
			_ = e.c.Close()
			e.rig.closed.Add(1)
			runtime.Goexit()
		}
		return true
	})
	for n := range 20 {
		c := r.dial()
		write(t, c, "x\n\n")
		expectEnd(t, c)
		ask(t, r, fmt.Sprint(n))
	}
}

// Whoever waits when a worker ends is served: nobody else would see to it.
func TestAWorkerThatEndsLeavesNobodyWaiting(t *testing.T) {
	begun, over := make(chan struct{}), make(chan struct{})
	r := patient(t, 1, func(e *echo, request []byte) bool {
		if request[0] == 'x' {
			close(begun)
			<-over
			_ = e.c.Close()
			e.rig.closed.Add(1)
			runtime.Goexit()
		}
		return true
	})
	ends := r.dial()
	write(t, ends, "x\n\n")
	wait(t, "the one that ends", begun)
	var waiting []*net.TCPConn
	for range 3 {
		c := r.dial()
		write(t, c, "a\n\n")
		waiting = append(waiting, c)
	}
	r.await("the others to wait", func() bool { return r.gate.Stats().Queued == len(waiting) })
	close(over)
	expectEnd(t, ends)
	for _, c := range waiting {
		expect(t, c, "1:a\n\n")
	}
	r.awaitNoWorker()
}

// Under a load that never lets it become empty a queue does not grow, and it gives back
// what a burst has taken.
func TestAQueueIsAsLongAsWhatWaits(t *testing.T) {
	q := &queue{most: 1, atWork: 1} // nobody is started
	w := q.begin()
	some := make([]*Conn, 100)
	for i := range some {
		some[i] = new(Conn)
	}
	q.add(some, 0)
	for range 1000 {
		for range some {
			q.add(some[:1], 0)
			require.NotNil(t, q.take(w))
		}
		require.LessOrEqual(t, len(q.conns), 4*len(some))
	}
	for range 50 {
		q.add(some, 0)
	}
	for q.take(w) != nil {
	}
	require.LessOrEqual(t, cap(q.conns), queueKept)
	q.end(w)
	require.Zero(t, q.atWork)
	require.Empty(t, q.workers)
}

// Who comes first is served first.
func TestAQueueKeepsTheOrder(t *testing.T) {
	q := &queue{most: 1, atWork: 1}
	w := q.begin()
	var all []*Conn
	for range 1000 {
		all = append(all, new(Conn))
	}
	next := 0
	for n := 0; n < len(all); {
		m := min(n+1+n%7, len(all))
		q.add(all[n:m], 0)
		for n = m; next < n-n%5; next++ {
			require.Same(t, all[next], q.take(w))
		}
	}
}

// Where many are stuck the queue is open, though somebody takes one now and then.
func TestManyWhoAreStuckOpenTheQueue(t *testing.T) {
	over := make(chan struct{})
	r := newRig(t, Options{Runners: 2}, func(r *rig) {
		r.gate.queue.still, r.gate.queue.many = int64(time.Hour), 3
		r.do = func(_ *echo, request []byte) bool {
			if request[0] == 's' {
				<-over
			}
			return true
		}
	})
	var all []*net.TCPConn
	for range 50 {
		c := r.dial()
		write(t, c, "s\n\n")
		all = append(all, c)
	}
	ask(t, r, "a")
	require.NotZero(t, r.gate.Stats().Opened)
	close(over)
	for _, c := range all {
		expect(t, c, "1:s\n\n")
	}
	r.awaitNoWorker()
}

// A client that panics while somebody else waits for its connection, as fasthttp's hijackers
// do, leaves the books right.
func TestWhoPanickedIsNotCalledBack(t *testing.T) {
	var others sync.WaitGroup
	r := patient(t, 1, func(e *echo, request []byte) bool {
		if request[0] != 'x' {
			return true
		}
		others.Go(func() { _, _ = e.c.Read(make([]byte, 1)) }) // waits, until the connection is closed
		for waits := false; !waits; runtime.Gosched() {
			e.c.mu.Lock()
			waits = e.c.waits[forReading] != nil
			e.c.mu.Unlock()
		}
		panic("x")
	})
	for range 50 {
		c := r.dial()
		write(t, c, "x\n\n")
		expectEnd(t, c)
	}
	others.Wait()
	ask(t, r, "a")
	r.awaitNoWorker()
}

// What is not plain has a worker of its own, however long the queue is.
func TestWhatIsNotPlainIsServedBesideTheQueue(t *testing.T) {
	over := make(chan struct{})
	begun := make(chan struct{}, 1)
	r := patient(t, 1, func(_ *echo, request []byte) bool {
		if request[0] == 's' {
			begun <- struct{}{}
			<-over
		}
		return true
	})
	busy := r.dial()
	write(t, busy, "s\n\n")
	wait(t, "the one that is stuck", begun)
	behind := r.dial()
	write(t, behind, "behind\n\n")
	for range 20 {
		ask(t, r, "!")
	}
	r.await("the one behind", func() bool { return r.gate.Stats().Queued == 1 })
	close(over)
	expect(t, busy, "1:s\n\n")
	expect(t, behind, "1:behind\n\n")
	r.awaitNoWorker()
}
