package front

import (
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"
)

func TestHalfOpenLimit(t *testing.T) {
	s := serve(t, Options{HalfOpen: 2}, nil)
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
	s := serve(t, Options{HalfOpen: 1}, nil)
	s.dial(t, "127.0.0.1")
	s.expectHalfOpen(t, 1)
	require.Equal(t, "127.0.0.2", client(t, body(t, s.dial(t, "127.0.0.2"), get)))
	require.Empty(t, expectGone(t, s.dial(t, "127.0.0.1").NetConn()))
}

func TestHalfOpenDoesNotCountTrustedProxies(t *testing.T) {
	s := serve(t, Options{HalfOpen: 1, Trusted: everybody}, nil)
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
	require.Zero(t, s.Stats().HalfOpen)
}

// Pipelined requests are read with the one before, mostly.
func TestPipelinedRequestsGiveTheirPlacesBack(t *testing.T) {
	s := serve(t, Options{HalfOpen: 1}, nil)
	c := s.dial(t, "")
	c.Send(get + get + "GET / HTTP/1.1\r\nHo")
	answer(t, c)
	answer(t, c)
	c.Send("st: h\r\n\r\n" + get)
	answer(t, c)
	answer(t, c)
	s.expectHalfOpen(t, 0)
}

func TestHalfOpenSharesA64(t *testing.T) {
	h := newHalfOpen(1)
	places := make([]place, 6)
	f := func(i int, addr string, want bool) {
		t.Helper()
		require.Equal(t, want, h.take(&places[i], netip.MustParseAddr(addr)), addr)
	}
	f(0, "2001:db8:0:1::1", true)
	f(1, "2001:db8:0:1:ffff::2", false)
	f(2, "2001:db8:0:2::1", true)
	f(3, "192.0.2.1", true)
	f(4, "::ffff:192.0.2.1", false)
	f(5, "192.0.2.2", true)
	require.Equal(t, 4, h.count())
	for i := range places {
		h.end(&places[i])
	}
	require.Zero(t, h.count())
	f(0, "2001:db8:0:1::1", true)
	require.Zero(t, h.count(), "closed: nothing more is counted")
}

// Closing comes from anywhere and at any time.
func TestHalfOpenLosesNoPlace(t *testing.T) {
	h := newHalfOpen(3)
	a := netip.MustParseAddr("192.0.2.1")
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 500 {
				var p place
				closed := make(chan struct{})
				go func() {
					h.end(&p)
					close(closed)
				}()
				if h.take(&p, a) {
					h.release(&p)
					h.take(&p, a)
				}
				<-closed
				h.end(&p)
			}
		})
	}
	all.Wait()
	require.Zero(t, h.count())
	for i := range h.stripes {
		require.Zero(t, h.stripes[i].n.Len(), "nothing is remembered")
	}
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
