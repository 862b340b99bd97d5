//go:build e2e

package test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// atGate waits until so many connections are at the gate in each state, and its buffers are
// as many as heads are.
func (s *server) atGate(t *testing.T, head, idle int) {
	t.Helper()
	testkit.EventuallyWithin(t, patience, func() bool {
		n := s.Parts().Counters.Node()
		at := n.GateConnections
		return at["fresh"]+at["served"] == 0 && at["head"] == head && at["idle"] == idle && (head == 0) == (n.GateBytes == 0)
	}, fmt.Sprintf("%d heads and %d idle connections at the gate, and nothing else", head, idle))
}

// plain is a connection whose requests are answered one by one.
type plain struct {
	net.Conn
	r *bufio.Reader
}

// plainly connects from a loopback address.
func (s *server) plainly(t *testing.T, from string) plain {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: patience}
	c, err := d.Dial("tcp", s.addr)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	require.NoError(t, c.SetDeadline(time.Now().Add(5*patience)))
	return plain{c, bufio.NewReaderSize(c, 512)}
}

// answered reads one answer, of a connection that stays.
func (p plain) answered() error {
	stays, err := p.answer()
	if err == nil && !stays {
		err = errors.New("expected a connection that stays")
	}
	return err
}

// answer reads one answer.
func (p plain) answer() (stays bool, err error) {
	res, err := http.ReadResponse(p.r, nil)
	if err != nil {
		return false, err
	}
	defer res.Body.Close()
	if text, err := io.ReadAll(res.Body); err != nil || res.StatusCode != 200 {
		return false, fmt.Errorf("expected 200, got %s %q, %w", res.Status, text, err)
	}
	return !res.Close, nil
}

func (p plain) ask(t *testing.T, request string) {
	t.Helper()
	_, err := io.WriteString(p, request)
	require.NoError(t, err)
	require.NoError(t, p.answered())
}

// noGoroutineEach waits until there are few more goroutines than before.
func noGoroutineEach(t *testing.T, before int) {
	t.Helper()
	testkit.EventuallyWithin(t, patience, func() bool { return runtime.NumGoroutine() < before+50 }, "no goroutine for each connection")
}
