package front

import (
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// A body fills no buffer: the head of its request waits, was split, and the body comes in
// parts, on a connection that was idle before and is so again.
func TestBodiesLargerThanBuffers(t *testing.T) {
	ca := newAuthority(t, "ca")
	certs := newCerts(t, ca.issue(t, 1))
	const size = 1 << 20
	text := strings.Repeat("0123456\n", size/8)
	f := func(name string, opt Options, times int, head, raw string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			opt.Waiting = NewWaiting(WaitingOptions{PerAddress: 1, IdlePerAddress: 1})
			s := serve(t, opt, strictly)
			c := s.dial(t, "")
			if opt.TLS != nil {
				c = testkit.NewConn(t, tls.Client(c.NetConn(), ca.client()))
				c.ReadTimeout = patience
			}
			for n := range times {
				require.Equal(t, " 1 0", after(body(t, c, get)))
				s.settles(t, betweenRequests)
				c.Send(head[:10])
				if opt.TLS == nil {
					s.settles(t, withinAHead)
				}
				c.Send(head[10:] + raw[:100])
				s.settles(t, withinABody)
				c.Send(raw[100 : len(raw)/2])
				s.settles(t, withinABody)
				c.Send(raw[len(raw)/2:])
				require.Equal(t, fmt.Sprintf(" 1 %d", size), after(answer(t, c)))
				if n < times-1 {
					s.settles(t, betweenRequests)
				}
			}
		})
	}
	long := fmt.Sprintf("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n", size)
	chunked := "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
	inChunks := fmt.Sprintf("%x\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n", size/4, text[:size/4], size*3/4, text[size/4:])
	f("plain", Options{}, 3, long, text)
	f("plain, chunked", Options{}, 1, chunked, inChunks)
	f("TLS", Options{TLS: certs.Config()}, 3, long, text)
	f("TLS, chunked", Options{TLS: certs.Config()}, 1, chunked, inChunks)
}

// Whatever a client of an idle connection sends with the reset that ends it, nothing of the
// connection is left, and nobody else notices.
func TestResetsBetweenTwoRequests(t *testing.T) {
	s := serve(t, Options{Waiting: NewWaiting(WaitingOptions{PerAddress: 1 << 20, Bytes: 1 << 30, Head: 64 << 10})}, strictly)
	other := s.dial(t, "127.0.0.2")
	lasts := []string{"", "G", get, get + get, get + "GET /", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 7\r\n\r\n123"}
	for i := range 20 * len(lasts) {
		c := s.dial(t, "")
		require.Equal(t, " 1 0", after(body(t, c, get)))
		if i%2 == 0 {
			testkit.EventuallyWithin(t, patience, func() bool { return s.gate == nil || s.gate.Stats().Idle >= 1 }, "it to wait at the gate")
		}
		if last := lasts[i%len(lasts)]; last != "" {
			c.Send(last)
		}
		require.NoError(t, c.NetConn().(*net.TCPConn).SetLinger(0))
		require.NoError(t, c.Close())
		require.Equal(t, " 1 0", after(body(t, other, get)))
	}
	testkit.EventuallyWithin(t, patience, func() bool { return s.waiting.open.Load() == 1 }, "all but one to be gone")
	s.settles(t, betweenRequests)
}
