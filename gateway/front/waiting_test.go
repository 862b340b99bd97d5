package front

import (
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"

	"sluice/gateway/front/client"
)

// atMost bounds connections that wait for their clients by address.
func atMost(n int) *Waiting { return NewWaiting(WaitingOptions{PerAddress: n}) }

func TestHalfOpenLimit(t *testing.T) {
	s := serve(t, Options{Waiting: atMost(2)}, nil)
	silent := s.dial(t, "")
	s.expectHalfOpen(t, 1)
	slow := s.dial(t, "")
	slow.Send("GET / HT")
	s.expectHalfOpen(t, 2)
	require.Empty(t, expectGone(t, s.dial(t, "").NetConn()), "one more is closed at once")
	require.EqualValues(t, 1, s.Stats().HalfOpenRefused)

	slow.Send("TP/1.1\r\nHost: h\r\n\r\n")
	answer(t, slow)
	s.expectHalfOpen(t, 1)
	idle := s.dial(t, "")
	for range 3 {
		body(t, idle, get)
		s.expectHalfOpen(t, 1)
	}

	// A next request counts from its first byte.
	slow.Send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n123")
	s.expectHalfOpen(t, 2)
	require.NoError(t, idle.TrySend("G"))
	require.Empty(t, expectGone(t, idle.NetConn()))
	require.EqualValues(t, 2, s.Stats().HalfOpenRefused)
	slow.Send("45")
	require.Equal(t, " 1 5", after(answer(t, slow)))
	s.expectHalfOpen(t, 1)

	require.NoError(t, silent.Close())
	s.expectHalfOpen(t, 0)
	body(t, s.dial(t, ""), get)
}

func TestHalfOpenCountsEachAddress(t *testing.T) {
	s := serve(t, Options{Waiting: atMost(1)}, nil)
	s.dial(t, "127.0.0.1")
	s.expectHalfOpen(t, 1)
	require.Equal(t, "127.0.0.2", hostOf(t, body(t, s.dial(t, "127.0.0.2"), get)))
	require.Empty(t, expectGone(t, s.dial(t, "127.0.0.1").NetConn()))
}

func TestHalfOpenDoesNotCountTrustedProxies(t *testing.T) {
	s := serve(t, Options{Waiting: atMost(1), Trusted: everybody}, nil)
	for range 5 {
		s.dial(t, "").Send("GET")
	}
	body(t, s.dial(t, ""), get)
	require.Zero(t, s.Stats().HalfOpenRefused)
}

func TestNoHalfOpenLimit(t *testing.T) {
	s := serve(t, Options{}, nil)
	for range 50 {
		s.dial(t, "").Send("GET")
	}
	body(t, s.dial(t, ""), get)
	require.Zero(t, s.Stats().HalfOpenRefused)
}

// Pipelined requests are read with the one before, mostly.
func TestPipelinedRequestsGiveTheirPlacesBack(t *testing.T) {
	s := serve(t, Options{Waiting: atMost(1)}, nil)
	c := s.dial(t, "")
	c.Send(get + get + "GET / HTTP/1.1\r\nHo")
	answer(t, c)
	answer(t, c)
	c.Send("st: h\r\n\r\n" + get)
	answer(t, c)
	answer(t, c)
	s.expectHalfOpen(t, 0)
}

// conns makes connections from these addresses that a Waiting knows.
func conns(t *testing.T, w *Waiting, from ...string) (all []*Conn) {
	t.Helper()
	for _, a := range from {
		far, near := net.Pipe()
		t.Cleanup(func() { _ = near.Close() })
		c := &Conn{Conn: far, ln: &Listener{waiting: w}, named: &net.TCPAddr{IP: net.ParseIP(a)}}
		w.enter(c, lightBytes)
		all = append(all, c)
	}
	return all
}

func TestHalfOpenSharesA64(t *testing.T) {
	w := atMost(1)
	all := conns(t, w, "2001:db8:0:1::1", "2001:db8:0:1:ffff::2", "2001:db8:0:2::1", "192.0.2.1", "::ffff:192.0.2.1", "192.0.2.2")
	for i, want := range []bool{true, false, true, true, false, true} {
		require.Equal(t, want, w.begin(all[i], time.Now()), all[i].named)
	}
	require.Equal(t, 4, w.Stats().Half)
	for _, c := range all {
		require.NoError(t, c.Close())
	}
	require.Equal(t, WaitingStats{}, w.Stats())
	require.False(t, w.begin(all[0], time.Now()))
	require.Zero(t, w.has(client.KeyOf(netip.MustParseAddr("2001:db8:0:1::1"))), "closed: nothing more is counted")
}

// Closing comes from anywhere and at any time.
func TestWaitingLosesNoPlace(t *testing.T) {
	w := NewWaiting(WaitingOptions{PerAddress: 3, Bytes: 1 << 30})
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 300 {
				c := conns(t, w, "192.0.2.1")[0]
				closed := make(chan struct{})
				go func() {
					if rand.IntN(2) == 0 {
						w.evict()
					}
					_ = c.Close()
					close(closed)
				}()
				if w.begin(c, time.Now()) {
					w.burden(c)
					w.release(c)
					w.stay(c)
					w.waits(c)
					w.begin(c, time.Now())
					w.burden(c)
				}
				<-closed
			}
		})
	}
	all.Wait()
	st := w.Stats()
	require.Equal(t, WaitingStats{Evicted: st.Evicted, Lasts: st.Lasts}, st)
	for i := range w.stripes {
		require.Zero(t, w.stripes[i].n.Len(), "nothing is remembered")
	}
	require.Empty(t, w.all)
}

// Bytes that come now and then do not stretch the time for a request.
func TestTricklingRequestsEnd(t *testing.T) {
	f := func(name, start string, tune func(*fasthttp.Server), opt Options) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			s := serve(t, opt, tune)
			began := time.Now()
			c := s.dial(t, "")
			c.Send(start)
			ended := make(chan string)
			go func() { ended <- expectGone(t, c.NetConn()) }()
			for give := time.After(patience); ; {
				_ = c.TrySend("x")
				select {
				case got := <-ended:
					// Where the machine stood still for longer, the time
					// for an answer is over, too.
					if got != "" || time.Since(began) < answerTime {
						require.Contains(t, got, "418")
					}
					return
				case <-time.After(5 * time.Millisecond):
				case <-give:
					t.Fatal("the request may trickle for ever")
				}
			}
		})
	}
	const short = 100 * time.Millisecond
	head := func(srv *fasthttp.Server) { srv.ReadTimeout = short }
	longBody := func(srv *fasthttp.Server) {
		srv.HeaderReceived = func(*fasthttp.RequestHeader) fasthttp.RequestConfig {
			return fasthttp.RequestConfig{ReadTimeout: time.Hour}
		}
	}
	shortBody := func(srv *fasthttp.Server) {
		srv.HeaderReceived = func(*fasthttp.RequestHeader) fasthttp.RequestConfig {
			return fasthttp.RequestConfig{ReadTimeout: short}
		}
	}
	const post = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n"
	f("head", "GET / HTTP/1.1\r\nHost: h\r\nX: ", head, Options{})
	f("body, by the server's deadline", post, shortBody, Options{})
	f("body, by the whole request's", post, longBody, Options{RequestTimeout: short})
	f("head, by the whole request's", "GET / HTTP/1.1\r\nHost: h\r\nX: ", nil, Options{RequestTimeout: short})
}
