package front

import (
	"crypto/tls"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"

	"sluice/gateway/testkit"
)

// A request that stops anywhere ends, whatever came before it on its connection.
func TestRequestsThatStopInTheMidstEnd(t *testing.T) {
	const (
		short   = 100 * time.Millisecond
		shaken  = 500 * time.Millisecond // with the handshake in it, on a busy machine
		post    = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n"
		chunked = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
		named   = "PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n"
	)
	bodyOfServer := func(srv *fasthttp.Server) {
		srv.HeaderReceived = func(*fasthttp.RequestHeader) fasthttp.RequestConfig {
			return fasthttp.RequestConfig{ReadTimeout: short}
		}
	}
	ca := newAuthority(t, "ca")
	certs := newCerts(t, ca.issue(t, 1))
	f := func(name string, opt Options, tune func(*fasthttp.Server), pieces ...string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			if opt.TLS != nil {
				t.Parallel() // they take longer, and begin when all others are done
			}
			s := serve(t, opt, tune)
			c := s.dial(t, "")
			if opt.TLS != nil {
				c = testkit.NewConn(t, tls.Client(c.NetConn(), ca.client()))
				c.ReadTimeout = patience
			}
			for i, p := range pieces {
				if i > 0 {
					<-time.After(5 * time.Millisecond) // likely pieces of their own; right in any case
				}
				c.Send(p)
			}
			require.Contains(t, expectGone(t, c.NetConn()), "418")
		})
	}
	for name, pieces := range map[string][]string{
		"no body":                    {post},
		"a part of a body":           {post + "12"},
		"a part that came later":     {post, "12"},
		"a chunk":                    {chunked + "5\r\n12"},
		"between chunks":             {chunked + "2\r\n12\r\n"},
		"a chunk that came later":    {chunked, "5\r\n", "12"},
		"behind another":             {get, post + "12"},
		"behind another with a body": {post + "1234567890", post, "12"},
		"with another":               {get + post + "12"},
		"a head with another":        {get + post[:20]},
		"a head with a body":         {post + "1234567890" + post[:20]},
		"many":                       {get + get + get, get + post + "1"},
	} {
		whole := Options{RequestTimeout: short}
		f(name+", time of the request", whole, nil, pieces...)
		f(name+", over TLS", Options{RequestTimeout: shaken, TLS: certs.Config()}, nil, pieces...)
		if name != "a head with another" && name != "a head with a body" {
			f(name+", time of the body", Options{}, bodyOfServer, pieces...)
		}
		opt := proxied()
		opt.RequestTimeout = short
		f(name+", behind a proxy", opt, nil, append([]string{named + pieces[0]}, pieces[1:]...)...)
	}
}
