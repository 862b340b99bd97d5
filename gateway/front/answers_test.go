package front

import (
	"crypto/tls"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"

	"sluice/gateway/testkit"
)

// The HTTP server gives only what handlers answer a time to be written in. What
// it says by itself must not fail for the deadline of something before.
func TestAnswersOfTheServerHaveATimeOfTheirOwn(t *testing.T) {
	const writeTimeout = 200 * time.Millisecond
	ca := newAuthority(t, "ca")
	certs := newCerts(t, ca.issue(t, 1))
	for name, cfg := range map[string]*tls.Config{"plain": nil, "TLS": certs.Config()} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, Options{TLS: cfg, RequestTimeout: patience}, func(srv *fasthttp.Server) {
				srv.ReadTimeout, srv.WriteTimeout = 2*time.Second, writeTimeout
			})
			dial := func() *testkit.Conn {
				c := s.dial(t, "")
				if cfg == nil {
					return c
				}
				c = testkit.NewConn(t, tls.Client(c.NetConn(), ca.client()))
				c.ReadTimeout = patience
				require.NoError(t, c.NetConn().(*tls.Conn).Handshake())
				return c
			}
			later := func() { <-time.After(2 * writeTimeout) }

			c := dial()
			later()
			c.Send("nonsense\r\n\r\n")
			require.Equal(t, fasthttp.StatusTeapot, c.ReadHead(t).Status, "a bad first request")

			c = dial()
			body(t, c, get)
			later()
			c.Send("nonsense\r\n\r\n")
			require.Equal(t, fasthttp.StatusTeapot, c.ReadHead(t).Status, "a bad request")

			c = dial()
			body(t, c, get)
			later()
			c.Send("POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n")
			require.Equal(t, fasthttp.StatusContinue, c.ReadHead(t).Status)
			c.Send("x")
			require.Equal(t, fasthttp.StatusOK, c.ReadHead(t).Status)

			c = dial()
			c.Send("GET / HT")
			require.Equal(t, fasthttp.StatusTeapot, c.ReadHead(t).Status, "a request that takes too long")
		})
	}
}
