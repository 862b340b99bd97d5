package admin

import (
	"bufio"
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"
	"github.com/valyala/fasthttp/fasthttputil"
)

// served starts live behind an in-memory listener and returns a function that sends one raw request and reads the answer.
// Paths that live does not own are answered 418.
func served(t *testing.T, live *Live) func(method, uri string, header ...string) *fasthttp.Response {
	t.Helper()
	return servedTo(t, live, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 50000})
}

// servedTo is served for a client that connects from peer.
func servedTo(t *testing.T, live *Live, peer net.Addr) func(method, uri string, header ...string) *fasthttp.Response {
	t.Helper()
	ln := peerListener{fasthttputil.NewInmemoryListener(), peer}
	server := &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) {
		if !live.Handle(ctx) {
			ctx.SetStatusCode(fasthttp.StatusTeapot)
		}
	}}
	done := make(chan error, 1)
	go func() { done <- server.Serve(ln) }()
	t.Cleanup(func() {
		require.NoError(t, ln.Close())
		require.NoError(t, <-done)
	})

	return func(method, uri string, header ...string) *fasthttp.Response {
		t.Helper()
		conn, err := ln.Dial()
		require.NoError(t, err)
		defer func(c net.Conn) { _ = c.Close() }(conn)
		version := " HTTP/1.1"
		if strings.HasPrefix(uri, "HTTP/1.0 ") {
			uri, version = uri[len("HTTP/1.0 "):], " HTTP/1.0"
		}
		lines := append([]string{method + " " + uri + version}, header...)
		if !hasHeader(header, "Host") {
			lines = append(lines, "Host: localhost:8000")
		}
		_, err = conn.Write([]byte(strings.Join(lines, "\r\n") + "\r\nConnection: close\r\n\r\n"))
		require.NoError(t, err)
		resp := &fasthttp.Response{SkipBody: method == "HEAD"}
		require.NoError(t, resp.Read(bufio.NewReader(conn)))
		return resp
	}
}

// peerListener gives all connections the same peer.
type peerListener struct {
	*fasthttputil.InmemoryListener
	peer net.Addr
}

func (l peerListener) Accept() (net.Conn, error) {
	c, err := l.InmemoryListener.Accept()
	return peerConn{c, l.peer}, err
}

type peerConn struct {
	net.Conn
	peer net.Addr
}

func (c peerConn) RemoteAddr() net.Addr { return c.peer }

func hasHeader(lines []string, name string) bool {
	for _, line := range lines {
		if strings.HasPrefix(line, name+":") {
			return true
		}
	}
	return false
}

func options() Options {
	return Options{Endpoint: "/connection/uni_sse", API: "/api", APIKey: "key", Version: "1.2.3", Channels: []string{"news", "a:b"},
		Token: func() (string, string, error) { return "jwt", "ann", nil }}
}
