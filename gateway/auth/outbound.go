package auth

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"regexp"
	"sync/atomic"
	"time"
)

// This file is what the calls of Sluice to servers of the operator have in
// common: fetching keys here, and the hooks of package proxy.

// MaxAnswer is how many bytes of such a server's answer are read, after any
// decompression; a longer answer is a failure.
const MaxAnswer = 1 << 20

// maxRedirects is how many redirects one call follows.
const maxRedirects = 5

// sockets counts the connections that Dial made and that are not closed, and those on
// their way.
var sockets atomic.Int64

// Sockets returns how many descriptors of the process are those of calls to such
// servers, idle ones included.
func Sockets() int { return int(sockets.Load()) }

// Dial returns the DialContext of an http.Transport for such calls. An attempt ends
// after so much time: the transport goes on with it when the call was given up.
func Dial(limit time.Duration) func(ctx context.Context, network, addr string) (net.Conn, error) {
	d := &net.Dialer{Timeout: limit}
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		sockets.Add(1)
		c, err := d.DialContext(ctx, network, addr)
		if err != nil {
			sockets.Add(-1)
			return nil, err
		}
		return &countedConn{Conn: c}, nil
	}
}

// countedConn counts in sockets until it is closed.
type countedConn struct {
	net.Conn
	closed atomic.Bool
}

func (c *countedConn) Close() error {
	err := c.Conn.Close()
	if !c.closed.Swap(true) {
		sockets.Add(-1)
	}
	return err
}

// SameHost is the CheckRedirect of an http.Client that follows redirects to the
// host it was sent to only, so that nobody can send the gateway, and the
// credentials it carries, elsewhere. From http to https of the same name is
// fine. Where it stops, the redirect itself is the answer.
func SameHost(next *http.Request, via []*http.Request) error {
	from, to := via[0].URL, next.URL
	same := from.Scheme == to.Scheme && from.Host == to.Host
	upgrade := from.Scheme == "http" && to.Scheme == "https" &&
		from.Hostname() == to.Hostname() && from.Port() == "" && to.Port() == ""
	if !same && !upgrade || len(via) > maxRedirects {
		return http.ErrUseLastResponse
	}
	return nil
}

// CallError returns the cause of an error of an http.Client in words for logs:
// without the URL, and without what a broken answer said, which may be anything.
// Causes stay visible to errors.Is and errors.As.
func CallError(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	if text := quoted.ReplaceAllString(err.Error(), "(...)"); text != err.Error() {
		err = &shownError{text, err}
	}
	var malformed textproto.ProtocolError // quotes nothing, but holds a line of the answer
	if errors.As(err, &malformed) {
		err = &shownError{"malformed header in the answer", err}
	}
	return err
}

// quoted is how net/http shows what it cannot read, also where it cuts it off.
var quoted = regexp.MustCompile(`"([^"\\]|\\.)*("|$)`)

// shownError is an error under another text.
type shownError struct {
	text  string
	cause error
}

func (e *shownError) Error() string { return e.text }

func (e *shownError) Unwrap() error { return e.cause }
