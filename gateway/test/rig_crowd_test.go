package test

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// follower is a client that reads its stream as fast as it can, and at little
// cost: hundreds have room in a test beside the server. It checks what every
// stream must be: whole events, whole publications, and of each publisher in a
// channel an ever higher number.
type follower struct {
	conn net.Conn
	feed feed
	// push sees every push but pings, in the goroutine that reads; an error
	// ends the stream. nil: nobody does.
	push  func(p *said) error
	names map[string]string
	last  map[lineage]int

	opened chan struct{} // closed behind the connect push
	done   chan struct{} // closed at the end
	count  atomic.Int64  // publications
	sum    atomic.Uint64 // of what they are, in any order
	order  atomic.Uint64 // of what they are, in this order

	// Written before done is closed.
	err        error // nil for a proper end
	disconnect *testkit.Disconnect
}

// lineage is whose publications have one order.
type lineage struct {
	channel string
	p       int
}

// hash is a number for a publication.
func (k note) hash() uint64 {
	h := uint64(k.p)<<40 ^ uint64(k.n)<<1 ^ 0x9E3779B97F4A7C15
	h ^= h >> 30
	h *= 0xBF58476D1CE4E5B9
	h ^= h >> 27
	h *= 0x94D049BB133111EB
	return h ^ h>>31
}

// dialSmall connects with a receive buffer of so many bytes; 0 for the usual.
func dialSmall(addr string, buffer int) (net.Conn, error) {
	d := net.Dialer{Timeout: time.Minute}
	if buffer > 0 {
		d.Control = func(_, _ string, c syscall.RawConn) (err error) {
			_ = c.Control(func(fd uintptr) { err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, buffer) })
			return err
		}
	}
	return d.Dial("tcp", addr)
}

// follow opens a stream; it is read from the call of start on.
func follow(addr, target string, buffer int, headers string) (*follower, error) {
	conn, err := dialSmall(addr, buffer)
	if err != nil {
		return nil, err
	}
	f := &follower{
		conn: conn, names: make(map[string]string), last: make(map[lineage]int),
		opened: make(chan struct{}), done: make(chan struct{}),
	}
	f.feed.event = f.event
	if strings.Contains(headers, "Accept-Encoding") {
		f.conn = &inflated{Conn: conn}
	}
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: h\r\n%s\r\n", target, headers); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return f, nil
}

// read reads the stream to its end. pause is called before each read; nil for a
// client that is never late.
func (f *follower) read(pause func()) {
	buf := make([]byte, 32<<10)
	for {
		if pause != nil {
			pause()
		}
		n, err := f.conn.Read(buf)
		wrong := f.feed.write(buf[:n])
		if wrong == nil && err != nil {
			wrong = f.feed.end(err)
		}
		if wrong != nil || err != nil {
			f.err = wrong
			break
		}
	}
	_ = f.conn.Close()
	close(f.done)
}

var errOrder = errors.New("out of order")

func (f *follower) event(data []byte, id string, hasID bool) error {
	p, err := parsePush(data, f.names)
	if err != nil || p.kind == "ping" {
		return err
	}
	p.id, p.hasID = id, hasID
	switch {
	case p.kind == "pub" && p.raw == nil:
		if err := f.took(p.channel, p.note); err != nil {
			return err
		}
	case p.kind == "connect":
		t, err := p.decode()
		if err != nil {
			return err
		}
		for ch, s := range t.Connect.Subs {
			missed, err := s.notes()
			if err != nil {
				return err
			}
			for _, m := range missed {
				if err := f.took(ch, m.note); err != nil {
					return err
				}
			}
		}
	case p.kind == "disconnect":
		t, err := p.decode()
		if err != nil {
			return err
		}
		f.disconnect = t.Disconnect
	}
	if f.push != nil {
		if err := f.push(&p); err != nil {
			return err
		}
	}
	if p.kind == "connect" {
		close(f.opened)
	}
	return nil
}

// took counts a publication.
func (f *follower) took(channel string, k note) error {
	line := lineage{channel, k.p}
	if last := f.last[line]; k.n <= last {
		return fmt.Errorf("%w: in %s number %d of %d came behind %d", errOrder, channel, k.n, k.p, last)
	}
	f.last[line] = k.n
	f.sum.Add(k.hash())
	f.order.Store(f.order.Load()*1099511628211 ^ k.hash())
	f.count.Add(1)
	return nil
}

// ended reports whether the stream has.
func (f *follower) ended() bool {
	select {
	case <-f.done:
		return true
	default:
		return false
	}
}

// String says where the stream is.
func (f *follower) String() string {
	how := "open"
	if f.ended() {
		how = fmt.Sprintf("ended (%v, told %v)", f.err, f.disconnect)
	}
	return fmt.Sprintf("%s after %d publications", how, f.count.Load())
}

// crowd is many followers.
type crowd []*follower

// crowd opens n streams that read what comes, and waits for their connect pushes.
// It closes them with the test.
func (s *server) crowd(t *testing.T, n int, target string) crowd {
	t.Helper()
	c := make(crowd, n)
	errs := make([]error, n)
	var wg sync.WaitGroup
	slots := make(chan struct{}, 32)
	for i := range c {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			if c[i], errs[i] = follow(s.addr, target, 0, ""); errs[i] != nil {
				return
			}
			go c[i].read(nil)
			select {
			case <-c[i].opened:
			case <-c[i].done:
				errs[i] = c[i].err
			}
		})
	}
	wg.Wait()
	t.Cleanup(c.close)
	require.NoError(t, errors.Join(errs...))
	return c
}

func (c crowd) close() {
	for _, f := range c {
		if f != nil {
			_ = f.conn.Close()
		}
	}
	for _, f := range c {
		if f != nil {
			<-f.done
		}
	}
}

// closed returns those whose stream has ended.
func (c crowd) closed() (out crowd) {
	for _, f := range c {
		if f.ended() {
			out = append(out, f)
		}
	}
	return out
}

// loadPatience is how long a load may take before something is stuck.
const loadPatience = 4 * time.Minute

// await waits until each follower has so many publications, or the first has
// ended.
func (c crowd) await(t *testing.T, n int) {
	t.Helper()
	testkit.EventuallyWithin(t, loadPatience, func() bool {
		for _, f := range c {
			if f.ended() {
				return true
			}
			if f.count.Load() < int64(n) {
				return false
			}
		}
		return true
	}, fmt.Sprintf("%d publications for each of %d streams", n, len(c)))
}

// expectAll fails the test unless every follower is open and has had each of the
// acknowledged publications once, all in the same order.
func (s *server) expectAll(t *testing.T, c crowd, acks []acked) {
	t.Helper()
	var sum uint64
	n := 0
	for _, a := range acks {
		if a.code == 0 {
			n++
			sum += a.note.hash()
		}
	}
	c.await(t, n)
	if closed := c.closed(); len(closed) > 0 {
		t.Fatalf("%d of %d streams that read were closed %v; one of them %v; %d publications acknowledged",
			len(closed), len(c), s.closes(), closed[0], n)
	}
	for i, f := range c {
		require.EqualValues(t, n, f.count.Load(), "stream %d: publications", i)
		require.Equal(t, sum, f.sum.Load(), "stream %d: other publications than were acknowledged", i)
		require.Equal(t, c[0].order.Load(), f.order.Load(), "stream %d: another order than stream 0", i)
	}
}

// closes are the streams that ended, by reason.
func (s *server) closes() map[string]uint64 {
	out := make(map[string]uint64)
	for reason, n := range s.stats().Closes {
		if n > 0 {
			out[fmt.Sprint(reasonName(reason))] = n
		}
	}
	return out
}

// stalled opens n streams that read nothing behind their connect push, into a
// small buffer.
func (s *server) stalled(t *testing.T, n int, target string) crowd {
	t.Helper()
	c := make(crowd, n)
	for i := range c {
		f, err := follow(s.addr, target, 4<<10, "")
		require.NoError(t, err)
		c[i] = f
		buf := make([]byte, 512)
		for opened := false; !opened; {
			n, err := f.conn.Read(buf)
			require.NoError(t, err)
			require.NoError(t, f.feed.write(buf[:n]))
			select {
			case <-f.opened:
				opened = true
			default:
			}
		}
	}
	t.Cleanup(func() {
		for _, f := range c {
			_ = f.conn.Close()
		}
	})
	return c
}

// expectSlow reads what is left of streams that were stalled: they were cut, or
// told that they are slow, and until then got what was published in order.
func (c crowd) expectSlow(t *testing.T) {
	t.Helper()
	for i, f := range c {
		require.NoError(t, f.conn.SetReadDeadline(time.Now().Add(time.Minute)))
		f.read(nil)
		if f.disconnect != nil {
			require.NoError(t, f.err, "stream %d", i)
			require.EqualValues(t, 3008, f.disconnect.Code, "stream %d", i)
			continue
		}
		require.ErrorIs(t, f.err, errCutShort, "stream %d", i)
		require.NotErrorIs(t, f.err, errTimeout, "stream %d is open still", i)
	}
}
