package node

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"

	"sluice/gateway/config"
	"sluice/gateway/hub"
)

// inRoom runs f with the room of a gateway whose publishers wait for a second.
func inRoom(t *testing.T, f func(r *bodyRoom)) {
	synctest.Test(t, func(t *testing.T) {
		r := &bodyRoom{wait: time.Second, life: 30 * time.Second, patience: bodyPatience}
		f(r)
		r.mu.Lock()
		defer r.mu.Unlock()
		require.Empty(t, r.waiting)
		inside := [bodyStates]int{}
		for _, b := range r.inside {
			inside[b.state] += b.bytes
		}
		require.Equal(t, inside, r.bytes)
	})
}

func TestLargeBodiesComeOneAfterTheOther(t *testing.T) {
	inRoom(t, func(r *bodyRoom) {
		var in [3]fasthttp.RequestHeader
		began := time.Now()
		require.True(t, r.enter(&in[0], 1<<20))
		require.True(t, r.enter(&in[1], 2<<20))
		require.Zero(t, time.Since(began), "there is room for both")
		time.AfterFunc(10*time.Millisecond, func() { r.leave(&in[1]) })
		time.AfterFunc(20*time.Millisecond, func() { r.leave(&in[0]) })
		require.True(t, r.enter(&in[2], 32<<20))
		require.Equal(t, 10*time.Millisecond, time.Since(began), "one that is larger than all room needs half of it")
		began = time.Now()
		time.AfterFunc(20*time.Millisecond, func() { r.leave(&in[2]) })
		require.True(t, r.enter(&in[1], largeBody))
		require.Equal(t, 20*time.Millisecond, time.Since(began), "nobody comes in beside it")
		r.leave(&in[1])
		r.leave(&in[2])
		require.Empty(t, r.inside)
	})
}

// Who waits longest comes first: a large body is not passed by small ones without end.
func TestBodiesKeepTheirOrder(t *testing.T) {
	inRoom(t, func(r *bodyRoom) {
		heads := make([]fasthttp.RequestHeader, 20)
		require.True(t, r.enter(&heads[0], 3<<20))
		var mu sync.Mutex
		var order []int
		for i := 1; i < len(heads); i++ {
			size := largeBody
			if i == 1 {
				size = 16 << 20
			}
			go func() {
				require.True(t, r.enter(&heads[i], size))
				mu.Lock()
				order = append(order, i)
				mu.Unlock()
				time.Sleep(time.Millisecond)
				r.leave(&heads[i])
			}()
			synctest.Wait() // it is in the queue
		}
		require.Empty(t, order, "there is no room for the large one yet")
		r.leave(&heads[0])
		synctest.Wait()
		require.Equal(t, []int{1}, order)
		time.Sleep(2 * time.Millisecond)
		synctest.Wait()
		require.Len(t, order, len(heads)-1)
	})
}

func TestASlowBodyHoldsNobodyUpForLong(t *testing.T) {
	inRoom(t, func(r *bodyRoom) {
		var slow, other, again fasthttp.RequestHeader
		began := time.Now()
		require.True(t, r.enter(&slow, 4<<20))
		time.Sleep(bodyPatience / 2)
		require.True(t, r.enter(&other, 4<<20))
		require.Equal(t, bodyPatience, time.Since(began))
		require.True(t, r.enter(&other, 4<<20)) // the next request on the connection: the last was never answered
		require.Equal(t, bodyPatience, time.Since(began))
		require.True(t, r.enter(&again, 1<<20))
		require.Equal(t, bodyPatience+bodyPatience/2, time.Since(began), "one is slow already")
		r.leave(&slow)
		r.leave(&other)
		r.leave(&again)
		require.Empty(t, r.inside)
	})
}

// Calls that wait for credit have given their buffers back, but not what they publish.
// Who finds no room in time is refused, and holds nothing.
func TestBodiesWaitForTheCallsBeforeThem(t *testing.T) {
	inRoom(t, func(r *bodyRoom) {
		began := time.Now()
		calls := make([]fasthttp.RequestHeader, CallsAtOnce/bodiesAtOnce)
		for i := range calls {
			require.True(t, r.enter(&calls[i], bodiesAtOnce))
			r.read(&calls[i], bodiesAtOnce)
		}
		require.Zero(t, time.Since(began), "bodies that were read are in nobody's way")
		var next, last fasthttp.RequestHeader
		time.AfterFunc(400*time.Millisecond, func() { r.leave(&calls[0]) })
		require.True(t, r.enter(&next, bodiesAtOnce))
		require.Equal(t, 400*time.Millisecond, time.Since(began))
		r.read(&next, bodiesAtOnce)
		require.False(t, r.enter(&last, bodiesAtOnce))
		require.Equal(t, 1400*time.Millisecond, time.Since(began), "as long as a publish waits for credit")
		r.leave(&last)
		r.leave(&next)
		for i := range calls {
			r.leave(&calls[i])
		}
		require.Empty(t, r.inside)
	})
}

// Those behind one that waited in vain come in if there is room for them.
func TestABodyThatGivesUpIsInNobodysWay(t *testing.T) {
	inRoom(t, func(r *bodyRoom) {
		var call, large, small fasthttp.RequestHeader
		require.True(t, r.enter(&call, CallsAtOnce/2+1))
		r.read(&call, CallsAtOnce/2+1)
		began := time.Now()
		go func() {
			time.Sleep(time.Second / 2)
			require.True(t, r.enter(&small, largeBody))
			require.Equal(t, time.Second, time.Since(began))
		}()
		require.False(t, r.enter(&large, CallsAtOnce))
		synctest.Wait()
	})
}

func TestABodyThatCameSlowlyCountsWhenItWasRead(t *testing.T) {
	inRoom(t, func(r *bodyRoom) {
		var slow, next, last fasthttp.RequestHeader
		require.True(t, r.enter(&slow, CallsAtOnce))
		time.Sleep(2 * bodyPatience)
		began := time.Now()
		require.True(t, r.enter(&next, 1<<20))
		require.Zero(t, time.Since(began), "others need not wait for it any more")
		r.leave(&next)
		r.read(&slow, CallsAtOnce)
		require.False(t, r.enter(&last, 1<<20))
		require.Equal(t, time.Second, time.Since(began))
	})
}

func TestPublishersWaitForRoomAsLongAsForCredit(t *testing.T) {
	var cfg config.Config
	require.Equal(t, hub.DefaultCreditWait, newBodyRoom(&cfg, nil).wait)
	cfg.HTTPAPI.PublishWait, cfg.HTTPServer.ReadTimeout = time.Minute, 30*time.Second
	require.Equal(t, time.Minute, newBodyRoom(&cfg, nil).wait)
	require.Greater(t, newBodyRoom(&cfg, nil).life, 30*time.Second)
}

// Those that have waited for calls are read one after the other all the same.
func TestBodiesThatWaitedForCallsAreNotReadAtOnce(t *testing.T) {
	inRoom(t, func(r *bodyRoom) {
		const bodies = 40
		var call fasthttp.RequestHeader
		heads := make([]fasthttp.RequestHeader, bodies)
		require.True(t, r.enter(&call, CallsAtOnce))
		r.read(&call, CallsAtOnce)
		began := time.Now()
		var in, most, now atomic.Int64
		for i := range heads {
			go func() {
				require.True(t, r.enter(&heads[i], 1<<20))
				in.Add(1)
				if n := now.Add(1); n > most.Load() {
					most.Store(n)
				}
				time.Sleep(time.Millisecond)
				now.Add(-1)
				r.leave(&heads[i])
			}()
		}
		time.Sleep(time.Second / 2)
		require.Zero(t, in.Load())
		r.leave(&call)
		for in.Load() < bodies {
			time.Sleep(time.Millisecond)
			synctest.Wait()
		}
		require.EqualValues(t, bodiesAtOnce>>20, most.Load())
		const atOnce = bodiesAtOnce >> 20
		require.Equal(t, (bodies-atOnce)/atOnce*time.Millisecond, time.Since(began)-time.Second/2)
		time.Sleep(time.Millisecond)
	})
}

func TestNobodyWaitsForRoomBehindTheEnd(t *testing.T) {
	inRoom(t, func(r *bodyRoom) {
		quit := make(chan struct{})
		r.quit = quit
		var call, next fasthttp.RequestHeader
		require.True(t, r.enter(&call, CallsAtOnce))
		r.read(&call, CallsAtOnce)
		time.AfterFunc(time.Second/2, func() { close(quit) })
		began := time.Now()
		require.False(t, r.enter(&next, 1<<20))
		require.Equal(t, time.Second/2, time.Since(began))
	})
}

// A body that was not read is told from one that was empty, and from the one before it.
func TestTheBodyThatFoundNoRoomIsKnown(t *testing.T) {
	inRoom(t, func(r *bodyRoom) {
		var call, next fasthttp.RequestHeader
		require.True(t, r.enter(&call, CallsAtOnce))
		r.read(&call, CallsAtOnce)
		const most = 32 << 20
		for announced, left := range map[int]int{1 << 20: 1 << 20, chunkedBody: most} {
			next.SetContentLength(announced)
			r.letIn(&next, most)
			require.Zero(t, next.ContentLength(), "nobody waits for it")
			require.True(t, r.unread(&next))
			next.SetContentLength(0)
			r.letIn(&next, most)
			require.False(t, r.unread(&next), "of the next request")
			next.SetContentLength(announced)
			r.letIn(&next, most)
			require.Equal(t, left, r.leave(&next))
			require.False(t, r.unread(&next))
		}
		for _, free := range []int{0, largeBody - 1, most + 1} {
			next.SetContentLength(free)
			r.letIn(&next, most)
			require.Equal(t, free, next.ContentLength(), "it is small, or refused for its size")
		}
		r.leave(&call)
		require.Empty(t, r.inside)
	})
}

// What counts of a body that is being read is the buffer that it has.
func TestABodyCountsForItsBuffer(t *testing.T) {
	for n, want := range map[int]int{0: 0, 1: 1, 2: 2, 1 << 20: 1 << 20, 1<<20 + 1: 2 << 20, 20_000_000: 32 << 20} {
		require.Equal(t, want, bufferOf(n), "%d", n)
	}
	inRoom(t, func(r *bodyRoom) {
		var h fasthttp.RequestHeader
		h.SetContentLength(600_000)
		r.letIn(&h, 32<<20)
		require.Equal(t, [bodyStates]int{bodyReading: 1 << 20}, r.bytes)
		r.read(&h, 600_000)
		require.Equal(t, [bodyStates]int{bodyRead: 600_000}, r.bytes)
		r.leave(&h)
		require.Empty(t, r.inside)
	})
}

// A body without a length counts for what it has when it was read.
func TestAChunkedBodyCountsForWhatItWas(t *testing.T) {
	inRoom(t, func(r *bodyRoom) {
		var h fasthttp.RequestHeader
		h.SetContentLength(chunkedBody)
		r.letIn(&h, 32<<20)
		require.Equal(t, unknownBody, r.bytes[bodyReading])
		r.read(&h, 5_000_000)
		require.Equal(t, [bodyStates]int{bodyRead: 5_000_000}, r.bytes)
		r.leave(&h)
		require.Empty(t, r.inside)
	})
}

// A body whose call waits for room for what it holds keeps no other one out, and counts
// again when the wait is over.
func TestBodiesOfCallsThatWaitForRoomAreInNobodysWay(t *testing.T) {
	inRoom(t, func(r *bodyRoom) {
		began := time.Now()
		var calls [4]fasthttp.RequestHeader
		for i := range calls {
			require.True(t, r.enter(&calls[i], bodiesAtOnce))
			r.calls(&calls[i], bodiesAtOnce-1, true) // before it was decoded, or after
		}
		require.EqualValues(t, len(calls)*(bodiesAtOnce-1), r.held())
		time.Sleep(time.Minute) // for ever: nobody forgets them
		require.EqualValues(t, len(calls)*(bodiesAtOnce-1), r.held())
		var next fasthttp.RequestHeader
		require.True(t, r.enter(&next, bodiesAtOnce))
		r.leave(&next)
		require.Equal(t, time.Minute, time.Since(began))
		for i := range calls {
			r.calls(&calls[i], bodiesAtOnce-1, false)
			r.read(&calls[i], bodiesAtOnce-1)
		}
		require.False(t, r.enter(&next, bodiesAtOnce))
		for i := range calls {
			r.leave(&calls[i])
		}
		var little fasthttp.RequestHeader
		r.calls(&little, 100, true) // has no room
		r.calls(&little, 100, false)
		require.Zero(t, r.held())
	})
}
