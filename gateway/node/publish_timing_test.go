package node

import (
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/front"
)

// endless is a client that sends the same request as often as it is read, and takes all
// answers.
type endless struct {
	net.Conn // nil

	request []byte
	at      int  // what of it was read
	left    int  // requests
	once    bool // it ends behind each, until at is set
}

func (c *endless) Read(p []byte) (int, error) {
	if c.at == len(c.request) {
		if c.left--; c.left <= 0 || c.once {
			return 0, io.EOF
		}
		c.at = 0
	}
	n := copy(p, c.request[c.at:])
	c.at += n
	return n, nil
}

func (c *endless) Write(p []byte) (int, error)      { return len(p), nil }
func (c *endless) Close() error                     { return nil }
func (c *endless) SetDeadline(time.Time) error      { return nil }
func (c *endless) SetReadDeadline(time.Time) error  { return nil }
func (c *endless) SetWriteDeadline(time.Time) error { return nil }
func (c *endless) RemoteAddr() net.Addr             { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }
func (c *endless) LocalAddr() net.Addr              { return c.RemoteAddr() }

func publishRequest(key string) []byte {
	const body = `{"channel":"news","data":{"text":"hello hello hello hello hello hello hello hello hello hello hello hello hello"}}`
	return fmt.Appendf(nil, "POST /api/publish HTTP/1.1\r\nHost: 127.0.0.1:8000\r\nX-API-Key: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", key, len(body), body)
}

// BenchmarkPublishServed is a request through the HTTP server, from which a gate takes a
// connection after each.
func BenchmarkPublishServed(b *testing.B) {
	s := launch(b, parts{}.text())
	defer s.stop(b)
	srv := s.servers[0]
	c := &endless{request: publishRequest(s.cfg.HTTPAPI.Key), once: true}
	require.NoError(b, srv.ServeConn(c))
	b.ReportAllocs()
	for b.Loop() {
		c.at = 0
		_ = srv.ServeConn(c)
	}
}

// BenchmarkPublishKeptAlive is one that follows another, on a connection of a listener.
func BenchmarkPublishKeptAlive(b *testing.B) {
	s := launch(b, parts{}.text())
	defer s.stop(b)
	ln := front.Wrap(&oneConn{c: &endless{request: publishRequest(s.cfg.HTTPAPI.Key), left: b.N}}, s.frontOptions())
	c, err := ln.Accept()
	require.NoError(b, err)
	b.ReportAllocs()
	b.ResetTimer()
	_ = s.servers[0].ServeConn(c)
}

type oneConn struct {
	net.Listener
	c net.Conn
}

func (l *oneConn) Accept() (net.Conn, error) { return l.c, nil }
