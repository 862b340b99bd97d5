package test

import (
	"bytes"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// middlebox is a proxy that holds bytes of answers back, as antivirus programs and
// networks of carriers do: what came of an answer passes as far as holds says.
type middlebox struct {
	// Immutable after newMiddlebox.
	ln      net.Listener
	backend string
	holds   holds
	running sync.WaitGroup

	// Guarded by mu.
	mu     sync.Mutex
	closed bool
	conns  []net.Conn
	came   []byte // of all answers
	passed int    // of these, how many went on
}

// holds says how many of the bytes that came may pass. segments is how many segments with
// data the kernel has seen, and before how many bytes had come when there was one less.
type holds func(came, before, segments int) (pass int)

// lastBytes holds the last n bytes.
func lastBytes(n int) holds {
	return func(came, _, _ int) int { return max(came-n, 0) }
}

// firstBytes holds all until n bytes have come.
func firstBytes(n int) holds {
	return func(came, _, _ int) int {
		if came < n {
			return 0
		}
		return came
	}
}

// firstSegment holds the first piece of an answer until the second one comes.
func firstSegment(came, _, segments int) int {
	if segments < 2 {
		return 0
	}
	return came
}

// eachSegment holds each piece until the next one comes.
func eachSegment(_, before, _ int) int { return before }

// newMiddlebox puts one in front of a server, and ends it with the test.
func newMiddlebox(t *testing.T, backend string, h holds) *middlebox {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	m := &middlebox{ln: ln, backend: backend, holds: h}
	m.running.Go(m.accept)
	t.Cleanup(func() {
		_ = ln.Close()
		m.mu.Lock()
		m.closed = true
		for _, c := range m.conns {
			_ = c.Close()
		}
		m.mu.Unlock()
		m.running.Wait()
	})
	return m
}

func (m *middlebox) addr() string { return m.ln.Addr().String() }

func (m *middlebox) accept() {
	for {
		client, err := m.ln.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", m.backend)
		if err != nil {
			_ = client.Close()
			continue
		}
		m.mu.Lock()
		m.conns = append(m.conns, client, server)
		if m.closed {
			_, _ = client.Close(), server.Close()
		}
		m.mu.Unlock()
		m.running.Go(func() {
			_, _ = io.Copy(server, client)
			_ = server.Close()
		})
		m.running.Go(func() {
			m.answer(client, server.(*net.TCPConn))
			_ = client.Close()
		})
	}
}

// answer passes the bytes of one answer as the box does; its end lets go of all.
func (m *middlebox) answer(client net.Conn, server *net.TCPConn) {
	var came []byte
	passed, before, segments := 0, 0, 0
	buf := make([]byte, 32<<10)
	for {
		n, err := server.Read(buf)
		if seen := segmentsOf(server); seen > segments {
			before, segments = len(came), seen
		}
		came = append(came, buf[:n]...)
		pass := m.holds(len(came), before, segments)
		if err != nil {
			pass = len(came)
		}
		pass = max(pass, passed)
		if _, werr := client.Write(came[passed:pass]); werr != nil {
			return
		}
		m.mu.Lock()
		m.came = append(m.came, buf[:n]...)
		m.passed += pass - passed
		m.mu.Unlock()
		if passed = pass; err != nil {
			return
		}
	}
}

// segmentsOf returns how many segments with data came over a connection. Why not reads: one
// may have two of them.
func segmentsOf(c *net.TCPConn) (n int) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0
	}
	_ = raw.Control(func(fd uintptr) {
		if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			n = int(info.Data_segs_in)
		}
	})
	return n
}

// holding reports whether all of a text has come, and not all of it went on; a box with one
// connection can say that.
func (m *middlebox) holding(text string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := bytes.LastIndex(m.came, []byte(text))
	return i >= 0 && m.passed < i+len(text)
}

// seen returns how often a text has come.
func (m *middlebox) seen(text string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return bytes.Count(m.came, []byte(text))
}
