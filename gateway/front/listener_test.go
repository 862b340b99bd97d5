package front

import (
	"bytes"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// scripted is a net.Listener whose Accept returns what it is told to.
type scripted struct {
	net.Listener
	results chan any // net.Conn or error
	once    sync.Once
}

func newScripted(results ...any) *scripted {
	s := &scripted{results: make(chan any, len(results))}
	for _, r := range results {
		s.results <- r
	}
	return s
}

func (s *scripted) Accept() (net.Conn, error) {
	switch r := (<-s.results).(type) {
	case net.Conn:
		return r, nil
	case error:
		return nil, &net.OpError{Op: "accept", Err: r}
	}
	return nil, net.ErrClosed
}

func (s *scripted) Close() error {
	s.once.Do(func() { close(s.results) })
	return nil
}

// pipe returns a connection and its other end.
func pipe(t *testing.T) (ours, theirs net.Conn) {
	t.Helper()
	ours, theirs = net.Pipe()
	t.Cleanup(func() { _, _ = ours.Close(), theirs.Close() })
	return ours, theirs
}

func TestAcceptWaitsOutWhatPasses(t *testing.T) {
	f := func(name string, passing error) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			testkit.Snapshot(t)
			conn, _ := pipe(t)
			var log testkit.LogBuffer
			l := Wrap(newScripted(passing, passing, passing, conn), Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
			got, err := l.Accept()
			require.NoError(t, err)
			require.Equal(t, conn, got.(*Conn).NetConn())
			require.Equal(t, Stats{Accepted: 1, Retries: 3}, l.Stats())
			require.Equal(t, 2, strings.Count(log.String(), "trying again"), "at powers of two")
			require.NoError(t, l.Close())
			_, err = l.Accept()
			require.ErrorIs(t, err, net.ErrClosed)
		})
	}
	f("no buffers", syscall.ENOBUFS)
	f("no memory", syscall.ENOMEM)
	f("aborted by the client", syscall.ECONNABORTED)
}

func TestOutOfDescriptorsShedsAWaitingConnection(t *testing.T) {
	f := func(name string, out error) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			testkit.Snapshot(t)
			unlucky, peer := pipe(t)
			lucky, _ := pipe(t)
			conn, _ := pipe(t)
			var log testkit.LogBuffer
			l := Wrap(newScripted(out, lucky, out, unlucky, conn), Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
			got, err := l.Accept()
			require.NoError(t, err)
			require.Equal(t, lucky, got.(*Conn).NetConn(), "for a while it is waited for a descriptor")
			require.Contains(t, log.String(), `remedy="raise the hard limit of open files`)
			require.Equal(t, Stats{Accepted: 1, Retries: 1}, l.Stats())

			require.False(t, l.out.tooLong())
			require.False(t, l.out.lasts(0))
			l.out.looks.Add(fullLooks)
			l.out.from.Add(-int64(patienceFull))
			got, err = l.Accept()
			require.NoError(t, err)
			require.Equal(t, conn, got.(*Conn).NetConn())
			require.Equal(t, Stats{Accepted: 2, Retries: 2, Shed: 1}, l.Stats())
			_, err = peer.Read(make([]byte, 1))
			require.ErrorIs(t, err, io.EOF, "the connection was closed rather than left waiting")
			require.NoError(t, l.Close())
			_, err = l.Accept()
			require.ErrorIs(t, err, net.ErrClosed)
		})
	}
	f("of the process", syscall.EMFILE)
	f("of the system", syscall.ENFILE)
}

func TestAcceptFailsForGoodOnOtherErrors(t *testing.T) {
	testkit.Snapshot(t)
	broken := syscall.EINVAL
	l := Wrap(newScripted(broken), Options{})
	_, err := l.Accept()
	require.ErrorIs(t, err, broken)
	require.Zero(t, l.Stats())
}

func TestCloseEndsTheBackoff(t *testing.T) {
	testkit.Snapshot(t)
	results := make([]any, 64) // enough for some 50 seconds
	for i := range results {
		results[i] = syscall.ENOBUFS
	}
	l := Wrap(newScripted(results...), Options{})
	ended := make(chan error)
	go func() {
		_, err := l.Accept()
		ended <- err
	}()
	testkit.EventuallyWithin(t, patience, func() bool { return l.Stats().Retries > 0 }, "a failure")
	l.once.Do(func() { close(l.closed) }) // what Close does first
	require.ErrorIs(t, <-ended, net.ErrClosed)
}

func TestListenSaysWhereItCannot(t *testing.T) {
	_, err := Listen("192.0.2.1:1", Options{}) // not an address of this machine
	require.ErrorContains(t, err, "192.0.2.1:1")
}

// accepted returns a listener, the end of a client, and the connection that was accepted.
func accepted(t *testing.T) (l *Listener, near, far net.Conn) {
	t.Helper()
	testkit.Snapshot(t)
	l, err := Listen("127.0.0.1:0", Options{})
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, l.Close())
		_, err := l.Accept() // who accepts lets the reserve descriptor go
		require.ErrorIs(t, err, net.ErrClosed)
	})
	near, err = net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = near.Close() })
	far, err = l.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { _ = far.Close() })
	return l, near, far
}

// A client that is answered in the middle of its request gets the whole answer.
func TestLingerKeepsTheAnswer(t *testing.T) {
	_, nc, c := accepted(t)
	sent := bytes.Repeat([]byte("x"), 64<<10)
	_, err := nc.Write(sent) // nobody reads it
	require.NoError(t, err)
	Linger(c)
	_, err = c.Write([]byte("too much"))
	require.NoError(t, err)
	go func() { _ = c.Close() }()
	require.NoError(t, nc.SetReadDeadline(time.Now().Add(patience)))
	got, err := io.ReadAll(nc)
	require.NoError(t, err, "not reset")
	require.Equal(t, "too much", string(got))
}

// Most clients read no answer before they have sent their request: one that is to be
// understood is heard out.
func TestLingerForHearsAClientOut(t *testing.T) {
	l, nc, c := accepted(t)
	sent := bytes.Repeat([]byte("x"), 20<<20) // more than sockets hold
	LingerFor(c, len(sent))
	Linger(c) // takes nothing back
	require.Equal(t, 1, l.Lingering())
	_, err := c.Write([]byte("no room"))
	require.NoError(t, err)
	go func() { _ = c.Close() }()
	require.NoError(t, nc.SetDeadline(time.Now().Add(patience)))
	_, err = nc.Write(sent)
	require.NoError(t, err)
	require.NoError(t, nc.(*net.TCPConn).CloseWrite())
	got, err := io.ReadAll(nc)
	require.NoError(t, err, "not reset")
	require.Equal(t, "no room", string(got))
	testkit.EventuallyWithin(t, patience, func() bool { return l.Lingering() == 0 }, "the end of it")
}

// What the server writes in the midst of a request fails in silence, and what it writes
// behind it does not: half of something may be out.
func TestWhatIsNotWrittenInARequestIsToldLater(t *testing.T) {
	near, far := net.Pipe()
	c := &Conn{Conn: far, ln: &Listener{waiting: atMost(0)}}
	defer func() { _ = c.Close() }()
	write := func() error {
		_, err := c.Write([]byte("x"))
		return err
	}
	go func() { _, _ = near.Write([]byte("GET")) }()
	_, err := c.Read(make([]byte, 3))
	require.NoError(t, err)
	require.NoError(t, near.Close())
	require.NoError(t, write())
	require.NoError(t, write())
	Serving(c)
	require.ErrorIs(t, write(), net.ErrClosed)

	near, far = net.Pipe()
	c = &Conn{Conn: far, ln: &Listener{waiting: atMost(0)}}
	defer func() { _ = c.Close() }()
	require.NoError(t, near.Close())
	require.ErrorIs(t, write(), io.ErrClosedPipe, "no request is being read")
}

func TestLingeringHasAnEnd(t *testing.T) {
	require.Equal(t, lingerTime, lingering(lingerBytes))
	require.Equal(t, lingerMost, lingering(lingerBytes+1))
}

// While the server does something else, the time of the client stands still.
func TestOurLatenessIsNotTheClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 10 * time.Second
		near, far := net.Pipe()
		defer func() { _ = near.Close() }()
		c := &Conn{Conn: far, ln: &Listener{opt: Options{RequestTimeout: limit}, waiting: atMost(0)}}
		defer func() { _ = c.Close() }()
		began := time.Now()
		left := func() time.Duration { return c.readBy.by().Sub(began) }
		send := func() {
			go func() { _, _ = near.Write([]byte("GET")) }()
			n, err := c.Read(make([]byte, 10))
			require.NoError(t, err)
			require.Equal(t, 3, n)
		}
		send()
		time.Sleep(ourLateness - 1)
		require.NoError(t, c.SetReadDeadline(began.Add(time.Hour)))
		require.Equal(t, limit, left(), "a moment is nothing")
		time.AfterFunc(4*time.Second, send)
		time.Sleep(4 * time.Second) // the client's
		synctest.Wait()
		time.Sleep(time.Minute) // ours
		require.NoError(t, c.SetReadDeadline(began.Add(time.Hour)))
		require.Equal(t, time.Minute+limit, left())
		go func() { _, _ = c.Write([]byte("continue")) }()
		got := make([]byte, 10)
		n, err := near.Read(got)
		require.NoError(t, err)
		require.Equal(t, "continue", string(got[:n]), "there is time for answers, too")
	})
}

func TestOtherConnectionsAreLetBe(t *testing.T) {
	c, _ := pipe(t)
	require.NotPanics(t, func() {
		Serving(c)
		Linger(c)
		LingerFor(c, 1)
	})
}
