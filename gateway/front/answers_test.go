package front

import (
	"crypto/tls"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"

	"sluice/gateway/testkit"
)

// The HTTP server gives only what handlers answer a time to be written in. What
// it says by itself must not fail for the deadline of something before.
func TestAnswersOfTheServerHaveATimeOfTheirOwn(t *testing.T) {
	ca := newAuthority(t, "ca")
	certs := newCerts(t, ca.issue(t, 1))
	for name, cfg := range map[string]*tls.Config{"plain": nil, "TLS": certs.Config()} {
		dial := func(t *testing.T, s *served) *testkit.Conn {
			c := s.dial(t, "")
			if cfg == nil {
				return c
			}
			c = testkit.NewConn(t, tls.Client(c.NetConn(), ca.client()))
			c.ReadTimeout = patience
			return c
		}
		opt := Options{TLS: cfg, RequestTimeout: serverPatience}
		t.Run(name, func(t *testing.T) {
			const writeTimeout = time.Second
			s := serve(t, opt, func(srv *fasthttp.Server) { srv.WriteTimeout = writeTimeout })
			first, second, expecting := dial(t, s), dial(t, s), dial(t, s)
			if c, ok := first.NetConn().(*tls.Conn); ok {
				require.NoError(t, c.Handshake())
			}
			body(t, second, get)
			body(t, expecting, get)
			<-time.After(2 * writeTimeout)

			first.Send("nonsense\r\n\r\n")
			require.Equal(t, fasthttp.StatusTeapot, first.ReadHead(t).Status, "a bad first request")
			second.Send("nonsense\r\n\r\n")
			require.Equal(t, fasthttp.StatusTeapot, second.ReadHead(t).Status, "a bad request")
			expecting.Send("POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n")
			require.Equal(t, fasthttp.StatusContinue, expecting.ReadHead(t).Status)
			expecting.Send("x")
			require.Equal(t, fasthttp.StatusOK, expecting.ReadHead(t).Status)
		})
		t.Run(name+", late", func(t *testing.T) {
			s := serve(t, opt, func(srv *fasthttp.Server) {
				srv.ReadTimeout, srv.WriteTimeout = time.Second, 200*time.Millisecond
			})
			for {
				// Where the machine stands still, the handshake may be late already.
				failed := s.Stats().HandshakesFailed
				c := dial(t, s)
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
	ca := newAuthority(t, "ca")
	certs := newCerts(t, ca.issue(t, 1))
	for name, cfg := range map[string]*tls.Config{"plain": nil, "TLS": certs.Config()} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, Options{TLS: cfg, RequestTimeout: serverPatience}, nil)
			end := func(sent ...string) []byte {
				t.Helper()
				nc := s.dial(t, "").NetConn()
				if cfg != nil {
					c := tls.Client(nc, ca.client())
					require.NoError(t, c.Handshake())
					nc = c
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
