package redisrig

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"sluice/gateway/testkit/child"
)

// Error is an error that the server answered: "WRONGTYPE Operation against …".
type Error string

func (e Error) Error() string { return string(e) }

// Client is one connection to a server (RESP2), for one goroutine at a time.
type Client struct {
	conn net.Conn
	r    *bufio.Reader
}

// Dial connects as the default user; the connection is closed with the test.
func (s *Server) Dial(t testing.TB) *Client {
	t.Helper()
	c, err := s.dial()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func (s *Server) dial() (*Client, error) {
	conn, err := net.DialTimeout("tcp", s.Addr, child.Patience)
	if err != nil {
		return nil, fmt.Errorf("redisrig: %w", err)
	}
	if s.trust != nil {
		conn = tls.Client(conn, s.trust)
	}
	c := &Client{conn: conn, r: bufio.NewReader(conn)}
	if s.Password != "" {
		if _, err := c.Do("AUTH", s.Password); err != nil {
			c.Close()
			return nil, err
		}
	}
	return c, nil
}

// Do sends one command over a connection of its own and returns the answer (see Client.Do). It fails the test on errors.
func (s *Server) Do(t testing.TB, args ...any) any {
	t.Helper()
	v, err := s.Try(args...)
	if err != nil {
		t.Fatalf("redisrig: %s: %s: %v", s.Addr, fmt.Sprint(args...), err)
	}
	return v
}

// Try is Do for those who expect errors.
func (s *Server) Try(args ...any) (any, error) {
	c, err := s.dial()
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.Do(args...)
}

// Close closes the connection.
func (c *Client) Close() { _ = c.conn.Close() }

// Do sends a command and returns its answer: a string (simple or bulk, any bytes), an int64, nil, a []any of these, or an
// Error. Errors within arrays are values. Arguments that are no string or []byte are written as fmt.Sprint does.
func (c *Client) Do(args ...any) (any, error) {
	if err := c.Send(args...); err != nil {
		return nil, err
	}
	return c.Receive()
}

// Send sends a command; Receive takes its answer.
func (c *Client) Send(args ...any) error {
	text := fmt.Appendf(nil, "*%d\r\n", len(args))
	for _, a := range args {
		var arg []byte
		switch v := a.(type) {
		case string:
			arg = []byte(v)
		case []byte:
			arg = v
		default:
			arg = fmt.Append(nil, v)
		}
		text = fmt.Appendf(text, "$%d\r\n", len(arg))
		text = append(append(text, arg...), "\r\n"...)
	}
	return c.SendRaw(text)
}

// SendRaw sends bytes as they are.
func (c *Client) SendRaw(text []byte) error {
	if err := c.conn.SetWriteDeadline(time.Now().Add(child.Patience)); err != nil {
		return fmt.Errorf("redisrig: %w", err)
	}
	if _, err := c.conn.Write(text); err != nil {
		return fmt.Errorf("redisrig: %w", err)
	}
	return nil
}

// Receive takes the next answer, or message of a subscription. It waits for a minute.
func (c *Client) Receive() (any, error) {
	if err := c.conn.SetReadDeadline(time.Now().Add(child.Patience)); err != nil {
		return nil, fmt.Errorf("redisrig: %w", err)
	}
	return c.receive()
}

// receive is Receive without a deadline of its own.
func (c *Client) receive() (any, error) {
	v, err := c.value()
	if err != nil {
		return nil, err
	}
	if e, ok := v.(Error); ok {
		return nil, e
	}
	return v, nil
}

var errReply = errors.New("redisrig: malformed answer")

func (c *Client) value() (any, error) {
	line, err := c.r.ReadString('\n')
	if err != nil {
		return nil, fmt.Errorf("redisrig: %w", err)
	}
	text, ok := strings.CutSuffix(line, "\r\n")
	if !ok || text == "" {
		return nil, fmt.Errorf("%w: %q", errReply, line)
	}
	kind, text := text[0], text[1:]
	switch kind {
	case '+':
		return text, nil
	case '-':
		return Error(text), nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("%w: %q", errReply, line)
	}
	switch {
	case kind == ':':
		return n, nil
	case n == -1 && (kind == '$' || kind == '*'):
		return nil, nil
	case kind == '$':
		return c.bulk(n)
	case kind == '*':
		all := make([]any, n)
		for i := range all {
			if all[i], err = c.value(); err != nil {
				return nil, err
			}
		}
		return all, nil
	}
	return nil, fmt.Errorf("%w: %q", errReply, line)
}

func (c *Client) bulk(n int64) (any, error) {
	b := make([]byte, n+2)
	if _, err := io.ReadFull(c.r, b); err != nil {
		return nil, fmt.Errorf("redisrig: %w", err)
	}
	return string(b[:n]), nil
}
