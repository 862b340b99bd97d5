package front

import (
	"net/netip"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// What requests hold that wait for others counts, for all and for their address.
func TestRequestsThatWaitForOthersAreBounded(t *testing.T) {
	const each = 64<<10 + handledHeads*1000 + 500 + handlerBytes
	w := NewWaiting(WaitingOptions{PerAddress: 3, Head: 64 << 10, Bytes: 4 * (10*each + each/2) / handledShare})
	f := func(want Room, held int, from string) *Conn {
		t.Helper()
		c := conns(t, w, from)[0]
		require.Equal(t, want, Hold(c, netip.MustParseAddr(from), 1000, 500))
		st := w.Stats()
		require.Equal(t, held, st.Working)
		require.Equal(t, int64(held*each+len(w.all)*lightBytes), st.Held)
		return c
	}
	first := f(RoomTaken, 1, "192.0.2.1")
	f(RoomTaken, 2, "192.0.2.1")
	f(RoomTaken, 3, "192.0.2.1")
	f(NoRoomOfOwn, 3, "192.0.2.1")
	f(RoomTaken, 4, "2001:db8::1")
	LetGo(first)
	LetGo(first) // held nothing any more
	f(RoomTaken, 4, "192.0.2.1")
	for i := range 6 {
		f(RoomTaken, 5+i, netip.AddrFrom4([4]byte{198, 51, 100, byte(i)}).String())
	}
	f(NoRoom, 10, "203.0.113.1")
	for _, c := range w.all {
		LetGo(c)
	}
	require.Zero(t, w.Stats().Working)
	require.EqualValues(t, len(w.all)*lightBytes, w.Held())
	for i := range w.stripes {
		require.Zero(t, w.stripes[i].n.Len(), "nothing is remembered")
	}
}

// One address may not hold what all may, however few requests do it.
func TestOneAddressHoldsHalfOfWhatAllMay(t *testing.T) {
	w := NewWaiting(WaitingOptions{PerAddress: 1 << 20, Bytes: 64 << 20})
	for _, c := range conns(t, w, make([]string, 100)...) {
		_ = Hold(c, netip.MustParseAddr("192.0.2.1"), 1<<20, 0)
	}
	require.Equal(t, 11, w.Stats().Working, "of 24 MiB, each 2 MiB and a little more")
	require.Equal(t, RoomTaken, Hold(conns(t, w, "")[0], netip.MustParseAddr("192.0.2.2"), 1<<20, 0))
}

// A trusted peer that speaks for itself counts for the node only, and what it says of
// its clients for these.
func TestTrustedPeersHoldForTheNodeOnly(t *testing.T) {
	w := NewWaiting(WaitingOptions{PerAddress: 1, Bytes: 64 << 20})
	for _, c := range conns(t, w, "192.0.2.1", "192.0.2.1") {
		c.trusted = true
		require.Equal(t, RoomTaken, Hold(c, netip.MustParseAddr("::ffff:192.0.2.1"), 0, 0))
	}
	for i, c := range conns(t, w, "192.0.2.1", "192.0.2.1") {
		c.trusted = true
		require.Equal(t, []Room{RoomTaken, NoRoomOfOwn}[i], Hold(c, netip.MustParseAddr("198.51.100.1"), 0, 0))
	}
	require.Equal(t, 3, w.Stats().Working)
}

// Whatever clients and streams take, the private listener answers, and nobody who is
// connected there is closed for others.
func TestThePrivateListenerHasPlacesOfItsOwn(t *testing.T) {
	var streams atomic.Int64
	w := NewWaiting(WaitingOptions{Files: Files{Scarce: 4, None: 6, Private: 2}, Others: func() int { return int(streams.Load()) }})
	public := serve(t, Options{Waiting: w}, strictly)
	private := serve(t, Options{Waiting: w, Private: true}, strictly)
	monitor := private.dial(t, "")
	require.False(t, closing(t, monitor, get))
	streams.Store(7)
	for range 10 {
		stranger := public.dial(t, "")
		_ = stranger.TrySend("G")
		require.Empty(t, expectGone(t, stranger.NetConn()))
		c := private.dial(t, "")
		body(t, c, get)
		require.NoError(t, c.Close())
		testkit.EventuallyWithin(t, patience, func() bool { return w.private.Load() == 1 }, "its place to be free")
	}
	require.False(t, closing(t, monitor, get), "its place is its own")
	require.Zero(t, private.Stats().Shed)
	require.Zero(t, w.Stats().Evicted)

	// Beyond its own places it makes room for itself as all do.
	private.dial(t, "")
	testkit.EventuallyWithin(t, patience, func() bool { return w.private.Load() == 2 }, "both to be there")
	body(t, private.dial(t, ""), get)
	require.EqualValues(t, 1, w.Stats().Evicted)
	require.Zero(t, private.Stats().Shed)
}
