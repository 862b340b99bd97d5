package gateway

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"
)

func TestLargeBodiesComeOneAfterTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r bodyRoom
		var in [3]fasthttp.RequestHeader
		began := time.Now()
		r.enter(&in[0], 2<<20)
		r.enter(&in[1], 1<<20)
		require.Zero(t, time.Since(began), "there is room for both")
		time.AfterFunc(10*time.Millisecond, func() { r.leave(&in[1]) })
		time.AfterFunc(20*time.Millisecond, func() { r.leave(&in[0]) })
		r.enter(&in[2], 32<<20)
		require.Equal(t, 20*time.Millisecond, time.Since(began), "one that is larger than all room comes alone")
		r.leave(&in[2])
		r.leave(&in[2])
		require.Zero(t, r.bytes)
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
		require.Zero(t, r.bytes)
	})
}
