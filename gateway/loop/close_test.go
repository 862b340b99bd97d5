package loop

import (
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/codec"
)

func TestCloseSendsWhatIsQueuedTheLastFrameAndTheTerminator(t *testing.T) {
	eachWay(t, func(t *testing.T, pair pairOf, framing codec.Framing) {
		h := newHarness(t, Options{QueueMaxSize: 1 << 30})
		c := h.openTiny(pair, framing)
		want := h.block(c, 2000) // the end must wait for the reader
		began := time.Now()
		waits := func() { // for the client's end, unless that took too long
			t.Helper()
			open := h.group.Stats().Open
			if time.Since(began) < lingerTime {
				require.Equal(t, 1, open, "expected the stream to wait for the client's end")
			}
		}
		h.do(func(l *Loop) {
			slot := c.ref.Slot
			l.Send(slot, frameOf("", "queued"), NoID)
			l.Close(c.ref, ReasonDisconnect, frameOf("", "bye"), patience)
			l.Close(c.ref, ReasonExpired, frameOf("", "twice"), patience)
			l.CloseBare(c.ref, ReasonExpired, patience)
			l.Cut(c.ref, ReasonExpired)
			l.Send(slot, frameOf("", "too late"), NoID)
			if l.Live(c.ref) {
				t.Error("expected a closing stream not to be live")
			}
		})
		require.Equal(t, []Reason{ReasonDisconnect}, c.rec.reasons(c.ref), "expected the handler told at once")
		require.EqualValues(t, 1, h.group.Stats().Dropped)
		waits()
		c.expectEnd(want + wire(framing, "", "queued") + wire(framing, "", "bye") + terminator(framing))
		waits()
		require.Zero(t, h.group.Stats().Blocked)
		c.close()
		h.awaitStats("the slot free", func(s Stats) bool { return s.Open == 0 })
	})
}

func TestCloseOfAnEmptyQueueEndsTheStreamAtOnce(t *testing.T) {
	eachWay(t, func(t *testing.T, pair pairOf, framing codec.Framing) {
		h := newHarness(t, Options{})
		a, b := h.open(pair, framing), h.open(pair, framing)
		h.do(func(l *Loop) {
			l.Close(a.ref, ReasonLifetime, nil, patience)
			l.CloseBare(b.ref, ReasonRefused, patience)
		})
		a.expectEnd(terminator(framing))
		b.expectEnd("")
		h.awaitClosed(a, ReasonLifetime)
		h.awaitClosed(b, ReasonRefused)
	})
}

func TestCloseBareEndsWithWhatIsQueued(t *testing.T) {
	eachWay(t, func(t *testing.T, pair pairOf, framing codec.Framing) {
		h := newHarness(t, Options{})
		c := h.open(pair, framing)
		answer := "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"
		h.do(func(l *Loop) {
			l.SendExempt(c.ref.Slot, codec.RawFrame([]byte(answer)), NoID)
			l.CloseBare(c.ref, ReasonRefused, patience)
		})
		c.expectEnd(answer)
		h.awaitClosed(c, ReasonRefused)
	})
}

func TestAClosingStreamThatIsNotReadIsCutAfterItsTime(t *testing.T) {
	for _, within := range []time.Duration{200 * time.Millisecond, 0, -time.Hour} {
		h := newHarness(t, Options{})
		c := h.openTiny(unixPair, codec.FramingChunked)
		sent := h.block(c, 3000)
		began := time.Now()
		h.do(func(l *Loop) { l.Close(c.ref, ReasonShutdown, frameOf("", "bye"), within) })
		h.awaitStats("the stream cut", func(s Stats) bool { return s.Open == 0 })
		require.GreaterOrEqual(t, time.Since(began), within-wheelTick)
		got, err := c.rest()
		require.NoError(t, err)
		require.True(t, strings.HasPrefix(sent, got))
		require.Less(t, len(got), len(sent))
	}
}

func TestALingeringStreamIsCutAfterItsTime(t *testing.T) {
	h := newHarness(t, Options{})
	c := h.open(tcpPair, codec.FramingChunked)
	began := time.Now()
	h.do(func(l *Loop) { l.Close(c.ref, ReasonExpired, nil, patience) })
	c.expectEnd(terminator(c.framing)) // and keeps its half open
	h.awaitStats("the stream cut", func(s Stats) bool { return s.Open == 0 })
	require.GreaterOrEqual(t, time.Since(began), lingerTime-2*wheelTick)
	require.EqualValues(t, 1, h.group.Stats().Closes[ReasonExpired])
	require.Zero(t, h.group.Stats().Closes[ReasonClientGone])
}

func TestInputOfALingeringStreamIsDropped(t *testing.T) {
	h := newHarness(t, Options{})
	h.giveTime()
	c := h.open(tcpPair, codec.FramingChunked)
	h.do(func(l *Loop) { l.Close(c.ref, ReasonExpired, frameOf("", "bye"), patience) })
	for range 20 {
		_, err := c.conn.Write(make([]byte, 1000))
		require.NoError(t, err)
	}
	c.expectEnd(wire(c.framing, "", "bye") + terminator(c.framing))
	require.NoError(t, c.conn.(*net.TCPConn).CloseWrite())
	h.awaitStats("the slot free", func(s Stats) bool { return s.Open == 0 })
	require.Equal(t, []Reason{ReasonExpired}, c.rec.reasons(c.ref))
}

func TestCutEndsAStreamInTheMiddleOfAFrame(t *testing.T) {
	h := newHarness(t, Options{})
	c := h.openTiny(unixPair, codec.FramingChunked)
	sent := h.block(c, 3000)
	h.do(func(l *Loop) {
		l.Cut(c.ref, ReasonLimit)
		l.Cut(c.ref, ReasonLimit)
		if l.stats.Open != 0 {
			t.Errorf("expected the slot free at once, %d are open", l.stats.Open)
		}
	})
	require.Equal(t, []Reason{ReasonLimit}, c.rec.reasons(c.ref))
	got, err := c.rest()
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(sent, got) && len(got) < len(sent))
}

func TestAClientThatLeavesWhileItsStreamClosesIsReportedOnce(t *testing.T) {
	for name, leave := range leaves {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t, Options{})
			c := h.openTiny(tcpPair, codec.FramingChunked)
			h.block(c, 3000)
			h.do(func(l *Loop) { l.Close(c.ref, ReasonExpired, frameOf("", "bye"), patience) })
			leave(t, c)
			h.awaitStats("the slot free", func(s Stats) bool { return s.Open == 0 })
			require.Equal(t, []Reason{ReasonExpired}, c.rec.reasons(c.ref))
		})
	}
}

// leaves are the ways in which a client ends a connection.
var leaves = map[string]func(t *testing.T, c *client){
	"fin": func(_ *testing.T, c *client) { c.close() },
	"half": func(t *testing.T, c *client) {
		require.NoError(t, c.conn.(interface{ CloseWrite() error }).CloseWrite())
	},
	"rst": func(t *testing.T, c *client) {
		if tcp, ok := c.conn.(*net.TCPConn); ok {
			require.NoError(t, tcp.SetLinger(0))
		}
		c.close()
	},
	"line end and fin": func(t *testing.T, c *client) {
		_, err := c.conn.Write([]byte("\r\n"))
		require.NoError(t, err)
		c.close()
	},
}

func TestAClientThatLeavesIsNoticed(t *testing.T) {
	for kind, pair := range pairs {
		for name, leave := range leaves {
			t.Run(kind+"/"+name, func(t *testing.T) {
				h := newHarness(t, Options{})
				idle, blocked, other := h.open(pair, 0), h.openTiny(pair, 0), h.open(pair, 0)
				leave(t, idle)
				h.awaitClosed(idle, ReasonClientGone)
				h.block(blocked, 3000)
				leave(t, blocked)
				h.awaitClosed(blocked, ReasonClientGone)
				h.alive(other)
				s := h.awaitStats("one stream left", func(s Stats) bool { return s.Open == 1 })
				require.Zero(t, s.Blocked)
				require.EqualValues(t, 2, s.Closes[ReasonClientGone])
			})
		}
	}
}

// An edge that was there before the watch began is reported too.
func TestAClientThatLeftBeforeTheStreamBeganIsNoticed(t *testing.T) {
	for name, leave := range leaves {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t, Options{})
			sock, far := tcpPair(t, false)
			fd := sock.fd
			c := &client{t: t, conn: far, l: h.l, rec: h.rec}
			leave(t, c)
			var err error
			h.do(func(l *Loop) { c.ref, err = l.Adopt(PlainSocket(fd), 0, codec.CodingIdentity) }) // and writes nothing
			require.NoError(t, err)
			h.awaitClosed(c, ReasonClientGone)
			_ = far.Close()
		})
	}
}

func TestAWriteToAClientThatLeftClosesTheStream(t *testing.T) {
	h := newHarness(t, Options{})
	for range 50 {
		c := h.open(unixPair, 0)
		h.do(func(l *Loop) { // before the loop can see the end of the client
			_ = c.conn.Close()
			l.Send(c.ref.Slot, frameOf("", "x"), NoID)
		})
		h.awaitClosed(c, ReasonClientGone)
	}
}

func TestWriteErrorsHaveReasons(t *testing.T) {
	f := func(err error, want Reason) {
		t.Helper()
		require.Equal(t, want, errorReason(err))
	}
	f(syscall.EPIPE, ReasonClientGone)
	f(syscall.ECONNRESET, ReasonClientGone)
	f(syscall.ETIMEDOUT, ReasonPeerTimeout)
	f(syscall.EHOSTUNREACH, ReasonPeerTimeout)
	f(syscall.EBADF, ReasonWriteError)
	f(errors.New("other"), ReasonWriteError)
}

// There is no answer to what a client sends behind its request.
func TestInputClosesTheStream(t *testing.T) {
	for kind, pair := range pairs {
		t.Run(kind, func(t *testing.T) {
			h := newHarness(t, Options{})
			f := func(input string) {
				t.Helper()
				c := h.open(pair, 0)
				_, _ = c.conn.Write([]byte(input)) // the rest of it may meet a closed socket
				h.awaitClosed(c, ReasonInput)
				if _, err := io.ReadAll(c.conn); err != nil {
					require.ErrorIs(t, err, syscall.ECONNRESET)
				}
			}
			other := h.open(pair, 0)
			f("x")
			f("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
			f("\r\n\r\n\n")
			f("\r\nx")
			f(string(make([]byte, 10_000)))
			h.alive(other)
		})
	}
}

// Old clients end a body with a line end that is not part of it.
func TestStrayLineEndsAreDropped(t *testing.T) {
	for kind, pair := range pairs {
		t.Run(kind, func(t *testing.T) {
			h := newHarness(t, Options{})
			c := h.open(pair, 0)
			for read := uint32(0); read < StrayInput; {
				_, err := c.conn.Write([]byte("\r\n"))
				require.NoError(t, err)
				read += 2
				h.await("the input read", func() bool {
					n := uint32(0)
					h.do(func(l *Loop) { n = l.at(c.ref.Slot).input })
					return n == read
				})
			}
			h.alive(c)
			_, err := c.conn.Write([]byte("\n"))
			require.NoError(t, err)
			h.awaitClosed(c, ReasonInput)
		})
	}
}

func TestMuchInputAtOnceClosesTheStream(t *testing.T) {
	h := newHarness(t, Options{})
	c := h.open(tcpPair, 0)
	go func() { _, _ = c.conn.Write(make([]byte, 1<<20)) }()
	h.awaitClosed(c, ReasonInput)
}
