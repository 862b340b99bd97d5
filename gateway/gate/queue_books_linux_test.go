package gate

import (
	"fmt"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What is added to an open queue starts as many workers as it counts: one too many would
// be counted for ever, and in the end nobody started.
func TestAnOpenQueueCountsWhomItStarts(t *testing.T) {
	r := patient(t, 1, func(*echo, []byte) bool { return true })
	q := &r.gate.queue
	q.mu.Lock()
	q.open = clock() + int64(time.Hour)
	q.mu.Unlock()
	for n := range 20 {
		ask(t, r, fmt.Sprint(n))
	}
	r.awaitNoWorker()
}

// A worker that has waited counts again: beside it as many others would be at work as
// there may be.
func TestWhoHasWaitedCountsAgain(t *testing.T) {
	r := patient(t, 1, func(e *echo, _ []byte) bool {
		q := &e.rig.gate.queue
		atWork := func() int {
			q.mu.Lock()
			defer q.mu.Unlock()
			return q.atWork
		}
		for range 2 {
			require.Equal(t, 1, atWork())
			require.True(t, e.c.BeginWait())
			require.Zero(t, atWork())
			e.c.EndWait()
		}
		require.Equal(t, 1, atWork())
		return true
	})
	for range 5 {
		ask(t, r, "a")
	}
	r.awaitNoWorker()
}

// A connection that its worker has left by runtime.Goexit has nobody whom waiting would
// concern: the worker is no more.
func TestWhoHasLeftIsNotCalledBack(t *testing.T) {
	left := make(chan *echo, 1)
	r := patient(t, 1, func(e *echo, request []byte) bool {
		if request[0] == 'x' {
			left <- e
			runtime.Goexit()
		}
		return true
	})
	c := r.dial()
	write(t, c, "x\n\n")
	e := <-left
	r.awaitNoWorker()
	require.NoError(t, e.c.SetReadDeadline(time.Now().Add(10*time.Millisecond)))
	_, err := e.c.Read(make([]byte, 1)) // waits
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	require.NoError(t, e.c.Close())
	e.rig.closed.Add(1)
	r.awaitNoWorker()
	ask(t, r, "a")
}

// Somebody else may wait for a connection while its worker leaves it, as fasthttp's
// hijackers do.
func TestWhoWaitsWhileTheWorkerLeaves(t *testing.T) {
	var others sync.WaitGroup
	begun := make(chan struct{}, 1)
	r := patient(t, 1, func(e *echo, request []byte) bool {
		others.Go(func() {
			for n := range 20 {
				_ = e.c.SetReadDeadline(time.Now().Add(time.Duration(n) * time.Microsecond))
				_, _ = e.c.Read(make([]byte, 1))
			}
			_ = e.c.Close()
			e.rig.closed.Add(1)
		})
		begun <- struct{}{}
		return false
	})
	for range 60 {
		c := r.dial()
		write(t, c, "x\n\n")
		expectEnd(t, c)
		<-begun
	}
	others.Wait()
	r.awaitNoWorker()
}
