package gate

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// liveness bounds how long tests wait for what happens at once.
const liveness = 30 * time.Second

// echo is a client whose requests end with an empty line; it answers each with its number
// and what it was, and lets the connection wait for the next.
type echo struct {
	c    *Conn
	rig  *rig
	some [64]byte

	begun, waited, ended atomic.Int32
	n                    int
	got                  []byte
	last                 error
}

func (e *echo) Begins() bool           { e.begun.Add(1); return e.rig.begins == nil || e.rig.begins(e) }
func (e *echo) Whole(have []byte) bool { return HeadEnd(have, 0) > 0 }
func (e *echo) Plain(have []byte) bool { return len(have) == 0 || have[0] != '!' }
func (e *echo) Waits() bool            { e.waited.Add(1); return e.rig.waits == nil || e.rig.waits(e) }
func (e *echo) Ended() {
	if n := e.ended.Add(1); n != 1 {
		e.rig.t.Errorf("a client was told %d times that its connection ended", n)
	}
	e.rig.ended.Add(1)
	if e.rig.onEnd != nil {
		e.rig.onEnd()
	}
}

// Serve reads requests as the HTTP server does: the first byte, and then the rest.
func (e *echo) Serve() {
	for {
		n, err := e.c.First(e.some[:1])
		if e.got = append(e.got[:0], e.some[:n]...); err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				_, _ = io.WriteString(e.c, e.rig.bye)
			}
			break
		}
		for err == nil && HeadEnd(e.got, 0) == 0 {
			n, err = e.c.Read(e.some[:])
			e.got = append(e.got, e.some[:n]...)
		}
		if e.last = err; err != nil {
			break
		}
		e.n++
		e.rig.served.Add(1)
		if e.rig.do != nil && !e.rig.do(e, e.got) {
			return
		}
		if e.rig.mute {
			continue
		}
		if _, err = fmt.Fprintf(e.c, "%d:%s", e.n, e.got); err != nil {
			break
		}
	}
	if e.c.Parked() {
		_ = e.c.Close()
		return
	}
	if e.c.Close() == nil {
		e.rig.closed.Add(1)
	}
}

// rig is a gate with echoes.
type rig struct {
	t    testing.TB
	gate *Gate
	ln   net.Listener
	l    *Listener

	served, ended, closed, accepted atomic.Int64

	begins, waits func(*echo) bool
	onEnd         func()
	do            func(e *echo, request []byte) bool
	mute          bool   // do answers
	bye           string // said where First says that it is too late

	mu  sync.Mutex
	all []*echo
}

// newRig starts a gate, and looks at the end whether anything is left.
func newRig(t testing.TB, opt Options, set func(*rig)) *rig {
	testkit.Snapshot(t)
	if opt.Doors == 0 {
		opt.Doors = 2
	}
	if opt.Workers == 0 {
		opt.Workers = 64
	}
	g, err := New(opt)
	require.NoError(t, err)
	r := &rig{t: t, gate: g}
	if set != nil {
		set(r)
	}
	r.ln, err = net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	r.l, err = g.Listen(r.ln, ListenOptions{Accepted: r.accept})
	require.NoError(t, err)
	g.Start()
	t.Cleanup(func() {
		_ = r.ln.Close()
		g.Close()
	})
	return r
}

func (r *rig) accept(c *Conn) Client {
	r.accepted.Add(1)
	e := &echo{c: c, rig: r}
	r.mu.Lock()
	r.all = append(r.all, e)
	r.mu.Unlock()
	return e
}

func (r *rig) dial() *net.TCPConn {
	r.t.Helper()
	c, err := net.Dial("tcp", r.ln.Addr().String())
	require.NoError(r.t, err)
	r.t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(liveness))
	return c.(*net.TCPConn)
}

// echo returns the client of the nth connection that was accepted.
func (r *rig) echo(n int) (e *echo) {
	r.t.Helper()
	r.await("an accepted connection", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		if len(r.all) > n {
			e = r.all[n]
		}
		return e != nil
	})
	return e
}

func (r *rig) await(what string, done func() bool) {
	r.t.Helper()
	for begun := time.Now(); !done(); time.Sleep(time.Millisecond) {
		if time.Since(begun) > liveness {
			r.t.Fatalf("waited %v for %s; %+v", liveness, what, r.gate.Stats())
		}
	}
}

// expect reads an answer.
func expect(t testing.TB, c io.Reader, want string) {
	t.Helper()
	got := make([]byte, len(want))
	n, err := io.ReadFull(c, got)
	if !bytes.Equal(got[:n], []byte(want)) || err != nil {
		t.Fatalf("expected %q, got %q, %v", want, got[:n], err)
	}
}

// expectEnd reads the end, or a reset.
func expectEnd(t testing.TB, c io.Reader) {
	t.Helper()
	n, err := c.Read(make([]byte, 100))
	var late net.Error
	if n > 0 || err == nil || errors.As(err, &late) && late.Timeout() {
		t.Fatalf("expected the end, got %d bytes, %v", n, err)
	}
}

func write(t testing.TB, c io.Writer, s string) {
	t.Helper()
	_, err := io.WriteString(c, s)
	require.NoError(t, err)
}
