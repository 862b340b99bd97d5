package gateway

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

func TestLargeBodiesComeOneAfterTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r bodyRoom
		var in [3]fasthttp.RequestHeader
		began := time.Now()
		r.enter(&in[0], 1<<20)
		r.enter(&in[1], 1<<20)
		require.Zero(t, time.Since(began), "there is room for both")
		time.AfterFunc(10*time.Millisecond, func() { r.leave(&in[1]) })
		time.AfterFunc(20*time.Millisecond, func() { r.leave(&in[0]) })
		r.enter(&in[2], 32<<20)
		require.Equal(t, 20*time.Millisecond, time.Since(began), "one that is larger than all room comes alone")
		r.leave(&in[2])
		r.leave(&in[2])
		require.Empty(t, r.inside)
	})
}

func TestASlowBodyHoldsNobodyUpForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r bodyRoom
		var slow, other, again fasthttp.RequestHeader
		began := time.Now()
		r.enter(&slow, 4<<20)
		time.Sleep(bodyPatience / 2)
		r.enter(&other, 4<<20)
		require.Equal(t, bodyPatience, time.Since(began))
		r.enter(&other, 4<<20) // the next request on the connection: the last was never answered
		require.Equal(t, bodyPatience, time.Since(began))
		r.enter(&again, 1<<20)
		require.Equal(t, 2*bodyPatience, time.Since(began))
		r.leave(&slow)
		r.leave(&again)
		require.Empty(t, r.inside)
	})
}

// Calls that wait for credit have given their buffers back, but not what they publish.
func TestBodiesWaitForTheCallsBeforeThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := bodyRoom{wait: time.Second}
		began := time.Now()
		calls := make([]fasthttp.RequestHeader, callsAtOnce/bodiesAtOnce)
		for i := range calls {
			r.enter(&calls[i], bodiesAtOnce)
			r.read(&calls[i], bodiesAtOnce)
		}
		require.Zero(t, time.Since(began), "bodies that were read are in nobody's way")
		var next, last fasthttp.RequestHeader
		time.AfterFunc(400*time.Millisecond, func() { r.leave(&calls[0]) })
		r.enter(&next, bodiesAtOnce)
		require.Equal(t, 400*time.Millisecond, time.Since(began))
		r.read(&next, bodiesAtOnce)
		r.enter(&last, bodiesAtOnce)
		require.Equal(t, 1400*time.Millisecond, time.Since(began), "no call waits for credit for longer")
		r.leave(&last)
		r.leave(&next)
		for i := range calls {
			r.leave(&calls[i])
		}
		require.Empty(t, r.inside)
	})
}

func TestABodyThatCameSlowlyCountsWhenItWasRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := bodyRoom{wait: time.Second}
		var slow, next, last fasthttp.RequestHeader
		r.enter(&slow, callsAtOnce)
		time.Sleep(2 * bodyPatience)
		began := time.Now()
		r.enter(&next, 1<<20)
		require.Zero(t, time.Since(began), "others need not wait for it any more")
		r.leave(&next)
		r.read(&slow, callsAtOnce)
		r.enter(&last, 1<<20)
		require.Equal(t, time.Second, time.Since(began))
	})
}

func TestABodyWaitsNoLongerThanItMayTakeToArrive(t *testing.T) {
	var cfg config.Config
	cfg.HTTPServer.ReadTimeout = 30 * time.Second
	require.Equal(t, hub.DefaultCreditWait, bodyWait(&cfg))
	cfg.HTTPAPI.PublishWait = 5 * time.Second
	require.Equal(t, 5*time.Second, bodyWait(&cfg))
	cfg.HTTPAPI.PublishWait = time.Minute
	require.Equal(t, 15*time.Second-bodyPatience, bodyWait(&cfg))
	cfg.HTTPServer.ReadTimeout = 100 * time.Millisecond
	require.Zero(t, bodyWait(&cfg))
}

// Bodies that were announced and never come are no calls that others wait for.
func TestBodiesThatNeverComeHoldNobodyUpForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := bodyRoom{wait: 5 * time.Second}
		began := time.Now()
		stalled := make([]fasthttp.RequestHeader, 20)
		var wg sync.WaitGroup
		for i := range stalled {
			wg.Go(func() { r.enter(&stalled[i], 32<<20) })
		}
		wg.Wait()
		var next fasthttp.RequestHeader
		r.enter(&next, 1<<20)
		require.LessOrEqual(t, time.Since(began), 2*bodyPatience)
	})
}

// Those that have waited for calls are read one after the other all the same.
func TestBodiesThatWaitedForCallsAreNotReadAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := bodyRoom{wait: 4 * bodyPatience}
		const bodies = 40
		var call fasthttp.RequestHeader
		heads := make([]fasthttp.RequestHeader, bodies)
		r.read(&call, callsAtOnce)
		began := time.Now()
		var in atomic.Int64
		var wg sync.WaitGroup
		for i := range heads {
			wg.Go(func() {
				r.enter(&heads[i], 1<<20)
				in.Add(1)
				time.Sleep(time.Millisecond)
				r.leave(&heads[i])
			})
		}
		time.Sleep(4*bodyPatience - 1)
		require.Zero(t, in.Load())
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		require.EqualValues(t, bodiesAtOnce>>20, in.Load())
		for in.Load() < bodies {
			time.Sleep(time.Millisecond)
			synctest.Wait()
		}
		require.Equal(t, (bodies-2)/2*time.Millisecond, time.Since(began)-4*bodyPatience)
		wg.Wait()
	})
}

func TestNobodyWaitsForRoomBehindTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		quit := make(chan struct{})
		r := bodyRoom{wait: time.Minute, quit: quit}
		var call, next fasthttp.RequestHeader
		r.read(&call, callsAtOnce)
		time.AfterFunc(time.Second, func() { close(quit) })
		began := time.Now()
		r.enter(&next, 1<<20)
		require.Equal(t, time.Second, time.Since(began))
	})
}

// Nor are those that had waited for bodies before they waited for calls.
func TestBodiesThatWaitedForBothAreNotReadAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := bodyRoom{wait: time.Second}
		var first fasthttp.RequestHeader
		heads := make([]fasthttp.RequestHeader, 10)
		r.enter(&first, callsAtOnce)
		var in atomic.Int64
		var wg sync.WaitGroup
		for i := range heads {
			wg.Go(func() {
				r.enter(&heads[i], bodiesAtOnce)
				in.Add(1)
				time.Sleep(time.Millisecond)
				r.leave(&heads[i])
			})
		}
		time.Sleep(bodyPatience / 2)
		r.read(&first, callsAtOnce)
		time.Sleep(time.Second - bodyPatience/2)
		synctest.Wait()
		require.EqualValues(t, 1, in.Load())
		wg.Wait()
	})
}
