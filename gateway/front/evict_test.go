package front

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"

	"sluice/gateway/front/client"
	"sluice/gateway/front/strict"
	"sluice/gateway/testkit"
)

// strictly makes a test server one that lets connections be idle only where they may.
func strictly(srv *fasthttp.Server) {
	srv.Handler = strict.Handler(srv.Handler, func(ctx *fasthttp.RequestCtx, status int, _ string) { ctx.SetStatusCode(status) })
}

// closing reports whether an answer is the last of its connection.
func closing(t *testing.T, c *testkit.Conn, request string) bool {
	t.Helper()
	c.Send(request)
	head := c.ReadHead(t)
	require.Equal(t, 200, head.Status, head.Raw)
	_, err := io.Copy(io.Discard, c.Body())
	require.NoError(t, err)
	return strings.Contains(strings.ToLower(head.Raw), "connection: close")
}

func TestTheOldestIdleConnectionMakesRoomForANewerOne(t *testing.T) {
	s := serve(t, Options{Waiting: NewWaiting(WaitingOptions{PerAddress: 2, IdlePerAddress: 3})}, strictly)
	var all [3]*testkit.Conn
	for i := range all {
		all[i] = s.dial(t, "")
		require.False(t, closing(t, all[i], get))
		s.expectIdle(t, i+1)
	}
	other := s.dial(t, "127.0.0.2")
	require.False(t, closing(t, other, get), "another address")
	require.False(t, closing(t, all[0], get), "the first one is the newest now")
	s.expectIdle(t, 4)

	newer := s.dial(t, "")
	require.False(t, closing(t, newer, get))
	require.Empty(t, expectGone(t, all[1].NetConn()), "the oldest")
	s.expectIdle(t, 4)
	for _, c := range []*testkit.Conn{all[2], all[0], newer, other} {
		require.False(t, closing(t, c, get))
	}
	require.EqualValues(t, 1, s.waiting.Stats().Older)
	require.Zero(t, s.waiting.Stats().Evicted)

	require.NoError(t, newer.Close())
	s.expectIdle(t, 3)
	require.False(t, closing(t, s.dial(t, ""), get), "a place that became free")
	require.EqualValues(t, 1, s.waiting.Stats().Older)
}

// Whose request has come whole gets its answer, though nobody has read it yet.
func TestNobodyIsClosedForOthersOnceItsRequestHasCome(t *testing.T) {
	w := NewWaiting(WaitingOptions{})
	c := conns(t, w, "192.0.2.1")[0]
	require.True(t, w.begin(c, time.Now()))
	whole := []byte(get)
	require.False(t, c.Whole(whole[:len(whole)-1]))
	require.True(t, c.place.waits())
	require.True(t, c.Whole(whole))
	require.False(t, w.evict())

	w.awaits(c) // the HTTP server wants more: its body
	require.True(t, w.evict())
}

// Who takes an answer yet is no idle one to close.
func TestNobodyIsClosedForANewerOneInTheMidstOfItsAnswer(t *testing.T) {
	w := NewWaiting(WaitingOptions{IdlePerAddress: 1})
	all := conns(t, w, "192.0.2.1", "192.0.2.1")
	require.True(t, w.begin(all[0], time.Now()) && w.release(all[0]) && w.stay(all[0]))
	require.True(t, w.begin(all[1], time.Now()) && w.release(all[1]))
	require.False(t, w.stay(all[1]))
	require.EqualValues(t, 1, w.Stats().Lasts)
	w.waits(all[0])
	require.True(t, w.stay(all[1]))
	require.EqualValues(t, 1, w.Stats().Older)
	require.False(t, w.begin(all[0], time.Now()), "it was closed")
}

func (s *served) expectIdle(t *testing.T, n int) {
	t.Helper()
	testkit.EventuallyWithin(t, patience, func() bool { return s.waiting.Stats().Idle == n }, fmt.Sprintf("%d idle connections", n))
}

// Where the next request has begun with the end of the one before, the HTTP server
// keeps its buffers for it: such a connection is not idle.
func TestTheBeginningOfTheNextRequestIsHalfOpen(t *testing.T) {
	f := func(name string, behind string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			s := serve(t, Options{Waiting: NewWaiting(WaitingOptions{PerAddress: 1, Bytes: 1 << 30, Head: 64 << 10})}, strictly)
			c := s.dial(t, "")
			require.False(t, closing(t, c, get+behind))
			s.expectHalfOpen(t, 1)
			want := lightBytes + s.waiting.heavyBytes()
			if onGate {
				want = gatedBytes + firstRead // the gate has it, and it is short
			}
			testkit.EventuallyWithin(t, patience, func() bool { return s.waiting.Stats().Held == want }, "its buffers to count")
		})
	}
	f("a byte", "G")
	f("an empty line", "\r\n")
	f("most of it", get[:len(get)-1])
}

// Whoever takes all the memory there is does it to himself.
func TestSlowConnectionsMakeRoomForOthers(t *testing.T) {
	const fit = 5
	w := NewWaiting(WaitingOptions{PerAddress: 1 << 20, Head: 64 << 10})
	w.opt.Bytes = fit * (lightBytes + w.heavyBytes())
	slow := "GET /" + strings.Repeat("x", 3*firstRead)
	if onGate {
		w.opt.Bytes = fit * (gatedBytes + 2*int64(len(slow)))
	}
	s := serve(t, Options{Waiting: w}, strictly)
	idle := s.dial(t, "127.0.0.2")
	require.False(t, closing(t, idle, get))
	settles := func(n int) {
		t.Helper()
		testkit.EventuallyWithin(t, patience, func() bool {
			st := w.Stats()
			return st.Half+int(st.Evicted) == n && st.Held <= w.opt.Bytes
		}, "all but those that fit to be closed")
	}
	for n := range 2 * fit { // who finds memory short at the same moment as another closes one, too
		s.dial(t, "127.0.0.3").Send(slow)
		settles(n + 1)
	}
	require.GreaterOrEqual(t, w.Stats().Half, fit-2, "no more than need be")
	for range 2 * fit {
		s.dial(t, "127.0.0.3").Send(slow)
	}
	settles(4 * fit)
	require.Positive(t, w.Stats().Half)
	require.False(t, closing(t, idle, get), "it takes little")
	require.False(t, closing(t, s.dial(t, "127.0.0.4"), slow+" HTTP/1.1\r\nHost: h\r\n\r\n"), "one that is not slow")
}

// Connections that go on saying nothing hold the descriptors, and whoever has something to say gets
// through, at once and each time.
func TestSilentConnectionsMakeRoomForRequests(t *testing.T) {
	w := NewWaiting(WaitingOptions{PerAddress: 1 << 20, Files: Files{Scarce: 8, None: 12}})
	s := serve(t, Options{Waiting: w}, strictly)
	for range 40 {
		_ = s.dial(t, "127.0.0.2").TrySend("G")
	}
	for range 20 {
		require.Equal(t, "127.0.0.3", hostOf(t, body(t, s.dial(t, "127.0.0.3"), get)))
	}
	require.LessOrEqual(t, w.used(), 12)
	require.Positive(t, w.Stats().Evicted)
	require.Zero(t, s.Stats().Shed)
}

func TestWithoutAPlaceNewcomersAreClosedAtOnce(t *testing.T) {
	var streams atomic.Int64
	streams.Store(10)
	w := NewWaiting(WaitingOptions{Files: Files{Scarce: 5, None: 10}, Others: func() int { return int(streams.Load()) }})
	s := serve(t, Options{Waiting: w}, strictly)
	for range 30 { // at one a second this would take too long
		c := s.dial(t, "")
		_ = c.TrySend("G")
		require.Empty(t, expectGone(t, c.NetConn()))
	}
	require.EqualValues(t, 30, s.Stats().Shed)
	streams.Store(9)
	require.True(t, closing(t, s.dial(t, ""), get), "one place, which nobody may hold")
	streams.Store(0)
	testkit.EventuallyWithin(t, patience, func() bool { return w.used() == 0 }, "it to be free")
	require.False(t, closing(t, s.dial(t, ""), get))
}

// A backend keeps many connections, and a flood from many addresses has one of each.
func TestTheOperatorsOwnAreEvictedLast(t *testing.T) {
	w := NewWaiting(WaitingOptions{PerAddress: 1000})
	now := time.Now()
	const own = draws + 8 // more than are drawn at once
	addresses := slices.Repeat([]string{"192.0.2.1"}, own)
	for i := range 4 {
		addresses = append(addresses, fmt.Sprintf("198.51.100.%d", i))
	}
	all := conns(t, w, addresses...)
	for i, c := range all {
		require.True(t, w.begin(c, now.Add(time.Duration(i)*time.Second)))
		if i < own {
			SetKnown(c)
			require.True(t, Known(c))
		}
	}
	for range 4 {
		require.True(t, w.evict())
	}
	strangers := 0
	for _, c := range all[own:] {
		if c.place.state.Load() == placeEnded {
			strangers++
		}
	}
	require.GreaterOrEqual(t, strangers, 3, "of four, the last of whom may not be drawn")
	for range 2 {
		require.True(t, w.evict(), "there is nobody else")
	}
}

// Looking for what came behind the request for a stream begins no request: its connection
// counts for nobody and cannot be evicted while it is handed over.
func TestAConnectionThatIsTakenOverIsLetBe(t *testing.T) {
	read := make(chan int, 1)
	s := serve(t, Options{Waiting: NewWaiting(WaitingOptions{PerAddress: 1, Bytes: 1, Head: 64 << 10})}, func(srv *fasthttp.Server) {
		srv.Handler = func(ctx *fasthttp.RequestCtx) {
			ctx.HijackSetNoResponse(true)
			ctx.Hijack(func(c net.Conn) {
				_ = c.SetReadDeadline(time.Unix(1, 0))
				n, err := c.Read(make([]byte, 8))
				if err == nil || errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) {
					n = -1
				}
				read <- n
			})
		}
		strictly(srv)
	})
	c := s.dial(t, "")
	c.Send(get)
	require.Zero(t, <-read, "it was neither refused nor closed")
	require.Zero(t, s.waiting.Stats().Evicted)
}

func TestWhoIsEvicted(t *testing.T) {
	w := NewWaiting(WaitingOptions{PerAddress: 100})
	now := time.Now()
	all := conns(t, w, "192.0.2.1", "192.0.2.2", "192.0.2.2", "192.0.2.3")
	ends := func(name string, want *Conn) {
		t.Helper()
		if want == nil {
			require.False(t, w.evict(), name)
			return
		}
		require.True(t, w.evict(), name)
		require.Equal(t, placeEnded, want.place.state.Load(), name)
	}
	ends("nothing was read of any", nil)
	for i, c := range all {
		require.True(t, w.begin(c, now.Add(time.Duration(-i)*time.Second)))
	}
	ends("of the address with the most, who waits longest", all[2])
	ends("of all, who waits longest", all[3])
	require.True(t, w.release(all[0]))
	ends("not who is answered", all[1])
	require.True(t, w.stay(all[0]))
	ends("nor to whom the answer is being written", nil)
	w.waits(all[0])
	ends("who is idle", all[0])
	require.False(t, w.release(all[0]), "a request that came in the same moment is not answered")
	require.False(t, all[0].serving())
	require.Zero(t, w.has(client.KeyOf(netip.MustParseAddr("192.0.2.2"))))
	require.EqualValues(t, 4, w.Stats().Evicted)
}

// One that has not been idle for some time is not closed for a newer one: that goes, with its
// answer.
func TestNobodyIsClosedForANewerOneWhileYoung(t *testing.T) {
	for young, stays := range map[time.Duration]bool{time.Hour: false, 0: true} {
		w := NewWaiting(WaitingOptions{IdlePerAddress: 1, Young: young})
		all := conns(t, w, "192.0.2.1", "192.0.2.1")
		require.True(t, w.begin(all[0], time.Now()) && w.release(all[0]) && w.stay(all[0]))
		w.waits(all[0])
		require.True(t, w.begin(all[1], time.Now()) && w.release(all[1]))
		require.Equal(t, stays, w.stay(all[1]), young)
		require.Equal(t, stays, w.Stats().Older == 1 && w.Stats().Lasts == 0, young)
		require.Equal(t, 1, w.Stats().Idle, young)
	}
}

// Nor is one of whom something has come that nobody has read: neither a request nor the rest
// of one. There is another to go, if only the last of all.
func TestNobodyIsClosedForOthersWhoseBytesHaveCome(t *testing.T) {
	near, far := socketPair(t)
	w := NewWaiting(WaitingOptions{IdlePerAddress: 1})
	all := conns(t, w, "192.0.2.1", "192.0.2.1")
	all[0].Conn = near
	require.True(t, w.begin(all[0], time.Now()) && w.release(all[0]) && w.stay(all[0]))
	w.waits(all[0])
	_, err := io.WriteString(far, "G")
	require.NoError(t, err)
	testkit.EventuallyWithin(t, patience, all[0].hasCome, "a byte to come")
	require.True(t, w.begin(all[1], time.Now()) && w.release(all[1]))
	require.False(t, w.stay(all[1]), "it is not closed for a newer one")
	require.False(t, w.evict())
	require.True(t, w.begin(all[0], time.Now()))
	require.False(t, w.evict(), "though its request has begun")
	require.True(t, w.begin(all[1], time.Now().Add(time.Hour)))
	require.True(t, w.canMakeRoom())
	require.True(t, w.evict(), "the other one goes, who was to be the last")
	require.False(t, w.release(all[1]))

	other := conns(t, w, "192.0.2.2")[0]
	require.True(t, w.begin(other, time.Now().Add(-time.Minute)))
	more := conns(t, w, "192.0.2.1")[0]
	more.Conn = near
	require.True(t, w.begin(more, time.Now()))
	require.False(t, w.evict(), "nor does one of an address that has less, in the place of those")
	require.False(t, w.canMakeRoom())
	w.opt.Bytes = 1
	require.True(t, w.evict(), "memory cannot wait")
	require.Equal(t, placeHalf, other.place.state.Load())
}

// Where there is no gate nobody can tell who is at work on what he has read, but he himself.
func TestNobodyIsClosedForOthersWhileHeIsServed(t *testing.T) {
	near, far := socketPair(t)
	w := NewWaiting(WaitingOptions{})
	c := conns(t, w, "192.0.2.1")[0]
	c.Conn = near
	_, err := io.WriteString(far, "GET")
	require.NoError(t, err)
	_, err = c.Read(make([]byte, 8))
	require.NoError(t, err)
	require.False(t, w.evict(), "its bytes are in good hands")
	began := c.place.since.Load()
	require.Negative(t, began)

	read := make(chan error)
	go func() {
		_, err := c.Read(make([]byte, 8))
		read <- err
	}()
	testkit.EventuallyWithin(t, patience, c.place.waits, "it to be waited for")
	require.Equal(t, -began, c.place.since.Load(), "from the beginning of the request")
	require.True(t, w.evict())
	require.Error(t, <-read)
}

// socketPair returns both ends of a TCP connection.
func socketPair(t *testing.T) (near, far net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	far, err = net.Dial("tcp", ln.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = far.Close() })
	near, err = ln.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { _ = near.Close() })
	return near, far
}

// What is in the list of idle ones, and not idle yet, is not taken for one that has been for long.
func TestWhoIsAboutToBeIdleIsNoOldest(t *testing.T) {
	w := NewWaiting(WaitingOptions{IdlePerAddress: 1, Young: time.Second})
	all := conns(t, w, "192.0.2.1", "192.0.2.1")
	for _, c := range all {
		require.True(t, w.begin(c, time.Now().Add(-time.Minute)))
		w.came(c)
		require.True(t, w.release(c))
	}
	var older [looksAt]*Conn
	ok, full := w.count(all[0], placeNone, placeIdle, &older) // a part of stay
	require.True(t, ok && full == 0)
	require.False(t, w.stay(all[1]))
}

// One that was closed for others has its descriptor until whoever serves it has closed it, and
// nobody else goes because of that.
func TestWhoIsClosedForOthersCountsUntilItIs(t *testing.T) {
	w := NewWaiting(WaitingOptions{Bytes: lightBytes, Files: Files{Scarce: 1, None: 1}})
	all := conns(t, w, "192.0.2.1", "192.0.2.1")
	for _, c := range all {
		require.True(t, w.begin(c, time.Now()))
	}
	require.True(t, w.scarce() && w.burdened())
	w.relieve()
	require.EqualValues(t, 1, w.Stats().Evicted)
	require.False(t, w.scarce() || w.burdened())
	require.Equal(t, 2, w.used())
	require.True(t, w.full(0, false))
	require.Equal(t, placeEnded, all[0].place.state.Load())
	_ = all[0].Close() // the worker
	require.False(t, w.full(0, false))
	require.False(t, w.scarce())
	w.leave(all[0])
	require.Zero(t, w.parting.Load())
	_ = all[1].Close()
	require.Zero(t, w.Held())
}

// Those that are charged while somebody is at work on what they sent cannot go then; nothing
// else may happen before they wait.
func TestMemoryThatNobodyCouldGiveBackIsAskedForAgain(t *testing.T) {
	w := NewWaiting(WaitingOptions{Bytes: 2 * lightBytes})
	all := conns(t, w, "192.0.2.1", "192.0.2.1")
	for _, c := range all {
		require.True(t, w.begin(c, time.Now()))
		w.came(c)
	}
	for _, c := range all {
		w.charge(c, lightBytes)
	}
	require.True(t, w.burdened())
	require.Zero(t, w.Stats().Evicted, "nobody waits")
	for _, c := range all {
		w.awaits(c)
	}
	testkit.EventuallyWithin(t, patience, func() bool { return w.Stats().Evicted == 1 && !w.burdened() }, "one to go")
	w.held.Add(4 * lightBytes)
	w.look()
	require.EqualValues(t, 1, w.Stats().Evicted, "who is alone stays")
}
