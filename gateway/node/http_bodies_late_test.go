package node

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"
)

// Bodies that were announced and never come are no calls that others wait for, however
// many there are; nor do they hold more than their share.
func TestBodiesThatNeverCome(t *testing.T) {
	inRoom(t, func(r *bodyRoom) {
		began := time.Now()
		stalled := make([]fasthttp.RequestHeader, 100)
		var in atomic.Int64
		for i := range stalled {
			go func() {
				if r.enter(&stalled[i], 1<<20) {
					in.Add(1)
				}
			}()
		}
		synctest.Wait()
		var next fasthttp.RequestHeader
		require.False(t, r.enter(&next, 1<<20), "the share of those that come slowly is used up")
		require.EqualValues(t, slowAtOnce>>20-1, in.Load(), "each takes half of what is left at most")
		require.Equal(t, time.Second, time.Since(began), "every one of them came within the wait of the last")
		time.Sleep(r.life)
		began = time.Now()
		require.True(t, r.enter(&next, 1<<20), "the HTTP server has given them up")
		require.Zero(t, time.Since(began))
		r.leave(&next)
		require.Empty(t, r.inside)
	})
}

// A few that are very large and never come leave room for all others.
func TestVeryLargeBodiesThatNeverCome(t *testing.T) {
	inRoom(t, func(r *bodyRoom) {
		stalled := make([]fasthttp.RequestHeader, 10)
		for i := range stalled {
			go r.enter(&stalled[i], 32<<20)
		}
		time.Sleep(r.wait)
		synctest.Wait()
		began := time.Now()
		var next fasthttp.RequestHeader
		for range 100 {
			require.True(t, r.enter(&next, 128<<10))
			r.read(&next, 70_000)
			r.leave(&next)
		}
		require.LessOrEqual(t, time.Since(began), bodyPatience)
		require.LessOrEqual(t, r.bytes[bodySlow], slowAtOnce)
	})
}

// Nor does one that waits for their room keep others out, whatever becomes of it.
func TestABodyThatWaitsForSlowOnesIsInNobodysWay(t *testing.T) {
	inRoom(t, func(r *bodyRoom) {
		r.wait = 20 * time.Second
		stalled := make([]fasthttp.RequestHeader, 4)
		for i := range stalled {
			go r.enter(&stalled[i], 16<<20)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		require.Len(t, r.waiting, 1, "it would need more than half of what is left")
		began := time.Now()
		var next fasthttp.RequestHeader
		for range 100 {
			require.True(t, r.enter(&next, 128<<10))
			r.leave(&next)
		}
		require.Zero(t, time.Since(began))
		time.Sleep(r.wait)
		synctest.Wait()
	})
}

// Those that wait in vain for the same time end without harm to whoever came a moment later.
func TestABodyThatWaitsNoLongerIsInNobodysWay(t *testing.T) {
	inRoom(t, func(r *bodyRoom) {
		var call, next fasthttp.RequestHeader
		require.True(t, r.enter(&call, CallsAtOnce/2+1))
		r.read(&call, CallsAtOnce/2+1)
		large := make([]fasthttp.RequestHeader, 20)
		for i := range large {
			go func() { require.False(t, r.enter(&large[i], CallsAtOnce)) }()
		}
		synctest.Wait()
		require.True(t, r.enter(&next, largeBody), "it came in the same moment as they, and fits")
		synctest.Wait()
	})
}

// Who waits for longer than a body may take to arrive gets the room of one that never did.
func TestTheEndOfABodyThatNeverCameIsNoticed(t *testing.T) {
	inRoom(t, func(r *bodyRoom) {
		r.wait = 2 * r.life
		heads := make([]fasthttp.RequestHeader, 3)
		began := time.Now()
		require.True(t, r.enter(&heads[0], 32<<20))
		require.True(t, r.enter(&heads[1], 16<<20))
		require.Less(t, time.Since(began), time.Second)
		require.True(t, r.enter(&heads[2], 32<<20))
		require.GreaterOrEqual(t, time.Since(began), r.life)
		require.Less(t, time.Since(began), r.life+time.Second)
	})
}

// One that is larger than all room holds nobody up while the others have little of it.
func TestAVeryLargeBodyNeedsNoEmptyRoom(t *testing.T) {
	inRoom(t, func(r *bodyRoom) {
		var call, large fasthttp.RequestHeader
		require.True(t, r.enter(&call, largeBody))
		r.read(&call, largeBody)
		began := time.Now()
		require.True(t, r.enter(&large, 32<<20))
		require.Zero(t, time.Since(began))
		r.leave(&large)
		r.leave(&call)
	})
}

// One that nobody is told of is forgotten, though no other body comes.
func TestABodyThatBrokeOffUnnoticedIsForgotten(t *testing.T) {
	inRoom(t, func(r *bodyRoom) {
		var h fasthttp.RequestHeader
		require.True(t, r.enter(&h, 1<<20))
		time.Sleep(r.life - time.Nanosecond)
		require.EqualValues(t, 1<<20, r.held())
		time.Sleep(time.Nanosecond)
		require.Zero(t, r.held())
		require.Empty(t, r.inside)
		r.read(&h, 1<<20) // it came after all
		require.EqualValues(t, 1<<20, r.held())
		r.leave(&h)
		r.read(&h, largeBody-1)
		require.Empty(t, r.inside, "small ones are none")
	})
}
