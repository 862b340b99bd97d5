package front

import (
	"crypto/tls"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"

	"sluice/gateway/testkit"
)

// way is how clients speak to a test server: in plain text or over TLS.
type way struct {
	name string
	tls  *tls.Config // of the server; nil: none
	own  *tls.Config // of the client
}

func ways(t *testing.T) []way {
	t.Helper()
	ca := newAuthority(t, "ca")
	certs := newCerts(t, ca.issue(t, 1))
	return []way{{name: "plain"}, {name: "TLS", tls: certs.Config(), own: ca.client()}}
}

// dial connects to s. Over TLS the handshake is part of what is first sent.
func (w way) dial(t *testing.T, s *served) *testkit.Conn {
	t.Helper()
	c := s.dial(t, "")
	if w.tls == nil {
		return c
	}
	c = testkit.NewConn(t, tls.Client(c.NetConn(), w.own))
	c.ReadTimeout = patience
	return c
}

// The HTTP server gives only what handlers answer a time to be written in. What
// it says by itself must not fail for the deadline of something before.
func TestAnswersOfTheServerHaveATimeOfTheirOwn(t *testing.T) {
	const writeTimeout = time.Second
	all := ways(t)
	conns := make([][3]*testkit.Conn, len(all)) // all wait at once
	for i, w := range all {
		s := serve(t, Options{TLS: w.tls, RequestTimeout: serverPatience}, func(srv *fasthttp.Server) { srv.WriteTimeout = writeTimeout })
		first, second, expecting := w.dial(t, s), w.dial(t, s), w.dial(t, s)
		if c, ok := first.NetConn().(*tls.Conn); ok {
			require.NoError(t, c.Handshake())
		}
		body(t, second, get)
		body(t, expecting, get)
		conns[i] = [3]*testkit.Conn{first, second, expecting}
	}
	<-time.After(2 * writeTimeout)
	for i, w := range all {
		first, second, expecting := conns[i][0], conns[i][1], conns[i][2]
		first.Send("nonsense\r\n\r\n")
		require.Equal(t, fasthttp.StatusTeapot, first.ReadHead(t).Status, "%s: a bad first request", w.name)
		second.Send("nonsense\r\n\r\n")
		require.Equal(t, fasthttp.StatusTeapot, second.ReadHead(t).Status, "%s: a bad request", w.name)
		expecting.Send("POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n")
		require.Equal(t, fasthttp.StatusContinue, expecting.ReadHead(t).Status, w.name)
		expecting.Send("x")
		require.Equal(t, fasthttp.StatusOK, expecting.ReadHead(t).Status, w.name)
	}
}

func TestALateRequestIsAnswered(t *testing.T) {
	for _, w := range ways(t) {
		t.Run(w.name, func(t *testing.T) {
			s := serve(t, Options{TLS: w.tls, RequestTimeout: serverPatience}, func(srv *fasthttp.Server) {
				srv.ReadTimeout, srv.WriteTimeout = 500*time.Millisecond, 100*time.Millisecond
			})
			for {
				// Where the machine stands still, the handshake may be late already.
				failed := s.Stats().HandshakesFailed
				c := w.dial(t, s)
				err := c.TrySend("GET / HT")
				var head testkit.Head
				if err == nil {
					head, err = c.TryReadHead()
				}
				if err != nil && s.Stats().HandshakesFailed > failed {
					continue
				}
				require.NoError(t, err)
				require.Equal(t, fasthttp.StatusTeapot, head.Status, "a request that takes too long")
				return
			}
		})
	}
}

// The HTTP server passes over an end between two chunks in silence, and whoever keeps an
// account of requests never learns what became of one. A connection that has sent nothing,
// or is between two requests, ends in silence all the same.
func TestTheEndInTheMidstOfARequestIsAnswered(t *testing.T) {
	for _, w := range ways(t) {
		t.Run(w.name, func(t *testing.T) {
			s := serve(t, Options{TLS: w.tls, RequestTimeout: serverPatience}, nil)
			end := func(sent ...string) []byte {
				t.Helper()
				nc := w.dial(t, s).NetConn()
				if c, ok := nc.(*tls.Conn); ok {
					require.NoError(t, c.Handshake())
				}
				require.NoError(t, nc.SetDeadline(time.Now().Add(patience)))
				for _, text := range sent {
					_, err := nc.Write([]byte(text))
					require.NoError(t, err)
					if text == get { // not in one piece with what follows
						_, err := nc.Read(make([]byte, 4096))
						require.NoError(t, err)
					}
				}
				require.NoError(t, nc.(interface{ CloseWrite() error }).CloseWrite())
				answer, err := io.ReadAll(nc)
				require.NoError(t, err)
				return answer
			}
			const head = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
			const teapot = "HTTP/1.1 418 "
			require.Contains(t, string(end(head)), teapot)
			require.Contains(t, string(end(head, "1\r\nx\r\n")), teapot)
			require.Contains(t, string(end(head, "1\r\nx\r\n", "1\r\n")), teapot)
			require.Contains(t, string(end(get, head)), teapot, "the second request")
			require.Empty(t, end(get))
			require.Empty(t, end())
		})
	}
}

// What comes behind a body may have been read with it, and fill the buffer of the HTTP server
// but for one byte: what it asks for then is no wait for a request.
func TestARequestThatCameWithABodyAndFillsTheBufferIsNotLost(t *testing.T) {
	const buffer = 64 << 10
	post := "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"
	long := "GET / HTTP/1.1\r\nHost: h\r\nX: "
	long += strings.Repeat("x", buffer-len(long)-4) + "\r\n\r\n"
	for _, w := range ways(t) {
		t.Run(w.name, func(t *testing.T) {
			s := serve(t, Options{TLS: w.tls, Waiting: NewWaiting(WaitingOptions{PerAddress: 1, Head: buffer})}, strictly)
			c := w.dial(t, s)
			for range 5 {
				c.Send(post[:len(post)-1])
				s.expectHalfOpen(t, 1)
				c.Send(post[len(post)-1:] + long[:buffer-1])
				answer(t, c)
				s.expectHalfOpen(t, 1)
				c.Send(long[buffer-1:])
				answer(t, c)
			}
		})
	}
}
